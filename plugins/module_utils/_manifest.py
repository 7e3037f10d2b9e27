# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""One manifest: from its text to a Pod. Knows nothing of files, kubelets or Ansible."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _yaml
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError

# maxConfigLength in pkg/kubelet/config/file.go: the kubelet refuses a longer file.
MAX_BYTES = 10 * 1024 * 1024

# ValidatePodCreate gives a pod at least one second, defaults.go thirty.
# Longer than anybody waits, and short enough to be added to a time.
_MAX_GRACE_SECONDS = 10**9
MIN_GRACE_SECONDS = 1
DEFAULT_GRACE_SECONDS = 30

Key = t.Tuple[str, str]


class Pod(t.NamedTuple):
    """One v1 Pod as a manifest describes it.

    ``name`` is ``metadata.name`` of the file, without the node's suffix; ``data`` is what the kubelet's decoder sees.
    """

    name: str
    namespace: str
    text: str
    document: _yaml.Document

    @property
    def data(self) -> dict[str, t.Any]:
        return t.cast("dict[str, t.Any]", self.document.data)

    @property
    def key(self) -> Key:
        """(namespace, name): what the kubelet's store is keyed by (pkg/kubelet/config/file.go)."""
        return self.namespace, self.name

    @property
    def spec(self) -> dict[str, t.Any]:
        return mapping(self.data.get("spec"))

    @property
    def containers(self) -> list[dict[str, t.Any]]:
        """The main containers, without init containers."""
        return mappings(self.spec.get("containers"))

    @property
    def init_containers(self) -> list[dict[str, t.Any]]:
        return mappings(self.spec.get("initContainers"))

    @property
    def grace_seconds(self) -> int:
        return grace_seconds(self.spec)

    def same_as(self, other: Pod) -> bool:
        """True where the kubelet sees one and the same pod: comments, order and written-out defaults do not count."""
        if self.text == other.text:
            return True
        from ansible_collections.kubestatic.node.plugins.module_utils._defaults import with_defaults

        return with_defaults(self.data) == with_defaults(other.data)


def parse(raw: bytes | str) -> Pod:
    """Read the text of one manifest as the kubelet reads a file (pkg/kubelet/config/file.go, extractFromFile).

    Raises KubestaticError for what no kubelet takes: not UTF-8, over 10 MiB, no YAML or JSON, not one v1 Pod, no name.
    """
    text = _decode(raw)
    if not text.strip():
        raise KubestaticError("the manifest is empty; it must hold one v1 Pod")
    document = _yaml.load(text)
    data = document.data
    if not isinstance(data, dict):
        raise KubestaticError(f"the manifest must hold one v1 Pod, found {describe(data)}")
    _require_pod(data)
    metadata = data.get("metadata")
    if not isinstance(metadata, dict) or metadata.get("name") is None or metadata["name"] == "":
        raise KubestaticError("metadata.name is missing; the kubelet needs it to name the pod")
    for field in ("name", "namespace"):
        if not isinstance(metadata.get(field), (str, type(None))):
            raise KubestaticError(f"metadata.{field} must be a string, found {describe(metadata[field])}; quote it")
    return Pod(name=metadata["name"], namespace=metadata.get("namespace") or "default", text=text, document=document)


def identity(*, name: str, namespace: str | None) -> Key:
    """The key of a pod that is given by name alone."""
    return namespace or "default", name


def grace_seconds(spec: dict[str, t.Any]) -> int:
    """How long the kubelet lets the containers of a pod with this spec stop, in seconds."""
    value = spec.get("terminationGracePeriodSeconds")
    if isinstance(value, bool) or not isinstance(value, int):
        return DEFAULT_GRACE_SECONDS
    return min(max(value, MIN_GRACE_SECONDS), _MAX_GRACE_SECONDS)


def describe(value: t.Any) -> str:
    """A found value in the words of YAML, for error messages."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, (int, float)):
        return f"the number {value}"
    if isinstance(value, str):
        return f"the string {value!r}" if len(value) <= 60 else "a string"
    return "a list" if isinstance(value, list) else "a mapping"


def mapping(value: t.Any) -> dict[str, t.Any]:
    """The value where it is a mapping, else an empty one: for walks over manifests of any quality."""
    return value if isinstance(value, dict) else {}


def mappings(value: t.Any) -> list[dict[str, t.Any]]:
    """The mappings of a list, and nothing else."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _decode(raw: bytes | str) -> str:
    size = len(raw) if isinstance(raw, bytes) else len(raw.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        raise KubestaticError(
            f"the manifest has {size} bytes and the kubelet refuses more than {MAX_BYTES} (10 MiB); make it smaller"
        )
    try:
        return raw.decode("utf-8") if isinstance(raw, bytes) else raw.encode("utf-8").decode("utf-8")
    except UnicodeError as exc:
        position = f" (byte {exc.start})" if isinstance(exc, UnicodeDecodeError) else ""
        raise KubestaticError(f"the manifest is not UTF-8{position}; save it as UTF-8") from None


def _require_pod(data: dict[str, t.Any]) -> None:
    kind, version = data.get("kind"), data.get("apiVersion")
    if kind == "Pod" and version == "v1":
        return
    if not kind or not version:
        missing = " and ".join(field for field in ("apiVersion", "kind") if not data.get(field))
        raise KubestaticError(f"{missing} missing; a manifest starts with apiVersion: v1 and kind: Pod")
    hint = ""
    if isinstance(kind, str) and re.search("List$", kind):
        hint = "; a list is only read from staticPodURL: place each Pod in a manifest of its own"
    elif kind != "Pod":
        hint = "; a kubelet runs Pods only, other kinds need an API server"
    raise KubestaticError(f"kind: expected one v1 Pod, found {version} {kind}{hint}")

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""What the kubelet has in its hands after decoding a manifest, and hashes into the pod's UID.

Its decoder drops what it does not know and sets defaults before pkg/kubelet/config hashes the result: so a written-out
default changes nothing, while an empty list where there was none does. Sources: pkg/apis/core/v1/defaults.go and
zz_generated.defaults.go (SetObjectDefaults_Pod), conversion.go, pkg/kubelet/config/common.go, and the Go types.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _schema

Node = t.Dict[str, t.Any]

_POD = (
    ("dnsPolicy", "ClusterFirst"),
    ("restartPolicy", "Always"),
    ("schedulerName", "default-scheduler"),
    ("terminationGracePeriodSeconds", 30),
    ("enableServiceLinks", True),
)
_PROBE = (("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3))
_HTTP_GET = (("path", "/"), ("scheme", "HTTP"))

# Volume source -> its defaults. 420 is 0644.
_VOLUMES: dict[str, tuple[tuple[str, t.Any], ...]] = {
    "azureDisk": (("cachingMode", "ReadWrite"), ("fsType", "ext4"), ("readOnly", False), ("kind", "Shared")),
    "configMap": (("defaultMode", 420),),
    "downwardAPI": (("defaultMode", 420),),
    "hostPath": (("type", ""),),
    "iscsi": (("iscsiInterface", "default"),),
    "projected": (("defaultMode", 420),),
    "rbd": (("pool", "rbd"), ("user", "admin"), ("keyring", "/etc/ceph/keyring")),
    "scaleIO": (("storageMode", "ThinProvisioned"), ("fsType", "xfs")),
    "secret": (("defaultMode", 420),),
}

# github.com/distribution/reference: what it cannot read has no tag.
_PATH = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_DOMAIN = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]+)?"
_IMAGE = re.compile(
    rf"(?:{_DOMAIN}/)?{_PATH}(?:/{_PATH})*"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?"
    r"(?P<digest>@(?:sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}))?\Z",
    re.ASCII,
)
_IMAGE_ID = re.compile(r"[0-9a-f]{64}\Z")


def with_defaults(pod: Node) -> Node:
    """A deep copy of a decoded v1 Pod as the kubelet's decoder leaves it, before it is hashed.

    Two manifests are the same pod to the kubelet where both results are equal. Unknown fields, nulls and zero values
    that Go does not tell from absent ones are gone; quantities keep their spelling, because it is part of the hash. So
    is ``metadata.namespace``: the kubelet fills it in after hashing. Values of a wrong type are copied as they are;
    nothing is raised for any input. Not done: the pod-level requests that kubelets 1.34 to 1.36 add up from the
    containers, and the defaults inside ``status``.
    """
    result = _normal(pod, "Pod")
    if not isinstance(result, dict):
        return {}
    spec = result.setdefault("spec", {})
    if isinstance(spec, dict):
        _pod_spec(spec)
    return result


# ---- what Go does not tell apart


def _normal(value: t.Any, kind: str) -> t.Any:
    """`value` as Go holds it in a field of type `kind` (notation of the field table)."""
    kind = kind.lstrip("*")
    if kind.startswith("[]") and isinstance(value, list):
        return [_normal(_zero(kind[2:]) if item is None else item, kind[2:]) for item in value]
    if kind.startswith("{}") and isinstance(value, dict):
        return {key: _normal(_zero(kind[2:]) if item is None else item, kind[2:]) for key, item in value.items()}
    if _is_struct(kind) and isinstance(value, dict):
        fields = _schema.fields(kind, _schema.MINORS[-1])
        known = ((key, fields[key], _normal(item, fields[key])) for key, item in value.items() if key in fields)
        return {key: item for key, field, item in known if item is not None and not _absent(item, field)}
    if kind == "q" and isinstance(value, (int, float)) and not isinstance(value, bool):
        return _number_text(value)
    if kind == "q" and isinstance(value, str):
        return value.strip()
    return _copy(value)


def _absent(value: t.Any, kind: str) -> bool:
    """True for a zero value that Go keeps in place, not behind a pointer, so that it is the same as none."""
    if kind.startswith(("*", "[]", "{}", "q")):
        return False
    return type(value) in (bool, int, float, str, dict) and not value and not (kind == "x" and value == "")


def _is_struct(kind: str) -> bool:
    return kind[:1].isupper() and kind != "B"


def _zero(kind: str) -> t.Any:
    """What null means as an item of a list or mapping."""
    if kind[:1] == "s":
        return ""
    return {} if _is_struct(kind) else None


def _number_text(value: float) -> str:
    """A number as Go's JSON writes it, which is what a quantity is parsed from."""
    if isinstance(value, int):
        return str(value)
    text = repr(value)
    return re.sub(r"e([-+])0*(\d)", r"e\1\2", text) if "e" in text else re.sub(r"\.0\Z", "", text)


def _copy(value: t.Any) -> t.Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return value


# ---- defaults


def _set(node: Node, defaults: t.Iterable[tuple[str, t.Any]]) -> None:
    for key, value in defaults:
        node.setdefault(key, value)


def _part(node: t.Any, *path: str) -> Node | None:
    """The mapping at `path`, where it is one."""
    for key in path:
        node = node.get(key) if isinstance(node, dict) else None
    return node if isinstance(node, dict) else None


def _parts(node: t.Any, key: str) -> list[Node]:
    """The mappings in the list `key` of `node`."""
    items = node.get(key) if isinstance(node, dict) else None
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _pod_spec(spec: Node) -> None:
    _set(spec, _POD)
    spec.setdefault("securityContext", {})
    grace = spec["terminationGracePeriodSeconds"]
    if isinstance(grace, int) and grace < 0:
        spec["terminationGracePeriodSeconds"] = 1
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for volume in _parts(spec, "volumes"):
        _volume(volume)
    for kind in ("containers", "initContainers", "ephemeralContainers"):
        for container in _parts(spec, kind):
            _container(container)
            if kind != "ephemeralContainers":
                _pod_container(container, host_network=spec.get("hostNetwork") is True)


def _pod_container(container: Node, *, host_network: bool) -> None:
    """What is set for the containers of a Pod but not for ephemeral ones."""
    limits = _part(container, "resources", "limits")
    if limits is not None:
        requests = container["resources"].setdefault("requests", {})
        if isinstance(requests, dict):
            _set(requests, limits.items())
    if host_network:
        for port in _parts(container, "ports"):
            if "containerPort" in port:
                port.setdefault("hostPort", port["containerPort"])


def _container(container: Node) -> None:
    container.setdefault("imagePullPolicy", _pull_policy(container.get("image")))
    _set(container, (("terminationMessagePath", "/dev/termination-log"), ("terminationMessagePolicy", "File")))
    for port in _parts(container, "ports"):
        port.setdefault("protocol", "TCP")
    for variable in _parts(container, "env"):
        _field_ref(_part(variable, "valueFrom"))
        file_key = _part(variable, "valueFrom", "fileKeyRef")
        if file_key is not None:
            file_key.setdefault("optional", False)
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = _part(container, name)
        if probe is not None:
            _set(probe, _PROBE)
            _handler(probe)
    for name in ("postStart", "preStop"):
        _handler(_part(container, "lifecycle", name))


def _handler(handler: Node | None) -> None:
    http_get, grpc = _part(handler, "httpGet"), _part(handler, "grpc")
    if http_get is not None:
        _set(http_get, _HTTP_GET)
    if grpc is not None:
        grpc.setdefault("service", "")


def _field_ref(holder: Node | None) -> None:
    reference = _part(holder, "fieldRef")
    if reference is not None:
        reference.setdefault("apiVersion", "v1")


def _volume(volume: Node) -> None:
    if not set(volume) - {"name"}:
        volume["emptyDir"] = {}
    for name, defaults in _VOLUMES.items():
        part = _part(volume, name)
        if part is not None:
            _set(part, defaults)
    image = _part(volume, "image")
    if image is not None:
        image.setdefault("pullPolicy", _pull_policy(image.get("reference")))
    claim = _part(volume, "ephemeral", "volumeClaimTemplate")
    if claim is not None and isinstance(claim.setdefault("spec", {}), dict):
        claim["spec"].setdefault("volumeMode", "Filesystem")
    for item in _parts(_part(volume, "downwardAPI"), "items"):
        _field_ref(item)
    for source in _parts(_part(volume, "projected"), "sources"):
        _projection(source)


def _projection(source: Node) -> None:
    for item in _parts(_part(source, "downwardAPI"), "items"):
        _field_ref(item)
    token = _part(source, "serviceAccountToken")
    if token is not None:
        token.setdefault("expirationSeconds", 3600)


def _pull_policy(image: t.Any) -> str:
    """Always for the tag ``latest``, which an image without tag and digest has too; else IfNotPresent."""
    found = _IMAGE.match(image) if isinstance(image, str) and not _IMAGE_ID.match(image) else None
    if found is None:
        return "IfNotPresent"
    latest = found["tag"] == "latest" or not (found["tag"] or found["digest"])
    return "Always" if latest else "IfNotPresent"

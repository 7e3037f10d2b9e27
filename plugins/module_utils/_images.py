# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""Images first: what a new pod needs is on the node before the old pod is disturbed."""

from __future__ import annotations

import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils._defaults import with_defaults
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._manifest import Pod, mapping, mappings
from ansible_collections.kubestatic.node.plugins.module_utils._runtime import Runtime


def fetch(
    pods: t.Iterable[Pod], *, runtime: Runtime, credential_providers: bool, warn: t.Callable[[str], None]
) -> t.Iterator[str]:
    """Pull what the pods need, by each container's imagePullPolicy. Yields a sentence after each pull.

    Raises KubestaticError where an image cannot be had. With credential providers configured a failed pull is only warned
    of: the kubelet uses them and crictl does not.
    """
    wanted: dict[str, set[str]] = {}
    for pod in pods:
        for image, policy in _needs(pod):
            wanted.setdefault(image, set()).add(policy)
    present = runtime.images() if wanted else set()
    for image, policies in wanted.items():
        missing = full_image_name(image) not in present
        if missing and policies == {"Never"}:
            raise KubestaticError(
                f"image {image} is not on this node and its imagePullPolicy is Never; load it on the node first"
            )
        if not missing and "Always" not in policies:
            continue
        try:
            runtime.pull(image)
        except KubestaticError as exc:
            if not credential_providers:
                raise KubestaticError(f"image {image} cannot be pulled: {exc}{_hint(image, missing=missing)}") from None
            warn(f"image {image} could not be pulled with crictl, the kubelet may with its credential providers: {exc}")
        else:
            yield f"pulled image {image}"


def full_image_name(image: str) -> str:
    """The name under which runtimes store what a manifest calls `image` (distribution/reference, ParseNormalizedNamed)."""
    first, slash, rest = image.partition("/")
    if not slash:
        image = f"docker.io/library/{image}"
    elif not ("." in first or ":" in first or first == "localhost"):
        image = f"docker.io/{image}"
    elif first in ("docker.io", "index.docker.io"):
        image = f"docker.io/{rest if '/' in rest else 'library/' + rest}"
    name, at, digest = image.partition("@")
    if at:
        # ParseDockerRef: with a digest the tag does not count.
        directory, slash, last = name.rpartition("/")
        return f"{directory}{slash}{last.partition(':')[0]}@{digest}"
    return image if ":" in image.rpartition("/")[2] else f"{image}:latest"


def _needs(pod: Pod) -> t.Iterator[tuple[str, str]]:
    """(image, policy) of all containers and image volumes."""
    spec = mapping(with_defaults(pod.data).get("spec"))
    for container in [*mappings(spec.get("initContainers")), *mappings(spec.get("containers"))]:
        if container.get("image"):
            yield str(container["image"]), str(container.get("imagePullPolicy"))
    for volume in mappings(spec.get("volumes")):
        source = mapping(volume.get("image"))
        if source.get("reference"):
            yield str(source["reference"]), str(source.get("pullPolicy"))


def _hint(image: str, *, missing: bool) -> str:
    if missing:
        return "; mend the name or the registry's access, or load the image on the node"
    return (
        f"; {image} is on the node already, and imagePullPolicy IfNotPresent would use it (the default is Always for the tag"
        " latest and for no tag)"
    )

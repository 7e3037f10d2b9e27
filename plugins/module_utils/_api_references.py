# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""References from a static pod to API objects, and which kubelets refuse them.

From 1.34 on the kubelet refuses them all (PreventStaticPodAPIReferences, pkg/api/pod/util.go HasAPIObjectReference; the
gate is gone in 1.37). A refused manifest is treated as an invalid file: the running pod is gone within 20 s, too.
"""

from __future__ import annotations

import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils._errors import REFUSED, WARNED, Finding
from ansible_collections.kubestatic.node.plugins.module_utils._manifest import Pod, mapping, mappings

_ALL_REFUSED = 34
# Refused before that: kubelet since 1.29 (#118961 family), and late patch releases of 1.32 (#131875).
_TRUST_BUNDLE_REFUSED = 29
_RESOURCE_CLAIMS_REFUSED = 32

# Volume sources that HasAPIObjectReference knows, and what each one points to.
_VOLUMES = {
    "azureFile": "Secret",
    "configMap": "ConfigMap",
    "csi": "CSIDriver",
    "ephemeral": "PersistentVolumeClaim",
    "glusterfs": "Endpoints",
    "persistentVolumeClaim": "PersistentVolumeClaim",
    "secret": "Secret",
}
_PROJECTIONS = {
    "clusterTrustBundle": "ClusterTrustBundle",
    "configMap": "ConfigMap",
    "podCertificate": "PodCertificateRequest",
    "secret": "Secret",
    "serviceAccountToken": "ServiceAccount",
}
# Sources that are fine by themselves and become a reference through their secretRef.
_WITH_SECRET = ("cephfs", "cinder", "flexVolume", "iscsi", "rbd", "scaleIO", "storageos")


def api_references(pod: Pod, *, minor: int) -> list[Finding]:
    """One finding per reference: refused by this minor, else warned of."""
    return [_finding(path, kind, minor=minor) for path, kind in _references(pod)]


def _finding(path: str, kind: str, *, minor: int) -> Finding:
    limit = {"ClusterTrustBundle": _TRUST_BUNDLE_REFUSED, "ResourceClaim": _RESOURCE_CLAIMS_REFUSED}.get(
        kind, _ALL_REFUSED
    )
    if minor >= limit:
        return Finding(
            REFUSED,
            path,
            f"refers to a {kind}, and kubelet 1.{minor} refuses static pods that refer to API objects; "
            f"{_instead(path, kind)}",
        )
    return Finding(
        WARNED,
        path,
        f"refers to a {kind}: kubelet 1.{minor} runs the pod without a mirror pod, and kubelets from 1.{limit} on refuse it",
    )


def _instead(path: str, kind: str) -> str:
    if "imagePullSecrets" in path:
        return "give the container runtime the registry's credentials, or the kubelet a credential provider"
    if kind in ("Secret", "ConfigMap"):
        return "put the data into files on the node and use hostPath"
    if kind == "ServiceAccount":
        return "remove it and give the pod a kubeconfig by hostPath where it needs the API"
    return "use a hostPath or emptyDir volume"


def _references(pod: Pod) -> t.Iterator[tuple[str, str]]:
    spec = pod.spec
    for field in ("serviceAccountName", "serviceAccount"):
        if spec.get(field):
            yield f"spec.{field}", "ServiceAccount"
    for index, _secret in enumerate(mappings(spec.get("imagePullSecrets"))):
        yield f"spec.imagePullSecrets[{index}]", "Secret"
    for index, _claim in enumerate(mappings(spec.get("resourceClaims"))):
        yield f"spec.resourceClaims[{index}]", "ResourceClaim"
    for kind in ("initContainers", "containers"):
        for index, container in enumerate(mappings(spec.get(kind))):
            yield from _environment(container, path=f"spec.{kind}[{index}]")
    for index, volume in enumerate(mappings(spec.get("volumes"))):
        yield from _volume(volume, path=f"spec.volumes[{index}]")


def _environment(container: dict[str, t.Any], *, path: str) -> t.Iterator[tuple[str, str]]:
    for index, source in enumerate(mappings(container.get("envFrom"))):
        for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
            if source.get(field) is not None:
                yield f"{path}.envFrom[{index}].{field}", kind
    for index, variable in enumerate(mappings(container.get("env"))):
        for field, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
            if mapping(variable.get("valueFrom")).get(field) is not None:
                yield f"{path}.env[{index}].valueFrom.{field}", kind


def _volume(volume: dict[str, t.Any], *, path: str) -> t.Iterator[tuple[str, str]]:
    for field, kind in _VOLUMES.items():
        if volume.get(field) is not None:
            yield f"{path}.{field}", kind
    for field in _WITH_SECRET:
        if mapping(volume.get(field)).get("secretRef") is not None:
            yield f"{path}.{field}.secretRef", "Secret"
    for index, source in enumerate(mappings(mapping(volume.get("projected")).get("sources"))):
        for field, kind in _PROJECTIONS.items():
            if source.get(field) is not None:
                yield f"{path}.projected.sources[{index}].{field}", kind

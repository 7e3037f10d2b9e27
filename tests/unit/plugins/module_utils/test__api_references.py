# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""References to API objects by version of the kubelet, as HasAPIObjectReference (pkg/api/pod/util.go) finds them."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _manifest
from ansible_collections.kubestatic.node.plugins.module_utils._api_references import api_references

# A part of the spec, the path and the kind that it refers to, and the first minor that refuses it.
REFERENCES: list[tuple[dict[str, t.Any], str, str, int]] = [
    ({"serviceAccountName": "a"}, "spec.serviceAccountName", "ServiceAccount", 34),
    ({"serviceAccount": "a"}, "spec.serviceAccount", "ServiceAccount", 34),
    ({"imagePullSecrets": [{"name": "a"}]}, "spec.imagePullSecrets[0]", "Secret", 34),
    ({"resourceClaims": [{"name": "a"}]}, "spec.resourceClaims[0]", "ResourceClaim", 32),
    ({"volumes": [{"secret": {"secretName": "a"}}]}, "spec.volumes[0].secret", "Secret", 34),
    ({"volumes": [{}, {"configMap": {"name": "a"}}]}, "spec.volumes[1].configMap", "ConfigMap", 34),
    (
        {"volumes": [{"persistentVolumeClaim": {"claimName": "a"}}]},
        "spec.volumes[0].persistentVolumeClaim",
        "PersistentVolumeClaim",
        34,
    ),
    ({"volumes": [{"ephemeral": {}}]}, "spec.volumes[0].ephemeral", "PersistentVolumeClaim", 34),
    ({"volumes": [{"csi": {"driver": "a"}}]}, "spec.volumes[0].csi", "CSIDriver", 34),
    ({"volumes": [{"azureFile": {}}]}, "spec.volumes[0].azureFile", "Secret", 34),
    ({"volumes": [{"glusterfs": {}}]}, "spec.volumes[0].glusterfs", "Endpoints", 34),
    ({"volumes": [{"cephfs": {"secretRef": {"name": "a"}}}]}, "spec.volumes[0].cephfs.secretRef", "Secret", 34),
    ({"volumes": [{"iscsi": {"secretRef": {"name": "a"}}}]}, "spec.volumes[0].iscsi.secretRef", "Secret", 34),
    (
        {"volumes": [{"projected": {"sources": [{"secret": {}}]}}]},
        "spec.volumes[0].projected.sources[0].secret",
        "Secret",
        34,
    ),
    (
        {"volumes": [{"projected": {"sources": [{"downwardAPI": {}}, {"configMap": {}}]}}]},
        "spec.volumes[0].projected.sources[1].configMap",
        "ConfigMap",
        34,
    ),
    (
        {"volumes": [{"projected": {"sources": [{"serviceAccountToken": {}}]}}]},
        "spec.volumes[0].projected.sources[0].serviceAccountToken",
        "ServiceAccount",
        34,
    ),
    (
        {"volumes": [{"projected": {"sources": [{"clusterTrustBundle": {}}]}}]},
        "spec.volumes[0].projected.sources[0].clusterTrustBundle",
        "ClusterTrustBundle",
        29,
    ),
    (
        {"volumes": [{"projected": {"sources": [{"podCertificate": {}}]}}]},
        "spec.volumes[0].projected.sources[0].podCertificate",
        "PodCertificateRequest",
        34,
    ),
    (
        {"containers": [{"envFrom": [{"configMapRef": {"name": "a"}}]}]},
        "spec.containers[0].envFrom[0].configMapRef",
        "ConfigMap",
        34,
    ),
    (
        {"initContainers": [{"envFrom": [{}, {"secretRef": {"name": "a"}}]}]},
        "spec.initContainers[0].envFrom[1].secretRef",
        "Secret",
        34,
    ),
    (
        {"containers": [{}, {"env": [{"valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}]}]},
        "spec.containers[1].env[0].valueFrom.secretKeyRef",
        "Secret",
        34,
    ),
    (
        {"containers": [{"env": [{"valueFrom": {"configMapKeyRef": {"name": "a", "key": "b"}}}]}]},
        "spec.containers[0].env[0].valueFrom.configMapKeyRef",
        "ConfigMap",
        34,
    ),
]
IDS = [row[1].replace("spec.", "") for row in REFERENCES]


def pod(spec: dict[str, t.Any]) -> _manifest.Pod:
    return _manifest.parse(json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": spec}))


@pytest.mark.parametrize(("spec", "path", "kind", "first"), REFERENCES, ids=IDS)
@pytest.mark.parametrize("minor", [28, 29, 31, 32, 33, 34, 37, 40])
def test_refused_from_a_minor_on_and_warned_of_before(
    spec: dict[str, t.Any], path: str, kind: str, first: int, minor: int
) -> None:
    (finding,) = api_references(pod(spec), minor=minor)
    assert finding.field == path
    assert f"refers to a {kind}" in finding.message
    assert finding.level == ("refused" if minor >= first else "warned")
    assert f"1.{minor}" in finding.message
    if finding.level == "warned":
        assert f"kubelets from 1.{first} on refuse it" in finding.message


HARMLESS: list[dict[str, t.Any]] = [
    {},
    {"serviceAccountName": "", "automountServiceAccountToken": False},
    {"volumes": [{"hostPath": {"path": "/a"}}, {"emptyDir": {}}, {"downwardAPI": {}}, {"image": {"reference": "a"}}]},
    {"volumes": [{"nfs": {}}, {"fc": {}}, {"gitRepo": {}}, {"iscsi": {}}, {"cephfs": {}}, {"secret": None}]},
    {"volumes": [{"projected": {"sources": [{"downwardAPI": {}}]}}]},
    {
        "containers": [
            {"env": [{"name": "a", "value": "b"}, {"valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]}
        ]
    },
    {"imagePullSecrets": [], "resourceClaims": []},
    # Of any quality: types are the schema's business.
    {"volumes": "text", "containers": {"a": 1}, "imagePullSecrets": 7},
    {"volumes": [7], "containers": [None, {"env": "text", "envFrom": [3]}]},
    {"volumes": [{"projected": "text"}, {"projected": {"sources": "text"}}, {"iscsi": "text"}]},
    {"containers": [{"env": [{"valueFrom": "text"}]}]},
]


@pytest.mark.parametrize("spec", HARMLESS)
def test_no_references(spec: dict[str, t.Any]) -> None:
    assert api_references(pod(spec), minor=37) == []


def test_every_reference_is_named() -> None:
    spec = {"serviceAccountName": "a", "volumes": [{"secret": {}}, {"configMap": {}}]}
    assert len(api_references(pod(spec), minor=34)) == 3


@pytest.mark.parametrize(
    ("spec", "advice"),
    [
        ({"volumes": [{"secret": {}}]}, "put the data into files on the node and use hostPath"),
        ({"serviceAccountName": "a"}, "give the pod a kubeconfig by hostPath"),
        ({"volumes": [{"persistentVolumeClaim": {}}]}, "use a hostPath or emptyDir volume"),
        ({"imagePullSecrets": [{"name": "a"}]}, "registry|credential"),
    ],
)
def test_a_refusal_says_what_to_do_instead(spec: dict[str, t.Any], advice: str) -> None:
    (finding,) = api_references(pod(spec), minor=34)
    assert any(word in finding.message for word in advice.split("|"))

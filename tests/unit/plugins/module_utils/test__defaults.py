# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When two manifests are the same pod. That the kubelet's own hash agrees is what test__judge.py shows."""

from __future__ import annotations

import copy
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _defaults, _yaml


def pod(spec: str = "", container: str = "", top: str = "", metadata: str = "") -> str:
    """A manifest with lines of flow YAML at the four places that the tests vary."""
    return (
        "apiVersion: v1\nkind: Pod\n"
        f"{top}\n"
        f"metadata:\n  name: a\n  {metadata}\n"
        f"spec:\n  containers:\n  - name: c\n    {container or 'image: nginx'}\n  {spec}\n"
    )


def volume(source: str) -> str:
    return pod(spec=f"volumes: [{{name: v{source}}}]")


# Pairs that are one pod to the kubelet.
SAME: list[tuple[str, str]] = [
    (pod(), pod("# comment")),
    (pod(), pod("noSuchField: {a: [1]}")),
    (pod(), pod(container="image: nginx\n    noSuchField: 1")),
    (pod(), pod("activeDeadlineSeconds: null")),
    (pod(), pod("restartPolicy: Always")),
    (pod(), pod('restartPolicy: ""')),
    (pod(), pod("dnsPolicy: ClusterFirst")),
    (pod(), pod("schedulerName: default-scheduler")),
    (pod(), pod("terminationGracePeriodSeconds: 30")),
    (pod("terminationGracePeriodSeconds: -5"), pod("terminationGracePeriodSeconds: 1")),
    (pod(), pod("securityContext: {}")),
    (pod(), pod("enableServiceLinks: true")),
    (pod(), pod("hostNetwork: false")),
    (pod(), pod('nodeName: ""')),
    (pod("serviceAccount: b"), pod("serviceAccountName: b")),
    (pod("serviceAccountName: b"), pod("serviceAccountName: b\n  serviceAccount: c")),
    (pod(), pod(top="status: {}")),
    (pod(), pod(top="status: {hostIP: ''}")),
    (pod(), pod(metadata="creationTimestamp: null")),
    (pod(), pod(metadata='generateName: ""')),
    (pod(metadata="labels: {a: null}"), pod(metadata='labels: {a: ""}')),
    (pod(), pod(container="image: nginx\n    imagePullPolicy: Always")),
    (pod(), pod(container="image: nginx\n    resources: {}")),
    (pod(), pod(container="image: nginx\n    resources: {limits: null}")),
    (pod(), pod(container="image: nginx\n    terminationMessagePath: /dev/termination-log")),
    (pod(), pod(container="image: nginx\n    terminationMessagePolicy: File")),
    (pod(), pod(container="image: nginx\n    stdin: false\n    tty: false")),
    (pod(container="image: b\n    env: [{name: A}]"), pod(container='image: b\n    env: [{name: A, value: ""}]')),
    (
        pod(container="image: b\n    env: [{name: A, valueFrom: {fieldRef: {fieldPath: x}}}]"),
        pod(container="image: b\n    env: [{name: A, valueFrom: {fieldRef: {fieldPath: x, apiVersion: v1}}}]"),
    ),
    (
        pod(container="image: b\n    ports: [{containerPort: 80}]"),
        pod(container='image: b\n    ports: [{containerPort: 80, protocol: TCP, hostPort: 0, name: ""}]'),
    ),
    (
        pod("hostNetwork: true", container="image: b\n    ports: [{containerPort: 80}]"),
        pod("hostNetwork: true", container="image: b\n    ports: [{containerPort: 80, hostPort: 80}]"),
    ),
    (
        pod(container="image: b\n    resources: {limits: {cpu: 1}}"),
        pod(container='image: b\n    resources: {limits: {cpu: "1"}, requests: {cpu: 1.0}}'),
    ),
    (
        pod(container="image: b\n    resources: {limits: {cpu: 0.5}}"),
        pod(container='image: b\n    resources: {limits: {cpu: " 0.5"}}'),
    ),
    (
        pod(container="image: b\n    resources: {limits: {cpu: 1e21}}"),
        pod(container='image: b\n    resources: {limits: {cpu: "1e+21"}}'),
    ),
    (
        pod(container="image: b\n    readinessProbe: {httpGet: {port: 80}}"),
        pod(
            container="image: b\n    readinessProbe: {httpGet: {port: 80, path: /, scheme: HTTP}, timeoutSeconds: 1,"
            " periodSeconds: 10, successThreshold: 1, failureThreshold: 3, initialDelaySeconds: 0}"
        ),
    ),
    (
        pod(container="image: b\n    livenessProbe: {grpc: {port: 80}}"),
        pod(container='image: b\n    livenessProbe: {grpc: {port: 80, service: ""}}'),
    ),
    (
        pod(container="image: b\n    lifecycle: {preStop: {httpGet: {port: 80}}}"),
        pod(container="image: b\n    lifecycle: {preStop: {httpGet: {port: 80, path: /, scheme: HTTP}}}"),
    ),
    (
        pod("initContainers: [{name: i, image: b, resources: {limits: {memory: 1Gi}}}]"),
        pod(
            "initContainers: [{name: i, image: b, imagePullPolicy: Always,"
            " resources: {limits: {memory: 1Gi}, requests: {memory: 1Gi}}}]"
        ),
    ),
    (volume(""), volume(", emptyDir: {}")),
    (volume(", hostPath: {path: /a}"), volume(', hostPath: {path: /a, type: ""}')),
    (volume(", secret: {secretName: a}"), volume(", secret: {secretName: a, defaultMode: 0644}")),
    (volume(", configMap: {name: a}"), volume(", configMap: {name: a, defaultMode: 420}")),
    (
        volume(", downwardAPI: {items: [{path: a, fieldRef: {fieldPath: x}}]}"),
        volume(", downwardAPI: {defaultMode: 0o644, items: [{path: a, fieldRef: {apiVersion: v1, fieldPath: x}}]}"),
    ),
    (
        volume(
            ", projected: {sources: [{serviceAccountToken: {path: a}},"
            " {downwardAPI: {items: [{path: a, fieldRef: {}}]}}]}"
        ),
        volume(
            ", projected: {defaultMode: 420, sources: [{serviceAccountToken: {path: a, expirationSeconds: 3600}},"
            " {downwardAPI: {items: [{path: a, fieldRef: {apiVersion: v1}}]}}]}"
        ),
    ),
    (volume(", iscsi: {iqn: a}"), volume(", iscsi: {iqn: a, lun: 0, iscsiInterface: default}")),
    (volume(", rbd: {image: a}"), volume(", rbd: {image: a, pool: rbd, user: admin, keyring: /etc/ceph/keyring}")),
    (volume(", scaleIO: {system: a}"), volume(", scaleIO: {system: a, storageMode: ThinProvisioned, fsType: xfs}")),
    (
        volume(", azureDisk: {diskName: a}"),
        volume(", azureDisk: {diskName: a, cachingMode: ReadWrite, fsType: ext4, readOnly: false, kind: Shared}"),
    ),
    (
        volume(", ephemeral: {volumeClaimTemplate: {metadata: {labels: {a: b}}}}"),
        volume(", ephemeral: {volumeClaimTemplate: {metadata: {labels: {a: b}}, spec: {volumeMode: Filesystem}}}"),
    ),
    (volume(", image: {reference: a}"), volume(", image: {reference: a, pullPolicy: Always}")),
]

# Pairs that are two pods to the kubelet: the change has another UID and replaces the pod.
DIFFERENT: list[tuple[str, str]] = [
    (pod(), pod("restartPolicy: Never")),
    (pod(), pod("hostUsers: true")),
    (pod(), pod("automountServiceAccountToken: false")),
    (pod(), pod("terminationGracePeriodSeconds: 0")),
    (pod(), pod("volumes: []")),
    (pod(), pod("nodeSelector: {}")),
    (pod(), pod("affinity: {}")),
    (pod(), pod(metadata="labels: {}")),
    (pod(), pod(metadata="annotations: {a: b}")),
    (pod(), pod(metadata="namespace: default")),
    (pod(), pod(top="status: {phase: Pending}")),
    (pod(), pod(container="image: nginx\n    imagePullPolicy: IfNotPresent")),
    (pod(), pod(container="image: nginx:latest")),
    (pod(), pod(container="image: nginx\n    args: []")),
    (pod(), pod(container="image: nginx\n    securityContext: {}")),
    (pod(), pod(container="image: nginx\n    resources: {limits: {}}")),
    (pod(), pod(container="image: nginx\n    securityContext: {privileged: false}")),
    (
        pod(container="image: b\n    args: [a, b]"),
        pod(container="image: b\n    args: [b, a]"),
    ),
    (
        pod(container="image: b\n    resources: {limits: {cpu: 100m}}"),
        pod(container="image: b\n    resources: {limits: {cpu: 0.1}}"),
    ),
    (
        pod(container="image: b\n    readinessProbe: {httpGet: {port: 80}}"),
        pod(container='image: b\n    readinessProbe: {httpGet: {port: "80"}}'),
    ),
    (
        pod(container="image: b\n    env: [{name: A, valueFrom: {}}]"),
        pod(container="image: b\n    env: [{name: A}]"),
    ),
    (volume(", emptyDir: {}"), volume(", emptyDir: {medium: Memory}")),
]

# Image -> the policy that it gets.
IMAGES: list[tuple[str, str]] = [
    ("nginx", "Always"),
    ("nginx:latest", "Always"),
    ("nginx:1.27", "IfNotPresent"),
    ("docker.io/library/nginx", "Always"),
    ("registry.example:5000/nginx", "Always"),
    ("registry.example:5000/a/b_c/d-e__f:v1.0-x_y", "IfNotPresent"),
    ("localhost/nginx:latest", "Always"),
    ("[::1]:5000/nginx", "Always"),
    ("nginx@sha256:" + "a" * 64, "IfNotPresent"),
    ("nginx:latest@sha256:" + "a" * 64, "Always"),
    ("nginx:latest@sha256:abc", "IfNotPresent"),
    ("a" * 64, "IfNotPresent"),
    ("NGINX", "IfNotPresent"),
    ("Registry/nginx", "Always"),
    ("a/NGINX:latest", "IfNotPresent"),
    ("", "IfNotPresent"),
    ("a b", "IfNotPresent"),
    ("nginx:", "IfNotPresent"),
]


def defaulted(text: str) -> dict[str, t.Any]:
    return _defaults.with_defaults(_yaml.load(text).data)


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same_pod(one: str, other: str) -> None:
    assert defaulted(one) == defaulted(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_another_pod(one: str, other: str) -> None:
    assert defaulted(one) != defaulted(other)


@pytest.mark.parametrize(("image", "policy"), IMAGES)
def test_pull_policy(image: str, policy: str) -> None:
    spec = {"containers": [{"image": image}], "ephemeralContainers": [{"image": image}]}
    for containers in _defaults.with_defaults({"spec": spec})["spec"].values():
        if isinstance(containers, list):
            assert containers[0]["imagePullPolicy"] == policy


def test_the_input_stays_as_it_is() -> None:
    data = _yaml.load(pod("volumes: [{name: a}]", container="image: a\n    resources: {limits: {cpu: 1}}")).data
    before = copy.deepcopy(data)
    result = _defaults.with_defaults(data)
    result["spec"]["containers"][0]["resources"]["limits"]["cpu"] = "2"
    result["metadata"]["name"] = "b"
    assert data == before


def test_defaults_are_stable() -> None:
    for one, other in SAME + DIFFERENT:
        for text in (one, other):
            assert _defaults.with_defaults(defaulted(text)) == defaulted(text)


def every_place(value: t.Any) -> t.Iterator[tuple[t.Any, t.Any]]:
    """(container, key) for everything inside `value`."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield value, key
        yield from every_place(item)


@pytest.mark.parametrize("wrong", ["text", "", 0, 1.5, True, [], ["a", None], {}, {"a": 1}, None])
def test_wrong_types_do_no_harm(wrong: t.Any) -> None:
    for full in (defaulted(text) for pair in SAME for text in pair):
        for node, key in every_place(full):
            kept, node[key] = node[key], wrong
            assert isinstance(_defaults.with_defaults(full), dict)
            node[key] = kept
    assert isinstance(_defaults.with_defaults(wrong), dict)

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The field table and what check() says by it."""

from __future__ import annotations

import copy
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _schema, _schema_data
from ansible_collections.kubestatic.node.plugins.module_utils._errors import DROPPED, REFUSED

POD: dict[str, t.Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "a",
        "namespace": "b",
        "labels": {"app.kubernetes.io/name": "a", "empty": None},
        "annotations": {"a": ""},
        "creationTimestamp": "2026-01-31T12:00:00Z",
        "managedFields": [{"fieldsV1": {"f:spec": {"anything": 1}}}],
    },
    "spec": {
        "hostNetwork": True,
        "priority": 2000001000,
        "activeDeadlineSeconds": None,
        "securityContext": {"fsGroup": 1 << 40, "sysctls": [{"name": "a", "value": "1"}]},
        "tolerations": [{"operator": "Exists", "effect": ""}],
        "containers": [
            {
                "name": "a",
                "image": "b",
                "env": [{"name": "A", "value": "8080"}, {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}],
                "ports": [{"containerPort": 80, "name": "web", "protocol": "TCP"}],
                "resources": {"limits": {"cpu": 1, "memory": "128Mi"}, "requests": {"cpu": 0.5, "memory": "1e3"}},
                "readinessProbe": {"httpGet": {"port": "web", "path": "/"}},
                "livenessProbe": {"tcpSocket": {"port": 80}},
            }
        ],
        "volumes": [
            {"name": "a", "hostPath": {"path": "/a", "type": "DirectoryOrCreate"}},
            {"name": "b", "emptyDir": {"sizeLimit": "1Gi"}},
            {"name": "c", "hostPath": {"path": "/a", "type": ""}},
        ],
    },
    "status": {"phase": "Pending", "somethingElse": 1},
}


def messages(data: t.Any, *, minor: int = 34, root: str = "Pod") -> dict[str, tuple[str, str]]:
    return {finding.field: (finding.level, finding.message) for finding in _schema.check(data, root=root, minor=minor)}


def changed(path: str, value: t.Any) -> dict[str, t.Any]:
    """POD with another value at `path`, such as ``spec.containers.0.image``."""
    data = copy.deepcopy(POD)
    *steps, last = path.split(".")
    node: t.Any = data
    for step in steps:
        node = node[int(step)] if isinstance(node, list) else node.setdefault(step, {})
    node[int(last) if isinstance(node, list) else last] = value
    return data


@pytest.mark.parametrize("minor", [1, *_schema.MINORS, 99])
def test_a_good_pod(minor: int) -> None:
    assert _schema.check(POD, root="Pod", minor=minor) == []


def test_the_table_covers_what_is_supported() -> None:
    assert list(_schema.MINORS) == list(range(28, 38))
    assert len(_schema_data.TYPES) + len(_schema_data.ENUMS) < 60_000


@pytest.mark.parametrize(
    ("path", "value", "since"),
    [
        ("spec.containers.0.restartPolicyRules", [], 34),
        ("spec.resourceClaims", [], 28),
        ("spec.hostUsers", False, 28),
        ("spec.hostnameOverride", "a", 34),
        ("spec.resources", {"limits": {"cpu": 1}}, 32),
        ("spec.securityContext.appArmorProfile", {"type": "RuntimeDefault"}, 30),
        ("spec.containers.0.lifecycle", {"stopSignal": "SIGUSR1"}, 33),
        ("spec.containers.0.lifecycle", {"preStop": {"sleep": {"seconds": 1}}}, 29),
        ("spec.volumes.1", {"name": "c", "image": {"reference": "a"}}, 31),
    ],
)
def test_fields_come_with_their_minor(path: str, value: t.Any, since: int) -> None:
    data = changed(path, value)
    for minor in _schema.MINORS:
        found = _schema.check(data, root="Pod", minor=minor)
        if minor >= since:
            assert found == []
        else:
            assert [(one.level, f"it exists from 1.{since} on" in one.message) for one in found] == [(DROPPED, True)]


def test_a_field_that_went() -> None:
    data = changed("spec.resourceClaims", [{"name": "a", "source": {"resourceClaimName": "b"}}])
    assert messages(data, minor=30) == {}
    assert messages(data, minor=31) == {
        "spec.resourceClaims[0].source": (DROPPED, "not a field that kubelet 1.31 knows; it was removed in 1.31")
    }


@pytest.mark.parametrize(
    ("path", "field", "hint"),
    [
        ("spec.containers.0.imagepullpolicy", "spec.containers[0].imagepullpolicy", 'did you mean "imagePullPolicy"?'),
        ("spec.containers.0.image_pull_policy", "spec.containers[0].image_pull_policy", '"imagePullPolicy"?'),
        ("spec.volume", "spec.volume", 'did you mean "volumes"?'),
        ("specs", "specs", 'did you mean "spec"?'),
        ("metadata.label", "metadata.label", 'did you mean "labels"?'),
        ("hostNetwork", "hostNetwork", "in this place; it belongs to spec"),
        ("spec.readinessProbe", "spec.readinessProbe", "in this place; it belongs to a container"),
        ("spec.qwertz", "spec.qwertz", "not a field that kubelet 1.34 knows; remove it or correct its name"),
        ("spec.a b", "spec[a b]", "not a field"),
    ],
)
def test_unknown_fields(path: str, field: str, hint: str) -> None:
    found = messages(changed(path, 1))
    assert list(found) == [field]
    assert found[field][0] == DROPPED
    assert hint in found[field][1]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("spec.containers.0.env.0.value", 8080, "must be a string, found the number 8080; quote it"),
        ("spec.containers.0.env.0.value", True, "the boolean true (YAML reads y, yes and on as one); quote it"),
        ("spec.containers.0.env.0.value", ["a"], "must be a string, found a list"),
        ("metadata.labels.a", 1, "must be a string, found the number 1; quote it"),
        ("metadata.annotations", ["a"], "must be a mapping, found a list"),
        ("spec", "a", "must be a mapping, found the string 'a'"),
        ("spec.containers", {"name": "a"}, "must be a list, found a mapping"),
        ("spec.containers.0", "a", "must be a mapping, found the string 'a'"),
        (
            "spec.containers.0.ports.0.containerPort",
            "80",
            "must be an integer, found the string '80'; write it without",
        ),
        ("spec.containers.0.ports.0.containerPort", "web", "must be an integer, found the string 'web'"),
        ("spec.containers.0.ports.0.containerPort", 1.5, "must be an integer, found the number 1.5"),
        ("spec.containers.0.ports.0.containerPort", 1.0, "must be an integer, found the number 1.0"),
        ("spec.containers.0.ports.0.containerPort", True, "must be an integer, found the boolean true"),
        ("spec.priority", 1 << 31, "must be between -2147483648 and 2147483647, found 2147483648"),
        ("spec.terminationGracePeriodSeconds", 1 << 63, "must be between"),
        ("spec.hostNetwork", "no", "must be true or false, found the string 'no'; write it without quotes"),
        ("spec.hostNetwork", 1, "must be true or false, found the number 1"),
        ("spec.containers.0.livenessProbe.tcpSocket.port", 1.5, "must be an integer or a string"),
        ("spec.containers.0.livenessProbe.tcpSocket.port", True, "must be an integer or a string"),
        ("spec.containers.0.resources.limits.cpu", "1 core", "must be a quantity such as"),
        ("spec.containers.0.resources.limits.cpu", "", "must be a quantity such as"),
        ("spec.containers.0.resources.limits.cpu", True, "must be a quantity such as"),
        ("spec.containers.0.args", [1], "must be a string, found the number 1"),
        ("spec.containers.0.args", "a", "must be a list, found the string 'a'"),
        ("metadata.creationTimestamp", "2026-01-01", "must be a time such as"),
        (
            "spec.restartPolicy",
            "always",
            "must be one of Always, Never, OnFailure; found 'always'; did you mean \"Always\"?",
        ),
        ("spec.dnsPolicy", "Host", "must be one of ClusterFirst, ClusterFirstWithHostNet, Default, None"),
        ("spec.containers.0.imagePullPolicy", "Sometimes", "must be one of Always, IfNotPresent, Never"),
        ("spec.containers.0.ports.0.protocol", "tcp", 'did you mean "TCP"?'),
        ("spec.containers.0.terminationMessagePolicy", "X", "must be one of"),
        ("spec.containers.0.readinessProbe.httpGet.scheme", "https", 'did you mean "HTTPS"?'),
        ("spec.volumes.0.hostPath.type", "directory", 'did you mean "Directory"?'),
        ("spec.tolerations.0.operator", "In", "must be one of Equal, Exists"),
        ("spec.tolerations.0.effect", 1, "must be a string"),
        ("spec.containers.0.restartPolicy", "", "must be one of Always, Never, OnFailure; found ''"),
        ("status.phase", 1, "must be a string"),
    ],
)
def test_wrong_values(path: str, value: t.Any, message: str) -> None:
    found = list(messages(changed(path, value)).values())
    assert [level for level, _message in found] == [REFUSED]
    assert message in found[0][1]


@pytest.mark.parametrize(
    ("path", "value", "since"),
    [
        ("spec.initContainers", [{"restartPolicy": "Always"}], 28),
        ("spec.containers.0.restartPolicy", "OnFailure", 34),
        ("spec.tolerations.0.operator", "Gt", 35),
    ],
)
def test_sets_of_values_grow(path: str, value: t.Any, since: int) -> None:
    data = changed(path, value)
    for minor in _schema.MINORS:
        assert [one.level for one in _schema.check(data, root="Pod", minor=minor)] == [REFUSED] * (minor < since)


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        ("100m", True),
        ("1.5Gi", True),
        (".5", True),
        ("5.", True),
        ("1E", True),
        ("1e-3", True),
        ("+1k", True),
        (" 1", True),
        ("1 1", False),
        ("1K", False),
        ("1gb", False),
        (".", False),
        (1.5, True),
        ({}, False),
    ],
)
def test_quantities(value: t.Any, fits: bool) -> None:
    assert (messages(changed("spec.containers.0.resources.limits.cpu", value)) == {}) is fits


@pytest.mark.parametrize("data", ["a", ["a"], 1])
def test_no_mapping_at_all(data: t.Any) -> None:
    assert [one.level for one in _schema.check(data, root="Pod", minor=34)] == [REFUSED]


def test_null_is_absent_everywhere() -> None:
    assert _schema.check(None, root="Pod", minor=34) == []
    assert messages(changed("spec.containers.0", dict.fromkeys(POD["spec"]["containers"][0]))) == {}


KUBELET: dict[str, t.Any] = {
    "apiVersion": "kubelet.config.k8s.io/v1beta1",
    "kind": "KubeletConfiguration",
    "staticPodPath": "/etc/kubernetes/manifests",
    "staticPodURLHeader": {"A": ["b"]},
    "syncFrequency": "1m0s",
    "authentication": {"anonymous": {"enabled": False}, "x509": {"clientCAFile": "/a"}},
    "evictionHard": {"memory.available": "100Mi"},
    "featureGates": {"A": True},
    "registerWithTaints": [{"key": "a", "effect": "NoSchedule"}],
    "logging": {"format": "json", "flushFrequency": 5000000000, "verbosity": 2},
    "kubeAPIQPS": 50,
    "maxPods": 110,
}


@pytest.mark.parametrize("minor", _schema.MINORS)
def test_a_good_kubelet_configuration(minor: int) -> None:
    assert _schema.check(KUBELET, root="KubeletConfiguration", minor=minor) == []


@pytest.mark.parametrize(
    ("key", "value", "level", "message"),
    [
        ("staticpodPath", "/a", DROPPED, 'did you mean "staticPodPath"?'),
        ("failCgroupV1", False, DROPPED, "it exists from 1.31 on"),
        ("containers", [], DROPPED, "remove it or correct its name"),
        ("syncFrequency", 60, REFUSED, 'must be a duration such as "1m30s", found the number 60'),
        ("syncFrequency", "1 minute", REFUSED, "must be a duration"),
        ("evictionHard", {"memory.available": 1}, REFUSED, "must be a string, found the number 1; quote it"),
        ("staticPodURLHeader", {"A": "b"}, REFUSED, "must be a list, found the string 'b'"),
        ("featureGates", {"A": "true"}, REFUSED, "must be true or false, found the string 'true'; write it without"),
        ("logging", {"verbosity": -1}, REFUSED, "must be between 0 and 4294967295, found -1"),
        ("logging", {"flushFrequency": "x"}, REFUSED, "must be a duration"),
    ],
)
def test_kubelet_configuration(key: str, value: t.Any, level: str, message: str) -> None:
    found = list(messages({**KUBELET, key: value}, root="KubeletConfiguration", minor=30).values())
    assert [one for one, _message in found] == [level]
    assert message in found[0][1]

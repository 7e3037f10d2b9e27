# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one kubelet thinks of one Pod: each refusal, drop and warning by a change to a Pod that is fine."""

from __future__ import annotations

import copy
import json
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _manifest, _rules
from ansible_collections.kubestatic.node.plugins.module_utils._errors import Finding

FINE: dict[str, t.Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web"},
    "spec": {
        "priorityClassName": "system-node-critical",
        "priority": 2000001000,
        "containers": [
            {
                "name": "web",
                "image": "nginx",
                "ports": [{"name": "web", "containerPort": 80}],
                "env": [{"name": "A", "value": "1"}],
                "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                "readinessProbe": {"httpGet": {"port": "web"}},
            }
        ],
        "volumes": [{"name": "data", "hostPath": {"path": "/srv"}}],
    },
}


def judge(data: dict[str, t.Any] | str, *, node_name: str = "node1", minor: int = 34) -> list[Finding]:
    text = data if isinstance(data, str) else json.dumps(data)
    return _rules.findings(_manifest.parse(text), node_name=node_name, minor=minor)


def changed(path: str, value: t.Any) -> dict[str, t.Any]:
    """FINE with another value at a path such as ``spec.containers[0].image``; None removes."""
    data = copy.deepcopy(FINE)
    steps: list[t.Any] = []
    for part in path.split("."):
        name, _bracket, index = part.partition("[")
        steps += [name, int(index[:-1])] if index else [name]
    node: t.Any = data
    for step in steps[:-1]:
        node = node[step] if isinstance(node, list) else node.setdefault(step, {})
    if value is None:
        del node[steps[-1]]
    elif isinstance(node, list) and steps[-1] == len(node):
        node.append(value)
    else:
        node[steps[-1]] = value
    return data


def test_a_pod_without_faults() -> None:
    assert judge(FINE) == []


C = "spec.containers[0]"
LONG = "a" * 64

# Where what is put there, and the level, field and words of the one finding.
TABLE: list[tuple[str, t.Any, str, str, str]] = [
    # identity
    ("metadata.name", "Web", "refused", "metadata.name", "'Web' is no DNS subdomain"),
    ("metadata.name", "web_1", "refused", "metadata.name", "is no DNS subdomain"),
    ("metadata.name", "-web", "refused", "metadata.name", "is no DNS subdomain"),
    ("metadata.name", "web-", "refused", "metadata.name", "is no DNS subdomain"),
    ("metadata.name", "a..b", "refused", "metadata.name", "is no DNS subdomain"),
    ("metadata.name", "web\n", "refused", "metadata.name", "is no DNS subdomain"),
    ("metadata.name", "\u00fc", "refused", "metadata.name", "is no DNS subdomain"),
    ("metadata.name", "a" * 248, "refused", "metadata.name", "254 characters and 253 are allowed"),
    ("metadata.name", "web.1", "warned", "metadata.name", "'web.1' has a dot"),
    ("metadata.namespace", "Kube", "refused", "metadata.namespace", "'Kube' is no DNS label"),
    ("metadata.namespace", "a.b", "refused", "metadata.namespace", "is no DNS label"),
    ("metadata.namespace", LONG, "refused", "metadata.namespace", "is no DNS label"),
    ("metadata.uid", "abc", "dropped", "metadata.uid", "silently ignores later changes of args, env and volumes"),
    # types and fields
    (f"{C}.env[0].value", 8080, "refused", f"{C}.env[0].value", "string"),
    (f"{C}.env[0].value", True, "refused", f"{C}.env[0].value", "string"),
    (f"{C}.ports[0].containerPort", "80", "refused", f"{C}.ports[0].containerPort", ""),
    (f"{C}.imagePullPolice", "Always", "dropped", f"{C}.imagePullPolice", "imagePullPolicy"),
    ("spec.hostNetwrk", True, "dropped", "spec.hostNetwrk", "hostNetwork"),
    ("spec.container", [], "dropped", "spec.container", "containers"),
    # the pod
    ("spec", None, "refused", "spec", "is missing"),
    ("spec.containers", [], "refused", "spec.containers", "is missing or empty"),
    ("spec.containers", None, "refused", "spec.containers", "is missing or empty"),
    ("spec.ephemeralContainers", [{"name": "a", "image": "b"}], "refused", "spec.ephemeralContainers", "not allowed"),
    ("spec.schedulingGates", [{"name": "a"}], "refused", "spec.schedulingGates", "not allowed"),
    # containers
    (f"{C}.name", "Web", "refused", f"{C}.name", "'Web' is no DNS label"),
    (f"{C}.name", None, "refused", f"{C}.name", "'' is no DNS label"),
    (f"{C}.name", LONG, "refused", f"{C}.name", "is no DNS label"),
    (f"{C}.image", None, "refused", f"{C}.image", "is missing"),
    (f"{C}.image", "  ", "refused", f"{C}.image", "is missing"),
    ("spec.containers[1]", {"name": "web", "image": "b"}, "refused", "spec.containers[1].name", f"of {C} already"),
    # ports
    (f"{C}.ports[0].containerPort", 0, "refused", f"{C}.ports[0].containerPort", "from 1 to 65535, found 0"),
    (f"{C}.ports[0].containerPort", 65536, "refused", f"{C}.ports[0].containerPort", "found 65536"),
    (f"{C}.ports[0].containerPort", None, "refused", f"{C}.ports[0].containerPort", "from 1 to 65535"),
    (f"{C}.ports[0].hostPort", 70000, "refused", f"{C}.ports[0].hostPort", "found 70000"),
    (f"{C}.ports[0].name", "Web", "refused", f"{C}.ports[0].name", "is no port name"),
    (f"{C}.ports[0].name", "1234", "refused", f"{C}.ports[0].name", "is no port name"),
    (f"{C}.ports[0].name", "a" * 16, "refused", f"{C}.ports[0].name", "is no port name"),
    (f"{C}.ports[1]", {"name": "web", "containerPort": 81}, "refused", f"{C}.ports[1].name", "is there twice"),
    # environment
    (f"{C}.env[0].name", None, "refused", f"{C}.env[0].name", "is missing"),
    (
        f"{C}.env[0].valueFrom",
        {"fieldRef": {"fieldPath": "status.podIP"}},
        "refused",
        f"{C}.env[0]",
        "both value and valueFrom",
    ),
    # mounts and volumes
    (f"{C}.volumeMounts[0].name", "date", "refused", f"{C}.volumeMounts[0].name", "there is no volume 'date'"),
    (f"{C}.volumeMounts[0].mountPath", None, "refused", f"{C}.volumeMounts[0].mountPath", "is missing"),
    (
        f"{C}.volumeMounts[1]",
        {"name": "data", "mountPath": "/data"},
        "refused",
        f"{C}.volumeMounts[1].mountPath",
        "mounted twice",
    ),
    ("spec.volumes[1]", {"name": "data", "emptyDir": {}}, "refused", "spec.volumes[1].name", "is there twice"),
    ("spec.volumes[1]", {"name": "D", "emptyDir": {}}, "refused", "spec.volumes[1].name", "is no DNS label"),
    ("spec.volumes[1]", {"emptyDir": {}}, "refused", "spec.volumes[1].name", "is no DNS label"),
    ("spec.volumes[0].emptyDir", {}, "refused", "spec.volumes[0]", "more than one source (hostPath, emptyDir)"),
    ("spec.volumes[0].hostPath.path", "", "refused", "spec.volumes[0].hostPath.path", "found ''"),
    ("spec.volumes[0].hostPath.path", "/a/../b", "refused", "spec.volumes[0].hostPath.path", "without '..'"),
    # probes
    (
        f"{C}.readinessProbe",
        {},
        "refused",
        f"{C}.readinessProbe",
        "exactly one of exec, grpc, httpGet, tcpSocket, found none",
    ),
    (f"{C}.readinessProbe.tcpSocket", {"port": 1}, "refused", f"{C}.readinessProbe", "found httpGet and tcpSocket"),
    (
        f"{C}.livenessProbe",
        {"tcpSocket": {"port": 1}, "successThreshold": 2},
        "refused",
        f"{C}.livenessProbe.successThreshold",
        "must be 1",
    ),
    (
        f"{C}.startupProbe",
        {"tcpSocket": {"port": 1}, "successThreshold": 2},
        "refused",
        f"{C}.startupProbe.successThreshold",
        "must be 1",
    ),
    # references and priorities
    ("spec.serviceAccountName", "a", "refused", "spec.serviceAccountName", "refers to a ServiceAccount"),
    ("spec.priority", None, "warned", "spec.priorityClassName", "class system-node-critical with priority none"),
    ("spec.priorityClassName", None, "warned", "spec.priorityClassName", "class none with priority 2000001000"),
    ("spec.priority", 5, "warned", "spec.priorityClassName", "with priority 5"),
    ("spec.priorityClassName", "high", "warned", "spec.priorityClassName", "class high"),
]


@pytest.mark.parametrize(("path", "value", "level", "field", "words"), TABLE)
def test_one_fault_is_one_finding(path: str, value: t.Any, level: str, field: str, words: str) -> None:
    (finding,) = judge(changed(path, value))
    assert (finding.level, finding.field) == (level, field)
    assert words in finding.message
    assert "\n" not in str(finding)


ALLOWED: list[tuple[str, t.Any]] = [
    ("metadata.name", "1"),
    ("metadata.name", "a" * 247),
    ("metadata.namespace", "a" * 63),
    ("metadata.uid", ""),
    (f"{C}.name", "a" * 63),
    (f"{C}.ports[0].hostPort", 0),
    (f"{C}.ports[0].hostPort", 8080),
    (f"{C}.ports[0].name", "a" * 15),
    (f"{C}.ports[0].name", "http-2"),
    (f"{C}.readinessProbe.successThreshold", 3),
    (f"{C}.livenessProbe", {"exec": {"command": ["true"]}, "successThreshold": 1}),
    (f"{C}.volumeMounts[1]", {"name": "data", "mountPath": "/other"}),
    ("spec.ephemeralContainers", []),
    ("spec.volumes[0].hostPath.path", "/a/..b"),
    ("spec.initContainers", [{"name": "first", "image": "b", "restartPolicy": "Always"}]),
]


@pytest.mark.parametrize(("path", "value"), ALLOWED)
def test_what_is_allowed(path: str, value: t.Any) -> None:
    assert judge(changed(path, value)) == []


def test_no_priority_at_all_is_no_fault() -> None:
    data = changed("spec.priority", None)
    del data["spec"]["priorityClassName"]
    assert judge(data) == []


@pytest.mark.parametrize(("port", "allowed"), [(80, True), (0, True), (8080, False)])
def test_a_host_port_in_the_hosts_network(port: int, allowed: bool) -> None:
    data = changed(f"{C}.ports[0].hostPort", port)
    data["spec"]["hostNetwork"] = True
    found = [str(finding) for finding in judge(data)]
    assert found == ([] if allowed else [f"{C}.ports[0].hostPort: must equal containerPort with hostNetwork: true"])


def test_the_same_rules_hold_for_init_containers_and_names_are_unique_over_both() -> None:
    data = changed("spec.initContainers", [{"name": "web", "image": "b"}, {"name": "x"}])
    assert [(finding.level, finding.field) for finding in judge(data)] == [
        ("refused", "spec.initContainers[1].image"),
        ("refused", f"{C}.name"),
    ]


@pytest.mark.parametrize(("node", "refused"), [("n" * 249, False), ("n" * 250, True)])
def test_the_nodes_name_counts(node: str, refused: bool) -> None:
    found = judge(FINE, node_name=node)
    assert [finding.level for finding in found] == (["refused"] if refused else [])
    if refused:
        assert "shorten it by 1" in found[0].message


@pytest.mark.parametrize(
    ("text", "level", "field", "words"),
    [
        (json.dumps(FINE) + "\n", "", "", ""),
        ("{spec}---\nkind: Pod\n", "dropped", "", "more than one YAML document"),
        ("{spec}---\n", "", "", ""),
        ("{spec}  hostNetwork: true\n  hostNetwork: false\n", "dropped", "spec.hostNetwork", "stands there twice"),
    ],
)
def test_what_the_kubelet_passes_over_in_the_text(text: str, level: str, field: str, words: str) -> None:
    spec = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers: [{name: a, image: b}]\n"
    found = judge(text.replace("{spec}", spec))
    assert len(found) == (1 if level else 0)
    for finding in found:
        assert finding.level == level
        assert finding.field.startswith(field)
        assert words in finding.message


@pytest.mark.parametrize(
    ("minor", "level"), [(28, "dropped"), (34, "dropped"), (37, "dropped"), (38, "warned"), (99, "warned")]
)
def test_a_kubelet_that_is_newer_than_our_table_may_know_more_fields(minor: int, level: str) -> None:
    (finding,) = judge(changed("spec.brandNew", 1), minor=minor)
    assert (finding.level, finding.field) == (level, "spec.brandNew")
    if level == "warned":
        assert finding.message == f"not a field of kubelet 1.37, the newest known here; 1.{minor} may drop it"


@pytest.mark.parametrize(("minor", "level"), [(33, "warned"), (34, "refused")])
def test_references_depend_on_the_version(minor: int, level: str) -> None:
    (finding,) = judge(changed("spec.serviceAccountName", "a"), minor=minor)
    assert finding.level == level


@pytest.mark.parametrize(
    "spec",
    [
        "text",
        [],
        7,
        {"containers": "text"},
        {"containers": {}},
        {"containers": ["text", 7, None]},
        {"containers": [{"name": 7, "image": 7}]},
        {"containers": [{"name": "a", "image": "b", "ports": "text"}]},
        {"containers": [{"name": "a", "image": "b", "ports": [{"containerPort": {}, "name": 7}]}]},
        {
            "containers": [
                {"name": "a", "image": "b", "env": [{"name": 7, "value": []}], "volumeMounts": [{"name": {}}]}
            ]
        },
        {"containers": [{"name": "a", "image": "b", "volumeMounts": [{"name": "x", "mountPath": ["y"]}]}]},
        {"containers": [{"name": "a", "image": "b", "readinessProbe": "text"}]},
        {"containers": [{"name": "a", "image": "b"}], "volumes": [{"name": ["x"], "hostPath": "text"}]},
        {"containers": [{"name": "a", "image": "b"}], "priority": "high", "priorityClassName": 7},
    ],
)
def test_the_worst_manifests_are_refused_without_a_traceback(spec: t.Any) -> None:
    found = judge({**FINE, "spec": spec})
    assert "refused" in {finding.level for finding in found}


def test_all_faults_are_told_at_once() -> None:
    data = changed(f"{C}.image", None)
    data["spec"]["containers"][0]["ports"][0]["containerPort"] = 0
    data["metadata"]["uid"] = "a"
    assert len(judge(data)) == 3

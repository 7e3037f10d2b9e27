# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules do for a living: place, change, restart, remove, adopt, and whole sets."""

from __future__ import annotations

import json
import re

from conftest import MANIFESTS, Node, pod, wait_for, with_env


def as_json(definition: object) -> str:
    return json.dumps(definition, indent=2) + "\n"


def test_place_change_restart_remove(node: Node) -> None:
    placed = node.module("static_pod", definition=with_env("web", "one"))
    assert placed["changed"] and placed["path"] == f"{MANIFESTS}/web.yaml"
    assert placed["pod"]["name"] == f"web-{node.name}" and placed["pod"]["phase"] == "Running"
    assert node.sh(f"stat -c '%a %U %G' {MANIFESTS}/web.yaml").split() == ["600", "root", "root"]
    (first,) = node.sandboxes("web")

    same = node.module("static_pod", definition=with_env("web", "one"))
    assert not same["changed"] and same["actions"] == [] and node.sandboxes("web") == [first]

    changed = node.module("static_pod", definition=with_env("web", "two"))
    assert changed["changed"] and changed["downtime_seconds"] is not None
    (second,) = node.sandboxes("web")
    assert second != first

    restarted = node.module("static_pod", "--diff", "-vvv", name="web", state="restarted")
    assert restarted["changed"] and restarted["diff"] == []
    (third,) = node.sandboxes("web")
    assert third != second

    removed = node.module("static_pod", name="web", state="absent")
    assert removed["changed"] and node.files() == {} and not node.running("web")
    assert not node.module("static_pod", name="web", state="absent")["changed"]


def test_a_change_that_the_kubelet_does_not_see_restarts_nothing(node: Node) -> None:
    text = as_json(with_env("web", "one"))
    assert node.module("static_pod", content=text)["changed"]
    before = node.sandboxes("web")
    spelt_out = text.replace('"spec": {', '"spec": {\n    "restartPolicy": "Always",', 1)
    result = node.module("static_pod", content=spelt_out)
    assert result["changed"] and "no restart" in result["actions"][0]
    # The kubelet has read the new file; a relist would have shown a second pod.
    assert node.sandboxes("web") == before


def test_adopts_a_pod_under_another_file_name_and_touches_no_other_file(node: Node) -> None:
    node.place_by_hand("10-by-hand.json", as_json(with_env("web", "old")))
    node.place_by_hand("other.yaml", as_json(pod("other")))
    wait_for(lambda: node.running("web") and node.running("other"), "both pods of the human")
    before, other = node.files(), node.sandboxes("other")
    result = node.module("static_pod", definition=with_env("web", "new"))
    assert result["path"] == f"{MANIFESTS}/10-by-hand.json"
    after = node.files()
    assert set(after) == set(before) and after["other.yaml"] == before["other.yaml"]
    assert node.sandboxes("other") == other


def test_check_mode_touches_nothing(node: Node) -> None:
    result = node.module("static_pod", "--check", "--diff", "-vvv", definition=pod("web"))
    assert result["changed"] and result["actions"] == [f"would place {MANIFESTS}/web.yaml"]
    assert result["diff"][0]["before"] == "" and "kind: Pod" in result["diff"][0]["after"]
    assert node.files() == {}


def test_mode_is_mended_without_a_restart(node: Node) -> None:
    assert node.module("static_pod", definition=pod("web"))["changed"]
    before = node.sandboxes("web")
    node.sh(f"chmod 644 {MANIFESTS}/web.yaml")
    assert node.module("static_pod", definition=pod("web"))["changed"]
    assert node.sh(f"stat -c %a {MANIFESTS}/web.yaml").strip() == "600"
    assert node.sandboxes("web") == before


def test_replace_strategy(node: Node) -> None:
    assert node.module("static_pod", definition=with_env("web", "one"))["changed"]
    result = node.module("static_pod", definition=with_env("web", "two"), strategy="replace")
    assert not result["failed"] and len(node.sandboxes("web")) == 1
    assert result["downtime_seconds"] > 1


def test_restarts_in_a_row_are_not_delayed(node: Node) -> None:
    """A kubelet starts a container late that has ended some times with the same uid, as if it crashed."""
    assert node.module("static_pod", definition=pod("web"))["changed"]
    gaps, logs = [], []
    for _turn in range(4):
        result = node.module("static_pod", name="web", state="restarted", settle=0)
        gaps.append(result["downtime_seconds"])
        directory = f"/var/log/pods/default_web-{node.name}_{result['pod']['uid']}/main"
        logs.append(len(node.sh(f"ls {directory}").split()))
    # The shortest of the delays is 10 s from the end of the container (doBackOff, kuberuntime_manager.go).
    assert max(gaps) < 10, gaps
    # The kubelet's own collection, once a minute, takes the logs of a pod that it meets away: once in these turns.
    assert max(logs) > 1, "the logs of earlier containers stay"


def test_a_dotted_name_is_warned_of(node: Node) -> None:
    result = node.module("static_pod", definition=pod("web.v1"))
    assert not result["failed"], result["msg"]
    assert re.search(r"WARNING\S*: \S*/web\.v1\.yaml: metadata\.name", result["output"]), result["output"]


def test_a_set_with_dependencies_and_prune(node: Node) -> None:
    pods = [{"definition": pod("front"), "depends_on": ["back"]}, {"definition": pod("back")}]
    result = node.module("static_pods", pods=pods)
    assert not result["failed"], result["msg"]
    back, front = (
        node.crictl(f"pods --name ^{name}-{node.name}$")["items"][0]["createdAt"] for name in ("back", "front")
    )
    assert int(back) < int(front)
    node.place_by_hand("foreign.yaml", as_json(pod("foreign")))
    wait_for(lambda: node.running("foreign"), "the human's pod")
    result = node.module("static_pods", pods=pods[1:], prune="managed")
    assert [entry["name"] for entry in result["pruned"]] == ["front"]
    assert set(node.files()) == {"back.yaml", "foreign.yaml"}
    result = node.module("static_pods", pods=pods[1:], prune="all")
    assert [entry["name"] for entry in result["pruned"]] == ["foreign"]
    assert set(node.files()) == {"back.yaml"}


def test_a_failed_pod_stops_only_what_depends_on_it(node: Node) -> None:
    broken = pod("broken", container={"command": ["sh", "-c", "exit 1"]})
    result = node.module(
        "static_pods",
        pods=[
            {"definition": broken},
            {"definition": pod("after"), "depends_on": ["broken"]},
            {"definition": pod("alone")},
        ],
    )
    assert result["failed"] and "exit code 1" in result["msg"]
    states = {entry["name"]: (entry["failed"], entry["changed"]) for entry in result["pods"]}
    assert states == {"broken": (True, True), "after": (True, False), "alone": (False, True)}
    assert set(node.files()) == {"broken.yaml", "alone.yaml"}


def test_readiness_is_the_pods_own_probe(node: Node) -> None:
    ready_late = pod(
        "web",
        container={
            "command": ["sh", "-c", "trap 'exit 0' TERM; sleep 3; touch /tmp/ready; while :; do sleep 0.2; done"],
            "readinessProbe": {"exec": {"command": ["test", "-e", "/tmp/ready"]}},
        },
    )
    began = node.now()
    assert not node.module("static_pod", definition=ready_late)["failed"]
    assert node.now() - began > 3
    never = pod("web", container={"readinessProbe": {"tcpSocket": {"port": 81}}})
    result = node.module("static_pod", definition=never, wait_timeout=25)
    assert result["failed"] and "readinessProbe of container main fails (tcpSocket :81)" in result["msg"]


def test_info_gives_a_verdict_on_every_entry(node: Node) -> None:
    assert node.module("static_pod", definition=pod("web"))["changed"]
    node.place_by_hand("broken.yaml", "kind: [")
    node.place_by_hand("secret.yaml", as_json(pod("secret", volumes=[{"name": "s", "secret": {"secretName": "x"}}])))
    node.sh(f"mkdir {MANIFESTS}/directory; touch {MANIFESTS}/.hidden")
    info = node.module("static_pod_info")
    verdicts = {entry["filename"]: entry["verdict"] for entry in info["entries"]}
    assert verdicts == {
        ".hidden": "ignored",
        "broken.yaml": "refused",
        "directory": "ignored",
        "secret.yaml": "refused",
        "web.yaml": "runs",
    }
    assert f"web-{node.name}" in [seen["name"] for seen in info["pods"]]

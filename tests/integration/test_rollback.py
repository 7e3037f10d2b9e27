# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes that no kubelet can run: the last manifest that was proven comes back and is proven, and both stories are told."""

from __future__ import annotations

import typing as t

import pytest
from conftest import MANIFESTS, Node, fill, pod, stops_slowly, wait_for, with_env

BACK = "revision 1, the last one that was proven, is in force again and its pod runs"


@pytest.fixture
def web(node: Node) -> Node:
    # What earlier tests had under this name.
    node.sh("rm -rf /var/lib/kubestatic/revisions")
    assert not node.module("static_pod", definition=with_env("web", "old"))["failed"]
    return node


def gone_back(node: Node, result: dict[str, t.Any], *parts: str) -> None:
    assert result["failed"] and result["changed"], result
    for part in (*parts, BACK):
        assert part in result["msg"], result["msg"]
    assert set(node.files()) == {"web.yaml"} and len(node.running("web")) == len(node.sandboxes("web")) == 1
    again = node.module("static_pod", definition=with_env("web", "old"))
    assert not again["failed"] and not again["changed"], again
    revisions = [one for one in node.module("static_pod_info")["revisions"] if one["name"] == "web"]
    assert [(one["reason"], one["good"], one["in_force"]) for one in revisions] == [
        ("placed", True, True),
        ("changed", False, False),
    ]


@pytest.mark.parametrize("strategy", ["swap", "replace"])
def test_a_crash_loop(web: Node, strategy: str) -> None:
    broken = pod("web", container={"command": ["sh", "-c", "echo no database at db:5432; exit 3"]})
    result = web.module("static_pod", definition=broken, strategy=strategy)
    gone_back(web, result, "container main", "exit code 3", "3 times", "no database at db:5432")


def test_never_ready(web: Node) -> None:
    never = pod("web", container={"readinessProbe": {"tcpSocket": {"port": 81}}})
    result = web.module("static_pod", definition=never, wait_timeout=25)
    gone_back(web, result, "readinessProbe of container main fails (tcpSocket :81)")


@pytest.mark.parametrize(
    "spec",
    [
        {"nodeSelector": {"no": "such"}},
        {"hostNetwork": True, "container": {"ports": [{"containerPort": 8098, "hostPort": 8098}]}},
    ],
    ids=["node selector", "host port taken"],
)
def test_refused_at_admission(web: Node, spec: dict[str, t.Any]) -> None:
    port = {"ports": [{"containerPort": 8098, "hostPort": 8098}]}
    assert not web.module("static_pod", definition=pod("other", hostNetwork=True, container=port))["failed"]
    result = web.module("static_pod", definition=pod("web", **spec), wait_timeout=25)
    assert not web.module("static_pod", name="other", state="absent")["failed"]
    gone_back(web, result)


def test_a_kubelet_that_is_restarted_meanwhile(web: Node) -> None:
    broken = pod("web", container={"command": ["sh", "-c", "exit 3"]})
    run = web.start("static_pod", definition=broken)
    wait_for(lambda: "exit 3" in web.sh(f"cat {MANIFESTS}/web.yaml", check=False), "the new manifest is in force")
    web.sh("systemctl restart kubelet")
    gone_back(web, run.result(), "exit code 3")


def test_killed_before_the_proof_and_made_up_for(web: Node) -> None:
    broken = pod("web", container={"command": ["sh", "-c", "exit 3"]})
    run = web.start("static_pod", definition=broken)
    wait_for(lambda: "exit 3" in web.sh(f"cat {MANIFESTS}/web.yaml", check=False), "the new manifest is in force")
    web.kill_run(run)
    gone_back(web, web.module("static_pod", definition=broken), "exit code 3")


def test_killed_while_it_goes_back(web: Node) -> None:
    never = {**stops_slowly(5), "readinessProbe": {"tcpSocket": {"port": 81}}}
    run = web.start(
        "static_pod", definition=pod("web", container=never, terminationGracePeriodSeconds=10), wait_timeout=5
    )
    wait_for(lambda: "tcpSocket" in web.sh(f"cat {MANIFESTS}/web.yaml", check=False), "the new manifest is in force")
    wait_for(lambda: ".kubestatic.web.yaml.old" in web.files(), "it is on its way out again")
    web.kill_run(run)
    result = web.module("static_pod", definition=with_env("web", "old"))
    assert not result["failed"] and "an earlier run was cut off" in result["actions"][0], result
    assert set(web.files()) == {"web.yaml"} and len(web.running("web")) == 1


def test_back_to_the_previous_revision(web: Node) -> None:
    assert web.module("static_pod", definition=with_env("web", "new"))["revision"] == 2
    result = web.module("static_pod", name="web", revision="previous")
    assert not result["failed"] and result["changed"] and result["revision"] == 3, result
    assert "value: old" in web.sh(f"cat {MANIFESTS}/web.yaml")
    assert not web.module("static_pod", name="web", revision="previous")["changed"]


def test_what_somebody_edits_by_hand_is_kept(web: Node) -> None:
    text = web.sh(f"cat {MANIFESTS}/web.yaml")
    running = web.running("web")
    web.place_by_hand("web.yaml", text.replace("value: old", "value: by-hand"))
    wait_for(lambda: web.running("web") not in ([], running), "the kubelet has taken it")
    result = web.module("static_pod", definition=with_env("web", "old"))
    assert (
        not result["failed"] and "was edited by hand since revision 1; that text is revision 2" in result["actions"][0]
    )
    assert web.module("static_pod", name="web", revision="2")["changed"]
    assert "value: by-hand" in web.sh(f"cat {MANIFESTS}/web.yaml")


# ---- other faults in the middle of a change


def test_a_prestop_hook_that_hangs(node: Node) -> None:
    hangs = {"lifecycle": {"preStop": {"exec": {"command": ["sleep", "1000"]}}}}
    assert not node.module("static_pod", definition=pod("web", terminationGracePeriodSeconds=4, container=hangs))[
        "failed"
    ]
    began = node.now()
    result = node.module("static_pod", definition=with_env("web", "new"))
    assert not result["failed"] and node.now() - began > 4, result
    assert len(node.running("web")) == len(node.sandboxes("web")) == 1


def test_a_kubelet_that_is_restarted_while_the_old_pod_stops(node: Node) -> None:
    slow = pod("web", terminationGracePeriodSeconds=10, container=stops_slowly(5))
    assert not node.module("static_pod", definition=slow)["failed"]
    run = node.start("static_pod", definition=with_env("web", "new"))
    wait_for(lambda: ".kubestatic.web.yaml.old" in node.files(), "the old manifest is away")
    node.sh("systemctl restart kubelet")
    result = run.result()
    assert not result["failed"], result
    assert set(node.files()) == {"web.yaml"} and len(node.running("web")) == len(node.sandboxes("web")) == 1


def test_a_store_on_another_file_system(node: Node, undo: t.Callable[[str], None]) -> None:
    undo("umount /var/lib/kubestatic")
    node.sh("mkdir -p /var/lib/kubestatic && mount -t tmpfs tmpfs /var/lib/kubestatic")
    assert not node.module("static_pod", definition=with_env("web", "old"))["failed"]
    gone_back(node, node.module("static_pod", definition=pod("web", container={"command": ["sh", "-c", "exit 3"]})))


def test_a_full_store(web: Node, undo: t.Callable[[str], None]) -> None:
    undo("umount /var/lib/kubestatic; umount /run/small")
    web.sh(
        "mkdir -p /run/small && mount -t tmpfs -o size=1m tmpfs /run/small && cp -a /var/lib/kubestatic/. /run/small/ &&"
        " mount --bind /run/small /var/lib/kubestatic"
    )
    fill(web, "/var/lib/kubestatic")
    before = web.files(), web.sandboxes("web")
    result = web.module("static_pod", definition=with_env("web", "new"))
    assert result["failed"] and not result["changed"] and "No space left on device" in result["msg"], result
    assert (web.files(), web.sandboxes("web")) == before
    web.sh("rm /var/lib/kubestatic/.full")
    result = web.module("static_pod", definition=with_env("web", "new"), settle=0)
    assert not result["failed"] and web.text_in("web") == ["new"], result

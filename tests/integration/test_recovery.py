# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that are cut off and never made again: the recovery units bring the node to the old or the new state by themselves."""

from __future__ import annotations

import json
import typing as t

import kubelets
import pytest
from conftest import MANIFESTS, Node, pod, swap_in_the_middle, wait_for, with_env, with_slow_web

STORE = "/var/lib/kubestatic"
PODS, KUBELET = "kubestatic-recover-pods", "kubestatic-recover-kubelet"


@pytest.fixture
def impatient(node: Node, undo: t.Callable[[str], None]) -> Node:
    """A node whose recovery timers wait for two seconds instead of three minutes."""
    for unit in (PODS, KUBELET):
        directory = f"/etc/systemd/system/{unit}.timer.d"
        undo(f"rm -rf {directory}; systemctl daemon-reload")
        node.sh(
            f"mkdir -p {directory}; printf '[Timer]\\nOnActiveSec=\\nOnUnitInactiveSec=\\nOnActiveSec=2s\\nOnUnitInactiveSec=2s\\n"
            f"AccuracySec=100ms\\n' > {directory}/soon.conf; systemctl daemon-reload"
        )
    return node


def cut_off_in_a_swap(node: Node) -> None:
    node.kill_run(swap_in_the_middle(node))


def is_closed(node: Node, *, unit: str = PODS, note: str = "under-way.json") -> bool:
    """Nothing is open any more, and nothing looks for it."""
    timer = node.sh(f"systemctl is-active {unit}.timer", check=False).strip()
    return note not in node.files(STORE) and timer == "inactive"


def journal(node: Node, unit: str) -> str:
    return str(node.sh(f"journalctl -u {unit} -o cat --no-pager"))


def test_a_swap_is_finished_by_the_timer_and_told_by_the_next_run(impatient: Node) -> None:
    node = with_slow_web(impatient)
    cut_off_in_a_swap(node)
    wait_for(lambda: is_closed(node), "the recovery unit is done")
    assert set(node.files()) == {"web.yaml"}
    assert node.text_in("web") == ["new"]
    done = f"{MANIFESTS}/web.yaml: put the new manifest in force, an earlier run was cut off"
    assert done in journal(node, PODS)
    result = node.module("static_pod", definition=with_env("web", "new"))
    assert not result["failed"] and not result["changed"], result
    assert result["actions"][0].startswith(f"{done} (") and "by the recovery unit" in result["actions"][0]
    assert node.module("static_pod", definition=with_env("web", "new"))["actions"] == []


def test_a_run_that_lives_is_left_alone(impatient: Node) -> None:
    node = with_slow_web(impatient)
    run = swap_in_the_middle(node)
    before = node.files()
    wait_for(lambda: "left for later" in journal(node, PODS).rpartition("Starting")[2], "the timer has come by")
    assert node.files() == before
    node.sh(f"kill -CONT {node.lock_holder()}")
    result = run.result()
    assert not result["failed"], result["msg"]
    wait_for(lambda: is_closed(node), "the recovery unit is done")
    assert node.text_in("web") == ["new"]


def test_a_pod_that_nobody_proved_goes_back(impatient: Node) -> None:
    node = impatient
    assert not node.module("static_pod", definition=with_env("web", "old"))["failed"]
    crash = {"command": ["sh", "-c", "sleep 3; echo no such flag; exit 3"]}
    run = node.start("static_pod", definition=pod("web", container=crash))
    wait_for(lambda: "no such flag" in node.sh(f"cat {MANIFESTS}/web.yaml", check=False), "the bad one is in force")
    node.kill_run(run)
    wait_for(lambda: is_closed(node), "the recovery unit is done", seconds=180)
    assert node.text_in("web") == ["old"]
    said = journal(node, PODS)
    assert "exit code 3" in said and "no such flag" in said and "is in force again and its pod runs" in said


def test_what_somebody_has_placed_meanwhile_is_left_as_it_is(node: Node) -> None:
    with_slow_web(node)
    cut_off_in_a_swap(node)
    text = json.dumps(with_env("web", "by hand"))
    node.place_by_hand("web.yaml", text)
    before = node.files()["web.yaml"]
    node.sh(f"systemctl start {PODS}.service")
    wait_for(lambda: is_closed(node), "the recovery unit is done")
    assert node.files() == {"web.yaml": before}
    wait_for(lambda: node.text_in("web") == ["by hand"], "the kubelet runs what was placed by hand")


def test_a_node_that_loses_power_in_a_swap(node: Node) -> None:
    """The manifest is in its place before the kubelet starts, and proven some time later."""
    with_slow_web(node)
    run = swap_in_the_middle(node)
    node.lose_power()
    run.process.wait(timeout=60)
    wait_for(lambda: node.sh("systemctl is-active kubelet", check=False).strip() == "active", "the node is up")
    assert set(node.files()) == {"web.yaml"}
    times = node.sh(
        f"systemctl show --value --property ActiveEnterTimestampMonotonic {PODS}.service;"
        " systemctl show --value --property ExecMainStartTimestampMonotonic kubelet.service"
    ).split()
    assert 0 < int(times[0]) <= int(times[1])
    wait_for(lambda: node.text_in("web") == ["new"], "the new pod runs", seconds=120)
    # The kubelet may have come up in time for the proof; else that is for the timer, which would start this.
    node.sh(f"systemctl start {PODS}.service")
    wait_for(lambda: is_closed(node), "the recovery unit is done")
    assert f"runs from {MANIFESTS}/web.yaml" in journal(node, PODS)


def test_a_kubelets_old_configuration_comes_back(impatient: Node) -> None:
    with kubelets.kept(impatient) as node:
        before, old = kubelets.files(node), kubelets.pid(node)
        run = node.start("kubelet_config", settings={"maxPods": 77}, settle=120)
        wait_for(lambda: kubelets.pid(node) not in (old, "0"), "the kubelet was started on the new configuration")
        assert kubelets.files(node) != before
        node.kill_run(run, STORE)
        put_back = f"put {kubelets.CONFIG} back"
        wait_for(lambda: put_back in journal(node, KUBELET), "the old configuration is back")
        wait_for(lambda: is_closed(node, unit=KUBELET, note="none"), "the recovery unit is done")
        assert kubelets.files(node) == before
        wait_for(lambda: kubelets.healthy(node), "the kubelet is well again")
        result = kubelets.configure(node, settings={"maxPods": 77})
        assert not result["failed"], result["msg"]
        assert result["actions"][0].startswith(f"{put_back} (") and "by the recovery unit" in result["actions"][0]


def test_nothing_is_left_after_uninstall(node: Node) -> None:
    with_slow_web(node)
    cut_off_in_a_swap(node)
    node.playbook("kubestatic.node.uninstall")
    assert node.text_in("web") == ["new"] and set(node.files()) == {"web.yaml"}
    assert node.sh(f"find {STORE} 2>/dev/null; find /etc/systemd -name 'kubestatic-recover*'", check=False) == ""
    node.playbook("kubestatic.node.uninstall")


def test_uninstall_loses_no_configuration(node: Node) -> None:
    with kubelets.kept(node):
        before, old = kubelets.files(node), kubelets.pid(node)
        run = node.start("kubelet_config", settings={"maxPods": 78}, settle=120)
        wait_for(lambda: kubelets.pid(node) not in (old, "0"), "the kubelet was started on the new configuration")
        node.kill_run(run, STORE)
        node.playbook("kubestatic.node.uninstall")
        assert kubelets.files(node) == before
        wait_for(lambda: kubelets.healthy(node), "the kubelet is well again")

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kubelet_config from its arguments to its result, on a node with real files and a kubelet in memory."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pathlib
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _directory, _pod_url, _recover_kubelet
from ansible_collections.kubestatic.node.plugins.module_utils._store import Store
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.kubelet_node import (
    CONF_D,
    CONFIG,
    DROP_INS,
    FRAGMENT,
    OWN,
    RHEL,
)
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.kubelet_world import MANIFESTS, KubeletWorld
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.world import manifest

RESTART = ["systemctl reset-failed kubelet.service", "systemctl restart kubelet.service"]
RELOAD = "systemctl daemon-reload"
KEYS = {"effective", "restarted", "restart_reason", "journal", "actions", "due"}
TOO_MUCH = "E1125 12:00:00.000000       1 run.go:72] maxPods is too much"
TOKEN = "Bearer abc123"


@pytest.fixture(name="node")
def _node(tmp_path: pathlib.Path) -> t.Iterator[KubeletWorld]:
    with KubeletWorld(tmp_path).installed() as node:
        yield node


def told(node: KubeletWorld, result: dict[str, t.Any]) -> list[str]:
    return [node.inside(action) for action in result["actions"]]


def text(node: KubeletWorld, result: dict[str, t.Any], key: str = "msg") -> str:
    return node.inside(result[key])


def untouched(node: KubeletWorld, **arguments: t.Any) -> dict[str, t.Any]:
    """The result of a call that leaves files and kubelet as they are and notes no change."""
    before, pid, commands = node.files(), node.pid(), node.changing()
    result = node.call(**arguments)
    assert (node.files(), node.pid(), node.changing()) == (before, pid, commands)
    assert node.noted() == {}
    assert set(result) >= KEYS
    return result


# ---- a change that works


def test_a_setting_is_written_and_the_kubelet_restarted_on_it(node: KubeletWorld) -> None:
    old = node.pid()
    begun = node.now
    result = node.call(settings={"maxPods": 50})
    assert result["changed"] and not result.get("failed")
    reason = f"maxPods in ROOT/{CONFIG}"
    assert told(node, result) == [f"changed ROOT/{CONFIG}", f"restarted the kubelet: {reason}"]
    assert (result["restarted"], text(node, result, "restart_reason"), result["journal"]) == (True, reason, [])
    assert json.loads(node.inside(json.dumps(result["effective"]))) == {
        "maxPods": {"value": 50, "layer": "file", "file": f"ROOT/{CONFIG}", "line": 5}
    }
    assert node.changing() == RESTART, "nothing was to be read again by systemd"
    assert node.read(CONFIG).endswith("cgroupDriver: systemd  # as containerd\nmaxPods: 50\n")
    assert node.pid() != old and node.is_well()
    assert node.now - begun >= 10, "it must have settled"
    assert node.noted() == {}


def test_the_same_again_changes_nothing_and_asks_only_systemctl(node: KubeletWorld) -> None:
    node.call(settings={"maxPods": 50})
    node.call(settings={"maxPods": 50})
    node.commands = []
    again = untouched(node, settings={"maxPods": 50})
    assert (again["changed"], again["actions"], again["restarted"], again["restart_reason"]) == (False, [], False, "")
    assert {command.split()[0] for command in node.commands} == {"systemctl"}
    assert {command.split()[1] for command in node.commands} == {"show"}
    assert len(node.commands) == 1


@pytest.mark.parametrize(
    ("arguments", "file", "restarts"),
    [
        ({"flags": {"node-labels": "a=b"}}, RHEL, RESTART),
        ({"settings": {"maxPods": 7}, "layer": "drop_in"}, f"{CONF_D}/90-kubestatic.conf", RESTART),
        ({"settings": {"maxPods": 7}, "flags": {"node-labels": "a=b"}}, CONFIG, RESTART),
    ],
    ids=["flags", "drop-in", "both"],
)
def test_layers(node: KubeletWorld, arguments: dict[str, t.Any], file: str, restarts: list[str]) -> None:
    result = node.call(**arguments)
    assert not result.get("failed"), result
    assert node.path(file) in " ".join(result["actions"])
    assert node.changing() == restarts
    assert node.is_well()
    assert not untouched(node, **arguments)["changed"]


def test_a_drop_in_of_the_unit_is_read_by_systemd_before_the_restart(node: KubeletWorld) -> None:
    node.unit("/usr/bin/kubelet --config=ROOT/var/lib/kubelet/config.yaml")
    node._systemctl("daemon-reload")
    node._systemctl("restart")
    node.settle()
    result = node.call(flags={"v": "4"})
    assert told(node, result)[0] == f"wrote ROOT/{OWN}"
    assert node.changing() == [RELOAD, *RESTART]
    assert node.is_well()
    assert node.argv() == ["--config=ROOT/var/lib/kubelet/config.yaml", "--v=4"]


def test_a_key_that_the_kubelet_ignores_is_refused_though_the_file_has_it(node: KubeletWorld) -> None:
    node.write(CONFIG, f"{node.read(CONFIG)}maxPod: 7\n")
    result = untouched(node, settings={"maxPod": 7})
    assert result["failed"]
    assert text(node, result).startswith("settings.maxPod: not a field that kubelet 1.34 knows")


def test_a_comment_alone_restarts_nothing(node: KubeletWorld) -> None:
    node.call(settings={"maxPods": 50})
    node.write(CONFIG, "# Why.\n" + node.read(CONFIG))
    assert not untouched(node, settings={"maxPods": 50})["changed"]


def test_what_was_changed_by_hand_is_put_in_force(node: KubeletWorld) -> None:
    node.call()
    node.write(CONFIG, node.read(CONFIG) + "maxPods: 9\n")
    result = node.call()
    assert told(node, result) == [f"restarted the kubelet: maxPods in ROOT/{CONFIG}"]
    assert node.is_well()


def test_a_stale_kubelet_that_nobody_knows_is_restarted_by_the_times_of_its_files(node: KubeletWorld) -> None:
    node.write(CONFIG, node.read(CONFIG) + "maxPods: 9\n")
    result = node.call()
    assert told(node, result) == [
        f"restarted the kubelet: ROOT/{CONFIG}, which was changed after the kubelet had started"
    ]
    assert node.is_well()


def test_a_kubelet_in_force_is_known_from_the_first_call_on(node: KubeletWorld) -> None:
    untouched(node)
    os.utime(node.path(CONFIG))
    assert not untouched(node)["changed"], "a time tells nothing of a kubelet that is known"


def test_a_manifest_directory_is_made_before_the_kubelet_looks(node: KubeletWorld) -> None:
    wanted = node.path("etc/kubelet.d/deep")
    result = node.call(settings={"staticPodPath": wanted})
    assert told(node, result)[0] == "made ROOT/etc/kubelet.d/deep"
    assert os.stat(wanted).st_mode & 0o777 == 0o700
    assert node.is_well()


def test_a_diff_has_both_texts(node: KubeletWorld) -> None:
    (diff,) = node.call(settings={"maxPods": 50}, diff=True)["diff"]
    assert diff["before_header"] == diff["after_header"] == node.path(CONFIG)
    assert diff["after"] == diff["before"] + "maxPods: 50\n"
    assert node.call(settings={"maxPods": 50}, diff=True)["diff"] == []


# ---- check mode


def test_check_mode_tells_what_would_be_done(node: KubeletWorld) -> None:
    wanted = node.path("etc/kubelet.d")
    result = untouched(node, settings={"staticPodPath": wanted}, flags={"node-labels": "a=b"}, check=True, diff=True)
    real = node.call(settings={"staticPodPath": wanted}, flags={"node-labels": "a=b"}, diff=True)
    assert told(node, result) == [
        "would make ROOT/etc/kubelet.d",
        f"would change ROOT/{RHEL}",
        f"would change ROOT/{CONFIG}",
        f"would restart the kubelet: {text(node, real, 'restart_reason')}",
    ]
    for key in ("changed", "restarted", "restart_reason", "effective", "diff"):
        assert result[key] == real[key], key


def test_check_mode_leaves_no_store(node: KubeletWorld) -> None:
    assert untouched(node, settings={"maxPods": 5}, check=True)["changed"]
    assert not os.path.exists(node.store_path)


def test_check_mode_of_what_is_there_already(node: KubeletWorld) -> None:
    result = untouched(node, settings={"cgroupDriver": "systemd"}, check=True)
    assert (result["changed"], result["actions"], result["restarted"]) == (False, [], False)


# ---- when it is restarted


def test_without_a_restart_the_reason_stays(node: KubeletWorld) -> None:
    old = node.pid()
    result = node.call(settings={"maxPods": 50}, restart="never")
    assert told(node, result) == [f"changed ROOT/{CONFIG}"]
    assert (result["changed"], result["restarted"]) == (True, False)
    assert text(node, result, "restart_reason") == f"maxPods in ROOT/{CONFIG}"
    assert node.pid() == old and node.changing() == []
    again = untouched(node, settings={"maxPods": 50}, restart="never")
    assert not again["changed"] and CONFIG in again["restart_reason"]
    last = node.call(settings={"maxPods": 50})
    assert last["restarted"] and len(last["actions"]) == 1
    assert node.is_well()


def test_a_restart_in_any_case(node: KubeletWorld) -> None:
    for _turn in range(2):
        old = node.pid()
        result = node.call(restart="always")
        assert (result["changed"], result["restart_reason"]) == (True, "restart: always")
        assert result["actions"] == ["restarted the kubelet: restart: always"]
        assert node.pid() != old


def test_without_waiting_the_kubelet_is_left_to_itself(node: KubeletWorld) -> None:
    node.deaf.append("maxPods: 51")
    begun = node.now
    result = node.call(settings={"maxPods": 51}, wait=False)
    assert not result.get("failed") and result["restarted"]
    assert node.now < begun + 1
    assert node.noted() == {}
    assert "maxPods: 51" in node.read(CONFIG), "nothing is put back"


@pytest.mark.parametrize("restart", ["auto", "never", "always"])
def test_a_kubelet_that_does_not_run(node: KubeletWorld, restart: str) -> None:
    node.stop()
    if restart == "auto":
        result = untouched(node, settings={"maxPods": 50})
        assert result["failed"]
        assert result["msg"].startswith("the kubelet does not run (kubelet.service is inactive, dead)")
        assert "restart: always" in result["msg"]
        return
    result = node.call(settings={"maxPods": 50}, restart=restart)
    assert not result.get("failed")
    assert "maxPods: 50" in node.read(CONFIG)
    assert bool(node.pid()) is (restart == "always")
    assert result["restart_reason"] == "it does not run"


def test_a_kubelet_that_fails_already_is_nobody_elses_fault(node: KubeletWorld) -> None:
    node.refused["cgroupDriver"] = "E1125 12:00:00.000000       1 run.go:72] swap is on"
    node._systemctl("restart")
    node.settle(1.0)
    result = untouched(node, settings={"maxPods": 50})
    assert result["failed"]
    assert (
        "(kubelet.service is activating, auto-restart); its log ends with: swap is on; mend that first" in result["msg"]
    )


def test_a_kubelet_that_is_not_well_is_not_changed(node: KubeletWorld) -> None:
    node.deaf.append("cgroupDriver")
    node._systemctl("restart")
    node.settle()
    result = untouched(node, settings={"maxPods": 50})
    assert result["failed"] and result["msg"].startswith("the kubelet runs but is not well: its healthz")
    node.deaf.clear()
    assert not node.call(settings={"maxPods": 50}, restart="always").get("failed")
    assert node.is_well()


# ---- what does not come up


def prepare_failure(node: KubeletWorld, how: str) -> str:
    """Have the kubelet fail with maxPods: 51; a part of what the task says then."""
    if how == "refuses":
        node.refused["maxPods: 51"] = TOO_MUCH
        return (
            "the kubelet does not stay up (kubelet.service is activating, auto-restart); its log ends with: maxPods is"
        )
    if how == "ends while it comes up":
        node.ends_after["maxPods: 51"] = 0.5
        return "the kubelet ended "
    if how == "ends later":
        node.ends_after["maxPods: 51"] = 7.0
        return "the kubelet ended 7 s after its start; its log ends with: it fell over"
    if how == "is deaf":
        node.deaf.append("maxPods: 51")
        return "the kubelet is not well after 60 s: its healthz does not answer"
    if how == "says otherwise":
        node.configz = {"maxPods": 110}
        return "the kubelet came up, but its /configz says maxPods: 110, not 51"

    def refuse(command: str) -> str | None:
        node.on_command = lambda _command: None if command == RESTART[1] else refuse(_command)
        return "Job for kubelet.service failed." if command == RESTART[1] else None

    node.on_command = refuse
    return "systemctl restart kubelet.service failed: Job for kubelet.service failed."


FAILURES = ["refuses", "ends while it comes up", "ends later", "is deaf", "says otherwise", "cannot be restarted"]


@pytest.mark.parametrize("how", FAILURES)
def test_the_old_configuration_is_put_back(node: KubeletWorld, how: str) -> None:
    node.call()
    said = prepare_failure(node, how)
    before, old = node.files(), node.pid()
    arguments = {"settings": {"maxPods": 51}, "flags": {"node-labels": "a=b"}, "wait_timeout": 60}
    result = node.call(**arguments)
    assert result["failed"] and result["changed"] and result["restarted"]
    assert said in result["msg"]
    assert result["msg"].endswith("; the old configuration is in force again and the kubelet is well on it")
    assert "\n" not in result["msg"]
    assert told(node, result)[-3:] == [
        f"put ROOT/{RHEL} back",
        f"put ROOT/{CONFIG} back",
        "restarted the kubelet on the old configuration",
    ]
    assert result["effective"]["maxPods"]["value"] is None
    assert node.files() == before
    assert node.pid() != old and node.is_well()
    assert node.noted() == {}
    assert bool(result["journal"]) is (how not in ("says otherwise", "cannot be restarted"))
    # The kubelet is known by what it was started on.
    assert not untouched(node)["changed"]


def test_files_and_directories_that_were_new_are_gone_again(node: KubeletWorld) -> None:
    node.refused["maxPods: 51"] = TOO_MUCH
    before = node.files()
    result = node.call(settings={"maxPods": 51}, layer="drop_in")
    assert f"removed ROOT/{CONF_D}/90-kubestatic.conf again" in told(node, result)
    assert node.files() == before
    assert node.is_well()


def test_a_unit_is_read_again_after_the_way_back(node: KubeletWorld) -> None:
    node.unit("/usr/bin/kubelet --config=ROOT/var/lib/kubelet/config.yaml")
    node._systemctl("daemon-reload")
    node._systemctl("restart")
    node.settle()
    node.refused["--v=9"] = "Error: --v=9 is too much"
    before = node.files()
    result = node.call(flags={"v": "9"})
    assert "; its log ends with: Error: --v=9 is too much; the old configuration is in force again and" in result["msg"]
    assert node.changing() == [RELOAD, *RESTART, RELOAD, *RESTART]
    assert {name: one for name, one in node.files().items() if one != "/"} == {
        name: one for name, one in before.items() if one != "/"
    }
    assert node.is_well()


def test_both_stories_are_told_where_the_way_back_fails_too(node: KubeletWorld) -> None:
    node.call()
    node.refused.update({"maxPods: 51": TOO_MUCH, "cgroupDriver": "E1125 12:00:00.0 1 run.go:72] swap is on by now"})
    before = node.files()
    result = node.call(settings={"maxPods": 51})
    assert result["failed"] and result["restarted"]
    first, _back, second = result["msg"].partition(
        "; the old configuration is in force again, but the kubelet is not well on it either: "
    )
    assert "maxPods is too much" in first and "swap is on by now" in second
    assert node.files() == before
    assert not node.is_well()
    # Once that is mended, the next run need not be told to start it.
    node.refused.clear()
    result = node.call(settings={"maxPods": 50})
    assert not result.get("failed"), result["msg"]
    assert node.is_well() and node.noted() == {}


def test_what_cannot_be_put_back_is_tried_again_by_the_next_run(
    node: KubeletWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.call()
    node.refused["maxPods: 51"] = TOO_MUCH
    before, rename = node.files(), os.rename

    def full(source: str, target: str) -> None:
        if target == node.path(CONFIG) and len(node.changing()) > 1:
            raise OSError(30, "Read-only file system")
        rename(source, target)

    with monkeypatch.context() as broken:
        broken.setattr(os, "rename", full)
        result = node.call(settings={"maxPods": 51})
    assert "maxPods is too much" in result["msg"]
    assert text(node, result).endswith(
        f"; the old configuration cannot be put back either: ROOT/{CONFIG}: cannot be replaced: Read-only file system;"
        " the next run tries it again"
    )
    assert "maxPods: 51" in node.read(CONFIG)
    result = node.call()
    assert told(node, result)[0] == (
        f"put ROOT/{CONFIG} back: an earlier run was cut off before the kubelet was proven on it"
    )
    assert node.files() == before
    assert node.is_well() and node.noted() == {}


def test_without_rollback_the_new_configuration_stays(node: KubeletWorld) -> None:
    node.refused["maxPods: 51"] = TOO_MUCH
    result = node.call(settings={"maxPods": 51}, rollback=False)
    assert result["failed"] and result["changed"]
    assert result["msg"].endswith("; the new configuration stays in force, as rollback is false")
    assert result["effective"]["maxPods"]["value"] == 51
    assert "maxPods: 51" in node.read(CONFIG)
    assert node.noted() == {}
    assert node.changing() == RESTART


def test_a_restart_without_a_change_has_nothing_to_go_back_to(node: KubeletWorld) -> None:
    node.refused["cgroupDriver"] = TOO_MUCH
    before = node.files()
    result = node.call(restart="always")
    assert result["failed"] and result["restarted"]
    assert "in force again" not in result["msg"]
    assert node.files() == before


def test_a_disk_that_is_full_changes_nothing(node: KubeletWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    node.call()
    real = os.open

    def full(path: t.Any, *arguments: t.Any, **options: t.Any) -> int:
        if str(path).endswith(".kubestatic-new"):
            raise OSError(28, "No space left on device")
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "open", full)
    result = untouched(node, settings={"maxPods": 51})
    assert text(node, result) == f"ROOT/{CONFIG}: cannot be written: No space left on device; nothing was changed"
    assert result["failed"] and not result.get("changed")


# ---- a run that was cut off


def cut_off(node: KubeletWorld, at: str) -> None:
    """A run with maxPods: 51 that is killed at this command."""

    def kill(command: str) -> None:
        if command == at:
            raise KeyboardInterrupt

    node.on_command = kill
    with pytest.raises(KeyboardInterrupt):
        node.call(settings={"maxPods": 51})
    node.on_command = lambda _command: None


def test_what_a_run_left_is_undone_first(node: KubeletWorld) -> None:
    node.call()
    cut_off(node, RESTART[0])
    assert "maxPods: 51" in node.read(CONFIG)
    would = node.call(check=True)
    assert would["changed"] and would["actions"] == [
        "would put the kubelet's old configuration back: an earlier run was cut off before the kubelet was proven on it"
    ]
    assert "maxPods: 51" in node.read(CONFIG)
    old = node.pid()
    result = node.call()
    assert told(node, result) == [
        f"put ROOT/{CONFIG} back: an earlier run was cut off before the kubelet was proven on it"
    ]
    assert result["changed"] and not result["restarted"]
    assert node.pid() == old, "it never ran on what was undone"
    assert node.is_well()


@pytest.mark.parametrize("how", ["refuses", "is deaf", "comes up elsewhere"])
def test_a_kubelet_that_a_run_left_unwell_is_restarted(node: KubeletWorld, how: str) -> None:
    node.call()
    if how == "comes up elsewhere":
        settings: dict[str, t.Any] = {"maxPods": 51, "healthzPort": 10300}
    else:
        prepare_failure(node, how)
        settings = {"maxPods": 51}
    calls = 0
    real = node.monotonic

    def monotonic() -> float:
        nonlocal calls
        calls += 1
        if node.changing()[-1:] == RESTART[1:]:
            raise KeyboardInterrupt
        return real()

    with pytest.MonkeyPatch.context() as killing:
        killing.setattr(node, "monotonic", monotonic)
        with pytest.raises(KeyboardInterrupt):
            node.call(settings=settings)
    assert calls
    node.settle()
    assert node.noted()["files"]
    result = node.call(settings={"cpuCFSQuota": False})
    assert not result.get("failed"), result["msg"]
    assert "maxPods" not in node.read(CONFIG) and "cpuCFSQuota: false" in node.read(CONFIG)
    assert node.is_well() and node.noted() == {}


# ---- a call that disturbs nothing


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param({"settings": {"maxPods": 50}}, id="a file to write"),
        pytest.param({"settings": {"maxPods": 50}, "check": True}, id="check mode"),
        pytest.param({"restart": "always"}, id="a restart"),
    ],
)
def test_what_is_due_is_left_to_a_call_that_may_disturb(node: KubeletWorld, arguments: dict[str, t.Any]) -> None:
    node.call()
    result = untouched(node, **arguments, disturb=False)
    assert (result["due"], result["changed"], result["restarted"], result["actions"]) == (True, False, False, [])


def test_where_nothing_is_due_it_says_what_is_in_force(node: KubeletWorld) -> None:
    result = untouched(node, settings={"cgroupDriver": "systemd"}, disturb=False)
    assert not result["due"] and result["effective"]["cgroupDriver"]["value"] == "systemd"


def test_what_a_run_left_is_due(node: KubeletWorld) -> None:
    node.call()
    cut_off(node, RESTART[0])
    before = node.files()
    assert node.call(disturb=False)["due"]
    assert node.files() == before and node.noted()["files"]


# ---- a run that was cut off, and nobody runs anything again


def recover(node: KubeletWorld) -> str:
    """Run the recovery service; what it says."""
    with contextlib.redirect_stdout(io.StringIO()) as said:
        _recover_kubelet.main()
    return node.inside(said.getvalue())


def test_a_change_arms_the_recovery_and_nothing_else_does(node: KubeletWorld) -> None:
    node.call()
    node.call(settings={"maxPods": 51}, check=True)
    assert node.recovery_commands == []
    node.call(settings={"maxPods": 51})
    assert node.recovery_commands[-2:] == [
        f"systemctl {verb} --no-block kubestatic-recover-kubelet.timer" for verb in ("start", "stop")
    ]
    assert not os.path.exists(os.path.join(node.store_path, "kubelet-change.json"))


def test_a_kubelet_that_is_up_is_restarted_on_what_is_put_back(node: KubeletWorld) -> None:
    node.call()
    cut_off(node, RESTART[1])
    old = node.pid()
    assert recover(node) == f"put ROOT/{CONFIG} back\nrestarted the kubelet on the old configuration\n"
    assert "maxPods" not in node.read(CONFIG) and node.pid() != old
    node.settle()
    assert node.is_well()
    assert node.recovery_commands[-1] == "systemctl stop --no-block kubestatic-recover-kubelet.timer"
    assert recover(node) == "", "once is enough"
    result = node.call(settings={"maxPods": 51})
    assert [action.partition(" (")[0] for action in told(node, result)[:2]] == [
        f"put ROOT/{CONFIG} back",
        "restarted the kubelet on the old configuration",
    ]
    assert not result.get("failed") and node.is_well()


def test_before_the_kubelet_starts_files_alone_are_put_back(node: KubeletWorld) -> None:
    node.call()
    cut_off(node, RESTART[1])
    node.run(["systemctl", "stop", "kubelet.service"])
    commands = len(node.changing())
    assert recover(node) == f"put ROOT/{CONFIG} back\n"
    assert "maxPods" not in node.read(CONFIG)
    assert node.changing()[commands:] == [RELOAD], "systemd has read the units before this"


def test_what_somebody_has_changed_meanwhile_stays(node: KubeletWorld) -> None:
    node.call()
    cut_off(node, RESTART[1])
    node.write(CONFIG, node.read(CONFIG).replace("51", "52"))
    assert recover(node).startswith(f"left ROOT/{CONFIG} as it is, which somebody else has changed meanwhile\n")
    assert "maxPods: 52" in node.read(CONFIG)


def test_a_run_that_lives_holds_it(node: KubeletWorld) -> None:
    node.call()
    cut_off(node, RESTART[1])
    with _directory.locked(node.store_path):
        assert "left for later" in recover(node)
    assert "maxPods: 51" in node.read(CONFIG)
    assert node.recovery_commands[-1] == "systemctl start --no-block kubestatic-recover-kubelet.timer"


def test_the_running_kubelet_is_asked_where_it_listens(node: KubeletWorld) -> None:
    """Somebody has changed the port in the file, and the kubelet does not know of that yet."""
    node.call()
    node.write(CONFIG, node.read(CONFIG) + "healthzPort: 10300\n")
    assert node.info()["healthy"]
    result = node.call(settings={"maxPods": 50})
    assert not result.get("failed"), result["msg"]
    assert result["restarted"] and f"healthzPort in ROOT/{CONFIG}" in text(node, result, "restart_reason")
    assert node.is_well()


def test_a_new_manifest_directory_goes_again_with_a_change_that_fails(node: KubeletWorld) -> None:
    prepare_failure(node, "refuses")
    before = node.files()
    result = node.call(settings={"staticPodPath": node.path("etc/kubelet.d"), "maxPods": 51})
    assert result["failed"] and f"made {node.path('etc/kubelet.d')}" in result["actions"]
    assert node.files() == before


def test_that_systemd_reads_its_units_again_is_told(node: KubeletWorld) -> None:
    node.call()
    node.write(FRAGMENT, node.read(FRAGMENT) + "# A comment.\n")
    assert node.call(check=True)["actions"] == ["would have systemd read its units again"]
    result = node.call()
    assert (result["changed"], result["restarted"]) == (True, False)
    assert result["actions"] == ["had systemd read its units again"]
    assert not untouched(node)["changed"]


# ---- what is refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"settings": {"maxPod": 5}}, "settings.maxPod: "),
        ({"settings": {"maxPods": "5"}}, "settings.maxPods: "),
        ({"flags": {"no-such-flag": "1"}}, "flags.no-such-flag: "),
        ({"settings": {"staticPodURLHeader": {"A": ["b"]}}}, "settings.staticPodURLHeader: may hold a secret"),
        ({"settings": {"logging": {"verbosity": 5}}}, "overrides it"),
        ({"settings": {"staticPodPath": "/etc/none/x"}, "create_directories": False}, "/etc/none/x: the manifest directory"),
    ],
)  # fmt: skip
def test_what_is_refused_touches_nothing(node: KubeletWorld, arguments: dict[str, t.Any], message: str) -> None:
    result = untouched(node, **arguments)
    assert result["failed"] and not result.get("changed")
    assert message in result["msg"]


def test_static_pods_are_not_lost_unless_that_is_said(node: KubeletWorld) -> None:
    node.write(f"{MANIFESTS}/web.yaml", manifest())
    elsewhere = node.path("etc/kubelet.d")
    result = untouched(node, settings={"staticPodPath": elsewhere})
    assert "kills the static pods that run (web) with one second of grace" in result["msg"]
    assert not node.call(settings={"staticPodPath": elsewhere}, allow_pod_loss=True).get("failed")


def test_a_kubelet_of_another_minor_is_not_started_by_the_way(node: KubeletWorld) -> None:
    node.call()
    node.write(f"{MANIFESTS}/web.yaml", manifest())
    node.same_program, node.version = False, "1.35.1"
    result = untouched(node, settings={"maxPods": 50})
    assert "is kubelet 1.35.1 by now, while 1.34.4 runs" in result["msg"]
    assert not untouched(node)["changed"], "where no restart is due there is nothing to fear"


@pytest.mark.parametrize(
    "elsewhere",
    [
        f"staticPodPath: ROOT/{MANIFESTS}/../elsewhere\n",
        # A relative path is another spelling only.
        "staticPodPath: ../../etc/elsewhere\n",
    ],
)
def test_a_directory_that_was_changed_by_hand_before_anybody_looked(node: KubeletWorld, elsewhere: str) -> None:
    """A role wrote it and its handler was lost: the kubelet still reads the old one, which no file tells any more."""
    node.write(f"{MANIFESTS}/web.yaml", manifest())
    node.runs("web")
    node.write("etc/elsewhere/web.yaml", manifest())
    node.write(CONFIG, node.read(CONFIG).replace(f"staticPodPath: ROOT/{MANIFESTS}\n", elsewhere))
    result = untouched(node)
    assert result["failed"] and "pointed from a directory that no file tells any more to" in result["msg"]
    assert "(web)" in result["msg"]
    assert untouched(node, move_manifests=True)["failed"]
    assert node.call(allow_pod_loss=True)["restarted"]


def test_another_setting_that_was_changed_by_hand_before_anybody_looked(node: KubeletWorld) -> None:
    node.runs("web")
    node.write(CONFIG, node.read(CONFIG) + "maxPods: 9\n")
    assert node.call()["restarted"], "its directory is the one that it watches"


def test_a_name_that_was_changed_by_hand_before_anybody_looked(node: KubeletWorld) -> None:
    node.runs("web")
    node.write(RHEL, "KUBELET_EXTRA_ARGS=--hostname-override=other\n")
    result = untouched(node)
    assert "the node's name changes from" in result["msg"] and "to other" in result["msg"]


def test_what_a_call_without_restart_has_changed_is_guarded_later(node: KubeletWorld) -> None:
    node.runs("web")
    elsewhere = {"staticPodPath": node.path("etc/kubelet.d")}
    assert node.call(settings=elsewhere, restart="never")["changed"]
    result = untouched(node, settings=elsewhere)
    assert f"pointed from {node.path(MANIFESTS)} to" in result["msg"]


def test_pods_of_a_kubelet_that_is_down_are_guarded(node: KubeletWorld) -> None:
    node.call()
    node.write(f"{MANIFESTS}/web.yaml", manifest())
    node.runs("web")
    node.stop()
    elsewhere = {"staticPodPath": node.path("etc/kubelet.d")}
    assert "(web)" in untouched(node, settings=elsewhere, restart="always")["msg"]
    result = untouched(node, settings=elsewhere, restart="always", move_manifests=True)
    assert "move_manifests: the kubelet does not run" in result["msg"]
    assert "cgroup driver" in untouched(node, settings={"cgroupDriver": "cgroupfs"}, restart="always")["msg"]
    before = node.read(CONFIG)
    node.write(CONFIG, before.replace(MANIFESTS, "etc/elsewhere"))
    assert "(web)" in untouched(node, restart="always")["msg"], "it is known what it was started with"
    node.write(CONFIG, before)
    assert node.call(settings={"maxPods": 50}, restart="always")["restarted"]


def test_manifests_move_whose_pods_do_not_run(node: KubeletWorld) -> None:
    node.boxes = []
    node.write(f"{MANIFESTS}/web.yaml", manifest())
    elsewhere = node.path("etc/kubelet.d")
    node.call(settings={"staticPodPath": elsewhere}, move_manifests=True, wait=False)
    assert os.listdir(elsewhere) == ["web.yaml"] and os.listdir(node.path(MANIFESTS)) == []


def test_pods_of_a_url_are_guarded(node: KubeletWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pod_url, "require_pods", lambda _url, **_options: None)
    node.write(CONFIG, node.read(CONFIG) + "staticPodURL: http://127.0.0.1:1/a\n")
    node.start_unseen()
    node.call()
    node.runs("proxy", source="http")
    for url in ("http://127.0.0.1:1/b", None):
        assert "staticPodURL: with another URL" in untouched(node, settings={"staticPodURL": url})["msg"]
    assert node.call(settings={"maxPods": 50})["restarted"]


def test_cgroups_of_any_pod_are_guarded(node: KubeletWorld) -> None:
    node.runs("web-abc", source="api")
    assert "(web-abc)" in untouched(node, settings={"cgroupDriver": "cgroupfs"})["msg"]
    assert node.call(settings={"staticPodPath": node.path("etc/kubelet.d")})["restarted"]


def test_the_program_that_waits_is_the_one_to_judge_by(node: KubeletWorld) -> None:
    """A package brought another minor, which does not know a flag: that kubelet must not be started by the way."""
    node.write(RHEL, "KUBELET_EXTRA_ARGS=--pod-infra-container-image=pause\n")
    node.start_unseen()
    node.call()
    node.boxes = []
    node.same_program, node.version = False, "1.35.1"
    result = untouched(node, settings={"maxPods": 50})
    assert "--pod-infra-container-image is not a flag of kubelet 1.35; it was removed in 1.35" in result["msg"]
    assert node.info()["version"] == "1.34.4"


def test_a_drop_in_of_which_systemd_does_not_know_yet(node: KubeletWorld) -> None:
    node.call()
    node.write(f"{DROP_INS}/20-site.conf", '[Service]\nEnvironment="KUBELET_EXTRA_ARGS=--v=7"\nEnvironmentFile=\n')
    assert node.info()["stale"] and "--v=7" in node.info()["command_line"]
    check = node.call(settings={"maxPods": 50}, check=True)
    result = node.call(settings={"maxPods": 50})
    assert not result.get("failed"), result["msg"]
    assert check["restart_reason"] == result["restart_reason"]
    assert f"Environment in ROOT/{DROP_INS}/20-site.conf" in text(node, result, "restart_reason")
    assert node.is_well() and "--v=7" in node.argv()
    assert not untouched(node, settings={"maxPods": 50})["changed"]


def test_a_unit_may_be_named_as_for_systemctl(node: KubeletWorld) -> None:
    node.unit("/usr/bin/kubelet --config=ROOT/var/lib/kubelet/config.yaml")
    node.start_unseen()
    result = node.call(flags={"v": "4"}, unit="kubelet")
    assert not result.get("failed") and told(node, result)[0] == f"wrote ROOT/{OWN}"
    assert node.info(unit="kubelet")["unit"]["name"] == "kubelet.service"


def test_another_run_on_this_node_is_not_disturbed(node: KubeletWorld) -> None:
    os.makedirs(node.store_path)
    with _directory.locked(node.store_path):
        result = untouched(node, settings={"maxPods": 50})
    assert "is changing the kubelet's configuration here" in result["msg"]


def test_a_run_that_changes_pods_is_not_disturbed(node: KubeletWorld) -> None:
    with _directory.locked(node.path(MANIFESTS)):
        result = untouched(node, settings={"maxPods": 50})
        assert "is changing static pods here" in result["msg"] and not result["restarted"]
        assert not node.call(settings={"maxPods": 50}, restart="never").get("failed")


def test_a_file_that_somebody_else_changes_meanwhile_is_not_said_to_be_the_old_one(
    node: KubeletWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_failure(node, "refuses")
    real = node._start

    def start() -> None:
        node.write(CONFIG, node.read(CONFIG).replace("maxPods: 51", "maxPods: 51  # by somebody else"))
        monkeypatch.setattr(node, "_start", real)
        real()

    monkeypatch.setattr(node, "_start", start)
    result = node.call(settings={"maxPods": 51}, wait_timeout=30)
    assert result["failed"] and ", but for what somebody else has changed meanwhile" in result["msg"]
    assert f"left {node.path(CONFIG)} as it is, which somebody else has changed meanwhile" in result["actions"]
    assert "is well on it" not in result["msg"]


def test_a_unit_that_systemd_does_not_know(node: KubeletWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "_show", lambda: "LoadState=not-found\nMainPID=0\n")
    assert "no kubelet is installed here" in untouched(node, unit="other.service")["msg"]
    monkeypatch.setattr(node, "_show", lambda: "LoadState=masked\nMainPID=0\n")
    assert "is masked" in untouched(node)["msg"]


# ---- secrets


def everything_shown(result: dict[str, t.Any]) -> str:
    # Ansible's own: it hides what is secret of the arguments, from 2.22 on with the list of it, which the controller takes out.
    return json.dumps({**result, "invocation": {}, "_ansible_new_secrets": []})


def test_header_values_are_in_no_result(node: KubeletWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[t.Any] = []
    monkeypatch.setattr(_pod_url, "require_pods", lambda url, **options: asked.append((url, options["headers"])))
    headers = {"Authorization": TOKEN, "X-Two": ["one", TOKEN]}
    arguments = {
        "settings": {"staticPodURL": "http://127.0.0.1:1/pods"},
        "static_pod_url_headers": headers,
        "diff": True,
    }
    check = node.call(**arguments, check=True)
    result = node.call(**arguments)
    assert asked == [("http://127.0.0.1:1/pods", {"Authorization": [TOKEN], "X-Two": ["one", TOKEN]})] * 2
    assert node.read(CONFIG).count(TOKEN) == 2
    assert os.stat(node.path(CONFIG)).st_mode & 0o777 == 0o600
    for one in (check, result):
        assert "abc123" not in everything_shown(one)
        assert "hidden" in one["diff"][0]["after"]
        assert "abc123" not in json.dumps(one.get("invocation"))
    assert result["effective"]["staticPodURLHeader.Authorization"]["value"] == "hidden"
    # The old text has them as well.
    later = node.call(settings={"maxPods": 50}, diff=True)
    assert "abc123" not in everything_shown(later) and "hidden" in later["diff"][0]["before"]
    assert len(asked) == 2, "a URL that the kubelet has already is not asked again"
    for path in pathlib.Path(node.store_path).glob("*.json"):
        assert "abc123" not in path.read_text(), path


def test_header_values_are_in_no_failure(node: KubeletWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pod_url, "require_pods", lambda _url, **_options: None)
    node.refused["Authorization"] = f'I1125 12:00:00.0 1 kubelet.go:1] "Adding pod URL with HTTP header" {TOKEN}'
    result = node.call(
        settings={"staticPodURL": "http://127.0.0.1:1/pods"}, static_pod_url_headers={"Authorization": TOKEN}, diff=True
    )
    assert result["failed"] and result["journal"]
    assert "abc123" not in everything_shown(result)
    assert TOKEN not in node.read(CONFIG)
    assert not os.path.exists(os.path.join(node.store_path, "kubelet-change.json"))


def test_what_the_kubelet_logs_of_headers_is_not_quoted(node: KubeletWorld) -> None:
    """They are no argument of this task, so nothing else would hide them."""
    node.write(CONFIG, f"{node.read(CONFIG)}staticPodURLHeader:\n  Authorization: [{TOKEN}]\n")
    node.refused["maxPods: 51"] = f'E1125 12:00:00.0 1 kubelet.go:1] "Adding pod URL with HTTP header" {TOKEN}'
    result = node.call(settings={"maxPods": 51}, diff=True)
    assert result["failed"] and result["journal"]
    assert "abc123" not in json.dumps(result)


def test_a_url_that_does_not_answer_is_refused(node: KubeletWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    result = untouched(node, settings={"staticPodURL": "ftp://127.0.0.1/pods"})
    assert "staticPodURL: ftp://127.0.0.1/pods does not answer this node" in result["msg"]


# ---- a node that kubeadm has not initialized yet


def test_flags_before_the_configuration_is_there(node: KubeletWorld) -> None:
    """kubeadm writes it; until then the unit starts again and again, which is nobody's fault."""
    os.unlink(node.path(CONFIG))
    node.stop()
    result = node.call(flags={"node-ip": "10.0.0.1"}, restart="never")
    assert not result.get("failed") and told(node, result) == [f"changed ROOT/{RHEL}"]
    missing = "config.yaml: the kubelet's configuration is missing"
    assert missing in untouched(node, settings={"maxPods": 50}, restart="never")["msg"]
    assert missing in untouched(node, restart="always")["msg"]
    info = node.info()
    assert not info.get("failed") and missing in info["problems"][0] and not info["healthy"]


# ---- kubelet_info


def test_info_tells_of_it_and_leaves_no_trace(node: KubeletWorld) -> None:
    node.write(CONFIG, node.read(CONFIG) + "maxPods: 9\nstaticPodURLHeader: {A: [abc123]}\n")
    before = node.files()
    result = node.info()
    assert (result["healthy"], result["stale"], result["changed"]) == (True, True, False)
    assert CONFIG in result["stale_reasons"][0]
    assert result["settings"]["maxPods"]["value"] == 9
    assert result["unit"] == {
        "name": "kubelet.service",
        "state": "active, running",
        "enabled": "enabled",
        "needs_reload": False,
    }
    assert "abc123" not in json.dumps(result)
    assert node.files() == before and node.changing() == []
    assert not os.path.exists(node.store_path)


def test_info_of_a_kubelet_that_does_not_run(node: KubeletWorld) -> None:
    node.stop()
    result = node.info()
    assert not result.get("failed")
    assert result["sources"]["file"] == {"location": node.path(MANIFESTS), "answers": True, "trouble": ""}
    assert (result["healthy"], result["pid"], result["version"], result["stale"]) == (False, 0, "1.34.4", False)
    assert result["trouble"].startswith("the kubelet does not run (kubelet.service is inactive, dead)")
    assert "restart: always" not in result["trouble"]


def test_info_sees_that_systemd_has_to_read_a_unit_again(node: KubeletWorld) -> None:
    node.write(FRAGMENT, node.read(FRAGMENT) + "LimitNOFILE=9\n")
    result = node.info()
    assert result["unit"]["needs_reload"] and result["stale"]
    assert Store(node.store_path).kubelet == {}

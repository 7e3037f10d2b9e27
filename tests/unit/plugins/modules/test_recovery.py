# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the recovery service makes of a change of static pods that was cut off, and what the next run tells of it."""

from __future__ import annotations

import os
import pathlib
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _directory, _recover_pods
from ansible_collections.kubestatic.node.plugins.module_utils._manifest_dir import ManifestDir
from ansible_collections.kubestatic.node.plugins.module_utils._open_changes import OpenChanges, OpenPod
from ansible_collections.kubestatic.node.plugins.module_utils._rollout import Rollout
from ansible_collections.kubestatic.node.plugins.module_utils._store import Store
from ansible_collections.kubestatic.node.plugins.modules import static_pod
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.world import Image, World, call, manifest

ME = {"owner": str(os.geteuid()), "group": str(os.getegid())}
OLD, NEW, BAD = manifest(), manifest(image="good:2"), manifest(image="bad:1")
STOP, START = (f"systemctl {verb} --no-block kubestatic-recover-pods.timer" for verb in ("stop", "start"))


class CutOff(BaseException):
    """The end of a run that nothing may follow."""


class Node:
    def __init__(self, world: World) -> None:
        self.world = world
        self.store = Store(world.store_path)
        self.web = pathlib.Path(world.manifests, "web.yaml")

    def change(self, **options: t.Any) -> dict[str, t.Any]:
        return call(self.world, static_pod.main, **{"settle": 0, **ME, **options})

    def cut_off(self, text: str, *, when: str) -> None:
        """Have a run end before this step of its rollout, as by SIGKILL: what is open stays open."""
        with pytest.MonkeyPatch.context() as patch:

            def cut(*_args: t.Any, **_options: t.Any) -> t.NoReturn:
                raise CutOff

            patch.setattr(ManifestDir, "settle", lambda _self, _filename: "")
            patch.setattr(OpenChanges, "end", lambda _self, _directory, _keys: None)
            patch.setattr(*{"place": (ManifestDir, "place"), "proof": (Rollout, "_advance")}[when], cut)
            if when == "proof":
                patch.undo()
                patch.setattr(OpenChanges, "end", lambda _self, _directory, _keys: None)
                patch.setattr("ansible_collections.kubestatic.node.plugins.module_utils._proving.Arrival.wait", cut)
            with pytest.raises(CutOff):
                self.change(content=text, settle=2)
        self.world.settle(1.0)

    def recover(self) -> None:
        _recover_pods.main()

    @property
    def open(self) -> dict[str, list[OpenPod]]:
        return OpenChanges(self.store).directories()


@pytest.fixture(name="node")
def _node(tmp_path: pathlib.Path) -> t.Iterator[Node]:
    (tmp_path / "manifests").mkdir()
    with World(str(tmp_path / "manifests"), str(tmp_path / "store")).installed() as world:
        world.images["bad:1"] = Image(exits=3, log=("no such flag",))
        node = Node(world)
        assert not node.change(content=OLD).get("failed")
        assert node.open == {}
        world.recovery_commands.clear()
        yield node


def test_a_swap_is_finished_proven_and_told(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    node.cut_off(NEW, when="place")
    assert node.open == {node.world.manifests: [OpenPod("web", "default", 300, 2, True)]}
    assert not node.web.exists() and node.world.recovery_commands == [START]
    node.recover()
    assert node.web.read_text() == NEW
    assert node.world.pods() == {"web-node1": "good:2"}
    assert node.open == {} and node.world.recovery_commands == [START, START, STOP]
    put = f"{node.web}: put the new manifest in force, an earlier run was cut off"
    assert capsys.readouterr().out == f"{put}\npod default/web: runs from {node.web}\n"
    later = node.change(content=NEW)
    assert not later["changed"]
    assert [action.partition(" (")[0] for action in later["actions"]] == [put, f"pod default/web: runs from {node.web}"]
    assert node.change(content=NEW)["actions"] == []


def test_check_mode_tells_it_and_forgets_nothing(node: Node) -> None:
    node.cut_off(NEW, when="place")
    node.recover()
    told = node.change(content=NEW, check=True)["actions"]
    assert told and node.change(content=NEW)["actions"] == told


@pytest.mark.parametrize("when", ["place", "proof"])
def test_a_bad_pod_goes_back(node: Node, capsys: pytest.CaptureFixture[str], when: str) -> None:
    node.cut_off(BAD, when=when)
    node.recover()
    assert node.web.read_text() == OLD
    assert node.world.pods() == {"web-node1": "good:1"}
    said = capsys.readouterr().out
    assert "no such flag" in said and "is in force again and its pod runs" in said


def test_mode_and_owner_of_what_goes_back(node: Node) -> None:
    node.cut_off(BAD, when="proof")
    node.web.chmod(0o640)
    node.recover()
    assert node.web.stat().st_mode & 0o777 == 0o640


def test_before_the_kubelet_runs_manifests_alone_are_brought_into_place(node: Node) -> None:
    node.cut_off(NEW, when="place")
    node.world.kubelet_runs = False
    node.recover()
    assert node.web.read_text() == NEW
    assert node.open and node.world.recovery_commands == [START, START, START]
    node.world.run(["systemctl", "start", "kubelet.service"])
    node.world.settle(5.0)
    node.recover()
    assert node.open == {} and node.world.recovery_commands[-1] == STOP


def test_a_run_that_lives_is_left_alone(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    node.cut_off(NEW, when="place")
    with _directory.locked(node.world.manifests):
        node.recover()
    assert not node.web.exists() and node.open
    assert "left for later" in capsys.readouterr().out


@pytest.mark.parametrize("when", ["place", "proof"])
def test_what_somebody_has_written_meanwhile_is_left_as_it_is(
    node: Node, capsys: pytest.CaptureFixture[str], when: str
) -> None:
    node.cut_off(BAD, when=when)
    by_hand = manifest(image="bad:1", terminationGracePeriodSeconds=7)
    node.web.write_text(by_hand)
    node.recover()
    assert node.web.read_text() == by_hand and node.open == {}
    assert list(node.web.parent.iterdir()) == [node.web]
    assert "pod default/web" not in capsys.readouterr().out, "nor is it judged"


def test_rollback_false_stays_false(node: Node) -> None:
    node.cut_off(BAD, when="place")
    node.store.write("under-way.json", {node.world.manifests: [["web", "default", 300, 0, False]]})
    node.recover()
    assert node.web.read_text() == BAD and node.open == {}


def test_a_kubelet_that_was_held_down_is_started(node: Node) -> None:
    node.cut_off(NEW, when="place")
    node.store.kubelet_stopped_for = node.world.manifests
    node.world.kubelet_runs = False
    node.recover()
    assert node.world.kubelet_runs and node.world.pods() == {"web-node1": "good:2"}


def test_a_run_for_another_pod_leaves_the_proof_of_this_one_due(node: Node) -> None:
    node.cut_off(BAD, when="proof")
    assert not node.change(content=manifest("other")).get("failed")
    (due,) = node.open[node.world.manifests]
    assert due.name == "web" and node.world.recovery_commands[-1] == START
    node.recover()
    assert node.web.read_text() == OLD and node.open == {}
    assert set(node.world.pods()) == {"web-node1", "other-node1"}


def test_nothing_open_is_nothing_to_do(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    node.recover()
    assert capsys.readouterr().out == "" and node.world.recovery_commands == [STOP, STOP]


def test_a_directory_that_is_not_there_may_come_back_until_the_kubelet_runs(node: Node) -> None:
    node.store.write("under-way.json", {"/nowhere": []})
    node.world.kubelet_runs = False
    node.world.end_process()
    node.recover()
    assert node.open == {"/nowhere": []}
    node.world.run(["systemctl", "start", "kubelet.service"])
    node.recover()
    assert node.open == {}


@pytest.mark.parametrize("fails", [False, True])
def test_a_run_that_ends_leaves_nothing_open(node: Node, fails: bool) -> None:
    result = node.change(content=BAD if fails else NEW, settle=2)
    assert bool(result.get("failed")) is fails
    assert node.open == {} and node.world.recovery_commands == [START, STOP]


def test_a_kubelet_that_is_held_down_is_noted_though_no_manifest_changes(node: Node) -> None:
    """The manifest is gone already, and its pod is stopped through the runtime."""
    node.world.sources_ready = False
    node.world.arguments.append("--kubeconfig=/k")
    node.world.end_process()
    node.web.unlink()
    noted = []
    node.world.on_command = lambda command: noted.append(node.open) if command.startswith("systemctl stop") else None
    assert not node.change(name="web", state="absent").get("failed")
    assert noted == [{node.world.manifests: []}] and node.open == {}
    assert node.world.recovery_commands == [START, STOP]


def test_a_store_that_takes_no_note_refuses_the_change(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the note nobody would bring it to an end."""
    write = Store.write

    def full(store: Store, filename: str, data: dict[str, t.Any]) -> None:
        write(Store("/proc/none") if filename == "under-way.json" else store, filename, data)

    monkeypatch.setattr(Store, "write", full)
    result = node.change(content=NEW)
    assert result["failed"] and "cannot note" in result["msg"] and not result.get("changed")
    assert node.web.read_text() == OLD and list(node.web.parent.iterdir()) == [node.web]

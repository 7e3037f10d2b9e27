# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every side effect of a change of a kubelet's configuration made to fail, or the process killed there, in turn.

Each scenario is a call of the module kubelet_config on real files, with systemd and a kubelet in memory. It is run again
and again: with the first side effect hit, then the second, until a run meets no more of them. After each hit every file is
the old or the new one, whole, and the next run, whatever it wants, ends with all of the old or all of the new
configuration in force on a kubelet that is well.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import pathlib
import shutil
import typing as t

import pytest
from ansible_collections.kubestatic.node.tests.crash import hits
from ansible_collections.kubestatic.node.tests.crash.hits import ERRORS, KILLS, Run
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.kubelet_world import MANIFESTS, KubeletWorld
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.world import manifest

REFUSED = ("maxPods: 51", "refused=yes")
TOO_MUCH = "E1125 12:00:00.000000       1 run.go:72] maxPods is too much"
TWO_FILES: dict[str, t.Any] = {"settings": {"maxPods": 51}, "flags": {"node-labels": "a=b"}}
NEW_FILES: dict[str, t.Any] = {"settings": {"maxPods": 51}, "layer": "drop_in", "drop_in_file": "deep/50-site.conf"}
UNIT: dict[str, t.Any] = {"settings": {"maxPods": 51}, "flags": {"v": "4"}}
MOVE: dict[str, t.Any] = {"settings": {"staticPodPath": "ROOT/etc/kubelet.d"}, "move_manifests": True}
OTHER: dict[str, t.Any] = {"settings": {"cpuCFSQuota": False}, "layer": "file"}
QUICKLY = {"wait_timeout": 30, "settle": 2}
OTHER_LINE = "cpuCFSQuota: false\n"


@dataclasses.dataclass(frozen=True)
class Scenario:
    """``refused``: the kubelet does not start on the new configuration. ``known``: it is on record what it started with.

    ``bare``: its unit reads no environment file, so that flags go to a drop-in of the unit. ``pods``: static pods run.
    """

    arguments: dict[str, t.Any]
    refused: bool = False
    known: bool = True
    bare: bool = False
    pods: bool = False


SCENARIOS: dict[str, Scenario] = {
    "two files": Scenario(TWO_FILES),
    "two files, unknown": Scenario(TWO_FILES, known=False),
    "new files": Scenario(NEW_FILES),
    "unit": Scenario(UNIT, bare=True),
    "directory": Scenario({"settings": {"staticPodPath": f"ROOT/{MANIFESTS}/../kubelet.d"}}),
    "move": Scenario(MOVE, pods=True),
    "put back, move": Scenario({**MOVE, "flags": {"node-labels": "refused=yes"}}, refused=True, pods=True),
    "no restart": Scenario({**TWO_FILES, "restart": "never"}),
    "put back": Scenario(TWO_FILES, refused=True),
    "put back, unknown": Scenario(TWO_FILES, refused=True, known=False),
    "put back, new files": Scenario(NEW_FILES, refused=True),
    "put back, unit": Scenario(UNIT, refused=True, bare=True),
}


class Node:
    """A node that can be made anew for each run, and what its files say before and after the scenario's change."""

    def __init__(self, root: pathlib.Path, scenario: Scenario) -> None:
        self.root = root
        self.scenario = scenario
        self.watched = (str(root / "node"), str(root / "store"))
        self.world = KubeletWorld(root)

    def prepare(self) -> None:
        """See what the change makes of the files where nothing goes wrong."""
        self.renew()
        self.before = self.texts()
        self.world.refused.clear()
        assert not self.change().get("failed")
        self.after = self.texts()
        assert self.before != self.after

    def renew(self) -> None:
        """The node before the change."""
        for path in (self.root / "node", self.root / "store"):
            shutil.rmtree(path, ignore_errors=True)
        self.world.begin_anew()
        if self.scenario.bare:
            self.world.unit("/usr/bin/kubelet --config=ROOT/var/lib/kubelet/config.yaml")
            self.world.run(["systemctl", "daemon-reload"])
            self.world.run(["systemctl", "restart"])
            self.world.settle()
        for name in ("one", "two") if self.scenario.pods else ():
            self.world.write(f"{MANIFESTS}/{name}.yaml", manifest(name))
        if self.scenario.known:
            assert not self.world.call()["changed"]
        if self.scenario.refused:
            self.world.refused.update(dict.fromkeys(REFUSED, TOO_MUCH))

    def change(self) -> dict[str, t.Any]:
        arguments = json.loads(self.world.outside(json.dumps(self.scenario.arguments)))
        return self.world.call(**{**QUICKLY, **arguments})

    def texts(self) -> dict[str, str]:
        return {name: text for name, text in self.world.files().items() if text != "/"}

    def directories(self) -> set[str]:
        return {name for name, text in self.world.files().items() if text == "/"}


@pytest.fixture(params=list(SCENARIOS), name="node")
def _node(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> t.Iterator[Node]:
    node = Node(tmp_path, SCENARIOS[request.param])
    with node.world.installed():
        node.prepare()
        yield node


# ---- one run with one side effect hit


def killed(node: Node, *, at: int, how: str) -> Run:
    """Run the change in a child that is killed; what had become of its world is the state of ours then."""
    run = hits.killed(node, at=at, how=how, before_kill=node.world.save)
    if run.struck:
        node.world.load()
    return run


def runs(node: Node, run: t.Callable[[int], Run]) -> t.Iterator[Run]:
    return hits.hits(node, run, is_enough=lambda number, _hit: number > 2)


# ---- what must hold after a hit


def require_whole_files(node: Node, run: Run) -> None:
    """Nothing but what was or shall be there, every text whole, whatever was hit; a manifest on its way is in the store."""
    moving = (node.world.noted().get("moves") or {}).get("manifests", [])
    kept = {os.path.basename(filename): node.world.inside(text) for filename, text, *_rest in moving}
    for name, text in node.texts().items():
        filename = os.path.basename(name)
        if filename.startswith(".kubestatic."):
            assert kept[filename.split(".", 2)[2].rpartition(".")[0]].startswith(text), f"{run.struck}: {name}"
        elif not name.endswith(".kubestatic-new"):
            assert text in (node.before.get(name), node.after.get(name)), f"{run.struck}: {name} holds {text!r}"
    placed = {os.path.basename(name): text for name, text in node.texts().items()}
    for name, text in node.before.items():
        elsewhere = {**placed, **kept}.get(os.path.basename(name)) == text
        assert name in node.texts() or elsewhere, f"{run.struck}: {name} is missing"
    store = node.root / "store"
    for path in store.glob("*.json") if store.is_dir() else ():
        json.loads(path.read_text())


def require_one_configuration(node: Node, run: Run) -> None:
    """All of the old or all of the new one, and the kubelet runs on it."""
    assert node.texts() in (node.before, node.after), f"{run.struck}: half of it is in force"


def require_nothing_left(node: Node, struck: str) -> None:
    assert not [name for name in node.texts() if name.endswith(".kubestatic-new")], struck
    assert node.world.noted() == {}, struck


def require_same_change_succeeds(node: Node, run: Run) -> None:
    """The same change once more ends as it does where nothing goes wrong."""
    node.world.settle(1.0)
    result = node.change()
    if node.scenario.refused:
        assert result["failed"], run.struck
        assert "maxPods is too much" in result["msg"], f"{run.struck}: {result['msg']}"
        assert result["msg"].endswith("the old configuration is in force again and the kubelet is well on it")
        assert node.texts() == node.before, run.struck
    else:
        assert not result.get("failed"), f"after '{run.struck}' the next run fails: {result['msg']}"
        assert node.texts() == node.after, run.struck
    require_nothing_left(node, run.struck)
    if node.scenario.arguments.get("restart") != "never":
        assert node.world.is_well(), run.struck


def require_other_change_succeeds(node: Node, run: Run) -> None:
    """A run that wants something else ends well, on all of the old or all of the new configuration."""
    node.world.settle(1.0)
    result = node.world.call(**QUICKLY, **OTHER)
    assert not result.get("failed"), f"after '{run.struck}' the next run fails: {result['msg']}"
    texts = {name: text.replace(OTHER_LINE, "") for name, text in node.texts().items()}
    assert texts != node.texts(), f"{run.struck}: it has done nothing"
    assert texts == node.before or (texts == node.after and not node.scenario.refused), run.struck
    if texts == node.before and run.result is None:
        left = {name for name in node.directories() if "kubelet.service.d" in name or "config.conf.d" in name}
        assert not left, f"{run.struck}: {left} are left"
    assert node.world.is_well(), run.struck
    require_nothing_left(node, run.struck)


NEXT: dict[str, t.Callable[[Node, Run], None]] = {
    "the same": require_same_change_succeeds,
    "another": require_other_change_succeeds,
}
each_next = pytest.mark.parametrize("require_next", NEXT.values(), ids=NEXT.keys())


@each_next
@pytest.mark.parametrize("how", KILLS)
def test_a_run_that_is_killed(node: Node, how: str, require_next: t.Callable[[Node, Run], None]) -> None:
    for run in runs(node, lambda number: killed(node, at=number, how=how)):
        require_whole_files(node, run)
        require_next(node, run)


@each_next
def test_a_run_with_a_call_that_fails(node: Node, require_next: t.Callable[[Node, Run], None]) -> None:
    for run in runs(node, lambda number: hits.failing(node, at=number, how=ERRORS[number % len(ERRORS)])):
        assert not run.traceback, f"{run.struck}: {run.traceback}"
        assert run.result is not None
        require_whole_files(node, run)
        require_true_result(node, run, run.result)
        require_next(node, run)


def require_true_result(node: Node, run: Run, result: dict[str, t.Any]) -> None:
    """What the run says is how it is."""
    assert {"effective", "restarted", "restart_reason", "journal", "actions"} <= {*result}, run.struck
    if not result.get("failed"):
        assert node.texts() == node.after, f"{run.struck}: the run says that all is well"
        assert node.world.is_well() or node.scenario.arguments.get("restart") == "never", run.struck
        return
    message = result["msg"]
    assert message and "Traceback" not in message and "\n" not in message, f"{run.struck}: {message}"
    if "the next run tries it again" not in message:
        require_one_configuration(node, run)
    if "is well on it" in message:
        assert node.world.is_well(), f"{run.struck}: {message}"
    if node.texts() != node.before:
        assert result["changed"] and result["actions"], f"{run.struck}: {message}"


def test_without_a_hit_all_is_done(node: Node) -> None:
    """The scenarios are what they say, and the saboteur counts what they do."""
    node.renew()
    run = hits.failing(node, at=None, how=errno.EIO)
    assert run.result is not None, run.traceback
    assert bool(run.result.get("failed")) is node.scenario.refused, run.result
    assert node.texts() == (node.before if node.scenario.refused else node.after)
    assert any(".kubestatic-new" in effect for effect in run.seen)
    require_nothing_left(node, "")


def test_every_kind_of_side_effect_is_met(tmp_path: pathlib.Path) -> None:
    """Else a new way of writing would go by unseen."""
    seen: set[str] = set()
    for number, scenario in enumerate(SCENARIOS.values()):
        node = Node(tmp_path / str(number), scenario)
        with node.world.installed():
            node.renew()
            for effect in hits.failing(node, at=None, how=errno.EIO).seen:
                words = effect.split()
                seen.add(" ".join(words[1:3]) if words[0] == "run" else words[0])
    assert seen >= {"open", "write", "fsync", "rename", "unlink", "mkdir", "rmdir"}
    assert seen >= {"systemctl daemon-reload", "systemctl reset-failed", "systemctl restart"}

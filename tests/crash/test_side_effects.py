# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every side effect of a change made to fail, or the process killed there, in turn.

Each scenario is a call of the module static_pods on a real directory, with a kubelet and a runtime in memory. It is run
again and again: with the first side effect hit, then the second, until a run meets no more of them. After each hit the
directory must hold the old or the new manifest of each pod, whole, or the next run must put one of them in force.
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
from ansible_collections.kubestatic.node.plugins.module_utils import _directory, _reads, _recover_pods, _recovery_unit
from ansible_collections.kubestatic.node.plugins.module_utils._manifest_dir import ManifestDir
from ansible_collections.kubestatic.node.plugins.module_utils._open_changes import OpenChanges
from ansible_collections.kubestatic.node.plugins.module_utils._store import Store
from ansible_collections.kubestatic.node.plugins.modules import static_pods
from ansible_collections.kubestatic.node.tests.crash import hits
from ansible_collections.kubestatic.node.tests.crash.hits import ERRORS, KILLS, Run
from ansible_collections.kubestatic.node.tests.crash.saboteur import Saboteur
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.world import Image, World, call, manifest


@dataclasses.dataclass(frozen=True)
class Scenario:
    """``before`` and ``after``: file name -> text of what is in force. ``held_back``: a source has not answered.

    ``again``: the change has been made once already. ``renewed``: a file that the pods read has changed since then.
    ``bad``: no pod of the new manifest is proven, so the old one comes back.
    """

    before: dict[str, str]
    after: dict[str, str]
    arguments: dict[str, t.Any]
    held_back: bool = False
    again: bool = False
    bad: bool = False
    renewed: bool = False

    def allowed(self, filename: str) -> set[str | None]:
        """What may be in force under this name; None stands for no file."""
        bad = {entry.get("content") for entry in self.arguments["pods"]} if self.bad else set()
        return {self.before.get(filename), self.after.get(filename), *bad}


OLD, NEW, BAD = manifest(image="good:1"), manifest(image="good:2"), manifest(image="bad")
A, B, B2, C, D = (
    manifest("a"), manifest("b"), manifest("b", "good:2"), manifest("c"), manifest("d", "good:1")
)  # fmt: skip
WEB = {"web.yaml": OLD}

SCENARIOS: dict[str, Scenario] = {
    "place": Scenario({}, {"web.yaml": NEW}, {"pods": [{"content": NEW}]}),
    "swap": Scenario(WEB, {"web.yaml": NEW}, {"pods": [{"content": NEW}]}),
    "replace": Scenario(WEB, {"web.yaml": NEW}, {"pods": [{"content": NEW, "strategy": "replace"}]}),
    "swap, put back": Scenario(WEB, WEB, {"pods": [{"content": BAD}], "settle": 2}, bad=True),
    "replace, put back": Scenario(WEB, WEB, {"pods": [{"content": BAD, "strategy": "replace"}], "settle": 2}, bad=True),
    "rewrite": Scenario(WEB, {"web.yaml": "# hello\n" + OLD}, {"pods": [{"content": "# hello\n" + OLD}]}),
    "restart": Scenario(WEB, WEB, {"pods": [{"name": "web", "state": "restarted"}]}),
    "restart again": Scenario(WEB, WEB, {"pods": [{"name": "web", "state": "restarted"}]}, again=True),
    "a file changed": Scenario(WEB, WEB, {"pods": [{"content": OLD}]}, renewed=True),
    "a file and the text changed": Scenario(
        WEB, {"web.yaml": "# hello\n" + OLD}, {"pods": [{"content": "# hello\n" + OLD}]}, renewed=True
    ),
    "remove": Scenario(WEB, {}, {"pods": [{"name": "web", "state": "absent"}]}),
    "many": Scenario(
        {"b.yaml": B, "c.yaml": C, "d.yaml": D},
        {"a.yaml": A, "b.yaml": B2, "d.yaml": D},
        {"pods": [{"content": A}, {"content": B2, "depends_on": ["a"]}, {"content": D}], "prune": "all"},
    ),
    "held back": Scenario(WEB, {"web.yaml": NEW}, {"pods": [{"content": NEW}]}, held_back=True),
    "held back, removed": Scenario(WEB, {}, {"pods": [{"name": "web", "state": "absent"}]}, held_back=True),
}


class Node:
    """A directory of manifests, a store and a world around them that can be made anew for each run."""

    def __init__(self, root: pathlib.Path, scenario: Scenario) -> None:
        self.root = root
        self.scenario = scenario
        self.watched = (str(root),)
        self.manifests = root / "manifests"
        self.store = root / "store"
        self.read = root / "read"
        arguments = ["--kubeconfig=/k"] if scenario.held_back else []
        self.world = World(str(self.manifests), str(self.store), kubelet_arguments=arguments)

    def renew(self) -> None:
        """The state before the change, with all of its pods running."""
        for path in (self.manifests, self.store):
            shutil.rmtree(path, ignore_errors=True)
        self.manifests.mkdir(parents=True)
        for name, text in self.scenario.before.items():
            (self.manifests / name).write_text(text)
        self.world.begin_anew()
        # Its process must not be a child of a run that is killed.
        self.world.process()
        self.world.images["bad"] = Image(exits=3)
        # Long enough for a pod that nobody has proven to be a way back.
        self.world.settle(15.0)
        self.read.write_text("old")
        if self.scenario.renewed:
            call(
                self.world,
                static_pods.main,
                pods=[{"content": text} for text in self.scenario.before.values()],
                **self._common(),
            )
            self.read.write_text("new")
        if self.scenario.again:
            self.change()
        self.world.sources_ready = not self.scenario.held_back

    def change(self) -> dict[str, t.Any]:
        """Run the scenario's change, waiting no longer for the new pods than they need."""
        return call(self.world, static_pods.main, **{**self._common(), **self.scenario.arguments})

    def _common(self) -> dict[str, t.Any]:
        owner = {"owner": str(os.geteuid()), "group": str(os.getegid())}
        restart_on = [str(self.read)] if self.scenario.renewed else []
        return {"settle": 0, "wait_timeout": 60, "restart_on": restart_on, **owner}

    def visible(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in self.manifests.iterdir() if not path.name.startswith(".")}

    def dot_files(self) -> list[str]:
        return sorted(path.name for path in self.manifests.iterdir() if path.name.startswith("."))


@pytest.fixture(autouse=True)
def _short_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """To pack all rooms at each first change takes its time, and changes nothing that is looked at here."""
    monkeypatch.setattr(_recovery_unit, "_sources", list)


@pytest.fixture(params=list(SCENARIOS), name="node")
def _node(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> t.Iterator[Node]:
    node = Node(tmp_path, SCENARIOS[request.param])
    with node.world.installed():
        yield node


# ---- one run with one side effect hit


def killed(node: Node, *, at: int, how: str) -> Run:
    """Run the change in a child that is killed; what its commands did to its world is done to ours, too."""
    commands = node.root / "commands"
    commands.write_text("")
    done = os.open(commands, os.O_WRONLY | os.O_APPEND)
    try:
        run = hits.killed(node, at=at, how=how, done=lambda words: os.write(done, f"{words}\n".encode()))
    finally:
        os.close(done)
    for command in commands.read_text().splitlines():
        node.world.again(command)
    return run


def runs(node: Node, run: t.Callable[[int], Run]) -> t.Iterator[Run]:
    # A second restart writes nothing, so there is nothing that could be half written.
    return hits.hits(node, run, is_enough=lambda number, hit: number > 0 or (node.scenario.again and not hit.seen))


# ---- what must hold after a hit


def require_whole_manifests(node: Node, run: Run) -> None:
    """Nothing but what was or shall be there, every text whole, whatever was hit."""
    for name, text in node.visible().items():
        assert text in node.scenario.allowed(name), f"{run.struck}: {name} holds what was never wanted"
    for path in node.store.glob("*.json") if node.store.is_dir() else ():
        json.loads(path.read_text())


def require_something_in_force(node: Node, run: Run) -> None:
    """For each manifest that is there before and after, one of both is in force. A reader sees no other state."""
    visible = node.visible()
    for name in {*node.scenario.before, *node.scenario.after}:
        assert visible.get(name) in node.scenario.allowed(name), f"{run.struck}: neither old nor new {name} is in force"


def require_recoverable(node: Node, run: Run) -> None:
    """Whoever runs next, for whatever pod, puts the old or the new manifest in force."""
    copy = node.root / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(node.manifests, copy)
    ManifestDir(str(copy)).recover(check_mode=False)
    left = {path.name: path.read_text() for path in copy.iterdir()}
    for name in {*node.scenario.before, *node.scenario.after, *left}:
        assert left.get(name) in node.scenario.allowed(name), (
            f"{run.struck}: recovery leaves neither old nor new {name}"
        )


def require_next_run_succeeds(node: Node, run: Run) -> None:
    """The same change once more: the wanted state, no litter, and the kubelet is up."""
    node.world.settle(1.0)
    result = node.change()
    if result.get("failed") and node.scenario.held_back:
        # Old containers may stay until the source answers; a manifest is in force already, and the kubelet runs.
        require_something_in_force(node, run)
        assert node.world.kubelet_runs
        node.world.sources_ready = True
        node.world.settle(1.0)
        result = node.change()
    if node.scenario.bad:
        require_story_of_both(run, result)
    else:
        assert not result.get("failed"), f"after '{run.struck}' the next run fails: {result['msg']}"
    assert node.visible() == node.scenario.after, run.struck
    assert node.dot_files() == []
    placed = {entry.get("content") for entry in node.scenario.arguments["pods"]} & {*node.scenario.after.values()}
    names = {
        name for name, text in node.scenario.after.items() if text in placed and node.scenario.before.get(name) != text
    }
    assert Store(str(node.store)).placed(str(node.manifests)).keys() >= names
    if node.scenario.renewed:
        noted = Store(str(node.store)).reads(str(node.manifests))["default/web"]
        assert noted == _reads.digests([str(node.read)]), f"after '{run.struck}' the pod is not restarted"
    assert node.world.kubelet_runs
    assert not Store(str(node.store)).kubelet_stopped_for
    node.world.sources_ready = True
    node.world.settle(30.0)
    assert set(node.world.pods()) == {f"{name.partition('.')[0]}-node1" for name in node.scenario.after}
    with _directory.locked(str(node.manifests)):
        pass


def require_story_of_both(run: Run, result: dict[str, t.Any]) -> None:
    """Why the new manifest did not do, and that the old one is proven again."""
    assert result["failed"], run.struck
    assert "exit code 3" in result["msg"], f"{run.struck}: {result['msg']}"
    assert "is in force again and its pod runs" in result["msg"], f"{run.struck}: {result['msg']}"


@pytest.mark.parametrize("how", KILLS)
def test_a_run_that_is_killed(node: Node, how: str) -> None:
    for run in runs(node, lambda number: killed(node, at=number, how=how)):
        require_whole_manifests(node, run)
        require_recoverable(node, run)
        require_next_run_succeeds(node, run)


def require_brought_to_an_end(node: Node, run: Run) -> None:
    """Without another run: of each pod the old or the new one runs, and never one that could not be proven."""
    require_something_in_force(node, run)
    assert OpenChanges(Store(str(node.store))).directories() == {}, run.struck
    visible = node.visible()
    assert BAD not in visible.values(), run.struck
    assert node.world.kubelet_runs
    node.world.sources_ready = True
    node.world.settle(60.0)
    assert set(node.world.pods()) == {f"{name.partition('.')[0]}-node1" for name in visible}, run.struck


@pytest.mark.parametrize(
    "node", ["swap", "replace", "swap, put back", "restart", "remove", "many", "held back"], indirect=True
)
def test_a_killed_run_is_brought_to_an_end_without_another(node: Node) -> None:
    for run in runs(node, lambda number: killed(node, at=number, how=Saboteur.BEFORE)):
        node.world.settle(1.0)
        _recover_pods.main()
        require_brought_to_an_end(node, run)
        node.world.sources_ready = not node.scenario.held_back
        require_next_run_succeeds(node, run)


class CutOff(Node):
    """A swap that was cut off when the old pod was gone; the change is what the recovery makes of it."""

    _is_cut_off = False
    _cut_at = 0

    def renew(self) -> None:
        self._is_cut_off = False
        for number in range(self._cut_at, hits.MOST_SIDE_EFFECTS):
            super().renew()
            if killed(self, at=number, how=Saboteur.BEFORE).struck.endswith(".new web.yaml"):
                self._cut_at = number
                break
        self.world.settle(1.0)
        self._is_cut_off = True

    def change(self) -> dict[str, t.Any]:
        if not self._is_cut_off:
            return super().change()
        _recover_pods.main()
        return {}


@pytest.mark.parametrize("name", ["swap", "swap, put back"])
def test_a_recovery_that_is_killed_itself(tmp_path: pathlib.Path, name: str) -> None:
    node = CutOff(tmp_path, SCENARIOS[name])
    with node.world.installed():
        for run in runs(node, lambda number: killed(node, at=number, how=Saboteur.BEFORE)):
            node.world.settle(1.0)
            _recover_pods.main()
            require_brought_to_an_end(node, run)


def test_a_run_with_a_call_that_fails(node: Node) -> None:
    for run in runs(node, lambda number: hits.failing(node, at=number, how=ERRORS[number % len(ERRORS)])):
        assert not run.traceback, f"{run.struck}: {run.traceback}"
        assert run.result is not None
        require_whole_manifests(node, run)
        require_something_in_force(node, run)
        if run.result.get("failed"):
            message = run.result["msg"]
            assert message and "Traceback" not in message and "\n" not in message, f"{run.struck}: {message}"
            assert {"pods", "pruned", "actions"} <= {*run.result}, f"{run.struck}: keys are missing"
        else:
            assert node.visible() == node.scenario.after, f"{run.struck}: the run says that all is well"
        require_next_run_succeeds(node, run)


def test_without_a_hit_all_is_done(node: Node) -> None:
    """The scenarios are what they say, and the saboteur counts what they do."""
    node.renew()
    run = hits.failing(node, at=None, how=errno.EIO)
    assert run.result is not None, run.traceback
    if node.scenario.bad:
        require_story_of_both(run, run.result)
    else:
        assert not run.result.get("failed"), run.result
    assert node.visible() == node.scenario.after
    assert node.dot_files() == []
    assert any(effect.startswith("rename") for effect in run.seen)
    assert any(effect.startswith("fsync") for effect in run.seen)


def test_every_kind_of_side_effect_is_met(tmp_path: pathlib.Path) -> None:
    """Else a new way of writing would go by unseen."""
    seen: set[str] = set()
    for number, scenario in enumerate(SCENARIOS.values()):
        node = Node(tmp_path / str(number), scenario)
        with node.world.installed():
            node.renew()
            seen |= {effect.split()[0] for effect in hits.failing(node, at=None, how=errno.EIO).seen}
    assert seen >= {"open", "write", "fsync", "rename", "unlink", "mkdir", "run"}

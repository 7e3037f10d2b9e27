# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lives of a node by chance: changes of all kinds, many of them killed, kubelets restarted, manifests edited by hand.

After each step no pod is lost: its manifest is in force, or the next run puts one in force that somebody wanted. Each life
has a seed, which is the name of its test. KUBESTATIC_SEED=1000 tries others, from that number on.
"""

from __future__ import annotations

import os
import pathlib
import random
import shutil
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils._manifest_dir import ManifestDir
from ansible_collections.kubestatic.node.plugins.modules import static_pod
from ansible_collections.kubestatic.node.tests.crash import hits
from ansible_collections.kubestatic.node.tests.crash.hits import KILLS
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.world import Image, World, call, manifest

LIVES = 16
STEPS = 20
FIRST = int(os.environ.get("KUBESTATIC_SEED", "0"))

PODS = ("a", "b")
IMAGES = ("good:1", "good:2", "good:3", "bad", "never")
# More than a change has; a kill that comes too late is a run that comes to its end.
MOST_SIDE_EFFECTS = 40


class Life:
    """A node, what was wanted of it, and what was done to it."""

    def __init__(self, root: pathlib.Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.root = root
        self.manifests = root / "manifests"
        self.manifests.mkdir()
        self.watched = (str(root),)
        self.world = World(str(self.manifests), str(root / "store"))
        self.world.images.update(bad=Image(exits=3), never=Image(refused="E1125 12:00:00.0 1 x.go:1] no"))
        # Every manifest that somebody wanted.
        self.ever: set[str] = set()
        self.told: list[str] = []
        self._arguments: dict[str, t.Any] = {}

    # ---- what hits.killed runs

    def renew(self) -> None:
        raise NotImplementedError("a life has one beginning")

    def change(self) -> dict[str, t.Any]:
        owner = {"owner": str(os.geteuid()), "group": str(os.getegid()), "settle": 2, "wait_timeout": 40}
        return call(self.world, static_pod.main, **{**owner, **self._arguments})

    # ---- steps

    def step(self) -> None:
        before = self.recovered()
        deeds = [self.set_pod] * 6 + [self.restart_pod, self.remove_pod, self.go_back, self.edit, self.restart_kubelet]
        deed, name = self.chance.choice(deeds), self.chance.choice(PODS)
        deed(name)
        may_go = {name} if deed == self.remove_pod else set()
        self.require_no_pod_lost(before, may_go=may_go)
        if self.chance.random() < 0.5:
            self.world.settle(self.chance.choice((1.0, 20.0)))

    def set_pod(self, name: str) -> None:
        text = self.chance.choice(("", "# by chance\n")) + manifest(name, self.chance.choice(IMAGES))
        self.ever.add(text)
        options = {"strategy": self.chance.choice(("swap", "replace")), "rollback": self.chance.random() < 0.8}
        result = self.run(content=text, **options)
        if result and not result.get("failed"):
            assert self.texts()[name] == text, self.story()
            assert f"{name}-node1" in self.world.pods(), self.story()

    def restart_pod(self, name: str) -> None:
        self.run(name=name, state="restarted")

    def go_back(self, name: str) -> None:
        self.run(name=name, revision="previous")

    def remove_pod(self, name: str) -> None:
        result = self.run(name=name, state="absent")
        if result is not None:
            assert not result.get("failed"), f"{result}\n{self.story()}"
            assert name not in self.texts() and f"{name}-node1" not in self.world.pods(), self.story()

    def edit(self, name: str) -> None:
        if name not in self.texts():
            return
        text = "# by hand\n" + manifest(name, self.chance.choice(IMAGES))
        self.told.append(f"by hand: {text!r}")
        self.ever.add(text)
        path = self.manifests / f"{name}.yaml"
        temporary = self.root / "by-hand"
        temporary.write_text(text)
        temporary.rename(path)

    def restart_kubelet(self, _name: str) -> None:
        self.told.append("the kubelet is restarted")
        for verb in ("stop", "start"):
            self.world.run(["systemctl", verb, "kubelet.service"])

    def run(self, **arguments: t.Any) -> dict[str, t.Any] | None:
        """One call of the module; None where it was killed."""
        self._arguments = arguments
        if self.chance.random() < 0.5:
            self.told.append(f"{arguments}")
            return self.change()
        # What is started in the child goes with it.
        self.world.process()
        at, how = self.chance.randrange(MOST_SIDE_EFFECTS), self.chance.choice(KILLS)
        commands = self.root / "commands"
        with open(commands, "wb", buffering=0) as file:
            run = hits.killed(self, at=at, how=how, done=lambda words: file.write(f"{words}\n".encode()))
        for command in commands.read_text().splitlines():
            self.world.again(command)
        self.told.append(f"{arguments}, killed {how} {run.struck or 'too late'}")
        return None

    # ---- what is there

    def texts(self) -> dict[str, str]:
        """Pod -> what its manifest says."""
        return {path.stem: path.read_text() for path in self.manifests.glob("*.yaml")}

    def recovered(self) -> dict[str, str]:
        """The same, once the next run has finished or undone what was cut off."""
        copy = self.root / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.manifests, copy)
        ManifestDir(str(copy)).recover(check_mode=False)
        return {path.stem: path.read_text() for path in copy.iterdir()}

    def require_no_pod_lost(self, before: dict[str, str], *, may_go: set[str]) -> None:
        after = self.recovered()
        assert set(before) - set(after) <= may_go, self.story()
        assert set(after.values()) <= self.ever, self.story()

    def story(self) -> str:
        return "\n".join(self.told)

    def end(self) -> None:
        """Whatever has happened: a run that wants what can run ends well."""
        for name in PODS:
            self._arguments = {"content": manifest(name, "good:4")}
            result = self.change()
            assert not result.get("failed"), f"{result['msg']}\n{self.story()}"
        assert self.world.pods() == {f"{name}-node1": "good:4" for name in PODS}, self.story()
        assert not [path for path in self.manifests.iterdir() if path.name.startswith(".")], self.story()
        for name in PODS:
            self._arguments = {"content": manifest(name, "good:4")}
            assert not self.change()["changed"], self.story()


@pytest.mark.parametrize("seed", range(FIRST, FIRST + LIVES))
def test_a_life(seed: int, tmp_path: pathlib.Path) -> None:
    life = Life(tmp_path, seed)
    with life.world.installed():
        for _step in range(STEPS):
            life.step()
        life.end()

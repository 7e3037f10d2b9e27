# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kubelet in memory does what the real one does: each case of the table that tests/integration plays on real nodes."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils._runtime import Snapshot
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils import kubelet_cases
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.kubelet_cases import CASES
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.world import NODE, Image, World, manifest

IMAGES = {
    kubelet_cases.ONE: "good:1",
    kubelet_cases.TWO: "good:2",
    kubelet_cases.COMMENTED: "good:1",
    kubelet_cases.CRASHES: "crashes",
    kubelet_cases.REFUSED: "refused",
}


class NodeInMemory:
    """A World as the cases see it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._world.images.update(
            crashes=Image(exits=3, life=0.0), refused=Image(refused="E1125 12:00:00.0 1 x.go:1] no")
        )

    def full_name(self, pod: str) -> str:
        return f"{pod}-{NODE}"

    def now(self) -> float:
        return self._world.now

    def sleep(self, seconds: float) -> None:
        self._world.sleep(seconds)

    def look(self) -> Snapshot:
        runtime = self._world.node().runtime
        assert runtime is not None
        return runtime.snapshot()

    def put(self, filename: str, text: str) -> None:
        temporary = pathlib.Path(self._world.manifests, f".{filename}")
        temporary.write_text(text)
        temporary.rename(temporary.with_name(filename))

    def take(self, filename: str) -> None:
        pathlib.Path(self._world.manifests, filename).unlink()

    def kubelet(self, verb: str) -> None:
        self._world.run(["systemctl", verb, "kubelet.service"])

    def hold_back(self) -> None:
        self._world.sources_ready = False

    def text(self, pod: str, variant: str) -> str:
        if variant == kubelet_cases.BROKEN:
            return "kind: ["
        comment = "# a comment\n" if variant == kubelet_cases.COMMENTED else ""
        return comment + manifest(pod, IMAGES[variant])


@pytest.fixture(name="node")
def _node(tmp_path: pathlib.Path) -> t.Iterator[NodeInMemory]:
    (tmp_path / "manifests").mkdir()
    with World(str(tmp_path / "manifests"), str(tmp_path / "store")).installed() as world:
        yield NodeInMemory(world)


@pytest.mark.parametrize("name", CASES)
def test_the_kubelet_in_memory(name: str, node: NodeInMemory) -> None:
    kubelet_cases.play(node, name)

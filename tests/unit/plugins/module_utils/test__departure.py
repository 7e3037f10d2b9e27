# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An old pod on its way out: until when it is waited for, and what happens where it does not go."""

from __future__ import annotations

import os
import pathlib
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils._departure import Departure
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._manifest import parse
from ansible_collections.kubestatic.node.plugins.module_utils._watch import Watch, pause
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.world import Box, Ctr, Image, World, manifest

KEY = ("default", "web")


@pytest.fixture(name="world")
def _world(tmp_path: pathlib.Path) -> t.Iterator[World]:
    (tmp_path / "manifests").mkdir()
    with World(str(tmp_path / "manifests"), str(tmp_path / "store")).installed() as world:
        (tmp_path / "manifests" / "web.yaml").write_text(manifest())
        yield world.settle()


class Leaving:
    """The pod web, whose manifest has just been taken away."""

    def __init__(self, world: World, *, grace: int = 30, with_volumes: bool = False) -> None:
        self.world = world
        node = world.node()
        self.watch = Watch(node)
        self.watch.refresh()
        os.unlink(os.path.join(world.manifests, "web.yaml"))
        self.began = world.now
        volumes: dict[str, t.Any] = {"volumes": [{"name": "a", "emptyDir": {}}]} if with_volumes else {}
        old = parse(manifest(terminationGracePeriodSeconds=grace, **volumes))
        self.departure = Departure(node, self.watch, key=KEY, old=old)

    def pending(self) -> bool:
        return self.departure.pending

    def wait(self) -> float:
        """Wait until it is gone; the seconds that this took."""
        for wait in self.departure.wait():
            if not pause([wait]):
                self.watch.refresh()
        return self.world.now - self.began


def test_a_pod_is_gone_when_its_sandbox_is(world: World) -> None:
    world.images["good:1"] = Image(stop=3.0)
    leaving = Leaving(world)
    assert leaving.pending()
    seconds = leaving.wait()
    assert not leaving.pending()
    assert not leaving.departure.forced
    assert leaving.departure.stopped_at == pytest.approx(leaving.began + 3.0, abs=0.3)
    assert 3.0 < seconds < 4.7, "and a moment for what the kubelet does after that"


def test_nothing_to_wait_for(world: World) -> None:
    leaving = Leaving(world)
    leaving.wait()
    again = Departure(world.node(), leaving.watch, key=KEY, old=None)
    assert not again.pending
    assert again.stopped_at is None


@pytest.mark.parametrize("grace", [1, 30])
def test_a_pod_that_does_not_go_is_given_its_grace_period_and_some(world: World, grace: int) -> None:
    pathlib.Path(world.manifests, "web.yaml").write_text(manifest(terminationGracePeriodSeconds=grace))
    world.settle(20)
    world.images["good:1"] = Image(stop=1000.0)
    leaving = Leaving(world, grace=grace)
    with pytest.raises(KubestaticError, match=rf"^the kubelet did not stop pod web-node1 within {grace + 10} s$"):
        leaving.wait()
    assert grace + 9 < world.now - leaving.began < grace + 12


@pytest.mark.parametrize(
    "old", [None, manifest(terminationGracePeriodSeconds=5)], ids=["unknown", "shorter in the file"]
)
def test_the_grace_period_that_the_pod_started_with_counts(world: World, old: str | None) -> None:
    pathlib.Path(world.manifests, "web.yaml").write_text(manifest("web", "good:2", terminationGracePeriodSeconds=600))
    world.images["good:2"] = Image(stop=100.0)
    world.settle(60)
    leaving = Leaving(world)
    leaving.departure = Departure(world.node(), leaving.watch, key=KEY, old=parse(old) if old else None)
    assert 100 < leaving.wait() < 103


def test_a_pod_of_another_directory_is_neither_waited_for_nor_stopped(world: World, tmp_path: pathlib.Path) -> None:
    node = world.node()._replace(manifest_dir=str(tmp_path))
    watch = Watch(node)
    watch.refresh()
    departure = Departure(node, watch, key=KEY, old=parse(manifest()))
    assert not departure.pending
    assert list(departure.wait()) == []
    assert world.pods() == {"web-node1": "good:1"}


def test_a_sandbox_that_comes_up_late_is_waited_for_too(world: World) -> None:
    """A kubelet that had the manifest for a moment only is starting its pod while it is taken away again."""
    leaving = Leaving(world)
    waiting = leaving.departure.wait()
    while leaving.pending():
        next(waiting)
        world.sleep(0.1)
        leaving.watch.refresh()
    world.boxes.append(Box("late", ("default", "web-node1"), "u", world.now, world.epoch, "file"))
    world.boxes[-1].containers = [Ctr("late", "main", "good:1", world.now, world.now, state="running")]
    for wait in waiting:
        if not pause([wait]):
            leaving.watch.refresh()
    assert world.boxes == []


def test_a_round_that_took_long_does_not_count_as_a_pod_that_stays(world: World) -> None:
    """Other pods of the same call may hold up the round, and the snapshot is as old as that."""
    leaving = Leaving(world, grace=1)
    waiting = leaving.departure.wait()
    next(waiting)
    world.sleep(120)
    next(waiting)
    leaving.watch.refresh()
    leaving.wait()


def test_a_sandbox_that_does_not_go_is_told_apart(world: World) -> None:
    world.sandboxes_stay = True
    leaving = Leaving(world)
    world.log('E1123 23:00:00.000000 97 pod.go:1] "KillPodSandbox failed" err="no CNI" pod="default/web-node1"')
    with pytest.raises(KubestaticError) as failure:
        leaving.wait()
    assert str(failure.value) == (
        "the containers of pod web-node1 ended, but its sandbox does not go, as with a network plugin that fails: E1123"
        ' 23:00:00.000000 97 pod.go:1] "KillPodSandbox failed" err="no CNI" pod="default/web-node1"'
    )


@pytest.mark.parametrize(
    "complaint",
    [
        'status_manager.go:1257] "Failed to get status for pod" err="connection refused"',
        'pod_workers.go:1338] "Error syncing pod, skipping" err="failed to \\"StartContainer\\" with CrashLoopBackOff"',
    ],
)
def test_not_all_trouble_is_with_the_sandbox(tmp_path: pathlib.Path, complaint: str) -> None:
    """As of an API server that crashes: its kubelet has never reached one, and deletes nothing."""
    (tmp_path / "manifests").mkdir()
    world = World(str(tmp_path / "manifests"), str(tmp_path / "store"), kubelet_arguments=["--kubeconfig=/k"])
    with world.installed():
        (tmp_path / "manifests" / "web.yaml").write_text(manifest())
        world.settle()
        world.sources_ready = False
        for container in world.boxes[0].containers:
            container.state = "exited"
        leaving = Leaving(world)
        world.log(f'E1123 23:00:00.000000 97 {complaint} pod="default/web-node1"')
        leaving.wait()
        assert leaving.departure.forced
        assert [box.stopped is None for box in world.boxes] == [False]


def test_without_a_runtime_nothing_is_waited_for(world: World) -> None:
    node = world.node(runtime=False)
    departure = Departure(node, Watch(node), key=KEY, old=None)
    assert not departure.pending
    assert list(departure.wait()) == []

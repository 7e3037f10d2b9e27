# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An old pod on its way out: until when it is waited for, and what happens where it does not go."""

from __future__ import annotations

import os
import pathlib
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _departure
from ansible_collections.kubestatic.node.plugins.module_utils._departure import Departure, pod_cgroups
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._manifest import parse
from ansible_collections.kubestatic.node.plugins.module_utils._runtime import Sandbox
from ansible_collections.kubestatic.node.plugins.module_utils._watch import Watch
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
        for _round in self.departure.wait():
            self.world.sleep(0.1)
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
    assert 4.0 < seconds < 5.0, "and a moment for what the kubelet does after that"


def test_nothing_to_wait_for(world: World) -> None:
    leaving = Leaving(world)
    leaving.wait()
    again = Departure(world.node(), leaving.watch, key=KEY, old=None)
    assert not again.pending
    assert again.stopped_at is None


def test_the_pods_cgroup_must_be_gone_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the last thing that the kubelet takes away; a successor that comes before meets its back-off."""
    (uid,) = [box.uid for box in world.boxes]
    asked: list[set[str]] = []
    gone = world.now + 7

    def cgroups(sandboxes: t.Iterable[Sandbox]) -> list[str]:
        asked.append({sandbox.uid for sandbox in sandboxes})
        return ["/sys/fs/cgroup/kubepods/poduid"] if world.now < gone else []

    monkeypatch.setattr(_departure, "pod_cgroups", cgroups)
    leaving = Leaving(world)
    assert 7.1 < leaving.wait() < 7.6
    assert asked[-1] == {uid}


def test_volumes_take_a_moment_longer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = world.now + 7
    monkeypatch.setattr(_departure, "pod_cgroups", lambda _boxes: ["x"] if world.now < gone else [])
    leaving = Leaving(world, with_volumes=True)
    assert 7.5 < leaving.wait() < 8.0


def test_a_cgroup_that_stays_is_not_waited_for_without_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_departure, "pod_cgroups", lambda _boxes: ["x"])
    assert Leaving(world).wait() < 35


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
    for _round in waiting:
        world.sleep(0.1)
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


def test_without_a_runtime_nothing_is_waited_for(world: World) -> None:
    node = world.node(runtime=False)
    departure = Departure(node, Watch(node), key=KEY, old=None)
    assert not departure.pending
    assert list(departure.wait()) == []


# ---- cgroups of pods, by driver and version


def box(uid: str) -> Sandbox:
    return Sandbox("id", "web-node1", "default", uid, True, 0.0, "file")


UID = "2045ebf18527af32765d6800fa9679bd"
API_UID = "0a1b2c3d-0000-1111-2222-333344445555"


@pytest.mark.parametrize(
    ("uid", "path"),
    [
        (UID, f"kubepods/besteffort/pod{UID}"),
        (UID, f"kubepods/pod{UID}"),
        (UID, f"kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UID}.slice"),
        (UID, f"kubepods.slice/kubepods-pod{UID}.slice"),
        (UID, f"memory/kubepods/besteffort/pod{UID}"),
        (UID, f"memory/kubepods.slice/kubepods-pod{UID}.slice"),
        (API_UID, f"kubepods/burstable/pod{API_UID}"),
        (API_UID, f"kubepods.slice/kubepods-pod{API_UID.replace('-', '_')}.slice"),
    ],
)
def test_cgroups(tmp_path: pathlib.Path, uid: str, path: str) -> None:
    (tmp_path / path).mkdir(parents=True)
    roots = (str(tmp_path), f"{tmp_path}/*")
    assert set(pod_cgroups([box(uid)], roots=roots)) == {str(tmp_path / path)}
    assert pod_cgroups([box("0" + uid)], roots=roots) == []
    assert pod_cgroups([], roots=roots) == []

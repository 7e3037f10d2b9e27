# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When the kubelet is through with a stopped pod: never too soon for its successor, and hardly later than that."""

from __future__ import annotations

import datetime
import json
import pathlib
import statistics
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _kubelet_service, _teardown
from ansible_collections.kubestatic.node.plugins.module_utils._runtime import Sandbox
from ansible_collections.kubestatic.node.plugins.module_utils._teardown import Teardown, pod_cgroups
from ansible_collections.kubestatic.node.plugins.module_utils._watch import Pause, Watch, pause
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.world import World, manifest

KEY = ("default", "web-node1")
# When the manifest is taken away, in seconds after some tick of the housekeeping, so that every order of events comes up.
MOMENTS = [round(0.05 * number, 2) for number in range(80)]


@pytest.fixture(name="world")
def _world(tmp_path: pathlib.Path) -> t.Iterator[World]:
    (tmp_path / "manifests").mkdir()
    with World(str(tmp_path / "manifests"), str(tmp_path / "store")).installed() as world:
        yield world


def leave(world: World, after: float = 0.0, *, with_volumes: bool = False) -> float:
    """Take the manifest away and wait; returns the seconds since the kubelet was through, negative for too soon."""
    world.sleep(after)
    node = world.node()
    watch = Watch(node)
    watch.refresh()
    return gone_after(world, watch, Teardown(node, watch, watch.snapshot.sandboxes, with_volumes=with_volumes))


def gone_after(world: World, watch: Watch, teardown: Teardown) -> float:
    pathlib.Path(world.manifests, "web.yaml").unlink()
    while watch.snapshot.sandboxes:
        pause([Pause(until=None if teardown.look() else teardown.look)])
        watch.refresh()
    for wait in teardown.wait():
        if not pause([wait]):
            watch.refresh()
    return world.now - world.torn_at(KEY)


def anew(world: World, number: int = 0) -> World:
    """Have the pod run, as another one to the kubelet each time."""
    pathlib.Path(world.manifests, "web.yaml").write_text(manifest(terminationGracePeriodSeconds=30 + number))
    return world.settle(5)


def test_to_the_moment(world: World) -> None:
    late = [leave(anew(world, number), moment) for number, moment in enumerate(MOMENTS)]
    assert min(late) >= 0
    assert statistics.median(late) < 0.1
    # Where the worker and the housekeeping came by at the same time.
    assert sum(seconds > 0.1 for seconds in late) < 0.1 * len(late)


@pytest.mark.parametrize("with_volumes", [False, True])
def test_without_the_kubelets_log(world: World, with_volumes: bool) -> None:
    """The relist has certainly been when it is due, and the volumes are gone a little later."""
    world.main_loop_is_logged = False
    late = [leave(anew(world, number), moment, with_volumes=with_volumes) for number, moment in enumerate(MOMENTS)]
    assert 0 <= min(late) <= max(late) < (1.6 if with_volumes else 1.2)
    # Where the housekeeping came first, the worker is seen, too.
    assert min(late) < 0.05


@pytest.mark.parametrize("with_volumes", [False, True])
def test_a_cgroup_that_cannot_be_made(world: World, monkeypatch: pytest.MonkeyPatch, with_volumes: bool) -> None:
    monkeypatch.setattr(_teardown, "make", lambda _paths: None)
    world.main_loop_is_logged = False
    late = [leave(anew(world, number), moment, with_volumes=with_volumes) for number, moment in enumerate(MOMENTS)]
    assert 0 <= min(late) <= max(late) < (1.6 if with_volumes else 1.2)


def test_nothing_is_left_of_the_cgroup(world: World) -> None:
    world.main_loop_is_logged = False
    for number, moment in enumerate(MOMENTS):
        leave(anew(world, number), moment)
        assert world.cgroups() == set()


def test_a_kubelet_that_was_started_anew_ticks_otherwise(world: World) -> None:
    """Nothing is known of its ticks, so that the wait ends when its next relist has certainly been."""
    late = []
    for number, moment in enumerate(MOMENTS[::4]):
        anew(world, number).sleep(moment)
        watch = Watch(world.node())
        watch.refresh()
        teardown = Teardown(world.node(), watch, watch.snapshot.sandboxes, with_volumes=False)
        watch.kubelet_pid += 1
        late.append(gone_after(world, watch, teardown))
    assert statistics.median(late) > 0.3
    assert 0 <= min(late) <= max(late) < 1.3


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "no JSON",
        "{}",
        '{"MESSAGE": "Starting kubelet main sync loop", "__REALTIME_TIMESTAMP": "1", "__MONOTONIC_TIMESTAMP": "1"}',
    ],
)
def test_a_line_that_does_not_tell_when_it_was_written(entry: str) -> None:
    assert _kubelet_service._logged_at(entry) is None


@pytest.mark.parametrize(
    ("header", "late"), [("16:07:41.250000", 0.75), ("21:52:41.900000", 0.1), ("16:07:42.000000", 0.0)]
)
def test_a_line_tells_when_it_was_written_and_not_when_the_journal_got_it(header: str, late: float) -> None:
    """In whatever time zone."""
    received = datetime.datetime(2026, 11, 26, 16, 7, 42, tzinfo=datetime.timezone.utc).timestamp()
    entry = {
        "__REALTIME_TIMESTAMP": f"{received * 1e6:.0f}",
        "__MONOTONIC_TIMESTAMP": "5000000",
        "MESSAGE": f'I1126 {header}   11994 kubelet.go:2673] "Starting kubelet main sync loop"',
    }
    assert _kubelet_service._logged_at(json.dumps(entry)) == pytest.approx(5 - late)


def test_without_a_cgroup_to_be_seen(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_teardown, "pod_cgroups", lambda _boxes: [])
    assert 0 <= leave(anew(world)) < 1.3


def test_a_cgroup_that_stays_is_not_waited_for_without_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_teardown, "any_left", lambda _paths: True)
    assert 25 < leave(anew(world)) < 35


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

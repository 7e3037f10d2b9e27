# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rollouts from the first step to the proof, in a model of a node with a clock of its own and a real directory."""

from __future__ import annotations

import os
import pathlib
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _manifest, _manifest_dir, _plan
from ansible_collections.kubestatic.node.plugins.module_utils._manifest_dir import ManifestDir
from ansible_collections.kubestatic.node.plugins.module_utils._plan import Change, Wanted
from ansible_collections.kubestatic.node.plugins.module_utils._proving import Outcome
from ansible_collections.kubestatic.node.plugins.module_utils._revisions import Revisions
from ansible_collections.kubestatic.node.plugins.module_utils._rollout import Rollout
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.world import Image, World, manifest


@pytest.fixture(name="world")
def _world(tmp_path: pathlib.Path) -> t.Iterator[World]:
    (tmp_path / "manifests").mkdir()
    with World(str(tmp_path / "manifests"), str(tmp_path / "store")).installed() as world:
        yield world


def write(world: World, filename: str, text: str) -> None:
    pathlib.Path(world.manifests, filename).write_text(text)


def files(world: World) -> dict[str, str]:
    """All that lies in the directory, dot-files too."""
    return {name: pathlib.Path(world.manifests, name).read_text() for name in os.listdir(world.manifests)}


def wish(text: str | None = None, *, name: str = "web", **changes: t.Any) -> Wanted:
    pod = _manifest.parse(text) if text else None
    given: dict[str, t.Any] = {
        "key": pod.key if pod else ("default", name),
        "state": "present",
        "pod": pod,
        "filename": None,
        "strategy": "swap",
        "wait": True,
        "wait_timeout": 60,
        "settle": None,
        "validation": "strict",
        "depends_on": (),
        "label": "",
        "file_arguments": {},
        **changes,
    }
    return Wanted(**given)


def roll(world: World, *wishes: Wanted, runtime: bool = True) -> list[Outcome]:
    """Plan, write the new manifests as dot-files and carry the plan out, as _static_pods.apply does."""
    directory = ManifestDir(world.manifests)
    entries = _manifest_dir.read(world.manifests)
    changes = [_plan.plan(one, entries, node_name="node1", minor=34, placed={}) for one in wishes]
    node = world.node(runtime=runtime)
    revisions = Revisions(node)

    def write_new(change: Change) -> None:
        assert change.new
        directory.write_new(change.filename, change.new.text, finish_file=lambda _path, _final: None)

    for change in changes:
        if change.touches_directory and change.new:
            write_new(change)
        revisions.record(change)
    return Rollout(node, directory, revisions=revisions, write_new=write_new).run(changes)


def roll_one(world: World, one: Wanted, *, runtime: bool = True) -> Outcome:
    (outcome,) = roll(world, one, runtime=runtime)
    return outcome


OLD, NEW = manifest(image="good:1"), manifest(image="good:2")


def running(world: World, text: str = OLD, filename: str = "web.yaml") -> World:
    write(world, filename, text)
    return world.settle()


# ---- the good ways


def test_a_first_pod_is_placed_and_proven(world: World) -> None:
    began = world.now
    outcome = roll_one(world, wish(OLD))
    assert (outcome.done, outcome.changed, outcome.error, outcome.downtime) == (True, True, "", None)
    assert outcome.actions == [f"placed {world.manifests}/web.yaml"]
    assert files(world) == {"web.yaml": OLD}
    assert world.pods() == {"web-node1": "good:1"}
    assert world.now - began > 5, "without a readiness probe five seconds of running count as proven"


@pytest.mark.parametrize(("settle", "least", "most"), [(0, 0, 2), (20, 20, 22)])
def test_settle(world: World, settle: int, least: float, most: float) -> None:
    began = world.now
    assert roll_one(world, wish(OLD, settle=settle)).done
    assert least < world.now - began < most


def test_a_swap_avoids_the_kubelets_back_off(world: World) -> None:
    outcome = roll_one(running(world), wish(NEW))
    assert outcome.error == ""
    assert outcome.actions == [f"changed {world.manifests}/web.yaml"]
    assert files(world) == {"web.yaml": NEW}
    assert world.pods() == {"web-node1": "good:2"}
    assert outcome.downtime is not None
    assert 0.2 < outcome.downtime < 3


def test_a_rename_over_meets_the_back_off_and_is_proven_all_the_same(world: World) -> None:
    outcome = roll_one(running(world), wish(NEW, strategy="replace"))
    assert outcome.error == ""
    assert outcome.actions == [f"changed {world.manifests}/web.yaml by renaming the new manifest over the old one"]
    assert world.pods() == {"web-node1": "good:2"}
    assert files(world) == {"web.yaml": NEW}
    assert outcome.downtime is not None
    assert outcome.downtime > 10


def test_a_restart_gives_a_new_sandbox_with_the_same_text(world: World) -> None:
    running(world)
    (before,) = [box.id for box in world.boxes]
    outcome = roll_one(world, wish(state="restarted"))
    assert outcome.error == ""
    assert outcome.actions == [f"restarted the pod of {world.manifests}/web.yaml, whose manifest stays the same"]
    (after,) = [box.id for box in world.boxes]
    assert before != after
    assert files(world) == {"web.yaml": OLD}
    assert outcome.downtime is not None


def test_a_removal_waits_until_the_pod_is_gone(world: World) -> None:
    world.images["good:1"] = Image(stop=20.0)
    running(world)
    outcome = roll_one(world, wish(state="absent"))
    assert (outcome.error, outcome.changed) == ("", True)
    assert outcome.actions == [f"removed {world.manifests}/web.yaml and waited until its pod was gone"]
    assert files(world) == {}
    assert world.pods() == {}


def test_a_removal_is_forgotten_in_the_store(world: World) -> None:
    running(world)
    store = world.node().store
    store.remember_placed(world.manifests, {"web.yaml": "default/web"})
    assert roll_one(world, wish(state="absent")).done
    assert store.placed(world.manifests) == {}


def test_a_comment_restarts_nothing(world: World) -> None:
    running(world)
    (before,) = [box.id for box in world.boxes]
    text = "# hello\n" + OLD
    outcome = roll_one(world, wish(text))
    assert (outcome.error, outcome.changed) == ("", True)
    assert outcome.actions == [
        f"replaced the text of {world.manifests}/web.yaml: the same pod to the kubelet, no restart"
    ]
    assert files(world) == {"web.yaml": text}
    assert [box.id for box in world.boxes] == [before]


def test_nothing_to_do_is_quick(world: World) -> None:
    running(world, manifest(probe={"exec": {"command": ["true"]}}))
    began = world.now
    outcome = roll_one(world, wish(manifest(probe={"exec": {"command": ["true"]}})))
    assert (outcome.done, outcome.changed, outcome.actions, outcome.error) == (True, False, [], "")
    assert world.now - began < 0.3


def test_nothing_to_remove(world: World) -> None:
    outcome = roll_one(world, wish(state="absent"))
    assert (outcome.done, outcome.changed, outcome.actions) == (True, False, [])


def test_a_removal_that_was_cut_off_is_waited_for(world: World) -> None:
    world.images["good:1"] = Image(stop=5.0)
    running(world)
    os.unlink(os.path.join(world.manifests, "web.yaml"))
    outcome = roll_one(world, wish(state="absent"))
    assert (outcome.done, outcome.changed) == (True, True)
    assert outcome.actions == ["waited until the pod was gone; its manifest was gone before"]
    assert world.pods() == {}


def test_a_pod_whose_manifest_went_a_moment_ago_is_let_go_first(world: World) -> None:
    world.images["good:1"] = Image(stop=3.0)
    running(world)
    os.unlink(os.path.join(world.manifests, "web.yaml"))
    world.sleep(0.1)
    began = world.now
    outcome = roll_one(world, wish(NEW, settle=0))
    assert outcome.error == ""
    assert world.now - began < 8, "no back-off"
    assert world.pods() == {"web-node1": "good:2"}


def test_an_adopted_manifest_keeps_its_file_name(world: World) -> None:
    running(world, filename="10-web.manifest")
    assert roll_one(world, wish(NEW)).error == ""
    assert files(world) == {"10-web.manifest": NEW}


# ---- without waiting, without a runtime


def test_without_wait_a_first_pod_takes_no_time(world: World) -> None:
    began = world.now
    outcome = roll_one(world, wish(OLD, wait=False))
    assert (outcome.done, outcome.changed) == (True, True)
    assert world.now - began < 0.2
    assert files(world) == {"web.yaml": OLD}


def test_without_wait_a_swap_still_lets_the_old_pod_go(world: World) -> None:
    world.images["good:1"] = Image(stop=3.0)
    running(world)
    outcome = roll_one(world, wish(NEW, wait=False))
    assert outcome.error == ""
    world.settle(2.0)
    assert world.pods() == {"web-node1": "good:2"}, "a back-off would take longer"


def test_a_node_that_shows_nothing_gets_a_rename(world: World) -> None:
    running(world)
    outcome = roll_one(world, wish(NEW, wait=False, strategy="replace"), runtime=False)
    assert (outcome.done, outcome.changed, outcome.error) == (True, True, "")
    assert files(world) == {"web.yaml": NEW}
    assert not [command for command in world.commands if command.startswith("crictl")]


# ---- many pods


def texts(count: int, image: str = "good:1") -> dict[str, str]:
    return {f"pod{number}": manifest(f"pod{number}", image) for number in range(count)}


def test_pods_change_side_by_side(world: World) -> None:
    for name, text in texts(4).items():
        write(world, f"{name}.yaml", text)
    world.settle()
    began = world.now
    single = roll_one(world, wish(texts(1, "good:2")["pod0"]))
    alone, began = world.now - began, world.now
    outcomes = roll(world, *(wish(text) for text in texts(4, "good:3").values()))
    assert single.error == "" and [outcome.error for outcome in outcomes] == [""] * 4
    assert set(world.pods().values()) == {"good:3"}
    assert world.now - began <= 1.3 * alone


def test_ten_pods_cost_as_many_questions_as_one(world: World) -> None:
    for name, text in texts(10).items():
        write(world, f"{name}.yaml", text)
    world.settle(10)
    world.commands.clear()
    assert all(outcome.done for outcome in roll(world, *(wish(text) for text in texts(10).values())))
    assert world.commands == ["crictl pods -o json", "crictl ps -a -o json"]


def test_a_pod_waits_for_those_it_depends_on(world: World) -> None:
    world.images["slow:1"] = Image(start=8.0)
    first = wish(manifest("etcd", "slow:1"), settle=1)
    second = wish(manifest("api"), depends_on=(("default", "etcd"),), settle=0)
    outcomes = roll(world, second, first)
    assert [outcome.error for outcome in outcomes] == ["", ""]
    started = {box.key[1]: box.created for box in world.boxes}
    (etcd,) = [one for box in world.boxes for one in box.containers if one.image == "slow:1"]
    assert started["api-node1"] > etcd.started + 0.9


def test_what_depends_on_a_failure_is_not_touched(world: World) -> None:
    world.images["crash:1"] = Image(exits=1)
    running(world, manifest("api"), "api.yaml")
    needed = wish(manifest("etcd", "crash:1"))
    dependent = wish(manifest("api", "good:2"), depends_on=(("default", "etcd"),))
    last = wish(manifest("last"), depends_on=(("default", "api"),))
    free = wish(manifest("free"))
    outcomes = roll(world, needed, dependent, last, free)
    assert "exit code 1" in outcomes[0].error
    assert outcomes[1].error == "it depends on default/etcd, which failed; nothing was changed"
    assert outcomes[2].error == "it depends on default/api, which failed; nothing was changed"
    assert (outcomes[3].done, outcomes[3].error) == (True, "")
    assert [outcome.changed for outcome in outcomes] == [True, False, False, True]
    assert sorted(files(world)) == ["api.yaml", "etcd.yaml", "free.yaml"], (
        "no dot-file is left, and nothing new of the others"
    )
    assert files(world)["api.yaml"] == manifest("api")


# ---- the bad ways: each ends with a reason and says what is in force


def test_a_crash_loop_ends_early_with_the_last_lines(world: World) -> None:
    world.images["crash:1"] = Image(exits=3, log=("starting", "no such file: /etc/web.conf"))
    began = world.now
    outcome = roll_one(world, wish(manifest(image="crash:1"), wait_timeout=300))
    assert outcome.error == (
        "container main ended with exit code 3, 3 times in a row (Error); its last log lines: starting |"
        f" no such file: /etc/web.conf; in force now: the new manifest ({world.manifests}/web.yaml)"
    )
    assert world.now - began < 60
    assert outcome.changed and not outcome.done


def test_a_crash_loop_without_a_log(world: World) -> None:
    world.images["crash:1"] = Image(exits=3)
    assert "; it logged nothing; in force now" in roll_one(world, wish(manifest(image="crash:1"))).error


def test_a_pod_that_crash_looped_before_is_not_proven_by_keeping_it(world: World) -> None:
    world.images["crash:1"] = Image(exits=3)
    text = manifest(image="crash:1")
    running(world, text)
    world.settle(60)
    began = world.now
    outcome = roll_one(world, wish(text, wait_timeout=300))
    assert "ended with exit code 3" in outcome.error
    assert outcome.error.endswith(
        f"in force now: the manifest that was there ({world.manifests}/web.yaml); nothing was changed"
    )
    assert not outcome.changed
    assert world.now - began < 60


def test_a_container_that_may_end_with_success(world: World) -> None:
    world.images["job:1"] = Image(exits=0)
    outcome = roll_one(world, wish(manifest(image="job:1", restartPolicy="Never"), settle=0))
    assert outcome.error == ""


def test_a_container_that_must_not_restart_and_fails(world: World) -> None:
    world.images["job:1"] = Image(exits=7)
    outcome = roll_one(world, wish(manifest(image="job:1", restartPolicy="Never"), settle=10))
    assert "container main ended with exit code 7 (Error)" in outcome.error


def test_a_pod_that_never_comes(world: World) -> None:
    world.images["slow:1"] = Image(start=1000.0)
    began = world.now
    outcome = roll_one(world, wish(manifest(image="slow:1"), wait_timeout=30))
    assert outcome.error.startswith("not proven within 30 s: container main is not created yet")
    assert outcome.error.endswith(f"in force now: the new manifest ({world.manifests}/web.yaml)")
    assert 29 < world.now - began < 33


def test_the_kubelets_last_word_is_in_the_message(world: World) -> None:
    world.images["slow:1"] = Image(start=1000.0)
    world.log('E1123 21:00:00.000000 97 pod.go:1] "from before" pod="default/web-node1"')
    world.sleep(5)
    original = world.on_command

    def on_command(command: str) -> None:
        original(command)
        if command.startswith("journalctl") and len(world.journal) == 1:
            world.log('I1123 23:00:00.000000 97 pod.go:1] "chatter" pod="default/web-node1"')
            world.log('E1123 23:00:00.000000 97 pod.go:1] "Error syncing pod" err="no CNI" pod="default/web-node1"')

    world.on_command = on_command
    outcome = roll_one(world, wish(manifest(image="slow:1"), wait_timeout=10))
    assert (
        '; the kubelet\'s last word on it: E1123 23:00:00.000000 97 pod.go:1] "Error syncing pod" err="no CNI"'
        in outcome.error
    )


def test_a_refusal_by_the_kubelet_ends_the_wait(world: World) -> None:
    world.images["refused:1"] = Image(
        refused='I1123 97 allocation_manager.go:660] "Pod admission denied" pod="default/web-node1" reason="NodePorts"'
    )
    began = world.now
    outcome = roll_one(world, wish(manifest(image="refused:1"), wait_timeout=300))
    assert outcome.error.startswith("the kubelet refuses it: I1123 97 allocation_manager.go")
    assert world.now - began < 10


def test_a_probe_that_never_passes_is_named(world: World) -> None:
    text = manifest(probe={"httpGet": {"port": 1, "path": "/ready"}})
    outcome = roll_one(world, wish(text, wait_timeout=5))
    assert "not proven within 5 s: the readinessProbe of container main fails (httpGet :1/ready)" in outcome.error


@pytest.mark.parametrize("state", ["present", "absent", "restarted"])
def test_a_container_that_ignores_its_end_is_no_failure(world: World, state: str) -> None:
    world.images["good:1"] = Image(stop=30.5)
    running(world)
    outcome = roll_one(world, wish(NEW if state == "present" else None, state=state))
    assert outcome.error == ""


@pytest.mark.parametrize("state", ["present", "absent", "restarted"])
def test_a_pod_that_does_not_go_gets_its_manifest_back(world: World, state: str) -> None:
    world.images["good:1"] = Image(stop=10_000.0)
    running(world)
    began = world.now
    outcome = roll_one(world, wish(NEW if state == "present" else None, state=state))
    assert outcome.error.startswith("the kubelet did not stop pod web-node1 within 40 s")
    assert outcome.error.endswith(f"; the previous manifest {world.manifests}/web.yaml is in force again")
    assert files(world) == {"web.yaml": OLD}
    assert world.kubelet_stops == 0, "nothing is forced where all sources are ready"
    assert 39 < world.now - began < 43


def test_the_grace_period_of_the_old_pod_counts(world: World) -> None:
    world.images["good:1"] = Image(stop=100.0)
    running(world, manifest(terminationGracePeriodSeconds=120))
    assert roll_one(world, wish(NEW)).error == ""


# ---- a source that has not answered


@pytest.fixture(name="held_back")
def _held_back(tmp_path: pathlib.Path) -> t.Iterator[World]:
    """A kubelet with an API server that it has not reached yet: it deletes nothing."""
    (tmp_path / "manifests").mkdir()
    world = World(str(tmp_path / "manifests"), str(tmp_path / "store"), kubelet_arguments=["--kubeconfig=/k"])
    with world.installed():
        running(world)
        world.sources_ready = False
        yield world


@pytest.mark.parametrize("state", ["present", "absent", "restarted"])
def test_the_way_out_where_a_source_is_not_ready(held_back: World, state: str) -> None:
    world = held_back
    outcome = roll_one(world, wish(NEW if state == "present" else None, state=state))
    assert outcome.error == ""
    assert "the kubelet held back all deletions" in outcome.actions[0]
    assert world.kubelet_stops == 1
    assert world.kubelet_runs
    assert world.node().store.kubelet_stopped_for == ""
    assert (
        world.pods() == {"present": {"web-node1": "good:2"}, "absent": {}, "restarted": {"web-node1": "good:1"}}[state]
    )
    assert files(world) == {"present": {"web.yaml": NEW}, "absent": {}, "restarted": {"web.yaml": OLD}}[state]


def test_containers_are_stopped_with_their_own_grace_period(held_back: World) -> None:
    assert roll_one(held_back, wish(NEW)).error == ""
    assert next(one for one in held_back.commands if one.startswith("crictl stop ")).startswith(
        "crictl stop --timeout 30 "
    )


@pytest.mark.parametrize("command", ["crictl stop ", "crictl stopp "])
def test_a_forced_stop_that_fails_puts_all_back(held_back: World, command: str) -> None:
    world = held_back
    world.broken[command] = 'level=fatal msg="task is stuck"'
    outcome = roll_one(world, wish(NEW))
    assert "task is stuck" in outcome.error
    assert "is in force again" in outcome.error
    assert world.kubelet_runs
    assert files(world) == {"web.yaml": OLD}


def test_two_pods_that_are_held_back_share_the_node(held_back: World) -> None:
    """While one of them holds the kubelet down, the other one's wait must not fail for want of a kubelet."""
    world = held_back
    world.sources_ready = True
    write(world, "b.yaml", manifest("b"))
    world.settle()
    world.sources_ready = False
    outcomes = roll(world, wish(NEW), wish(manifest("b", "good:2")))
    assert [outcome.error for outcome in outcomes] == ["", ""]
    assert world.pods() == {"web-node1": "good:2", "b-node1": "good:2"}
    assert world.kubelet_runs
    assert world.node().store.kubelet_stopped_for == ""


# ---- services that fail meanwhile


def test_a_runtime_that_is_dead_from_the_start_touches_nothing(world: World) -> None:
    running(world)
    world.broken["crictl pods"] = 'level=fatal msg="connection refused"'
    outcome = roll_one(world, wish(NEW))
    assert "did not do 'crictl pods': connection refused" in outcome.error
    assert files(world)["web.yaml"] == OLD
    assert not outcome.changed
    assert list(files(world)) == ["web.yaml"], "the dot-file with the new manifest is tidied away"


def breaking(world: World, *, at: str, count: int, then: t.Callable[[], t.Any]) -> None:
    """Do something at the nth command that begins so."""
    seen = [0]

    def on_command(command: str) -> None:
        seen[0] += command.startswith(at)
        if command.startswith(at) and seen[0] == count:
            then()

    world.on_command = on_command


def test_a_runtime_that_hangs_for_a_moment_is_forgiven(world: World) -> None:
    running(world)
    breaking(world, at="crictl pods", count=3, then=lambda: world.broken.update({"crictl pods": "hangs"}))

    def heal() -> None:
        world.broken.clear()

    original = world.on_command
    rounds = [0]

    def on_command(command: str) -> None:
        original(command)
        rounds[0] += bool(world.broken)
        if rounds[0] == 20:
            heal()

    world.on_command = on_command
    assert roll_one(world, wish(NEW)).error == ""
    assert rounds[0] >= 20, "it did hang"
    assert world.pods() == {"web-node1": "good:2"}


def test_a_runtime_that_dies_for_good_puts_the_old_manifest_back(world: World) -> None:
    world.images["good:1"] = Image(stop=3.0)
    running(world)
    breaking(world, at="crictl pods", count=3, then=lambda: world.broken.update({"crictl": 'level=fatal msg="dead"'}))
    outcome = roll_one(world, wish(NEW))
    assert "dead" in outcome.error
    assert outcome.error.endswith(f"the previous manifest {world.manifests}/web.yaml is in force again")
    assert files(world) == {"web.yaml": OLD}


def test_a_kubelet_that_stops_meanwhile_is_told(world: World) -> None:
    world.images["slow:1"] = Image(start=1000.0)

    def stop() -> None:
        world.kubelet_runs = False

    breaking(world, at="crictl pods", count=5, then=stop)
    began = world.now
    outcome = roll_one(world, wish(manifest(image="slow:1"), wait_timeout=300))
    assert outcome.error.startswith(
        "the kubelet ended meanwhile: the kubelet does not run (kubelet.service is inactive, dead)"
    )
    assert outcome.error.endswith(f"in force now: the new manifest ({world.manifests}/web.yaml)")
    assert world.now - began < 40


def test_a_kubelet_that_systemd_restarts_is_forgiven(world: World) -> None:
    world.images["slow:1"] = Image(start=15.0)

    def stop() -> None:
        world.kubelet_runs = False

    breaking(world, at="crictl pods", count=5, then=stop)
    original = world.on_command
    asked = [0]

    def on_command(command: str) -> None:
        original(command)
        asked[0] += command.startswith("systemctl show")
        if asked[0] == 30:
            world.kubelet_runs = True

    world.on_command = on_command
    assert roll_one(world, wish(manifest(image="slow:1"), settle=0)).error == ""
    assert asked[0] >= 30


def test_a_kubelet_that_stops_during_a_swap_gets_the_old_manifest_back(world: World) -> None:
    world.images["good:1"] = Image(stop=10_000.0)

    def stop() -> None:
        world.kubelet_runs = False

    running(world)
    breaking(world, at="crictl pods", count=5, then=stop)
    outcome = roll_one(world, wish(NEW))
    assert "the kubelet ended meanwhile" in outcome.error
    assert outcome.error.endswith("is in force again")
    assert files(world) == {"web.yaml": OLD}

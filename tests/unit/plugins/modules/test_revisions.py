# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node keeps of its manifests, how a task goes back to one, and how a change that is not proven goes back by itself."""

from __future__ import annotations

import json
import os
import pathlib
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils._store import Store
from ansible_collections.kubestatic.node.plugins.modules import static_pod, static_pod_info, static_pods
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.world import Image, World, call, manifest

ONE, TWO, THREE = (manifest(image=f"good:{number}") for number in (1, 2, 3))
BAD = manifest(image="bad")
ME = {"owner": str(os.geteuid()), "group": str(os.getegid()), "settle": 5, "wait_timeout": 60}


@pytest.fixture(name="world")
def _world(tmp_path: pathlib.Path) -> t.Iterator[World]:
    (tmp_path / "manifests").mkdir()
    with World(str(tmp_path / "manifests"), str(tmp_path / "store")).installed() as world:
        world.images["bad"] = Image(exits=3, log=("no database",))
        yield world


def one(world: World, **arguments: t.Any) -> dict[str, t.Any]:
    return call(world, static_pod.main, **ME, **arguments)


def text(world: World, filename: str = "web.yaml") -> str:
    assert [path.name for path in pathlib.Path(world.manifests).iterdir() if path.name.startswith(".")] == []
    return pathlib.Path(world.manifests, filename).read_text()


def write(world: World, content: str, filename: str = "web.yaml") -> None:
    path = pathlib.Path(world.manifests, filename)
    path.write_text(content)
    path.chmod(0o600)
    world.settle(30)


def listed(world: World) -> list[tuple[int, str, bool, bool]]:
    """Number, reason, good and in_force of each revision."""
    found = call(world, static_pod_info.main)["revisions"]
    assert {(one["namespace"], one["name"]) for one in found} <= {("default", "web")}
    return [(one["number"], one["reason"], one["good"], one["in_force"]) for one in found]


# ---- what is kept


def test_each_manifest_is_a_revision(world: World) -> None:
    assert one(world, content=ONE)["revision"] == 1
    assert one(world, content=TWO)["revision"] == 2
    assert listed(world) == [(1, "placed", True, False), (2, "changed", True, True)]
    (kept,) = pathlib.Path(world.store_path, "revisions").iterdir()
    before = kept.stat().st_mtime_ns
    assert one(world, content=TWO)["revision"] == 2
    assert kept.stat().st_mtime_ns == before, "nothing to do writes nothing"
    assert kept.parent.stat().st_mode & 0o777 == 0o700


def test_the_first_one_of_somebody_else_is_kept(world: World) -> None:
    write(world, ONE)
    assert not one(world, content=ONE)["changed"]
    assert listed(world) == [(1, "found", True, True)]


def test_a_strangers_manifest_that_is_changed_is_a_way_back(world: World) -> None:
    write(world, ONE)
    one(world, content=TWO)
    assert listed(world) == [(1, "found", True, False), (2, "changed", True, True)]


def test_a_strangers_manifest_that_does_not_run_is_no_way_back(world: World) -> None:
    write(world, BAD)
    one(world, content=TWO)
    assert listed(world) == [(1, "found", False, False), (2, "changed", True, True)]


def test_what_somebody_edits_by_hand_is_kept_and_named(world: World) -> None:
    one(world, content=ONE)
    write(world, TWO)
    told = f"{world.manifests}/web.yaml was edited by hand since revision 1; that text is revision 2"
    assert one(world, content=ONE, check=True)["actions"][0] == told
    result = one(world, content=ONE)
    assert (result["actions"][0], result["revision"]) == (told, 3)
    assert listed(world) == [(2, "edited", True, False), (3, "changed", True, True)], "a text is kept once"


def test_what_is_removed_is_kept(world: World) -> None:
    write(world, ONE)
    assert one(world, name="web", state="absent")["revision"] is None
    assert listed(world) == [(1, "found", False, False)]


def test_as_many_are_kept_as_asked_for_and_the_last_good_one(world: World) -> None:
    one(world, content=ONE)
    for number in range(2, 6):
        one(
            world, content=manifest(image="bad", terminationGracePeriodSeconds=number), rollback=False, keep_revisions=2
        )
    assert listed(world) == [(1, "placed", True, False), (4, "changed", False, False), (5, "changed", False, True)]


def test_at_least_one_is_kept(world: World) -> None:
    result = one(world, content=ONE, keep_revisions=0)
    assert result["failed"] and "at least one revision is kept" in result["msg"]


def test_the_cause_is_named(world: World) -> None:
    one(world, content=ONE, template="web.yaml.j2")
    (revision,) = call(world, static_pod_info.main)["revisions"]
    assert revision["cause"] == "template web.yaml.j2"


def test_a_full_store_ends_a_change_before_it_begins(world: World) -> None:
    one(world, content=ONE)
    (kept,) = pathlib.Path(world.store_path, "revisions").iterdir()
    pathlib.Path(f"{kept}.new").mkdir()
    assert not one(world, content=ONE).get("failed"), "nothing to do needs no store"
    result = one(world, content=TWO)
    assert result["failed"] and not result.get("changed") and "cannot note" in result["msg"]
    assert text(world) == ONE and world.pods() == {"web-node1": "good:1"}


def test_each_tells_its_difference_to_the_one_before(world: World) -> None:
    for content in (ONE, TWO, "# a comment\n" + TWO):
        one(world, content=content)
    fields = [revision["fields"] for revision in call(world, static_pod_info.main)["revisions"]]
    assert fields == [[], [{"path": "spec.containers[main].image", "before": "good:1", "after": "good:2"}], []]


def test_the_text_in_force_is_kept_whatever_is_asked_for(world: World) -> None:
    write(world, ONE)
    result = one(world, content=BAD, keep_revisions=1)
    assert "revision 1, the last one that was proven, is in force again" in result["msg"]
    assert text(world) == ONE


def test_of_another_directory_nothing_is_kept(world: World, tmp_path: pathlib.Path) -> None:
    one(world, content=ONE)
    (tmp_path / "other").mkdir()
    for content in (TWO, BAD, TWO):
        assert one(world, content=content, manifest_dir=str(tmp_path / "other"), wait=False)["revision"] is None
    assert listed(world) == [(1, "placed", True, True)]


def test_names_may_be_long(world: World) -> None:
    name, namespace = "n" * 240, "s" * 63
    assert one(world, content=manifest(name, namespace=namespace), filename="long.yaml")["revision"] == 1


# ---- a task goes back


def test_back_to_the_previous_one_and_no_further(world: World) -> None:
    for content in (ONE, TWO, THREE):
        one(world, content=content)
    would = one(world, name="web", revision="previous", check=True)
    assert would["actions"] == [f"would change {world.manifests}/web.yaml by swap and wait for the new pod"]
    result = one(world, name="web", revision="previous")
    assert (result["changed"], result["revision"], text(world)) == (True, 4, TWO)
    assert not one(world, name="web", revision="previous")["changed"]
    assert listed(world) == [(1, "placed", True, False), (3, "changed", True, False), (4, "chosen", True, True)]


def test_back_to_a_number(world: World) -> None:
    for content in (ONE, TWO, THREE):
        one(world, content=content)
    assert one(world, name="web", revision="1")["revision"] == 4
    assert text(world) == ONE and world.pods() == {"web-node1": "good:1"}


def test_what_was_removed_comes_back(world: World) -> None:
    one(world, content=ONE)
    one(world, name="web", state="absent")
    assert one(world, name="web", revision="1")["changed"]
    assert world.pods() == {"web-node1": "good:1"}


def test_what_was_chosen_and_is_not_proven_is_tried_again(world: World) -> None:
    for content in (ONE, TWO, THREE):
        one(world, content=content)
    world.images["good:2"] = Image(exits=3)
    for _turn in range(2):
        result = one(world, name="web", revision="previous")
        assert result["failed"] and "revision 3, the last one that was proven, is in force again" in result["msg"]
        assert text(world) == THREE


def test_previous_is_what_ran_and_not_what_was_tried(world: World) -> None:
    for content in (ONE, BAD, TWO):
        one(world, content=content)
    assert one(world, name="web", revision="previous")["changed"]
    assert text(world) == ONE


def test_previous_to_what_somebody_edited(world: World) -> None:
    one(world, content=ONE)
    one(world, content=TWO)
    write(world, THREE)
    one(world, name="web", revision="previous")
    assert text(world) == TWO


def test_previous_of_what_was_removed_is_what_it_was(world: World) -> None:
    for arguments in ({"content": ONE}, {"content": TWO}, {"name": "web", "state": "absent"}):
        one(world, **arguments)
    assert one(world, name="web", revision="previous")["changed"]
    assert text(world) == TWO
    assert not one(world, name="web", revision="previous")["changed"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "web", "revision": ""}, "revision: expected previous or a number, found ''"),
        (
            {"name": "web", "revision": "7"},
            "revision: there is no revision 7 of pod default/web on this node, which keeps 1;",
        ),
        ({"name": "web", "revision": "previous"}, "revision: there is no previous revision of pod default/web"),
        (
            {"name": "other", "revision": "1"},
            "revision: there is no revision 1 of pod default/other on this node, which keeps none;",
        ),
        ({"revision": "1"}, "name is needed for revision"),
        (
            {"name": "web", "revision": "1", "content": ONE},
            "exactly one of content, definition, src, template, revision is needed",
        ),
        ({"name": "web", "revision": "1", "state": "absent"}, "state: absent takes name and namespace, not revision"),
    ],
)
def test_a_revision_that_is_not_there(world: World, arguments: dict[str, t.Any], message: str) -> None:
    one(world, content=ONE)
    result = one(world, **arguments)
    assert result["failed"] and result["msg"].startswith(message), result["msg"]
    assert text(world) == ONE


# ---- a change goes back by itself


@pytest.mark.parametrize("strategy", ["swap", "replace"])
def test_what_is_not_proven_is_put_back(world: World, strategy: str) -> None:
    one(world, content=ONE)
    result = one(world, content=BAD, strategy=strategy)
    assert result["failed"] and result["changed"] and result["revision"] == 1
    assert result["msg"] == (
        "pod default/web: container main ended with exit code 3, 3 times in a row (Error); its last log lines: no database;"
        " revision 1, the last one that was proven, is in force again and its pod runs"
    )
    assert result["actions"][-1] == f"put revision 1 back into {world.manifests}/web.yaml"
    assert result["downtime_seconds"] > 5, "from the end of the first pod on"
    assert text(world) == ONE and world.pods() == {"web-node1": "good:1"}
    assert listed(world) == [(1, "placed", True, True), (2, "changed", False, False)]
    assert not one(world, content=ONE)["changed"]


def test_what_the_kubelet_refuses_is_put_back(world: World) -> None:
    one(world, content=ONE)
    path = f"{world.manifests}/web.yaml"
    world.images["bad"] = Image(
        refused=f'E1125 12:00:00.0 1 file.go:1] "Could not process manifest file" err="no" path="{path}"'
    )
    result = one(world, content=BAD)
    assert result["failed"] and "is in force again and its pod runs" in result["msg"]
    assert text(world) == ONE and world.pods() == {"web-node1": "good:1"}


def test_it_stays_where_it_is_to_be_looked_at(world: World) -> None:
    one(world, content=ONE)
    result = one(world, content=BAD, rollback=False)
    assert result["msg"].endswith(f"in force now: the new manifest ({world.manifests}/web.yaml), as rollback is false")
    assert text(world) == BAD


def test_a_first_manifest_has_no_way_back(world: World) -> None:
    result = one(world, content=BAD)
    assert result["msg"].endswith(f"in force now: the new manifest ({world.manifests}/web.yaml)")
    assert text(world) == BAD


@pytest.mark.parametrize("anew", [BAD, TWO])
def test_a_pod_that_comes_anew_does_not_go_back_to_what_was_removed(world: World, anew: str) -> None:
    one(world, content=ONE)
    one(world, content=TWO)
    one(world, name="web", state="absent")
    world.images["good:2"] = Image(exits=3)
    assert one(world, content=anew, wait=False)["changed"]
    result = one(world, content=anew)
    assert result["failed"] and "in force now: the manifest that was there" in result["msg"], result["msg"]
    assert text(world) == anew


def test_the_last_good_one_is_older_than_the_old_one(world: World) -> None:
    one(world, content=ONE)
    one(world, content=BAD, rollback=False)
    result = one(world, content=manifest(image="bad", terminationGracePeriodSeconds=7))
    assert "revision 1, the last one that was proven, is in force again and its pod runs" in result["msg"]
    assert text(world) == ONE


def test_both_fail(world: World) -> None:
    one(world, content=ONE)
    world.images["good:1"] = Image(exits=4)
    result = one(world, content=BAD)
    assert "exit code 3" in result["msg"] and "exit code 4" in result["msg"], result["msg"]
    assert "revision 1, the last one that was proven, is in force again, but not proven either" in result["msg"]
    assert text(world) == ONE


def test_a_run_that_was_cut_off_before_the_proof_is_made_up_for(world: World) -> None:
    one(world, content=ONE)
    one(world, content=BAD, wait=False)
    assert text(world) == BAD
    result = one(world, content=BAD)
    assert result["failed"] and "revision 1, the last one that was proven, is in force again" in result["msg"]
    assert result["changed"] and result["revision"] == 1
    assert text(world) == ONE and world.pods() == {"web-node1": "good:1"}


def test_what_ran_before_is_not_to_blame(world: World) -> None:
    one(world, content=ONE)
    one(world, content=TWO)
    world.images["good:2"] = Image(exits=3)
    one(world, name="web", state="restarted")
    result = one(world, content=TWO)
    assert result["failed"] and (
        f"in force now: the manifest that was there ({world.manifests}/web.yaml)" in result["msg"]
    )
    assert text(world) == TWO


def test_a_kubelet_that_goes_away_is_no_reason(world: World) -> None:
    one(world, content=ONE)

    def stop(command: str) -> None:
        if command.startswith("crictl pods") and text_or_none(world) == TWO:
            world.kubelet_runs = False

    world.images["good:2"] = Image(start=30)
    world.on_command = stop
    result = one(world, content=TWO)
    assert (
        result["failed"]
        and "the kubelet ended meanwhile" in result["msg"]
        and "in force now: the new manifest" in result["msg"]
    )
    assert text(world) == TWO


def text_or_none(world: World) -> str | None:
    path = pathlib.Path(world.manifests, "web.yaml")
    return path.read_text() if path.exists() else None


@pytest.mark.parametrize("error", [-3600.0, 3600.0])
@pytest.mark.parametrize("strategy", ["swap", "replace"])
def test_a_clock_that_is_set_meanwhile(world: World, strategy: str, error: float) -> None:
    """Nothing that is good fails for it, and nothing that crashes is proven."""
    one(world, content=ONE)

    def jump(command: str) -> None:
        if command.startswith("crictl ps") and text_or_none(world) in (TWO, BAD):
            world.clock_error = error

    world.on_command = jump
    assert not one(world, content=TWO, strategy=strategy)["failed"]
    world.clock_error = 0.0
    result = one(world, content=BAD, strategy=strategy)
    assert result["failed"] and "is in force again and its pod runs" in result["msg"], result
    assert text(world) == TWO


def test_an_etcd_of_a_newer_minor_stays(world: World) -> None:
    world.images["registry.k8s.io/etcd:3.6.4-0"] = Image(exits=3)
    one(world, content=manifest(image="registry.k8s.io/etcd:3.5.21-0"))
    result = one(world, content=manifest(image="registry.k8s.io/etcd:3.6.4-0"))
    assert (
        "revision 1 was not put back: registry.k8s.io/etcd:3.6.4-0 may have migrated the data of etcd, on which registry.k8s.io/etcd:3.5.21-0 does"
        in result["msg"]
    )
    assert "3.6.4" in text(world)


def test_an_etcd_of_the_same_minor_goes_back(world: World) -> None:
    world.images["registry.k8s.io/etcd:3.6.4-0"] = Image(exits=3)
    one(world, content=manifest(image="registry.k8s.io/etcd:3.6.1-0"))
    assert (
        "is in force again and its pod runs"
        in one(world, content=manifest(image="registry.k8s.io/etcd:3.6.4-0"))["msg"]
    )


def edited_when(world: World, beginning: str, content: str) -> None:
    """Have somebody edit the manifest once it begins so."""

    def edit(command: str) -> None:
        path = pathlib.Path(world.manifests, "web.yaml")
        if command.startswith("crictl pods") and path.exists() and path.read_text().startswith(beginning):
            path.write_text(content)

    world.on_command = edit


def test_what_somebody_edits_while_it_is_proven_is_left(world: World) -> None:
    one(world, content=ONE)
    edited_when(world, BAD, THREE)
    result = one(world, content=BAD)
    assert result["failed"] and f"somebody has edited {world.manifests}/web.yaml by hand meanwhile" in result["msg"]
    assert text(world) == THREE


@pytest.mark.parametrize(
    "arguments", [{"content": TWO}, {"content": TWO, "strategy": "replace"}, {"name": "web", "state": "absent"}]
)
def test_what_somebody_edits_before_it_begins_is_left(world: World, arguments: dict[str, t.Any]) -> None:
    one(world, content=ONE)
    edited_when(world, ONE, THREE)
    result = one(world, **arguments)
    assert result["failed"] and "by hand since this run has read it; run again" in result["msg"], result["msg"]
    assert text(world) == THREE and not result["changed"]


@pytest.mark.parametrize(
    "arguments",
    [{"content": TWO}, {"name": "web", "state": "restarted"}, {"content": BAD}],
    ids=["swap", "restart", "back"],
)
def test_what_somebody_places_while_the_pod_stops_is_left(world: World, arguments: dict[str, t.Any]) -> None:
    one(world, content=ONE)
    path = pathlib.Path(world.manifests, "web.yaml")
    last = BAD if arguments.get("content") == BAD else ONE

    def place(command: str) -> None:
        taken = pathlib.Path(world.manifests, ".kubestatic.web.yaml.old")
        if command.startswith("crictl pods") and taken.exists() and taken.read_text() == last and not path.exists():
            path.write_text(THREE)

    world.on_command = place
    result = one(world, **arguments)
    assert result["failed"] and f"somebody has put another manifest at {path} meanwhile" in result["msg"], result["msg"]
    assert text(world) == THREE
    assert ONE in {revision.text for revision in Store(world.store_path).revisions(("default", "web"))}


def test_what_is_not_ready_is_no_way_back(world: World) -> None:
    """It runs, and it was never proven."""
    one(world, content=ONE)
    probe = {"tcpSocket": {"port": 9}}
    one(world, content=manifest(image="good:2", probe=probe), rollback=False)
    result = one(world, content=BAD)
    assert "revision 1, the last one that was proven, is in force again and its pod runs" in result["msg"]
    assert text(world) == ONE


@pytest.mark.parametrize("arguments", [{"name": "web", "state": "restarted"}, {"content": TWO}])
def test_what_somebody_else_brought_is_not_reverted(world: World, arguments: dict[str, t.Any]) -> None:
    one(world, content=ONE)
    write(world, TWO)
    world.images["good:2"] = Image(exits=3)
    for box in world.boxes:
        box.stopped = world.now
    world.settle(2)
    result = one(world, **arguments)
    assert result["failed"] and "revision" not in result["msg"], result["msg"]
    assert text(world) == TWO


def test_a_kubelet_that_goes_away_while_it_goes_back(world: World) -> None:
    one(world, content=ONE)
    world.images["good:1"] = Image(start=30)

    def stop(_command: str) -> None:
        if any(box.uid for box in world.boxes if one_of(box, "good:1")):
            world.kubelet_runs = False

    def one_of(box: t.Any, image: str) -> bool:
        return any(container.image == image and container.created > began for container in box.containers)

    began = world.now
    world.on_command = stop
    result = one(world, content=BAD)
    assert "exit code 3" in result["msg"] and "the kubelet ended meanwhile" in result["msg"]
    assert result["msg"].endswith(f"in force now: revision 1 ({world.manifests}/web.yaml)")
    assert text(world) == ONE and result["revision"] == 1


def test_pods_that_depend_on_one_that_went_back_are_not_touched(world: World) -> None:
    """And those beside it are changed all the same."""
    pods = [{"content": manifest(name)} for name in ("a", "b", "c")]
    call(world, static_pods.main, **ME, pods=pods)
    changed: list[dict[str, t.Any]] = [
        {"content": manifest("a", "bad")},
        {"content": manifest("b", "good:2"), "depends_on": ["a"]},
        {"content": manifest("c", "good:2")},
    ]
    result = call(world, static_pods.main, **ME, pods=changed)
    assert [one["failed"] for one in result["pods"]] == [True, True, False]
    assert world.pods() == {"a-node1": "good:1", "b-node1": "good:1", "c-node1": "good:2"}


def test_a_torn_file_of_revisions_counts_as_none(world: World) -> None:
    one(world, content=ONE)
    (path,) = pathlib.Path(world.store_path, "revisions").iterdir()
    path.write_text(json.dumps({"revisions": [[1, 2.0], "x"]}))
    assert listed(world) == []
    assert not one(world, content=ONE)["changed"]
    assert listed(world) == [(1, "found", True, True)]

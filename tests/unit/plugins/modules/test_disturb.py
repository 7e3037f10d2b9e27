# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""static_pods that is to disturb nothing: it proves what stays, and leaves alone what does not."""

from __future__ import annotations

import os
import pathlib
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils._store import Store
from ansible_collections.kubestatic.node.plugins.modules import static_pods
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.world import Image, World, call, manifest

ME = {"owner": str(os.geteuid()), "group": str(os.getegid()), "settle": 0, "wait_timeout": 60}
OLD, NEW, OTHER = manifest(image="good:1"), manifest(image="good:2"), manifest("other")
DUE = {"changed": False, "due": True, "pods": [], "pruned": [], "actions": []}


def many(world: World, *contents: str, **arguments: t.Any) -> dict[str, t.Any]:
    pods = [{"content": content} for content in contents]
    return call(world, static_pods.main, **{**ME, "pods": pods, **arguments})


def node(world: World) -> tuple[t.Any, ...]:
    """All that a run might change on the node."""
    files = {
        str(path): path.read_bytes()
        for directory in (world.manifests, world.store_path)
        for path in pathlib.Path(directory).rglob("*")
        if path.is_file()
    }
    return files, [box.id for box in world.boxes], world.kubelet_runs


def left(world: World, *contents: str, **arguments: t.Any) -> dict[str, t.Any]:
    """The result of a call that finds something to do and does nothing of it."""
    before = node(world)
    result = many(world, *contents, disturb=False, **arguments)
    assert node(world) == before
    return {key: result[key] for key in DUE}


def test_what_stays_is_proven(world: World) -> None:
    many(world, OLD, OTHER)
    result = many(world, OLD, OTHER, disturb=False)
    assert (result["changed"], result["due"]) == (False, False)
    assert [pod["pod"]["phase"] for pod in result["pods"]] == ["Running", "Running"]


def test_what_stays_and_does_not_run_is_an_error(world: World) -> None:
    many(world, OLD)
    world.images["good:1"] = Image(exits=3, log=("no database",))
    [container] = world.boxes[0].containers
    container.due = world.now
    world.settle(5)
    result = many(world, OLD, disturb=False, settle=5)
    assert result["failed"] and "no database" in result["msg"]
    assert not result["changed"]


@pytest.mark.parametrize(
    "pods",
    [
        pytest.param([{"content": NEW}], id="another pod"),
        pytest.param([{"content": f"# better\n{OLD}"}], id="another text"),
        pytest.param([{"content": OLD}, {"content": OTHER}], id="one more"),
        pytest.param([{"name": "web", "state": "restarted"}], id="restart"),
        pytest.param([{"name": "web", "state": "absent"}], id="removal"),
        pytest.param([{"name": "other", "state": "absent"}], id="a pod that is gone, whose containers may not be"),
    ],
)
def test_what_does_not_stay_is_left_alone(world: World, pods: list[dict[str, t.Any]]) -> None:
    many(world, OLD)
    assert left(world, pods=pods) == DUE
    assert left(world, pods=pods, check=True) == DUE
    assert not many(world, pods=pods).get("failed")


def test_what_prune_would_take_is_left_alone(world: World) -> None:
    many(world, OLD, OTHER)
    assert left(world, OLD, prune="managed") == DUE


def test_a_restart_for_files_is_left_alone(world: World, tmp_path: pathlib.Path) -> None:
    read = tmp_path / "allowed"
    read.write_text("a")
    many(world, OLD, restart_on=[str(read)])
    assert not many(world, OLD, restart_on=[str(read)], disturb=False)["due"]
    read.write_text("b")
    assert left(world, OLD, restart_on=[str(read)]) == DUE


def test_a_manifest_that_may_go_back_is_left_alone(world: World) -> None:
    """It is in force and was not proven; where it does not run, the last one that was is put back."""
    many(world, OLD)
    many(world, NEW, wait=False)
    assert left(world, NEW) == DUE
    assert not many(world, NEW, wait=False, disturb=False)["due"], "nothing is proven, so nothing goes back"
    many(world, NEW)
    assert not many(world, NEW, disturb=False)["due"]


def test_what_a_killed_run_left_is_left_alone(world: World) -> None:
    many(world, OLD)
    web = pathlib.Path(world.manifests, "web.yaml")
    web.rename(web.with_name(".kubestatic.web.yaml.old"))
    assert left(world, OLD) == DUE


def test_a_kubelet_that_a_killed_run_left_stopped_is_left_alone(world: World) -> None:
    many(world, OLD)
    Store(world.store_path).kubelet_stopped_for = world.manifests
    world.kubelet_runs = False
    assert left(world, OLD) == DUE


def test_bad_input_is_refused_all_the_same(world: World) -> None:
    result = many(world, "kind: Pod\napiVersion: v1\nmetadata: {name: web}\nspec: {}\n", disturb=False)
    assert result["failed"] and not result["due"]

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""static_pod_info tells what is there and changes nothing."""

from __future__ import annotations

import os
import pathlib
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _directory
from ansible_collections.kubestatic.node.plugins.modules import static_pod, static_pod_info
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.world import Image, World, call, manifest

OLD = manifest()


def info(world: World, **arguments: t.Any) -> dict[str, t.Any]:
    return call(world, static_pod_info.main, **arguments)


def verdicts(result: dict[str, t.Any]) -> dict[str, str]:
    return {entry["filename"]: entry["verdict"] for entry in result["entries"]}


def write(world: World, **files: str) -> None:
    for name, text in files.items():
        pathlib.Path(world.manifests, name).write_text(text)
    world.settle()


def test_an_empty_node(world: World) -> None:
    result = info(world)
    assert not result["changed"]
    assert result["kubelet"] == {"version": "1.34.4", "node_name": "node1"}
    assert (result["manifest_dir"], result["entries"], result["pods"]) == (world.manifests, [], [])


def test_entries_and_pods(world: World) -> None:
    world.images["slow:1"] = Image(start=1000.0)
    write(world, a=manifest("a"), b="kind: [", c=manifest("c", "slow:1"), d=manifest("a"), e=manifest("e", bogus=1))
    os.mkdir(os.path.join(world.manifests, "f"))
    result = info(world)
    assert verdicts(result) == {
        "a": "shadowed",
        "b": "refused",
        "c": "pending",
        "d": "runs",
        "e": "runs",
        "f": "ignored",
    }
    entries = {entry["filename"]: entry for entry in result["entries"]}
    assert entries["e"]["remarks"][0].startswith("spec.bogus: ")
    assert (entries["b"]["name"], entries["d"]["name"], entries["d"]["namespace"]) == ("", "a", "default")
    assert entries["a"]["path"] == f"{world.manifests}/a"
    assert [pod["name"] for pod in result["pods"]] == ["a-node1", "c-node1", "e-node1"]
    assert result["pods"][0]["containers"][0]["image"] == "good:1"


def test_what_this_collection_placed_is_managed(world: World) -> None:
    me = {"owner": str(os.geteuid()), "group": str(os.getegid())}
    call(world, static_pod.main, content=OLD, settle=0, **me)
    write(world, other=manifest("other"))
    assert {entry["filename"]: entry["managed"] for entry in info(world)["entries"]} == {
        "other": False,
        "web.yaml": True,
    }


def test_a_pod_whose_manifest_is_gone_is_still_listed(world: World) -> None:
    world.images["good:1"] = Image(stop=100.0)
    write(world, web=OLD)
    os.unlink(os.path.join(world.manifests, "web"))
    result = info(world)
    assert (result["entries"], [pod["name"] for pod in result["pods"]]) == ([], ["web-node1"])


def test_without_crictl_nothing_runs_for_certain(world: World) -> None:
    write(world, web=OLD)
    world.crictl = ""
    result = info(world)
    assert verdicts(result) == {"web": "pending"}
    assert result["pods"] == []


@pytest.mark.parametrize("check", [True, False])
def test_it_leaves_no_trace_and_needs_no_lock(world: World, check: bool) -> None:
    write(world, web=OLD)
    pathlib.Path(world.manifests, ".kubestatic.x.old").write_text(OLD)
    before = sorted(os.listdir(world.manifests))
    with _directory.locked(world.manifests):
        assert not info(world, check=check).get("failed")
    assert sorted(os.listdir(world.manifests)) == before
    assert not os.path.exists(world.store_path)


def test_it_never_starts_or_stops_a_service(world: World) -> None:
    write(world, web=OLD)
    info(world)
    assert {command.split()[0] + " " + command.split()[1] for command in world.commands if not command.startswith("/proc")} == {
        "systemctl show", "crictl pods", "crictl ps"
    }  # fmt: skip


def test_another_directory(world: World, tmp_path: pathlib.Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a").write_text(OLD)
    result = info(world, manifest_dir=f"{tmp_path}/other/")
    assert (result["manifest_dir"], verdicts(result)) == (f"{tmp_path}/other", {"a": "pending"})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda world: world.broken.update({"crictl": 'level=fatal msg="refused"'}),
            "did not do 'crictl pods': refused",
        ),
        (lambda world: setattr(world, "kubelet_runs", False), "the kubelet does not run"),
        (lambda world: os.rmdir(world.manifests), "the manifest directory does not exist"),
    ],
)
def test_failures(world: World, spoil: t.Callable[[World], t.Any], message: str) -> None:
    spoil(world)
    result = info(world)
    assert result["failed"] and message in result["msg"]
    assert {"kubelet", "manifest_dir", "entries", "pods"} <= set(result)

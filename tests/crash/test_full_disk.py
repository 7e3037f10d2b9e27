# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk that is really full and a file system that is really read-only, by a small tmpfs."""

from __future__ import annotations

import os
import pathlib
import subprocess
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.modules import static_pods
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.world import Image, World, call, manifest

OLD, NEW = manifest(image="good:1"), manifest(image="good:2")
# A text that needs a page of its own, however the last one is filled.
LONG = NEW + "# " + "x" * 65536 + "\n"


class Disk:
    """A file system of 256 KiB."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path

    def fill(self) -> None:
        with (self.path / ".filling").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError:
                pass

    def free(self) -> None:
        (self.path / ".filling").unlink()

    def remount(self, mode: str) -> None:
        mount("-o", f"remount,{mode}", str(self.path))

    def files(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in self.path.iterdir() if path.name != ".filling"}


def mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], check=False, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        pytest.skip(f"this user cannot mount a tmpfs here, so no disk can be filled: {done.stderr.strip()}")


@pytest.fixture(params=["manifests", "store"], name="place")
def _place(request: pytest.FixtureRequest) -> str:
    return t.cast("str", request.param)


@pytest.fixture(name="disk")
def _disk(tmp_path: pathlib.Path, place: str) -> t.Iterator[Disk]:
    path = tmp_path / place
    path.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a tmpfs, and without one no disk can be filled")
    mount("-t", "tmpfs", "-o", "size=256k,mode=0700", "tmpfs", str(path))
    yield Disk(path)
    subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.fixture(name="world")
def _world(disk: Disk, tmp_path: pathlib.Path) -> t.Iterator[World]:
    """A node on which the old pod runs, placed by this collection."""
    (tmp_path / "manifests").mkdir(exist_ok=True)
    with World(str(tmp_path / "manifests"), str(tmp_path / "store")).installed() as world:
        assert not change(world, OLD).get("failed")
        yield world


def change(world: World, text: str, **options: t.Any) -> dict[str, t.Any]:
    return call(world, static_pods.main, settle=0, wait_timeout=30, pods=[{"content": text, **options}])


def state(world: World) -> tuple[dict[str, int], dict[str, str]]:
    """Name -> inode of all in the directory, and what runs."""
    return {
        entry.name: entry.inode() for entry in os.scandir(world.manifests) if entry.name != ".filling"
    }, world.pods()


def boxes(world: World) -> list[str]:
    return [box.id for box in world.boxes]


only_manifests = pytest.mark.parametrize("place", ["manifests"], indirect=True)
only_store = pytest.mark.parametrize("place", ["store"], indirect=True)


@only_manifests
@pytest.mark.parametrize("strategy", ["swap", "replace"])
def test_a_full_disk_refuses_before_anything_is_touched(world: World, disk: Disk, strategy: str) -> None:
    before, box = state(world), boxes(world)
    disk.fill()
    result = change(world, LONG, strategy=strategy)
    assert result["failed"]
    assert result["msg"] == (
        f"{world.manifests}/web.yaml: cannot write the new manifest: No space left on device; nothing was changed"
    )
    assert (state(world), boxes(world)) == (before, box)
    assert disk.files() == {"web.yaml": OLD}
    disk.free()
    assert not change(world, LONG).get("failed")
    assert disk.files() == {"web.yaml": LONG}


@only_manifests
def test_the_second_of_two_manifests_that_does_not_fit_refuses_both(world: World, disk: Disk) -> None:
    before = state(world)
    pods = [{"content": NEW}, {"content": manifest("b") + "# " + "x" * 300_000}]
    result = call(world, static_pods.main, settle=0, pods=pods)
    assert "/b.yaml: cannot write the new manifest: No space left on device; nothing was changed" in result["msg"]
    assert state(world) == before


@only_manifests
@pytest.mark.parametrize(
    "options",
    [
        {"content": NEW},
        {"content": "# hello\n" + OLD},
        {"name": "web", "state": "restarted"},
        {"name": "web", "state": "absent"},
    ],
    ids=["changed", "rewritten", "restarted", "absent"],
)
def test_a_read_only_file_system_changes_nothing(world: World, disk: Disk, options: dict[str, t.Any]) -> None:
    before, box = state(world), boxes(world)
    disk.remount("ro")
    result = call(world, static_pods.main, settle=0, pods=[options])
    assert result["failed"]
    assert "Read-only file system" in result["msg"]
    assert world.manifests in result["msg"]
    assert (state(world), boxes(world)) == (before, box)
    disk.remount("rw")
    assert not call(world, static_pods.main, settle=0, pods=[options]).get("failed")


@only_manifests
def test_nothing_to_do_works_on_a_read_only_file_system(world: World, disk: Disk) -> None:
    disk.remount("ro")
    result = change(world, OLD)
    assert not result.get("failed")
    assert not result["changed"]


@only_manifests
def test_a_leftover_on_a_read_only_file_system_is_no_traceback(world: World, disk: Disk) -> None:
    (disk.path / ".kubestatic.web.yaml.new").write_text("left")
    disk.remount("ro")
    result = change(world, NEW)
    assert "Read-only file system" in result["msg"]
    assert "\n" not in result["msg"]


@only_manifests
@pytest.mark.parametrize("state_wanted", ["present", "restarted", "absent"])
def test_a_file_system_that_turns_read_only_while_the_old_pod_stops(
    world: World, disk: Disk, state_wanted: str
) -> None:
    """Nothing can be put back then. The error says so, and the next run mends it."""
    world.images["good:1"] = Image(stop=5.0)
    options = {"content": NEW} if state_wanted == "present" else {"name": "web", "state": state_wanted}
    rounds = [0]

    def on_command(command: str) -> None:
        rounds[0] += command.startswith("crictl ps")
        if rounds[0] == 12:
            disk.remount("ro")

    world.on_command = on_command
    result = call(world, static_pods.main, settle=0, pods=[options])
    world.on_command = lambda _command: None
    assert rounds[0] >= 12
    assert result["failed"]
    assert "Read-only file system" in result["msg"]
    assert "\n" not in result["msg"]
    assert state_wanted == "absent" or "in force" in result["msg"], (
        "the error says what is in force now, or that nothing is"
    )
    disk.remount("rw")
    again = call(world, static_pods.main, settle=0, pods=[options])
    assert not again.get("failed"), again["msg"]
    assert disk.files() == {"present": {"web.yaml": NEW}, "restarted": {"web.yaml": OLD}, "absent": {}}[state_wanted]


@only_store
def test_a_store_that_is_full_refuses_before_anything_is_touched(world: World, disk: Disk) -> None:
    before, box = state(world), boxes(world)
    disk.fill()
    result = call(
        world, static_pods.main, settle=0, pods=[{"content": NEW, "state": "present"}, {"content": manifest("b")}]
    )
    assert result["failed"]
    assert "placed.json: cannot note what this collection places: No space left on device" in result["msg"]
    assert (state(world), boxes(world)) == (before, box)
    disk.free()
    assert not call(world, static_pods.main, settle=0, pods=[{"content": NEW}, {"content": manifest("b")}]).get(
        "failed"
    )


@only_store
def test_a_store_that_is_read_only_refuses_before_anything_is_touched(world: World, disk: Disk) -> None:
    before = state(world)
    disk.remount("ro")
    result = call(world, static_pods.main, settle=0, pods=[{"content": manifest("b")}])
    assert "placed.json: cannot note what this collection places: Read-only file system" in result["msg"]
    assert state(world) == before


@only_store
def test_a_removal_does_not_fail_for_want_of_space_in_the_store(world: World, disk: Disk) -> None:
    """The pod is gone; that the store still lists its file must not turn success into failure, nor failure into silence."""
    disk.fill()
    result = call(world, static_pods.main, settle=0, pods=[{"name": "web", "state": "absent"}])
    assert world.pods() == {}
    assert os.listdir(world.manifests) == []
    if result.get("failed"):
        assert "placed.json" in result["msg"]

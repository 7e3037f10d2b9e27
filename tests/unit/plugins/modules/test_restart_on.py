# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pod restarts when a file that it reads has changed, from the arguments to the results, on a node in memory."""

from __future__ import annotations

import json
import os
import pathlib
import typing as t

import pytest
import yaml
from ansible_collections.kubestatic.node.plugins.module_utils import _kubelet_move, _reads
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_change import Manifest, Moves
from ansible_collections.kubestatic.node.plugins.module_utils._store import Store
from ansible_collections.kubestatic.node.plugins.modules import static_pod, static_pods
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.world import Image, World, call

ME = {"owner": str(os.geteuid()), "group": str(os.getegid())}
SECRET = "never to be seen"


def one(world: World, **arguments: t.Any) -> dict[str, t.Any]:
    return call(world, static_pod.main, **{"settle": 0, "wait_timeout": 60, "restart_on": "auto", **ME, **arguments})


@pytest.fixture(name="files")
def _files(tmp_path: pathlib.Path) -> pathlib.Path:
    files = tmp_path / "files"
    files.mkdir()
    for name in ("ca.crt", "app.conf", "other"):
        (files / name).write_text(f"{name}: {SECRET}")
    return files


def manifest(files: pathlib.Path, image: str = "good:1", *, name: str = "web") -> str:
    """A pod that mounts app.conf and has a flag for ca.crt."""
    mounts = [
        {"name": "pki", "mountPath": "/pki", "readOnly": True},
        {"name": "conf", "mountPath": "/etc/app.conf", "readOnly": True},
    ]
    container = {"name": "main", "image": image, "command": ["app", "--ca-file=/pki/ca.crt"], "volumeMounts": mounts}
    volumes = [
        {"name": "pki", "hostPath": {"path": str(files)}},
        {"name": "conf", "hostPath": {"path": f"{files}/app.conf", "type": "File"}},
    ]
    data = {"containers": [container], "volumes": volumes}
    return str(yaml.safe_dump({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": data}))


def sandboxes(world: World) -> list[str]:
    return [box.id for box in world.boxes]


def noted(world: World) -> dict[str, dict[str, str]]:
    return Store(world.store_path).reads(world.manifests)


def store_files(world: World) -> dict[str, tuple[int, str]]:
    return {
        path.name: (path.stat().st_ino, path.read_text())
        for path in pathlib.Path(world.store_path).rglob("*.json")
        if path.is_file()
    }


def rests(world: World, **arguments: t.Any) -> None:
    """A run changes nothing, and writes nothing."""
    before = sandboxes(world), store_files(world)
    result = one(world, **arguments)
    assert (result["changed"], result["actions"], result["failed"]) == (False, [], False)
    assert (sandboxes(world), store_files(world)) == before


@pytest.mark.parametrize("name", ["ca.crt", "app.conf"])
@pytest.mark.parametrize("placed_by", ["us", "hand"])
def test_a_file_that_changes_restarts_the_pod_once(
    world: World, files: pathlib.Path, name: str, placed_by: str
) -> None:
    text, path = manifest(files), f"{world.manifests}/web.yaml"
    if placed_by == "hand":
        pathlib.Path(path).write_text(text)
        os.chmod(path, 0o600)
        world.settle()
    else:
        assert one(world, content=text)["changed"]
    first = one(world, content=text)
    assert not first["changed"], "the first sight is what counts"
    rests(world, content=text)

    (files / "other").write_text("changed, and read by nobody")
    os.utime(files / name, (1, 1))
    rests(world, content=text)

    (files / name).write_text("renewed")
    before = sandboxes(world), store_files(world)
    would = one(world, content=text, check=True, diff=True)
    assert (would["changed"], would["diff"]) == (True, [])
    assert would["actions"] == [f"would restart the pod of {path}: {files}/{name} has changed"]
    assert (sandboxes(world), store_files(world)) == before
    done = one(world, content=text)
    assert done["actions"] == [f"restarted the pod of {path}: {files}/{name} has changed"]
    assert done["changed"] and not done["failed"] and done["downtime_seconds"] > 0
    assert sandboxes(world) != before[0]
    rests(world, content=text)
    assert (Store(world.store_path).placed(world.manifests) == {}) is (placed_by == "hand"), "it stays a stranger's"


def test_the_store_has_digests_and_no_content(world: World, files: pathlib.Path) -> None:
    one(world, content=manifest(files))
    assert noted(world) == {"default/web": _reads.digests([f"{files}/ca.crt", f"{files}/app.conf"])}
    assert not any(SECRET in text for _inode, text in store_files(world).values())
    one(world, name="web", state="absent")
    assert noted(world) == {}


def test_all_files_that_have_changed_are_named(world: World, files: pathlib.Path) -> None:
    one(world, content=manifest(files))
    for name in ("ca.crt", "app.conf"):
        (files / name).write_text("renewed")
    (action,) = one(world, content=manifest(files))["actions"]
    assert action.endswith(f": {files}/app.conf, {files}/ca.crt have changed")


@pytest.mark.parametrize("strategy", ["swap", "replace"])
def test_a_text_that_changes_too(world: World, files: pathlib.Path, strategy: str) -> None:
    text, path = manifest(files), f"{world.manifests}/web.yaml"
    one(world, content=text)
    (files / "ca.crt").write_text("renewed")
    before, arguments = sandboxes(world), {"content": "# hello\n" + text, "strategy": strategy}
    cause = f"the pod of {path}: {files}/ca.crt has changed; the text is replaced, too"
    would = one(world, check=True, diff=True, **arguments)
    assert would["actions"] == [f"would restart {cause}"] and would["diff"][0]["after"] == "# hello\n" + text
    assert one(world, **arguments)["actions"] == [f"restarted {cause}"]
    assert pathlib.Path(path).read_text() == "# hello\n" + text
    assert sandboxes(world) != before
    assert sorted(os.listdir(world.manifests)) == ["web.yaml"]
    rests(world, **arguments)


def test_a_mode_that_is_wrong_is_mended_in_the_same_run(world: World, files: pathlib.Path) -> None:
    one(world, content=manifest(files))
    os.chmod(f"{world.manifests}/web.yaml", 0o644)
    (files / "ca.crt").write_text("renewed")
    assert len(one(world, content=manifest(files))["actions"]) == 2
    rests(world, content=manifest(files))


@pytest.mark.parametrize(
    "arguments", [{"image": "good:2"}, {"state": "restarted", "name": "web"}], ids=["changed", "restarted"]
)
@pytest.mark.parametrize("restart_on", ["auto", []])
def test_a_start_for_another_reason_counts(
    world: World, files: pathlib.Path, arguments: dict[str, str], restart_on: t.Any
) -> None:
    one(world, content=manifest(files))
    (files / "ca.crt").write_text("renewed")
    image = arguments.get("image", "good:1")
    options = {"content": manifest(files, image)} if "image" in arguments else arguments
    (action,) = one(world, restart_on=restart_on, **options)["actions"]
    assert "ca.crt" not in action
    rests(world, content=manifest(files, image))


def test_a_file_that_changes_while_the_pod_starts_counts_for_the_next_run(world: World, files: pathlib.Path) -> None:
    def on_command(command: str) -> None:
        if command.startswith("crictl") and not os.path.exists(f"{world.manifests}/web.yaml"):
            (files / "ca.crt").write_text("renewed meanwhile")

    one(world, content=manifest(files))
    world.on_command = on_command
    assert one(world, name="web", state="restarted")["changed"]
    world.on_command = lambda _command: None
    assert one(world, content=manifest(files))["actions"][0].endswith("ca.crt has changed")
    rests(world, content=manifest(files))


def test_a_pod_that_is_not_proven_is_restarted_by_the_next_run(world: World, files: pathlib.Path) -> None:
    world.images["app:1"] = Image()
    text = manifest(files, "app:1")
    one(world, content=text)
    before = noted(world)
    (files / "app.conf").write_text("nonsense")
    world.images["app:1"].exits = 1
    failed = one(world, content=text, settle=5)
    assert failed["failed"] and "app.conf has changed" in failed["actions"][0]
    assert noted(world) == before
    world.images["app:1"].exits = None
    (files / "app.conf").write_text("mended")
    assert one(world, content=text)["actions"][0].endswith("app.conf has changed")
    rests(world, content=text)


def test_without_a_proof_the_start_counts(world: World, files: pathlib.Path) -> None:
    one(world, content=manifest(files))
    (files / "ca.crt").write_text("renewed")
    assert one(world, content=manifest(files), wait=False)["actions"][0].endswith("ca.crt has changed")
    world.settle()
    rests(world, content=manifest(files))


def test_a_file_that_is_gone_is_warned_of(world: World, files: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[str] = []
    monkeypatch.setattr("ansible.module_utils.basic.AnsibleModule.warn", lambda _module, text: warnings.append(text))
    one(world, content=manifest(files))
    os.rename(files / "ca.crt", files / "away")
    (files / "app.conf").write_text("renewed")
    rests(world, content=manifest(files))
    (warning,) = warnings
    assert warning.startswith(f"{world.manifests}/web.yaml: the pod reads {files}/ca.crt and no such file is there")
    os.rename(files / "away", files / "ca.crt")
    assert one(world, content=manifest(files))["actions"][0].endswith(f": {files}/app.conf has changed")
    assert len(warnings) == 1


def test_a_list_takes_its_files_alone(world: World, files: pathlib.Path) -> None:
    asked = [f"{files}/other"]
    one(world, content=manifest(files), restart_on=asked)
    assert set(noted(world)["default/web"]) == {f"{files}/other"}
    (files / "ca.crt").write_text("renewed")
    rests(world, content=manifest(files), restart_on=asked)
    (files / "other").write_text("renewed")
    (action,) = one(world, content=manifest(files), restart_on=asked)["actions"]
    assert action.endswith(f": {files}/other has changed")
    os.unlink(files / "other")
    before = sandboxes(world), store_files(world)
    refused = one(world, content=manifest(files), restart_on=asked)
    assert (
        refused["msg"]
        == f"pod default/web: restart_on names {files}/other, which is no file on this node; mend the path"
    )
    assert (sandboxes(world), store_files(world)) == before


def test_off_reads_nothing(world: World, files: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_arguments: t.Any) -> t.NoReturn:
        raise AssertionError

    for name in ("judged", "named", "digests"):
        monkeypatch.setattr(_reads, name, never)
    monkeypatch.setattr(Store, "reads", never)
    pathlib.Path(world.manifests, "web.yaml").write_text(manifest(files))
    os.chmod(f"{world.manifests}/web.yaml", 0o600)
    world.settle()
    result = call(world, static_pod.main, content=manifest(files), settle=0, **ME)
    assert (result["changed"], result["failed"]) == (False, False)


def test_options_of_a_pod_win_over_shared_ones(world: World, files: pathlib.Path) -> None:
    pods: list[dict[str, t.Any]] = [
        {"content": manifest(files, name="a")},
        {"content": manifest(files, name="b"), "restart_on": []},
        {"content": manifest(files, name="c"), "restart_on": [f"{files}/other"]},
        {"name": "d", "state": "absent"},
    ]

    def many(**arguments: t.Any) -> dict[str, t.Any]:
        return call(world, static_pods.main, pods=pods, restart_on="auto", settle=0, wait_timeout=60, **ME, **arguments)

    assert not many()["failed"]
    for name in ("ca.crt", "other"):
        (files / name).write_text("renewed")
    result = many()
    assert [pod["changed"] for pod in result["pods"]] == [True, False, True, False]
    assert [action.partition(": ")[2] for action in result["actions"]] == [
        f"{files}/ca.crt has changed",
        f"{files}/other has changed",
    ]
    assert not many()["changed"]


@pytest.mark.parametrize("restart_on", ["auto", ["/etc/hostname"]])
def test_without_crictl_nothing_can_be_restarted(world: World, files: pathlib.Path, restart_on: t.Any) -> None:
    world.crictl = ""
    result = one(world, content=manifest(files), wait=False, restart_on=restart_on)
    if restart_on == "auto":
        assert result["changed"] and noted(world) == {}
    else:
        assert "restart_on needs crictl on the node" in result["msg"]
        assert not os.listdir(world.manifests)
    assert not one(world, name="web", state="absent", wait=False, restart_on=restart_on)["failed"]


def test_a_store_that_cannot_be_written_is_told_before_anything_is_touched(world: World, files: pathlib.Path) -> None:
    one(world, content=manifest(files), restart_on=[])
    os.mkdir(f"{world.store_path}/reads.json.new")
    before = sandboxes(world)
    result = one(world, content=manifest(files, "good:2"))
    assert result["failed"] and "reads.json: cannot note" in result["msg"]
    assert (sandboxes(world), os.listdir(world.manifests)) == (before, ["web.yaml"])
    assert json.dumps(result).count("Traceback") == 0


def test_what_a_pod_reads_is_known_where_its_manifest_moves(
    world: World, files: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """Else a certificate that is renewed after it would restart nothing."""
    one(world, content=manifest(files), restart_on="auto")
    reads = noted(world)
    text = pathlib.Path(world.manifests, "web.yaml").read_text()
    moved = Manifest("web.yaml", text, 0o600, 0, 0, True)
    _kubelet_move.take_out(Moves(world.manifests, str(tmp_path), (moved,)), timeout=60)
    assert noted(world) == {} and Store(world.store_path).reads(str(tmp_path)) == reads != {}

# SPDX-FileCopyrightText: kubestatic.node contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can go wrong in the tools for the test nodes without a node: reading apt sources, go.mod and the inventory."""

from __future__ import annotations

import json
import sys
import tarfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

import _common
import _control_plane
import _image
import _inventory
import _pod_images
import _programs

_ONE_LINE = "# deb http://old.example/debian\ndeb https://other.example/apt cloud main\ndeb [a=b] http://m.example/debian/ s main\n"
_DEB822 = "Types: deb\nURIs: http://s.example/debian-security http://m.example/pub/debian\nSuites: bookworm\n"


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("sources.list", _ONE_LINE, "http://m.example/debian"),
        ("sources.list.d/debian.sources", _DEB822, "http://m.example/pub/debian"),
        ("sources.list.d/other.list", "deb https://other.example/apt x main\n", "http://deb.debian.org/debian"),
    ],
)
def test_mirror_is_the_source_whose_path_ends_in_debian(tmp_path: Path, name: str, text: str, expected: str) -> None:
    file = tmp_path / "etc/apt" / name
    file.parent.mkdir(parents=True)
    file.write_text(text)
    assert _image.mirror(tmp_path) == expected


def test_inventory_has_three_masters_and_one_worker_on_demand_in_one_network() -> None:
    nodes = _inventory.all_nodes()
    assert [node.name for node in _inventory.read_nodes()] == ["node1", "node2", "node3"]
    assert [node.name for node in nodes if node.group == "workers"] == ["node4"]
    assert len({node.address for node in nodes}) == 4
    assert _inventory.subnet(nodes).prefixlen == 24


def test_inventory_is_read_as_ansible_reads_it() -> None:
    yaml = pytest.importorskip("yaml")
    groups = yaml.safe_load(_inventory.INVENTORY.read_text())
    assert {(node.group, node.name, node.address) for node in _inventory.all_nodes()} == {
        (group, name, variables["ansible_host"])
        for group, content in groups.items()
        for name, variables in content.get("hosts", {}).items()
    }


@pytest.mark.parametrize("name", [path.parent.name for path in _programs.PROGRAMS.glob("*/go.mod")])
def test_every_group_has_programs_and_a_version_for_the_linker(name: str) -> None:
    group = _programs.group(name)
    kind = name.split("-")[0]
    assert {"kubernetes": {"kubelet", "kubeadm"}, "etcd": {"etcd", "etcdctl"}}.get(kind, {kind}) <= set(group.tools())
    # etcd has it in its source.
    assert "ersion=v1." in group.linker_flags() or kind == "etcd"


def test_unknown_kubelet_version_names_those_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBELET_VERSION", "1.2.3")
    with pytest.raises(_common.Problem, match=r"kubernetes-1\.2\.3.*kubernetes-1\.37\.2"):
        _programs.node_programs()


def _program(directory: Path, name: str, text: str) -> None:
    """Write a program that says this text whatever it is asked."""
    (directory / name).write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n")
    (directory / name).chmod(0o755)


@pytest.fixture
def ready_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A KUBE_BIN_DIR whose kubeadm wants Kubernetes 1.2.3 and etcd 4.5.6."""
    monkeypatch.setenv("KUBESTATIC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KUBE_BIN_DIR", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    images = [f"r.example/kube-{name}:v1.2.3" for name in ("apiserver", "controller-manager", "scheduler", "proxy")]
    images += ["r.example/coredns/coredns:v1.9.0", "r.example/pause:3.10.9", "r.example/etcd:4.5.6-1"]
    _program(tmp_path / "bin", "kubeadm", "\n".join(images))
    for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl"):
        _program(tmp_path / "bin", name, "Kubernetes v1.2.3")
    for name in ("etcd", "etcdctl", "etcdutl"):
        _program(tmp_path / "bin", name, f"{name} Version: 4.5.6")
    return tmp_path / "bin"


def _archived(archive: Path) -> tuple[str, list[str]]:
    """Return the name of an archived image and the programs in it."""
    with tarfile.open(archive) as outer:
        index = outer.extractfile("manifest.json")
        assert index is not None
        (entry,) = json.load(index)
        layer = outer.extractfile(entry["Layers"][0])
        with tarfile.open(fileobj=layer) as inner:
            files = [member.name for member in inner if member.isfile() and member.mode == 0o755]
    return entry["RepoTags"][0], files


def test_images_have_the_names_that_kubeadm_gives_them(ready_made: Path) -> None:
    _control_plane.make()
    made = _control_plane.directory()
    assert {path.stem: _archived(path) for path in (made / "images").iterdir()} == {
        "kube-apiserver": ("r.example/kube-apiserver:v1.2.3", ["usr/local/bin/kube-apiserver"]),
        "kube-controller-manager": (
            "r.example/kube-controller-manager:v1.2.3",
            ["usr/local/bin/kube-controller-manager"],
        ),
        "kube-scheduler": ("r.example/kube-scheduler:v1.2.3", ["usr/local/bin/kube-scheduler"]),
        "etcd": ("r.example/etcd:4.5.6-1", [f"usr/local/bin/{name}" for name in ("etcd", "etcdctl", "etcdutl")]),
    }
    assert {path.name for path in (made / "bin").iterdir()} == {"kubeadm", "kubectl", "etcdctl", "etcdutl"}
    assert (made / "pause").read_text() == "r.example/pause:3.10.9"


def test_images_are_made_again_when_a_program_is_another_one(ready_made: Path) -> None:
    _control_plane.make()
    recipe = _control_plane.directory() / "recipe"
    before, packed = recipe.read_text(), recipe.stat().st_mtime_ns
    _control_plane.make()
    assert recipe.stat().st_mtime_ns == packed
    _program(ready_made, "etcdctl", "etcdctl version: 4.5.6 (built again)")
    _control_plane.make()
    assert recipe.read_text() != before
    assert "built again" in (_control_plane.directory() / "bin/etcdctl").read_text()


def test_no_image_promises_another_version_than_its_program_is(ready_made: Path) -> None:
    _program(ready_made, "etcd", "etcd Version: 4.5.60")
    with pytest.raises(_common.Problem, match=r"bin/etcd is to be r\.example/etcd:4\.5\.6-1, but .*4\.5\.60"):
        _control_plane.make()
    assert not (_control_plane.directory() / "recipe").exists()


def test_missing_ready_made_programs_are_named(ready_made: Path) -> None:
    (ready_made / "etcdutl").unlink()
    with pytest.raises(_common.Problem, match=r"KUBE_BIN_DIR lacks \S+/bin/etcdutl; "):
        _control_plane.make()


def test_clean_leaves_foreign_files_in_a_directory_that_was_there_before(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBESTATIC_CACHE", str(tmp_path))
    (tmp_path / "mine").write_text("keep")
    for name in ("bin", "venvs", "collections", "nox", "go-1.26"):
        (tmp_path / name / "below").mkdir(parents=True)
    with _common.locked("test"):
        pass
    _common.remove_cache()
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_clean_removes_a_directory_that_was_made_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KUBESTATIC_CACHE", str(tmp_path / "cache"))
    with _common.locked("test"):
        (tmp_path / "cache" / "venvs").mkdir()
    _common.remove_cache()
    assert not (tmp_path / "cache").exists()


def test_archive_is_the_same_each_time(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    (root / "bin/sh").symlink_to("busybox")
    config = _pod_images.ImageConfig(cmd=["sh"])
    for name in ("one.tar", "two.tar"):
        _pod_images.write_archive(tmp_path / name, root=root, name="docker.io/library/x:latest", config=config)
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    with tarfile.open(tmp_path / "one.tar") as archive:
        index = archive.extractfile("manifest.json")
        assert index is not None
        assert json.load(index)[0]["RepoTags"] == ["docker.io/library/x:latest"]

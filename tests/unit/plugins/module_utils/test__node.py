# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One look at a node, with a real process that has the kubelet's command line."""

from __future__ import annotations

import os
import pathlib
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _node
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.world import World


@pytest.fixture(name="world")
def _world(tmp_path: pathlib.Path) -> t.Iterator[World]:
    (tmp_path / "manifests").mkdir()
    with World(str(tmp_path / "manifests"), str(tmp_path / "store")).installed() as world:
        yield world


def look(world: World, manifest_dir: str | None = None) -> _node.Node:
    return _node.look(world.run, search_path="", manifest_dir=manifest_dir, remember=True)


def test_a_look(world: World) -> None:
    node = look(world)
    assert node.manifest_dir == world.manifests
    assert node.watches
    assert (node.kubelet.version, node.kubelet.minor, node.kubelet.pid) == ("1.34.4", 34, world.process())
    assert node.full_name("web") == "web-node1"
    assert node.runtime is not None
    assert _node.require_runtime(node) is node.runtime


def test_the_kubelets_own_spelling_counts(world: World) -> None:
    world.arguments[0] = f"--pod-manifest-path={world.manifests}/../manifests//"
    assert look(world).manifest_dir == world.manifests


def test_another_directory_is_not_watched(world: World, tmp_path: pathlib.Path) -> None:
    (tmp_path / "other").mkdir()
    assert not look(world, str(tmp_path / "other")).watches


@pytest.mark.parametrize("spelling", ["{0}/", "{0}/../manifests", "{0}-link"])
def test_the_same_directory_in_another_spelling_is_watched(world: World, spelling: str) -> None:
    os.symlink(world.manifests, f"{world.manifests}-link")
    assert look(world, spelling.format(world.manifests)).watches


def test_a_kubelet_without_a_manifest_directory(world: World) -> None:
    del world.arguments[0]
    with pytest.raises(KubestaticError, match=r"^this kubelet reads no manifest directory; set staticPodPath"):
        look(world)
    assert not look(world, world.manifests).watches


def test_an_unusable_directory(world: World) -> None:
    os.rmdir(world.manifests)
    with pytest.raises(KubestaticError, match="the manifest directory does not exist"):
        look(world)


def test_a_node_without_crictl(world: World) -> None:
    world.crictl = ""
    node = look(world)
    assert node.runtime is None
    with pytest.raises(KubestaticError, match=r"^crictl is not on this node, .* install it \(package cri-tools"):
        _node.require_runtime(node)


def test_the_endpoint_is_the_kubelets(world: World) -> None:
    world.arguments.append("--container-runtime-endpoint=unix:///run/crio/crio.sock")
    runtime = look(world).runtime
    assert runtime is not None
    assert runtime.endpoint == "unix:///run/crio/crio.sock"

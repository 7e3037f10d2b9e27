# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls that are refused for their directory, or for how manifests stand to each other, and leave an empty node empty."""

from __future__ import annotations

import json

import pytest
from conftest import MANIFESTS, Node, pod, with_env


def test_the_same_pod_in_two_files_is_refused(node: Node) -> None:
    node.place_by_hand("a.yaml", json.dumps(pod("web")))
    node.place_by_hand("b.yaml.bak", json.dumps(pod("web")))
    result = node.module("static_pod", definition=with_env("web", "new"))
    assert result["failed"]
    assert f"{MANIFESTS}/a.yaml" in result["msg"] and f"{MANIFESTS}/b.yaml.bak" in result["msg"]
    assert set(node.files()) == {"a.yaml", "b.yaml.bak"}
    verdicts = {entry["filename"]: entry for entry in node.module("static_pod_info")["entries"]}
    assert verdicts["a.yaml"]["verdict"] == "shadowed"
    assert "b.yaml.bak" in verdicts["a.yaml"]["reason"]


@pytest.mark.parametrize(
    ("make", "path", "words"),
    [
        ("true", "/var/tmp/nowhere", ["/var/tmp/nowhere", "does not exist", "0700"]),
        ("touch /var/tmp/plain", "/var/tmp/plain", ["/var/tmp/plain", "is a file"]),
        ("ln -sfn /var/tmp/loop /var/tmp/loop", "/var/tmp/loop", ["/var/tmp/loop", "loop"]),
        ("mkdir -p '/var/tmp/a[b]'", "/var/tmp/a[b]", ["/var/tmp/a[b]", "pattern"]),
        ("mkdir -p /var/tmp/other", "/var/tmp/other", ["/var/tmp/other", MANIFESTS, "nothing would run"]),
    ],
)
def test_bad_directory_is_refused(make: str, path: str, words: list[str], node: Node) -> None:
    node.sh(make)
    result = node.module("static_pod", definition=pod("web"), manifest_dir=path)
    node.sh(f"rm -rf '{path}'")
    assert result["failed"]
    for word in words:
        assert word in result["msg"], result["msg"]


def test_an_entry_of_a_set_is_named(node: Node) -> None:
    result = node.module("static_pods", pods=[{"definition": pod("one")}, {"content": "kind: Pod"}])
    assert result["failed"]
    assert "pods[1]" in result["msg"] and "apiVersion" in result["msg"]
    assert node.files() == {}


def test_a_circle_of_dependencies_is_refused(node: Node) -> None:
    result = node.module(
        "static_pods",
        pods=[
            {"definition": pod("one"), "depends_on": ["two"]},
            {"definition": pod("two"), "depends_on": ["one"]},
        ],
    )
    assert result["failed"]
    assert "circle" in result["msg"] and "default/one" in result["msg"]
    assert node.files() == {}

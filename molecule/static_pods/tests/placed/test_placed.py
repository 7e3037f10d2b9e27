# SPDX-FileCopyrightText: kubestatic.node contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""After two runs of the role: each pod is there once, and the second run has restarted none."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest

MANIFESTS = {"web.yaml", "tool.json", "by-hand.yaml"}
FOREIGN = {"foreign.yaml", "notes.txt", ".dotfile"}


def test_nothing_but_the_manifests_was_written(node: Any) -> None:
    assert node.manifests() == MANIFESTS | FOREIGN
    for filename in FOREIGN:
        assert node.manifest(filename).mtime == datetime.datetime(2020, 1, 1), filename


@pytest.mark.parametrize("filename", sorted(MANIFESTS))
def test_manifests_are_for_root_alone(node: Any, filename: str) -> None:
    found = node.manifest(filename)
    assert (found.user, found.group, oct(found.mode)) == ("root", "root", "0o600")


def test_each_pod_runs_once_and_was_never_restarted(node: Any) -> None:
    assert node.pods() == ["adopted", "foreign", "tool", "web"]
    assert [node.restarts(pod) for pod in node.pods()] == [0, 0, 0, 0]


def test_one_template_gives_each_node_its_own_page(node: Any) -> None:
    assert node.page() == f"first on {node.name}\n"


def test_json_where_the_file_name_says_so(node: Any) -> None:
    assert json.loads(node.manifest("tool.json").content)["metadata"]["name"] == "tool"
    assert node.logs("tool") == f"tool on {node.name}\n"


def test_the_pod_placed_by_hand_was_changed_in_its_file(node: Any) -> None:
    assert node.logs("adopted") == "by Ansible\n"

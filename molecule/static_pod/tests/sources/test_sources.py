# SPDX-FileCopyrightText: kubestatic.node contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""After two runs: each kind of source has given its pod, and the second run has restarted none."""

from __future__ import annotations

import json
from typing import Any

MANIFESTS = {
    "node1": {"content.json", "mapping.yaml"},
    "node2": {"file.yaml", "vaulted-file.yaml"},
    "node3": {"text.yaml", "vaulted-template.yaml", "expression.json"},
}


def test_each_manifest_is_there_for_root_alone(node: Any) -> None:
    assert node.manifests() == MANIFESTS[node.name]
    for filename in MANIFESTS[node.name]:
        found = node.manifest(filename)
        assert (found.user, found.group, oct(found.mode)) == ("root", "root", "0o600"), filename


def test_each_pod_runs_once_and_was_never_restarted(node: Any) -> None:
    pods = [filename.split(".")[0] for filename in sorted(MANIFESTS[node.name])]
    assert node.pods() == pods
    assert [node.restarts(pod) for pod in pods] == [0] * len(pods)


def test_each_node_runs_its_own_text(node: Any) -> None:
    for pod in node.pods():
        told = f"text on {node.name}\n" if pod == "text" else f"{pod}-{node.name}\n"
        assert node.logs(pod) == told


def test_json_where_the_file_name_says_so(node: Any) -> None:
    for filename in node.manifests():
        if filename.endswith(".json"):
            assert json.loads(node.manifest(filename).content)["kind"] == "Pod"

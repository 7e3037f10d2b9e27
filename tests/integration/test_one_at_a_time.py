# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A manifest that no kubelet can run reaches one master alone, and that one goes back, however the play is run."""

from __future__ import annotations

import json
import subprocess
import typing as t

import pytest
from conftest import INVENTORY, Node, pod, with_env

if t.TYPE_CHECKING:
    import pathlib

BROKEN = {"container": {"command": ["sh", "-c", "exit 3"]}}


@pytest.fixture
def masters(nodes: list[Node]) -> t.Iterator[list[Node]]:
    """Three nodes that run the same good pod."""
    for node in nodes:
        assert not node.module("static_pod", definition=with_env("web", "old"))["failed"]
    yield nodes
    for node in nodes:
        node.clean()


@pytest.mark.parametrize(
    ("play", "arguments"),
    [
        ({}, ["--forks=1"]),
        ({"strategy": "free"}, ["--forks=20"]),
        ({"serial": 2}, []),
        ({"strategy": "host_pinned"}, ["--limit=node2,node3"]),
    ],
    ids=["one fork", "free", "serial", "limit"],
)
def test_one_master_alone_meets_what_does_not_run(
    masters: list[Node],
    tmp_path: pathlib.Path,
    play: dict[str, t.Any],
    arguments: list[str],
) -> None:
    before = [(node.files(), node.sandboxes("web")) for node in masters]
    playbook = tmp_path / "site.yml"
    variables = {"static_pods_pods": [{"definition": pod("web", **BROKEN)}]}
    role = {"role": "kubestatic.node.static_pods"}
    playbook.write_text(
        json.dumps([{"hosts": "masters", "gather_facts": False, "roles": [role], "vars": variables, **play}])
    )
    done = subprocess.run(
        ["ansible-playbook", f"--inventory={INVENTORY}", playbook, *arguments],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=400,
    )
    assert done.returncode == 2, done.stdout
    after = [(node.files(), node.sandboxes("web")) for node in masters]
    assert [one[0] for one in after] == [one[0] for one in before], "the same manifests everywhere"
    restarted = [node.name for node, old, new in zip(masters, before, after, strict=True) if old[1] != new[1]]
    assert len(restarted) == 1, done.stdout
    assert "is in force again and its pod runs" in done.stdout
    assert f"because this task failed on {restarted[0]} before" in done.stdout.replace("\n", " ")
    assert all(len(node.running("web")) == 1 for node in masters)

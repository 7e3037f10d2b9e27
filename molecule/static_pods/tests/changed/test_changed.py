# SPDX-FileCopyrightText: kubestatic.node contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""After the playbook with another list: one pod changed, one pruned, and the others as they were."""

from __future__ import annotations

import datetime
from typing import Any


def test_the_changed_pod_runs_alone_with_its_new_text(node: Any) -> None:
    assert node.pods().count("web") == 1
    assert node.page() == f"second on {node.name}\n"
    assert "second" in node.manifest("web.yaml").content_string
    assert oct(node.manifest("web.yaml").mode) == "0o600"


def test_the_pod_that_is_no_longer_listed_is_gone(node: Any) -> None:
    assert "tool" not in node.pods()
    assert not node.manifest("tool.json").exists


def test_the_adopted_pod_was_not_restarted(node: Any) -> None:
    assert node.pods().count("adopted") == 1
    assert node.restarts("adopted") == 0
    assert node.logs("adopted") == "by Ansible\n"


def test_what_others_placed_is_as_it_was(node: Any) -> None:
    assert node.manifests() == {"web.yaml", "by-hand.yaml", "foreign.yaml", "notes.txt", ".dotfile"}
    assert node.manifest("foreign.yaml").mtime == datetime.datetime(2020, 1, 1)
    assert node.pods().count("foreign") == 1
    assert node.restarts("foreign") == 0

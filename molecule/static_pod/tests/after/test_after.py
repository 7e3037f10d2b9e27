# SPDX-FileCopyrightText: kubestatic.node contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""After the story of one pod: nothing of it is left, and the pods beside it never noticed."""

from __future__ import annotations

from typing import Any


def test_nothing_of_the_pod_is_left(node: Any) -> None:
    assert not [filename for filename in node.manifests() if "story" in filename or filename.startswith(".")]
    assert "story" not in node.pods()


def test_the_pods_beside_it_were_not_restarted(node: Any) -> None:
    assert len(node.pods()) == len(node.manifests()) >= 2
    assert [node.restarts(pod) for pod in node.pods()] == [0] * len(node.pods())

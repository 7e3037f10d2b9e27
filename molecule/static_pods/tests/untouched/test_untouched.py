# SPDX-FileCopyrightText: kubestatic.node contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""After a run in check mode: the node is as it was."""

from __future__ import annotations

import datetime
from typing import Any


def test_check_mode_touches_no_file(node: Any) -> None:
    assert node.manifests() == {"foreign.yaml", "by-hand.yaml", "notes.txt", ".dotfile"}
    for filename in node.manifests():
        assert node.manifest(filename).mtime == datetime.datetime(2020, 1, 1), filename
    # Not a trace of a placed pod; the version of the kubelet may be remembered.
    assert not node.host.file("/var/lib/kubestatic/placed.json").exists


def test_check_mode_touches_no_pod(node: Any) -> None:
    assert node.pods() == ["adopted", "foreign"]
    assert node.logs("adopted") == "by hand\n"

# SPDX-FileCopyrightText: kubestatic.node contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""After the change: the number has moved where it belongs, and a bad one has left no trace."""

from __future__ import annotations

from typing import Any

FILES = {
    "node1": "/var/lib/kubelet/config.yaml",
    "node2": "/var/lib/kubelet/config.conf.d/90-kubestatic.conf",
    "node3": "/var/lib/kubelet/config.yaml",
}


def test_the_number_is_where_it_belongs(node: Any) -> None:
    assert node.host.file(FILES[node.name]).content_string.endswith("maxPods: 66\n")


def test_no_flag_overrides_it(node: Any) -> None:
    assert "--max-pods" not in node.host.check_output("tr '\\0' ' ' < /proc/$(pidof kubelet)/cmdline")


def test_no_container_was_restarted(node: Any) -> None:
    assert node.pods() == ["witness"]
    assert node.restarts("witness") == 0

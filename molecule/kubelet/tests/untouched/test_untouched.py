# SPDX-FileCopyrightText: kubestatic.node contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""After check mode: no file, no process and no unit is another than before."""

from __future__ import annotations

from typing import Any


def test_nothing_was_written(node: Any) -> None:
    assert "maxPods" not in node.host.file("/var/lib/kubelet/config.yaml").content_string
    assert not node.host.file("/var/lib/kubelet/config.conf.d").exists
    assert "77" not in node.host.check_output("cat /etc/default/kubelet /etc/sysconfig/kubelet 2>/dev/null || true")


def test_the_unit_is_as_it_was(node: Any) -> None:
    assert node.host.service("kubelet").is_running
    assert node.host.service("kubelet").is_enabled == (node.name == "node1")

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kubelet_config killed just before each of its side effects on a real kubelet: the next run has the old state whole again.

One change that does all there is: it makes directories and files, moves manifests, has systemd read a unit again, restarts
the kubelet, which does not come up, and puts all of it back. The side effects are dealt out to the three nodes.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import itertools
import typing as t

import pytest
import sabotaged
from conftest import MANIFESTS, Node, wait_for, with_env
from kubelets import PLAIN_UNIT, configure, files, healthy, kept, open_change, start_with_unit

CHANGE: dict[str, t.Any] = {
    "settings": {"staticPodPath": "/etc/kubelet2.d", "maxPods": -5},
    "layer": "drop_in",
    "move_manifests": True,
    "settle": 0,
}
WATCHED = ("/etc", "/var/lib")


@pytest.fixture
def masters(nodes: list[Node]) -> t.Iterator[list[Node]]:
    """The three nodes, each with a kubelet whose unit has no flags of ours; they are as they were afterwards."""
    with contextlib.ExitStack() as stack:
        for node in nodes:
            stack.enter_context(kept(node))
            stack.callback(node.clean)
            sabotaged.install(node)
            start_with_unit(node, "20-plain.conf", PLAIN_UNIT)
            configure(node)
        yield nodes


def test_killed_at_each_side_effect(masters: list[Node]) -> None:
    with concurrent.futures.ThreadPoolExecutor(len(masters)) as pool:
        shares = [pool.submit(killed, node, first, len(masters)) for first, node in enumerate(masters)]
        struck = [what for share in shares for what in share.result()]
    kinds = {" ".join(what.split()[1:3]) if what.startswith("run ") else what.split()[0] for what in struck}
    assert kinds >= {"mkdir", "open", "write", "fsync", "rename", "unlink", "rmdir"}, kinds
    assert kinds >= {"systemctl daemon-reload", "systemctl restart"}, kinds


def killed(node: Node, first: int, step: int) -> list[str]:
    """Every `step`th side effect from number `first` on, as long as there is one; what they were."""
    before = files(node)
    struck: list[str] = []
    for number in itertools.count(first, step):
        # Another pod each time: a kubelet starts one late that has ended some times.
        assert not node.module("static_pod", definition=with_env("web", str(number)))["failed"]
        manifests = node.files()
        what = sabotaged.run(node, "kubelet_config", at=number, directories=WATCHED, **CHANGE)
        result = configure(node, settle=0)
        where = f"{node.name}, number {number}, {what or 'to its end'}"
        assert not result["failed"], f"{where}: {result}"
        assert files(node) == before and node.files() == manifests, f"{where}: {result}"
        assert healthy(node) and not open_change(node), f"{where}: {result}"
        wait_for(lambda: node.running("web"), f"{where}: the pod runs")
        assert node.sh(f"find {MANIFESTS} /etc/kubelet2.d 2>/dev/null; true").split() == [
            MANIFESTS,
            f"{MANIFESTS}/web.yaml",
        ], where
        if not what:
            return struck
        struck.append(what)
    raise AssertionError("not reached")

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real kubelets do what the table of cases says, which the kubelet in memory of the other tests is checked against, too."""

from __future__ import annotations

import concurrent.futures
import json
import threading
import time
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils._runtime import (
    Snapshot,
    parse_containers,
    parse_sandboxes,
)
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils import kubelet_cases
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.kubelet_cases import CASES
from conftest import MANIFESTS, Node, kubelet_with, pod, with_env

# Each case has pods of its own, but a busy node starts them late.
AT_A_TIME = 4
# A look serves all cases that want one in this time.
LOOK_SECONDS = 0.3


class RealNode:
    """A test node as the cases see it."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._ahead = node.now() - time.time()
        self._looking = threading.Lock()
        self._seen = Snapshot((), ())
        self._seen_at = 0.0

    def full_name(self, pod: str) -> str:
        return f"{pod}-{self._node.name}"

    def now(self) -> float:
        return time.time() + self._ahead

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def look(self) -> Snapshot:
        with self._looking:
            if time.monotonic() > self._seen_at + LOOK_SECONDS:
                boxes, containers = self._node.crictl("pods"), self._node.crictl("ps --all")
                self._seen = Snapshot(parse_sandboxes(boxes), parse_containers(containers))
                self._seen_at = time.monotonic()
            return self._seen

    def put(self, filename: str, text: str) -> None:
        self._node.place_by_hand(filename, text)

    def take(self, filename: str) -> None:
        self._node.sh(f"rm {MANIFESTS}/{filename}")

    def kubelet(self, verb: str) -> None:
        self._node.sh(f"systemctl {verb} kubelet")

    def hold_back(self) -> None:
        self._node.sh(kubelet_with("--manifest-url=http://127.0.0.1:9/pods"))

    def text(self, pod: str, variant: str) -> str:
        return _text(pod, variant)


def _text(name: str, variant: str) -> str:
    if variant == kubelet_cases.BROKEN:
        return "kind: ["
    if variant == kubelet_cases.CRASHES:
        return json.dumps(pod(name, container={"command": ["sh", "-c", "exit 3"]}))
    if variant == kubelet_cases.REFUSED:
        return json.dumps(pod(name, nodeSelector={"no": "such"}))
    if variant == kubelet_cases.COMMENTED:
        return "# a comment\n" + json.dumps(with_env(name, kubelet_cases.ONE))
    return json.dumps(with_env(name, variant))


@pytest.fixture(scope="module")
def played(nodes: list[Node]) -> t.Iterator[dict[str, concurrent.futures.Future[list[str]]]]:
    """Case -> what became of it."""
    together = [name for name, case in CASES.items() if not case.of_kubelet]
    alone = [name for name, case in CASES.items() if case.of_kubelet]
    with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as pool, concurrent.futures.ThreadPoolExecutor(1) as other:
        first, second = RealNode(nodes[0]), RealNode(nodes[1])
        found = {name: pool.submit(kubelet_cases.play, first, name) for name in together}
        found.update({name: other.submit(kubelet_cases.play, second, name) for name in alone})
    yield found
    nodes[1].sh(kubelet_with(""))
    for node in nodes[:2]:
        node.clean()


@pytest.mark.parametrize("name", CASES)
def test_a_real_kubelet(name: str, played: dict[str, concurrent.futures.Future[list[str]]]) -> None:
    print(played[name].result())

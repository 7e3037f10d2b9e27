# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubelets whose API server has not answered since their start, so that they stop no pod: each kind of change has its way out.

It is the case of a control plane whose only API server is down, or is the very pod that shall be changed.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import typing as t

import pytest
from conftest import Node, kubelet_with, wait_for, with_env

KUBECONFIG = "/run/dead.kubeconfig"
# Port 9 of the node itself: nobody listens there.
DEAD = """\
apiVersion: v1
kind: Config
clusters: [{name: dead, cluster: {server: "https://127.0.0.1:9"}}]
users: [{name: kubelet, user: {token: none}}]
contexts: [{name: dead, context: {cluster: dead, user: kubelet}}]
current-context: dead
"""
HELD_BACK = "the kubelet held back all deletions, as a source (API server or staticPodURL) has not answered"


@pytest.fixture
def masters(nodes: list[Node]) -> t.Iterator[list[Node]]:
    """The three nodes, on each of which the pod `web` runs."""
    with contextlib.ExitStack() as stack:
        for node in nodes:
            stack.callback(node.clean)
            stack.callback(node.sh, f"{kubelet_with('')}; rm {KUBECONFIG}")
            node.sh(f"cat > {KUBECONFIG}", stdin=DEAD)
            node.sh(kubelet_with(f"--kubeconfig={KUBECONFIG}"))
        yield nodes


def test_each_kind_of_change_has_a_way_out(masters: list[Node]) -> None:
    with concurrent.futures.ThreadPoolExecutor(len(masters)) as pool:
        ways = zip((replaced, restarted, two_swapped_and_one_removed), masters, strict=True)
        for run in [pool.submit(way, node) for way, node in ways]:
            run.result()


def replaced(node: Node) -> None:
    place(node, "web")
    result = node.module("static_pod", definition=with_env("web", "new"), strategy="replace", settle=0)
    require_way_out(node, result)
    assert node.text_in("web") == ["new"] and len(node.sandboxes("web")) == 1, result
    require_nothing_left(node, definition=with_env("web", "new"))


def restarted(node: Node) -> None:
    place(node, "web")
    old = node.sandboxes("web")
    result = node.module("static_pod", name="web", state="restarted", settle=0)
    require_way_out(node, result)
    new = node.sandboxes("web")
    assert len(new) == 1 and new != old, result
    require_nothing_left(node, definition=with_env("web", "old"))


def two_swapped_and_one_removed(node: Node) -> None:
    place(node, "web", "other")
    texts = {"web": "new", "other": "newer"}
    result = node.module("static_pods", pods=[{"definition": with_env(*one)} for one in texts.items()], settle=0)
    require_way_out(node, result)
    for name, text in texts.items():
        assert node.text_in(name) == [text] and len(node.sandboxes(name)) == 1, result
    result = node.module("static_pod", name="web", state="absent")
    require_way_out(node, result)
    assert set(node.files()) == {"other.yaml"} and not node.running("web"), result
    assert node.text_in("other") == ["newer"]
    assert not node.module("static_pod", name="web", state="absent")["changed"]


def place(node: Node, *names: str) -> None:
    wait_for(lambda: node.sh("curl -fs http://127.0.0.1:10248/healthz", check=False) == "ok", "kubelet healthy")
    result = node.module("static_pods", pods=[{"definition": with_env(name, "old")} for name in names], settle=0)
    assert not result["failed"], result


def require_way_out(node: Node, result: dict[str, t.Any]) -> None:
    assert not result["failed"] and result["changed"], result
    assert HELD_BACK in " ".join(result["actions"]), result
    assert node.sh("systemctl is-active kubelet").strip() == "active"


def require_nothing_left(node: Node, **wanted: t.Any) -> None:
    again = node.module("static_pod", settle=0, **wanted)
    assert not again["failed"] and not again["changed"], again
    assert set(node.files()) == {"web.yaml"}

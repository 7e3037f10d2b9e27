# SPDX-FileCopyrightText: kubestatic.node contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the demo sees of the nodes with its own eyes: over HTTP from outside, and the container runtime over ssh."""

from __future__ import annotations

import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "nodes"))

from _common import Problem, run
from _containers import ssh_command
from _inventory import Node

POD = "static-pod"
_WAIT_SECONDS = 60

Value = TypeVar("Value")


def page(node: Node) -> str:
    """Return what the node answers on port 80, or an empty text."""
    try:
        with urllib.request.urlopen(f"http://{node.address}/", timeout=5) as answer:
            return str(answer.read().decode().strip())
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return ""


def wait_for_page(node: Node, text: str) -> None:
    """Wait until the node answers with this text."""
    wait_for(lambda: page(node) == text, f"{text!r} from http://{node.address}/")


def sandbox(node: Node) -> str:
    """Return the id of the pod's running sandbox, or an empty text."""
    return shell(node, f"crictl pods --quiet --no-trunc --state ready --name ^{POD}-{node.name}$")


def container(node: Node) -> str:
    """Return the id of the running nginx container, or an empty text."""
    return shell(node, f"crictl ps --quiet --no-trunc --label io.kubernetes.pod.name={POD}-{node.name}")


def kubelet(node: Node) -> str:
    """Return the process id of the kubelet."""
    return shell(node, "systemctl show kubelet --property=MainPID --value")


def pod_url(node: Node) -> str:
    """Return where the kubelet's files tell it to take pods from, or an empty text."""
    files = "/var/lib/kubelet/config.yaml /var/lib/kubelet/config.conf.d/* /etc/default/kubelet"
    return shell(node, f"grep -hse staticPodURL -e manifest-url {files} || true")


def log(node: Node, pod: str) -> str:
    """Return what the running container of a pod has logged, or an empty text."""
    selector = f"--quiet --label io.kubernetes.pod.name={pod}-{node.name}"
    return shell(node, f"for id in $(crictl ps {selector}); do crictl logs $id; done")


def shell(node: Node, command: str) -> str:
    """Return what a command prints on a node."""
    return run([*ssh_command(node), command]).strip()


def each(nodes: list[Node], work: Callable[[Node], Value]) -> dict[str, Value]:
    """Do something on all nodes side by side; return the results by node."""
    with ThreadPoolExecutor(len(nodes)) as pool:
        return dict(zip([node.name for node in nodes], pool.map(work, nodes), strict=True))


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Ask again and again until it holds; a Problem after a minute."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise Problem(f"waited {_WAIT_SECONDS} s in vain for {what}")
        time.sleep(0.1)


def expect(holds: bool, what: str) -> None:
    if not holds:
        raise Problem(f"expected {what}")

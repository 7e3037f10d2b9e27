# SPDX-FileCopyrightText: kubestatic.node contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The test nodes as the tests of all scenarios see them: files through testinfra, pods through crictl and HTTP."""

from __future__ import annotations

import dataclasses
import json
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import testinfra
import yaml

_TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path.insert(0, str(_TESTS / "tools"))

import env

_INVENTORY = _TESTS / "nodes" / "inventory.yml"
_KEY = env.cache_dir() / "ssh" / "id_ed25519"
_HOSTS: dict[str, dict[str, Any]] = yaml.safe_load(_INVENTORY.read_text())["masters"]["hosts"]


@dataclasses.dataclass(frozen=True)
class Node:
    """One test node. Pods are named without the node's name here."""

    name: str
    address: str
    host: testinfra.host.Host

    def manifest(self, filename: str) -> Any:
        """Return the testinfra file of this name in the manifest directory."""
        return self.host.file(f"/etc/kubelet.d/{filename}")

    def manifests(self) -> set[str]:
        """Return all names in the manifest directory, hidden ones too."""
        return set(self.host.check_output("ls -A /etc/kubelet.d").splitlines())

    def pods(self) -> list[str]:
        """Return the name of each ready sandbox in order; a pod with two sandboxes is there twice."""
        items = self._crictl("pods --state ready")["items"]
        return sorted(item["metadata"]["name"].removesuffix(f"-{self.name}") for item in items)

    def restarts(self, pod: str) -> int:
        """Return how often the sandbox or a container of the pod was made anew."""
        selector = f"--label io.kubernetes.pod.name={pod}-{self.name}"
        found = self._crictl(f"pods --state ready {selector}")["items"] + self._crictl(f"ps {selector}")["containers"]
        return max(int(item["metadata"]["attempt"]) for item in found)

    def logs(self, pod: str) -> str:
        """Return what the running containers of the pod have logged."""
        running = self._crictl(f"ps --label io.kubernetes.pod.name={pod}-{self.name}")["containers"]
        return "".join(self.host.check_output("crictl logs %s", item["id"]) + "\n" for item in running)

    def page(self) -> str:
        """Return what the node answers on port 80 to somebody outside."""
        with urllib.request.urlopen(f"http://{self.address}/", timeout=10) as answer:
            text: str = answer.read().decode()
            return text

    def _crictl(self, arguments: str) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.host.check_output(f"crictl {arguments} --output json"))
        return {key: value or [] for key, value in told.items()}


@pytest.fixture(params=_HOSTS, scope="session")
def node(request: pytest.FixtureRequest) -> Node:
    """Each test node in turn."""
    address = _HOSTS[request.param]["ansible_host"]
    # Not 'ansible://': testinfra does not fill in the variables of an inventory. The connection is the one that
    # Ansible has opened.
    options = ("UserKnownHostsFile=/dev/null", "StrictHostKeyChecking=no", "LogLevel=ERROR", "ControlMaster=auto")
    shared = f"ControlPath={_KEY.parent / address}"
    host = testinfra.get_host(
        f"ssh://root@{address}",
        ssh_identity_file=str(_KEY),
        ssh_extra_args=" ".join(f"-o {option}" for option in (*options, shared)),
    )
    return Node(request.param, address, host)

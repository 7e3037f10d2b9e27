# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Three bare nodes, and the control plane that the playbook makes of them."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import re
import subprocess
import sys
import typing as t
from pathlib import Path

from conftest import INVENTORY, ROOT, Node, wait_for

NODES = ROOT / "tests" / "nodes"
BOOTSTRAP = "kubestatic.node.bootstrap"
MANIFESTS = "/etc/kubernetes/manifests"
COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")


class Played(t.NamedTuple):
    """A playbook that has run. ``recap``: per node what ended how often, such as ``changed``."""

    code: int
    output: str
    recap: dict[str, dict[str, int]]

    @property
    def text(self) -> str:
        """The output on one line, as Ansible breaks messages anywhere."""
        return " ".join(self.output.split())

    @property
    def changed(self) -> list[str]:
        return [name for name, counts in self.recap.items() if counts["changed"]]


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The masters, and the directory that keeps their certificates on the controller."""

    masters: list[Node]
    certificates: Path

    def command(self, *arguments: str, playbook: str = BOOTSTRAP, **variables: t.Any) -> list[str]:
        given = {"control_plane_certificates_directory": str(self.certificates), **variables}
        options = [f"--extra-vars=@{NODES / 'control_plane.yml'}", f"--extra-vars={json.dumps(given)}"]
        return ["ansible-playbook", f"--inventory={INVENTORY}", playbook, *options, *arguments]

    def play(self, *arguments: str, **variables: t.Any) -> Played:
        """Run the playbook; whatever comes of it."""
        done = subprocess.run(
            self.command(*arguments, **variables),
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )
        recap = {
            found["name"]: {word: int(number) for word, number in re.findall(r"(\w+)=(\d+)", found["counts"])}
            for found in re.finditer(r"^(?P<name>\S+)\s+: (?P<counts>ok=.*)$", done.stdout, re.MULTILINE)
        }
        return Played(done.returncode, done.stdout, recap)

    def good(self, *arguments: str, **variables: t.Any) -> Played:
        played = self.play(*arguments, **variables)
        assert played.code == 0, played.output
        return played

    def refused(self, *arguments: str, **variables: t.Any) -> str:
        """Run the playbook, which must fail before it touches anything; what it says."""
        before = self.traces()
        played = self.play(*arguments, **variables)
        assert played.code != 0, played.output
        # This file's assertions are not rewritten by pytest.
        traces = zip(before, self.traces(), strict=True)
        changed = [line for old, new in traces for line in {*old.splitlines()} ^ {*new.splitlines()}]
        assert not changed, "\n".join(changed)
        assert not played.changed, played.output
        return played.text

    def traces(self) -> list[str]:
        """All that a run could leave on the nodes: files with their digests, and the kubelet's process."""
        places = "/etc/kubernetes /var/lib/kubelet/config.yaml /etc/default /etc/systemd/system"
        files = f"find {places} -type f -exec sha256sum {{}} + 2>/dev/null | sort"
        # What etcd writes there all the time is no trace of a run.
        script = f"systemctl show --property=MainPID kubelet; ls -d /var/lib/etcd* 2>&1; {files}"
        return [node.sh(script, check=False) for node in self.masters]

    def kubectl(self, arguments: str, *, on: int = 0, check: bool = True, stdin: str = "") -> str:
        return self.masters[on].sh(
            f"kubectl --kubeconfig=/etc/kubernetes/admin.conf --request-timeout=20s {arguments}",
            check=check,
            stdin=stdin,
        )

    def get(self, arguments: str, *, on: int = 0) -> dict[str, t.Any]:
        return t.cast("dict[str, t.Any]", json.loads(self.kubectl(f"get {arguments} --output=json", on=on)))

    def members(self, *, on: int = 0) -> dict[str, dict[str, t.Any]]:
        """etcd's members by their names, asked at one master."""
        told = json.loads(self.etcdctl("member list --write-out=json", on=on))
        return {member.get("name", ""): member for member in told["members"]}

    def etcdctl(self, arguments: str, *, on: int = 0) -> str:
        pki = "/etc/kubernetes/pki/etcd"
        tls = f"--cacert={pki}/ca.crt --cert={pki}/healthcheck-client.crt --key={pki}/healthcheck-client.key"
        return self.masters[on].sh(f"etcdctl {tls} {arguments}")

    def require_well(self) -> None:
        """Every API server is ready, and every member of etcd healthy and a voter."""
        for index, node in enumerate(self.masters):
            wait_for(functools.partial(is_ready, node), f"{node.name} is ready", seconds=180)
            self.etcdctl("endpoint health", on=index)
        members = self.members()
        assert sorted(members) == sorted(node.name for node in self.masters)
        assert not any(member.get("isLearner") for member in members.values())

    def containers(self, *components: str) -> dict[str, list[str]]:
        """The running containers of these components (default: all) on each master."""
        return {
            node.name: [one for name in components or COMPONENTS for one in node.running(name)] for node in self.masters
        }


def is_ready(node: Node) -> bool:
    """Its API server says so."""
    ask = f"curl -s --cacert /etc/kubernetes/pki/ca.crt https://{node.address}:6443/readyz"
    return node.sh(ask, check=False) == "ok"


def nodes(*arguments: str) -> None:
    """Call the tool that makes the nodes."""
    subprocess.run([sys.executable, NODES / "nodes.py", *arguments], check=True, env=os.environ)


def make_bare() -> None:
    nodes("up", "--control-plane", "--bare")

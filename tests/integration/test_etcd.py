# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate, etcd_member and keys with real members on loopback, of the oldest and the newest etcd that a control plane gets."""

from __future__ import annotations

import base64
import shutil
import socket
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _etcd, _gate, _https
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._etcd import Etcd
from ansible_collections.kubestatic.node.plugins.modules import etcd_member
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.etcd_gateway import (
    PEER_EXISTS,
    Server,
    certificates,
)
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.world import call

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "nodes"))

import _programs

VERSIONS = ("3.6.5", "3.7.0")
NODES = ("node1", "node2", "node3")


class Cluster:
    """Members with their data below a directory. Each has a port for clients and one for the others."""

    def __init__(self, program: Path, directory: Path) -> None:
        self.directory = directory
        self.tls = certificates(directory / "pki")
        self.context = self.tls.context()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._program = program
        listeners = [socket.create_server(("127.0.0.1", 0)) for _number in range(6)]
        urls = [f"https://127.0.0.1:{one.getsockname()[1]}" for one in listeners]
        for one in listeners:
            one.close()
        self.clients = dict(zip(NODES, urls[:3], strict=True))
        self.peers = dict(zip(NODES, urls[3:], strict=True))

    @property
    def initial(self) -> str:
        return ",".join(f"{name}={url}" for name, url in self.peers.items())

    def start(self, name: str, *, initial: str, state: str) -> None:
        files = {
            "trusted-ca-file": self.tls.ca_file,
            "cert-file": self.tls.cert_file,
            "key-file": self.tls.key_file,
        }
        flags = {
            "name": name,
            "data-dir": f"{self.directory}/{name}",
            "listen-client-urls": self.clients[name],
            "advertise-client-urls": self.clients[name],
            "listen-peer-urls": self.peers[name],
            "initial-advertise-peer-urls": self.peers[name],
            "initial-cluster": initial,
            "initial-cluster-state": state,
            "client-cert-auth": "true",
            "peer-client-cert-auth": "true",
            **files,
            **{f"peer-{flag}": path for flag, path in files.items()},
        }
        command = [str(self._program), *(f"--{flag}={value}" for flag, value in flags.items())]
        with (self.directory / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(command, stdout=log, stderr=log)

    def kill(self, name: str) -> None:
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def post(self, name: str, path: str, body: dict[str, t.Any]) -> str:
        status, text = _https.ask(self.clients[name], path, context=self.context, body=body)
        assert status == 200, text
        return text

    def member(self, name: str, **arguments: t.Any) -> dict[str, t.Any]:
        endpoints = [self.clients[other] for other in self.processes if other != name]
        defaults = {"name": name, "peer_url": self.peers[name], "endpoints": endpoints, "timeout": 30}
        return call(None, etcd_member.main, **{**defaults, **self.tls._asdict(), **arguments})


@pytest.fixture(name="etcd", params=VERSIONS)
def _etcd_fixture(request: pytest.FixtureRequest, tmp_path: Path) -> t.Iterator[Cluster]:
    cluster = Cluster(_programs.provide(f"etcd-{request.param}", ["etcd"])["etcd"], tmp_path)
    try:
        for name in NODES:
            cluster.start(name, initial=cluster.initial, state="new")
        yield cluster
    finally:
        for name in list(cluster.processes):
            cluster.kill(name)


@pytest.fixture(name="api_server")
def _api_server(etcd: Cluster) -> t.Iterator[str]:
    server = Server(etcd.tls, lambda _path, _body: (200, {}))
    yield server.url
    server.stop()


@pytest.fixture(name="spare")
def _spare(etcd: Cluster, api_server: str, monkeypatch: pytest.MonkeyPatch) -> t.Callable[..., str]:
    """Ask whether node1 can be spared, within so many seconds; returns why it cannot, or nothing."""
    own = (etcd.clients["node1"], etcd.peers["node1"])
    monkeypatch.setattr(_etcd, "KUBEADM", etcd.tls)
    monkeypatch.setattr(_etcd, "LOCAL", own[0])
    monkeypatch.setattr(_gate, "_API_SERVERS", etcd.tls)
    monkeypatch.setattr(_https, "is_own", own.__contains__)

    def spare(timeout: int = 0) -> str:
        known = {"etcd_endpoints": list(etcd.clients.values()), "api_servers": [api_server], "own_api_server": ""}
        gate = {**known, "timeout": timeout}
        try:
            _gate.require(gate, warn=pytest.fail)
        except KubestaticError as exc:
            return str(exc)
        return ""

    return spare


def test_a_member_is_lost_and_rebuilt(etcd: Cluster, spare: t.Callable[..., str]) -> None:
    # They have just been started.
    assert spare(timeout=30) == ""
    key, value = (base64.b64encode(text).decode() for text in (b"written", b"before"))
    etcd.post("node3", "/v3/kv/put", {"key": key, "value": value})

    etcd.kill("node3")
    shutil.rmtree(etcd.directory / "node3")
    assert f"healthy without node1: 1 (node2 {etcd.clients['node2']}; node3 " in spare()
    # While it is down, neither of the others may go, and etcd itself says so too.
    refused = etcd.member("node2", state="absent", timeout=0)
    assert refused["msg"].startswith(
        "cannot remove node2: without it, etcd has 2 voting members, quorum 2; healthy: 1 ("
    )

    made = etcd.member("node3", replace=True)
    assert [sentence.split()[0] for sentence in made["actions"]] == ["removed", "added"], made
    assert made["initial_cluster"] == etcd.initial
    assert not etcd.member("node3", replace=True)["changed"]
    late = etcd.member("node3", state="voter", timeout=0)
    assert "in sync with leader" in late["msg"], late
    with pytest.raises(KubestaticError, match=PEER_EXISTS[1]["message"].partition(": ")[2]):
        Etcd([etcd.clients["node1"]], context=etcd.context).add_learner(etcd.peers["node1"])

    etcd.start("node3", initial=made["initial_cluster"], state="existing")
    # Two voting members, of which neither can be spared.
    assert "2 voting members, quorum 2; healthy without node1: 1" in spare()
    promoted = etcd.member("node3", state="voter")
    assert promoted["member_id"] == made["member_id"]
    assert [one["is_learner"] for one in promoted["members"]] == [False] * 3
    assert spare(timeout=30) == ""
    assert value in etcd.post("node3", "/v3/kv/range", {"key": key})


def test_what_is_no_quorum_and_what_is_none_of_its_business(etcd: Cluster, spare: t.Callable[..., str]) -> None:
    assert spare(timeout=30) == ""
    # A full database leaves the quorum as it is.
    etcd.post("node1", "/v3/maintenance/alarm", {"action": "ACTIVATE", "alarm": "NOSPACE"})
    assert "ALARM NOSPACE" in _https.ask(etcd.clients["node1"], "/health", context=etcd.context)[1]
    assert spare() == ""
    # The own member is the one that is down.
    etcd.kill("node1")
    assert spare(timeout=30) == ""
    etcd.kill("node2")
    found = spare()
    assert "3 voting members, quorum 2; healthy without node1: 0 (node2" in found, found


def test_keys_of_encrypted_secrets(etcd: Cluster, spare: t.Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert spare(timeout=30) == ""
    monkeypatch.setattr(_etcd, "_KEYS_AT_ONCE", 2)
    plain, encrypted = "k8s\0something", "k8s:enc:secretbox:v1:key1:something"
    for key, value in {
        **{f"/registry/secrets/default/{name}": encrypted for name in "acdfg"},
        **{f"/registry/secrets/{name}": plain for name in ("default/b", "default/e", "other/a")},
        "/registry/secrets/empty/a": "",
        "/registry/secretstores/default/a": encrypted,
        "/registry/secrets-of-others/a": encrypted,
    }.items():
        words = {"key": key, "value": value}
        etcd.post(
            "node1", "/v3/kv/put", {name: base64.b64encode(text.encode()).decode() for name, text in words.items()}
        )
    # Another one than was written to tells the latest.
    client = Etcd([etcd.clients["node2"]], context=etcd.context)
    found = client.keys("/registry/secrets", value_starts=b"k8s:enc:")
    assert list(found) == [f"default/{name}" for name in "acdfg"]
    etcd.kill("node1")
    etcd.kill("node3")
    with pytest.raises(KubestaticError, match=r"says: .*timed out.*\(503\)"):
        list(client.keys("/registry/secrets", value_starts=b"k8s:enc:"))

# SPDX-FileCopyrightText: kubestatic.node contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Three masters made by kubeadm and by the playbook, one changed flag on each, and what a client sees of it."""

from __future__ import annotations

import itertools
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import yaml
from _figure import Figure, spread
from _playbook import HERE, INVENTORY, Problem, say

sys.path.insert(0, str(HERE.parent / "nodes"))

from _containers import ssh_command
from _inventory import Node, read_nodes

_NODES = HERE.parent / "nodes"
_VARIABLES = _NODES / "control_plane.yml"
_MEMBERS = 3
_ADDED_BY_HAND = "s/^    - kube-apiserver$/&\\n    - --v=1/"
Tries = list[dict[str, Any]]


def measure() -> list[Figure]:
    """Return the figures of the part `control-plane`."""
    masters = read_nodes()
    theirs = _with_kubeadm(masters)
    [renamed] = _ready_gaps(masters[:1], lambda: _rename_over(masters[0]))
    with tempfile.TemporaryDirectory(prefix="kubestatic-bench-") as directory:
        say("three masters by kubestatic.node.bootstrap, from bare nodes")
        _make_bare()
        ours = _timed(masters, lambda: _bootstrap(directory))
        # Right after the first run, the machine is busy with a cluster that settles.
        agains = [_timed(masters, lambda: _bootstrap(directory, changed=False)) for _again in range(3)]
        memory = sum(_megabytes(node) for node in masters)
        gaps = _ready_gaps(masters, lambda: _bootstrap(directory, control_plane_kube_apiserver_flags={"v": 1}))
        with _client(masters[-1], "write", masters) as tries:
            _bootstrap(directory, control_plane_kube_apiserver_flags={"v": 2})
            written = tries()
        stored = json.loads(
            _on(masters[0], "kubectl --kubeconfig=/etc/kubernetes/admin.conf get configmap written -o json")
        )
    acknowledged = [one for one in written if one["ok"]]
    silences = [b["ended"] - a["ended"] for a, b in itertools.pairwise(acknowledged)]
    lost = {one["key"] for one in acknowledged} - set(stored["data"])
    say(f"kubeadm {theirs:.1f} s, bootstrap {ours:.1f} s, again {spread(agains)}")
    say(f"API server unready: rename-over {renamed:.2f} s, bootstrap {spread(gaps)}; {len(acknowledged)} writes")
    return [
        Figure("bootstrap-vs-kubeadm", theirs / ours, ">=", 1.35, "x"),
        Figure("bootstrap-again", statistics.median(agains) / ours, "<=", 0.33, "x"),
        Figure("flag-unready", renamed / max(gaps), ">=", 5, "x"),
        Figure("flag-lost-writes", len(lost), "==", 0, ""),
        Figure("flag-longest-silence", max(silences), "<=", 2, "s"),
        Figure("memory-of-three-masters", memory, "<=", 2000, "MB"),
    ]


def _with_kubeadm(masters: list[Node]) -> float:
    say("three masters by kubeadm: init and two joins, from bare nodes")
    _make_bare()
    settings = yaml.safe_load(_VARIABLES.read_text())["control_plane_kubelet_settings"]
    first, *others = masters
    config = [
        {
            "apiVersion": "kubeadm.k8s.io/v1beta4",
            "kind": "InitConfiguration",
            "localAPIEndpoint": {"advertiseAddress": first.address},
            "nodeRegistration": {"name": first.name},
        },
        {
            "apiVersion": "kubeadm.k8s.io/v1beta4",
            "kind": "ClusterConfiguration",
            "kubernetesVersion": _on(first, "kubeadm version --output=short").strip(),
            "controlPlaneEndpoint": f"{first.address}:6443",
        },
        {"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration", **settings},
    ]
    _on(first, "cat > /run/kubeadm.yaml", stdin=yaml.safe_dump_all(config))

    def make() -> None:
        ignored = "--ignore-preflight-errors=all"
        # Proxy and DNS are no part of what is compared.
        told = _on(first, f"kubeadm init --config=/run/kubeadm.yaml --upload-certs --skip-phases=addon {ignored} 2>&1")
        words = " ".join(told.replace("\\\n", " ").split())
        found = re.search(
            r"kubeadm join \S+ --token \S+ --discovery-token-ca-cert-hash \S+ --control-plane --certificate-key \S+",
            words,
        )
        if found is None:
            raise Problem(f"kubeadm init does not say how to join:\n{told}")
        for node in others:
            here = f"--apiserver-advertise-address={node.address} --node-name={node.name}"
            _on(node, f"{found[0]} {here} {ignored} 2>&1")

    return _timed(masters, make)


def _bootstrap(directory: str, *, changed: bool = True, **variables: Any) -> None:
    given = {"control_plane_certificates_directory": directory, **variables}
    done = subprocess.run(
        [
            *("ansible-playbook", f"--inventory={INVENTORY}", "kubestatic.node.bootstrap"),
            *(f"--extra-vars=@{_VARIABLES}", f"--extra-vars={json.dumps(given)}"),
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise Problem(f"the playbook failed:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
    if not changed and not re.search(r"changed=0 .*\n.*changed=0 .*\n.*changed=0 ", done.stdout):
        raise Problem(f"the second run changed something:\n{done.stdout[-3000:]}")


def _timed(masters: list[Node], make: Any) -> float:
    """Seconds until `make` is done, every API server ready, and all members of etcd healthy."""
    began = time.monotonic()
    make()
    pki = "/etc/kubernetes/pki"
    etcd = (
        f"--cacert={pki}/etcd/ca.crt --cert={pki}/etcd/healthcheck-client.crt --key={pki}/etcd/healthcheck-client.key"
    )
    for node in masters:
        ready = f"curl -s --cacert {pki}/ca.crt https://{node.address}:6443/readyz"
        _on(node, f'until [ "$({ready})" = ok ] && etcdctl {etcd} endpoint health >/dev/null 2>&1; do sleep 0.1; done')
    members = _on(masters[0], f"etcdctl {etcd} member list").splitlines()
    if len(members) != _MEMBERS or any(line.endswith("true") for line in members):
        raise Problem(f"these are no three voting members of etcd: {members}")
    return time.monotonic() - began


def _rename_over(node: Node) -> None:
    """One more flag by hand, as every other tool does it, until the API server is ready again."""
    path = "/etc/kubernetes/manifests"
    old = _on(node, "crictl ps --quiet --name kube-apiserver").strip()
    _on(
        node,
        f"sed '{_ADDED_BY_HAND}' {path}/kube-apiserver.yaml > {path}/.new && mv {path}/.new {path}/kube-apiserver.yaml",
    )
    ready = f"curl -s --cacert /etc/kubernetes/pki/ca.crt https://{node.address}:6443/readyz"
    _on(node, f"while crictl ps --quiet --name kube-apiserver | grep -q {old}; do sleep 0.2; done")
    _on(node, f'until [ "$({ready})" = ok ]; do sleep 0.1; done')


def _ready_gaps(servers: Sequence[Node], change: Callable[[], None]) -> list[float]:
    """For how long the API server of each was not ready during a change, in seconds; nothing else asks it meanwhile."""
    with _client(servers[-1], "ready", servers) as tries:
        change()
        time.sleep(1)
        asked = tries()
    return [_gap(asked, node) for node in servers]


def _gap(tries: Tries, node: Node) -> float:
    """Seconds from the last good answer before the first bad one to the first good one after the last bad one."""
    own = [one for one in tries if one["address"] == node.address]
    bad = [index for index, one in enumerate(own) if not one["ok"]]
    if not bad:
        return 0.0
    return float(own[bad[-1] + 1]["ended"] - own[bad[0] - 1]["ended"])


@contextmanager
def _client(node: Node, mode: str, servers: Sequence[Node]) -> Iterator[Any]:
    """A client that asks all the time while this lasts; a function that gives its tries so far."""
    _on(node, "cat > /run/api_client.py", stdin=(_NODES / "api_client.py").read_text())
    addresses = " ".join(server.address for server in servers)
    _on(node, f"systemd-run --unit=client-{mode} python3 /run/api_client.py {mode} /run/{mode} {addresses} 2>&1")
    try:
        yield lambda: [json.loads(line) for line in _on(node, f"cat /run/{mode}").splitlines()]
    finally:
        _on(node, f"systemctl stop client-{mode}")


def _megabytes(node: Node) -> float:
    """What all processes of the node have for themselves, and their part of what they share (Pss in /proc/PID/smaps_rollup)."""
    return (
        int(_on(node, "cat /proc/[0-9]*/smaps_rollup 2>/dev/null | awk '/^Pss:/ {sum += $2} END {print sum}'")) / 1024
    )


def _make_bare() -> None:
    subprocess.run([sys.executable, _NODES / "nodes.py", "up", "--control-plane", "--bare"], check=True)


def _on(node: Node, command: str, *, stdin: str = "") -> str:
    done = subprocess.run([*ssh_command(node), command], check=False, input=stdin, capture_output=True, text=True)
    if done.returncode != 0:
        raise Problem(f"{node.name}: {command}: {done.stdout[-2000:]}{done.stderr}")
    return done.stdout

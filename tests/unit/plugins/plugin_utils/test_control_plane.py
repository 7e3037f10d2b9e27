# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of a control plane, and what its certificates have to say."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils._control_plane_files import KUBECONFIGS, PAIRS
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.plugin_utils import _control_plane
from ansible_collections.kubestatic.node.tests.unit.plugins.plugin_utils.certificate_world import PARAMS, plane

SERVICE = {"kubernetes", "kubernetes.default", "kubernetes.default.svc"}
OWN = {"master1", "192.0.2.11"}
ETCD = {*OWN, "localhost", "127.0.0.1", "::1"}

# name, signer, common name, organizations, usages, alternative names: kubeadm's (certlist.go, kubeconfig.go).
LEAVES: list[tuple[str, str, str, set[str], set[str], set[str]]] = [
    (
        "pki/apiserver",
        "ca",
        "kube-apiserver",
        set(),
        {"server"},
        {*OWN, *SERVICE, "kubernetes.default.svc.cluster.local", "10.96.0.1"},
    ),
    (
        "pki/apiserver-kubelet-client",
        "ca",
        "kube-apiserver-kubelet-client",
        {"kubeadm:cluster-admins"},
        {"client"},
        set(),
    ),
    ("pki/apiserver-etcd-client", "etcd/ca", "kube-apiserver-etcd-client", set(), {"client"}, set()),
    ("pki/front-proxy-client", "front-proxy-ca", "front-proxy-client", set(), {"client"}, set()),
    ("pki/etcd/server", "etcd/ca", "master1", set(), {"server", "client"}, ETCD),
    ("pki/etcd/peer", "etcd/ca", "master1", set(), {"server", "client"}, ETCD),
    ("pki/etcd/healthcheck-client", "etcd/ca", "kube-etcd-healthcheck-client", set(), {"client"}, set()),
    ("pki/kubelet", "ca", "system:node:master1", {"system:nodes"}, {"server"}, OWN),
    ("admin.conf", "ca", "kubernetes-admin", {"kubeadm:cluster-admins"}, {"client"}, set()),
    ("super-admin.conf", "ca", "kubernetes-super-admin", {"system:masters"}, {"client"}, set()),
    ("kubelet.conf", "ca", "system:node:master1", {"system:nodes"}, {"client"}, set()),
    ("controller-manager.conf", "ca", "system:kube-controller-manager", set(), {"client"}, set()),
    ("scheduler.conf", "ca", "system:kube-scheduler", set(), {"client"}, set()),
]


@pytest.mark.parametrize("row", LEAVES, ids=[row[0] for row in LEAVES])
def test_certificates_say_what_those_of_kubeadm_say(row: tuple[t.Any, ...]) -> None:
    found = plane()
    leaf = {leaf.name: leaf for leaf in _control_plane.leaves(found, found.masters[0])}[row[0]]
    assert (leaf.name, leaf.authority, *leaf.subject) == row


def test_there_are_all_of_them_and_no_others() -> None:
    found = plane()
    names = [leaf.name for leaf in _control_plane.leaves(found, found.masters[0])]
    assert names == [*PAIRS, *KUBECONFIGS] == [row[0] for row in LEAVES]


@pytest.mark.parametrize(
    ("endpoint", "host", "server"),
    [
        ("", None, "https://192.0.2.11:6443"),
        ("api.example.org", "api.example.org", "https://api.example.org:6443"),
        ("api.example.org:443", "api.example.org", "https://api.example.org:443"),
        ("192.0.2.100:8443", "192.0.2.100", "https://192.0.2.100:8443"),
        ("2001:DB8::1", "2001:db8::1", "https://[2001:db8::1]:6443"),
        ("[2001:db8::1]:443", "2001:db8::1", "https://[2001:db8::1]:443"),
        ("[2001:db8::1]", "2001:db8::1", "https://[2001:db8::1]:6443"),
    ],
)
def test_the_endpoint_is_for_admins_alone(endpoint: str, host: str | None, server: str) -> None:
    found = plane(control_plane_endpoint=endpoint)
    leaves = {leaf.name: leaf for leaf in _control_plane.leaves(found, found.masters[0])}
    assert {name: leaf.server for name, leaf in leaves.items() if leaf.server} == {
        "admin.conf": server,
        "super-admin.conf": server,
        **dict.fromkeys(["kubelet.conf", "controller-manager.conf", "scheduler.conf"], "https://192.0.2.11:6443"),
    }
    more = leaves["pki/apiserver"].subject.names - LEAVES[0][5]
    assert more == ({host} if host else set())


def test_more_names_go_where_they_belong() -> None:
    one = {"name": "m", "address": "2001:DB8:0::5", "sans": ["m.example.org", "192.0.2.5"], "held": None, "new": False}
    found = plane(
        masters=[one], api_server_sans=["*.example.org"], service_subnet="fd00::/108,10.0.0.0/16", dns_domain="k8s"
    )
    leaves = {leaf.name: leaf.subject.names for leaf in _control_plane.leaves(found, found.masters[0])}
    own = {"m", "2001:db8::5", "m.example.org", "192.0.2.5"}
    assert leaves["pki/kubelet"] == own
    assert leaves["pki/etcd/server"] == leaves["pki/etcd/peer"] == own | {"localhost", "127.0.0.1", "::1"}
    assert leaves["pki/apiserver"] == own | SERVICE | {"kubernetes.default.svc.k8s", "fd00::1", "*.example.org"}
    assert not any(
        names for name, names in leaves.items() if name not in {*list(PAIRS[:1]), *PAIRS[4:6], "pki/kubelet"}
    )


def master(**changes: t.Any) -> dict[str, t.Any]:
    return {"name": "m", "address": "192.0.2.1", "sans": [], "held": None, "new": False, **changes}


BAD: list[tuple[dict[str, t.Any], str]] = [
    ({"masters": []}, "masters: is empty; name at least one master"),
    ({"masters": [master(name="Master_1")]}, "masters[0].name: 'Master_1' is no DNS subdomain; use lower case"),
    ({"masters": [master(name="a." * 127 + "b")]}, "is no DNS subdomain"),
    ({"masters": [master(name="../m")]}, "masters[0].name: '../m' is no DNS subdomain"),
    ({"masters": [master(address="192.0.2.256")]}, "masters[0].address: '192.0.2.256' is no IP address; give the one"),
    (
        {"masters": [master(address="127.0.0.1")]},
        "masters[0].address: the other masters cannot reach this one at 127.0.0.1",
    ),
    ({"masters": [master(address="::")]}, "masters[0].address: the other masters cannot reach this one at ::"),
    (
        {"masters": [master(), master(address="192.0.2.2")]},
        "masters[1]: has the name m, which m has, too; give each master its own",
    ),
    (
        {"masters": [master(address="2001:db8::1"), master(name="n", address="2001:DB8:0::1")]},
        "masters[1]: has the address 2001:db8::1, which m has, too; give each master its own",
    ),
    ({"masters": [master(held="/h", new=True)]}, "masters[0]: held and new are given, but what is new holds nothing"),
    (
        {"masters": [master(name="m" * 53)]},
        "' has 53 characters, and a certificate has room for 52 behind system:node:",
    ),
    (
        {"masters": [master(address="fe80::1%eth0")]},
        "masters[0].address: 'fe80::1%eth0' is no IP address; give the one",
    ),
    ({"masters": [master(sans=["fe80::1%eth0"])]}, "masters[0].sans[0]: 'fe80::1%eth0' is no DNS subdomain"),
    ({"control_plane_endpoint": "[fe80::1%eth0]:1"}, "control_plane_endpoint: 'fe80::1%eth0' is no DNS subdomain"),
    ({"service_subnet": "fe80::%1/64"}, "service_subnet: 'fe80::%1/64' is no subnet with room for services"),
    ({"masters": [master(sans=["ok", "no!"])]}, "masters[0].sans[1]: 'no!' is no DNS subdomain"),
    ({"api_server_sans": ["a.*.b"]}, "api_server_sans[0]: 'a.*.b' is no DNS subdomain"),
    ({"control_plane_endpoint": "api:http"}, "control_plane_endpoint: 'api:http' has no port from 1 to 65535"),
    ({"control_plane_endpoint": "api:0"}, "control_plane_endpoint: 'api:0' has no port from 1 to 65535"),
    ({"control_plane_endpoint": "https://api"}, "control_plane_endpoint: 'https://api' has no port"),
    ({"control_plane_endpoint": "*.example.org"}, "control_plane_endpoint: '*.example.org' is no DNS subdomain"),
    ({"api_server_port": 65536}, "api_server_port: 65536 is no port; give one from 1 to 65535"),
    ({"service_subnet": "10.96.0.0/33"}, "service_subnet: '10.96.0.0/33' is no subnet with room for services"),
    ({"service_subnet": "10.96.0.0/32"}, "service_subnet: '10.96.0.0/32' is no subnet with room for services"),
    ({"dns_domain": ""}, "dns_domain: '' is no DNS subdomain"),
]


@pytest.mark.parametrize(("params", "message"), BAD, ids=[row[1][:40] for row in BAD])
def test_bad_options_are_named(params: dict[str, t.Any], message: str) -> None:
    with pytest.raises(KubestaticError) as caught:
        _control_plane.control_plane({**PARAMS, **params})
    assert message in str(caught.value)

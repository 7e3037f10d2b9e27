# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""A control plane as its certificates see it: options in, and what each certificate of each master has to say."""

from __future__ import annotations

import ipaddress
import re
import typing as t
from collections.abc import Iterable, Mapping

from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.plugin_utils._pki import Subject

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_DNS_SUBDOMAIN = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*\Z")
_WILDCARD = "*."
_PORTS = range(1, 65536)
_NODE = "system:node:"
# Of a common name (RFC 5280, ub-common-name).
_MOST_CHARACTERS = 64

_SERVER, _CLIENT = frozenset(["server"]), frozenset(["client"])


class Master(t.NamedTuple):
    """One master. ``held`` is the directory with what was gathered from it, empty where nothing was.

    ``is_new``: it is not there yet, so it holds nothing.
    """

    name: str
    address: str
    names: frozenset[str]
    held: str
    is_new: bool


class ControlPlane(t.NamedTuple):
    """``api_server_names`` are those of every API server; ``endpoint`` is a URL, empty for each master's own."""

    masters: tuple[Master, ...]
    api_server_names: frozenset[str]
    endpoint: str
    port: int


class Leaf(t.NamedTuple):
    """One certificate that is no signer's. ``server`` is the URL in its kubeconfig, empty for a pair of files.

    ``optional`` are organizations that a certificate may have or lack.
    """

    name: str
    authority: str
    subject: Subject
    server: str = ""
    optional: frozenset[str] = frozenset()


def control_plane(params: Mapping[str, t.Any]) -> ControlPlane:
    """Judge the options of the module. Raises KubestaticError for the first that is no good."""
    port = params["api_server_port"]
    if port not in _PORTS:
        raise KubestaticError(f"api_server_port: {port} is no port; give one from 1 to 65535")
    host, endpoint = _endpoint(params["control_plane_endpoint"], port=port)
    domain = _subdomain(params["dns_domain"], where="dns_domain")
    service = "kubernetes.default.svc"
    names = ["kubernetes", "kubernetes.default", service, f"{service}.{domain}"]
    more = [_name(one, where=f"api_server_sans[{at}]") for at, one in enumerate(params["api_server_sans"])]
    return ControlPlane(
        masters=_masters(params["masters"]),
        api_server_names=frozenset([*names, _service_address(params["service_subnet"]), *host, *more]),
        endpoint=endpoint,
        port=port,
    )


def leaves(plane: ControlPlane, master: Master) -> list[Leaf]:
    """The certificates of one master.

    Subjects, usages and names are those of cmd/kubeadm/app/phases/certs/certlist.go, of
    cmd/kubeadm/app/phases/kubeconfig/kubeconfig.go (getKubeConfigSpecsBase) and of the alternative names in
    cmd/kubeadm/app/util/pkiutil/pki_helpers.go; the kubelet's serving certificate says what a kubelet asks for itself
    (pkg/kubelet/certificate/kubelet.go).
    """
    node = f"{_NODE}{master.name}"
    nodes = frozenset(["system:nodes"])
    own = frozenset([master.name, master.address]) | master.names
    loopback = frozenset(["localhost", "127.0.0.1", "::1"])
    etcd = Subject(master.name, usages=_SERVER | _CLIENT, names=own | loopback)
    here = url(master.address, plane.port)
    shared = plane.endpoint or here

    admins = "kubeadm:cluster-admins"

    def client(name: str, *organizations: str) -> Subject:
        return Subject(name, frozenset(organizations), _CLIENT)

    return [
        Leaf("pki/apiserver", "ca", Subject("kube-apiserver", usages=_SERVER, names=own | plane.api_server_names)),
        # kubeadm 1.37 leaves the group out, and binds a role to the user instead. A cluster of an older minor lacks that
        # binding, and every cluster with an admin.conf has the group's.
        Leaf(
            "pki/apiserver-kubelet-client",
            "ca",
            client("kube-apiserver-kubelet-client", admins),
            optional=frozenset([admins]),
        ),
        Leaf("pki/apiserver-etcd-client", "etcd/ca", client("kube-apiserver-etcd-client")),
        Leaf("pki/front-proxy-client", "front-proxy-ca", client("front-proxy-client")),
        Leaf("pki/etcd/server", "etcd/ca", etcd),
        Leaf("pki/etcd/peer", "etcd/ca", etcd),
        Leaf("pki/etcd/healthcheck-client", "etcd/ca", client("kube-etcd-healthcheck-client")),
        Leaf("pki/kubelet", "ca", Subject(node, nodes, _SERVER, own)),
        Leaf("admin.conf", "ca", client("kubernetes-admin", admins), shared),
        Leaf("super-admin.conf", "ca", client("kubernetes-super-admin", "system:masters"), shared),
        # What runs on a master asks the API server beside it, kubeadm's kubelets do so once they have joined
        # (cmd/kubeadm/app/cmd/phases/join/kubelet.go).
        Leaf("kubelet.conf", "ca", client(node, "system:nodes"), here),
        Leaf("controller-manager.conf", "ca", client("system:kube-controller-manager"), here),
        Leaf("scheduler.conf", "ca", client("system:kube-scheduler"), here),
    ]


def _masters(given: Iterable[Mapping[str, t.Any]]) -> tuple[Master, ...]:
    masters: list[Master] = []
    for number, one in enumerate(given):
        where = f"masters[{number}]"
        name = node_name(one["name"], where=f"{where}.name")
        own = address(one["address"], where=f"{where}.address")
        names = frozenset(_name(san, where=f"{where}.sans[{at}]") for at, san in enumerate(one["sans"]))
        for other in masters:
            for what, same in (("name", other.name == name), ("address", other.address == own)):
                if same:
                    raise KubestaticError(
                        f"{where}: has the {what} {name if what == 'name' else own}, which {other.name} has, too;"
                        f" give each master its own"
                    )
        if one["held"] and one["new"]:
            raise KubestaticError(
                f"{where}: held and new are given, but what is new holds nothing; remove one of the two"
            )
        masters.append(Master(name, own, names, one["held"] or "", one["new"]))
    if not masters:
        raise KubestaticError("masters: is empty; name at least one master")
    return tuple(masters)


def node_name(text: str, *, where: str) -> str:
    """A name that a node and its certificates can have. Raises KubestaticError."""
    most = _MOST_CHARACTERS - len(_NODE)
    if len(_subdomain(text, where=where)) > most:
        raise KubestaticError(
            f"{where}: {text!r} has {len(text)} characters, and a certificate has room for {most} behind {_NODE}; use a shorter"
            " name for the node"
        )
    return text


def _subdomain(text: str, *, where: str) -> str:
    if not _DNS_SUBDOMAIN.match(text):
        raise KubestaticError(
            f"{where}: {text!r} is no DNS subdomain; use lower case letters, digits, '-' and '.', first and last a letter or"
            " digit, at most 253 of them"
        )
    return text


def _ip_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Raises ValueError, also for one with a zone, which means nothing on another machine."""
    if "%" in text:
        raise ValueError(text)
    return ipaddress.ip_address(text)


def _host(text: str, *, where: str) -> str:
    try:
        return str(_ip_address(text))
    except ValueError:
        return _subdomain(text, where=where)


def _name(text: str, *, where: str) -> str:
    if text.startswith(_WILDCARD):
        _subdomain(text.removeprefix(_WILDCARD), where=where)
        return text
    return _host(text, where=where)


def address(text: str, *, where: str) -> str:
    """An IP address at which other masters can reach one, as it is usually written. Raises KubestaticError."""
    try:
        found = _ip_address(text)
    except ValueError:
        raise KubestaticError(
            f"{where}: {text!r} is no IP address; give the one at which the other masters reach this one"
        ) from None
    if found.is_loopback or found.is_unspecified or found.is_multicast:
        raise KubestaticError(f"{where}: the other masters cannot reach this one at {found}; give another address")
    return str(found)


def _service_address(subnets: str) -> str:
    """The address of the service ``kubernetes``: the first one of the first subnet (GetAPIServerVirtualIP)."""
    subnet = subnets.partition(",")[0].strip()
    try:
        _ip_address(subnet.partition("/")[0])
        return str(ipaddress.ip_network(subnet, strict=False)[1])
    except (ValueError, IndexError):
        raise KubestaticError(
            f"service_subnet: {subnet!r} is no subnet with room for services; give one such as 10.96.0.0/12"
        ) from None


def _endpoint(text: str, *, port: int) -> tuple[list[str], str]:
    """The host, if any, and the URL of ``host``, ``host:port``, ``address`` or ``[address]:port``."""
    if not text:
        return [], ""
    bracketed = re.fullmatch(r"\[(.+)\](?::(.*))?", text)
    host, own_port = bracketed.groups() if bracketed else (text, None)
    if not bracketed and text.count(":") == 1:
        host, _colon, own_port = text.partition(":")
    if own_port is not None and not (own_port.isascii() and own_port.isdigit() and int(own_port) in _PORTS):
        raise KubestaticError(f"control_plane_endpoint: {text!r} has no port from 1 to 65535 behind its colon")
    host = _host(host, where="control_plane_endpoint")
    return [host], url(host, int(own_port or port))


def url(host: str, port: int) -> str:
    """Where a server is reached by HTTPS."""
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""What must hold in the rest of the cluster before a pod of this node may be disturbed."""

from __future__ import annotations

import os
import time
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _etcd, _https
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._etcd import Etcd, Member
from ansible_collections.kubestatic.node.plugins.module_utils._https import Tls

if t.TYPE_CHECKING:
    import ssl

# kubeadm's (cmd/kubeadm/app/constants/constants.go). The client is known to API servers that answer nobody else.
_API_SERVERS = Tls(
    "/etc/kubernetes/pki/ca.crt",
    "/etc/kubernetes/pki/apiserver-kubelet-client.crt",
    "/etc/kubernetes/pki/apiserver-kubelet-client.key",
)

_POLL_SECONDS = 1.0


class Sight(t.NamedTuple):
    """One look at the cluster.

    ``own``: the id of this node's member, empty where it has none. ``troubles``: member id -> why it does not serve.
    ``trouble``: why nobody lists the members. ``api_servers``: URL of each other one -> why it is not ready.
    ``own_api_server``: why this node's own is not ready, empty where it is or was not asked. ``is_alone``: no other node is known.
    """

    members: t.Sequence[Member] = ()
    own: str = ""
    troubles: t.Mapping[str, str] = {}
    trouble: str = ""
    api_servers: t.Mapping[str, str] = {}
    own_api_server: str = ""
    is_alone: bool = False


class Verdict(t.NamedTuple):
    """``refusals``: why this node may not be disturbed. ``is_final``: waiting does not help."""

    refusals: list[str]
    warnings: list[str]
    is_final: bool


def require(gate: t.Mapping[str, t.Any], *, warn: t.Callable[[str], None]) -> None:
    """Wait until this node may be disturbed. `gate` is the option; raises KubestaticError once its timeout is over."""
    for url in gate["api_servers"]:
        if _https.is_own(url):
            raise KubestaticError(
                f"gate: {url} in api_servers is this node's own; list the other API servers, or none for a single master"
            )
    etcd = _etcd.KUBEADM.context()
    api_servers = _client_of_api_servers() if gate["api_servers"] else None
    deadline = time.monotonic() + gate["timeout"]
    while True:
        verdict = judge(_look(gate, etcd=etcd, api_servers=api_servers))
        left = deadline - time.monotonic()
        if not verdict.refusals:
            break
        if verdict.is_final or left <= 0:
            waited = "" if verdict.is_final else f" for {gate['timeout']} s"
            raise KubestaticError(
                f"the rest of the cluster could not spare this node{waited}, so no pod was touched: "
                f"{'; '.join(verdict.refusals)}"
            )
        time.sleep(min(left, _POLL_SECONDS))
    for warning in verdict.warnings:
        warn(warning)


def judge(sight: Sight) -> Verdict:
    """Whether the cluster can spare this node now."""
    refusals: list[str] = []
    warnings: list[str] = []
    is_final = False
    voters = _etcd.voters(sight.members)
    others = [member for member in voters if member.id != sight.own]
    if sight.trouble:
        (warnings if sight.is_alone else refusals).append(f"etcd: its members are not known: {sight.trouble}")
    elif not others:
        warnings.append("etcd has a single voting member, this node's: there is no etcd while its pod is away")
    elif len(_etcd.healthy(others, sight.troubles)) < _etcd.quorum(voters):
        is_final = len(others) < _etcd.quorum(voters)
        own = next((member for member in voters if member.id == sight.own), None)
        refusals.append(f"etcd: {_etcd.tally(voters, sight.troubles, without=own)}")
    if not sight.api_servers:
        warnings.append("there is no other API server (gate.api_servers is empty): none answers while its pod is away")
    elif all(sight.api_servers.values()) and not sight.own_api_server:
        # Where this node's own is down, too, nobody loses anything, and it may be what mends it.
        refusals.append(f"API servers: no other one is ready ({'; '.join(sight.api_servers.values())})")
    return Verdict(refusals, warnings, is_final)


def _look(gate: t.Mapping[str, t.Any], *, etcd: ssl.SSLContext, api_servers: ssl.SSLContext | None) -> Sight:
    endpoints = gate["etcd_endpoints"] or [_etcd.LOCAL]
    own_url = gate["own_api_server"]
    urls = [*gate["api_servers"], *([own_url] if own_url else [])]
    readiness = _readiness(urls, context=api_servers) if api_servers else {}
    own_api_server = readiness.pop(own_url, "")
    cluster = Etcd(endpoints, context=etcd)
    try:
        members = _members(cluster)
    except KubestaticError as exc:
        is_alone = not gate["api_servers"] and all(map(_https.is_own, endpoints))
        return Sight(trouble=str(exc), api_servers=readiness, own_api_server=own_api_server, is_alone=is_alone)
    own = _own(members, context=etcd)
    others = [member for member in _etcd.voters(members) if member.id != own]
    return Sight(members, own, cluster.troubles(others), api_servers=readiness, own_api_server=own_api_server)


def _members(cluster: Etcd) -> list[Member]:
    try:
        return cluster.members()
    except KubestaticError:
        # Those who are asked have no quorum. Whether the others have one is for their health to say.
        return cluster.members(linearizable=False)


def _own(members: t.Sequence[Member], *, context: ssl.SSLContext) -> str:
    try:
        return Etcd([_etcd.LOCAL], context=context).member_id()
    except KubestaticError:
        own = (one.id for one in members if any(map(_https.is_own, (*one.peer_urls, *one.client_urls))))
        return next(own, "")


def _client_of_api_servers() -> ssl.SSLContext:
    has_client = all(map(os.path.exists, _API_SERVERS[1:]))
    return (_API_SERVERS if has_client else Tls(_API_SERVERS.ca_file)).context()


def _readiness(urls: t.Sequence[str], *, context: ssl.SSLContext) -> dict[str, str]:
    def require_ready(url: str) -> None:
        status, _text = _https.ask(url, "/readyz", context=context)
        if status != 200:
            raise KubestaticError(f"{url}/readyz answers {status}")

    return {url: str(answer or "") for url, answer in zip(urls, _https.side_by_side(require_ready, urls))}

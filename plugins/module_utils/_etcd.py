# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""Members, health, quorum and keys of an etcd cluster, over etcd's own HTTP API.

That is its gRPC gateway (Documentation of etcd, dev-guide/api_grpc_gateway; server/embed/serve.go): JSON with the names
of api/etcdserverpb/rpc.proto, 64-bit numbers as decimal strings, fields with zero values left out.
"""

from __future__ import annotations

import base64
import json
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _https
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._https import Tls

if t.TYPE_CHECKING:
    import ssl

# kubeadm's (cmd/kubeadm/app/constants/constants.go).
KUBEADM = Tls(
    "/etc/kubernetes/pki/etcd/ca.crt",
    "/etc/kubernetes/pki/etcd/healthcheck-client.crt",
    "/etc/kubernetes/pki/etcd/healthcheck-client.key",
)
LOCAL = "https://127.0.0.1:2379"

# etcd gives up what needs a quorum after 7 s (server/config/config.go: ReqTimeout); its own words tell more than ours.
_QUORUM_SECONDS = 10.0
# A Secret may have 1 MiB.
_KEYS_AT_ONCE = 100

# Of its refusals (google.golang.org/grpc/codes): what was asked for is wrong, whoever is asked and however often.
_INVALID, _PERMISSION_DENIED, _UNIMPLEMENTED, _UNAUTHENTICATED = 3, 7, 12, 16
_FINAL = (_INVALID, _PERMISSION_DENIED, _UNIMPLEMENTED, _UNAUTHENTICATED)


class Member(t.NamedTuple):
    """``id`` as etcdctl shows it; ``name`` and ``client_urls`` are empty until the member has started."""

    id: str
    name: str
    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...]
    is_learner: bool

    @property
    def title(self) -> str:
        """The member in messages."""
        return self.name or f"the member at {', '.join(self.peer_urls)}"


class Hopeless(KubestaticError):
    """However often it is asked for, it is not had."""


class Etcd:
    """A cluster, asked through the client URLs of some of its members."""

    def __init__(
        self, endpoints: t.Sequence[str], *, context: ssl.SSLContext, timeout: float = _https.TIMEOUT_SECONDS
    ) -> None:
        self._endpoints = endpoints
        self._context = context
        self._timeout = timeout

    def members(self, *, linearizable: bool = True) -> list[Member]:
        """All members by their names. With `linearizable` it takes a quorum, else it may be what one member remembers.

        Raises KubestaticError where none of the endpoints tells.
        """
        body = {"linearizable": linearizable}
        answers = _https.side_by_side(
            lambda url: self._post(url, "/v3/cluster/member/list", body, timeout=self._timeout), self._endpoints
        )
        for answer in answers:
            if not isinstance(answer, KubestaticError):
                return sorted(map(_member, answer.get("members", [])), key=lambda one: (one.name, one.id))
        raise KubestaticError("; ".join(map(str, answers)))

    def member_id(self) -> str:
        """Which member the first endpoint is. Raises KubestaticError."""
        answer = self._post(self._endpoints[0], "/v3/maintenance/status", {}, timeout=self._timeout)
        return _hexadecimal(answer["header"].get("member_id", "0"))

    def troubles(self, members: t.Sequence[Member]) -> dict[str, str]:
        """Member id -> why that member does not serve, which takes a quorum; empty where it does."""
        answers = _https.side_by_side(self._require_health, members)
        return {member.id: str(answer or "") for member, answer in zip(members, answers)}

    def keys(self, directory: str, *, value_starts: bytes) -> t.Iterator[str]:
        """The keys below `directory` whose values start so, without it and its slash, as the first endpoint tells.

        It takes a quorum, so they are the latest. Raises KubestaticError, without anything of a value in it.
        """
        # 0 comes after the slash.
        start, end, more = f"{directory}/".encode(), f"{directory}0".encode(), True
        while more:
            body = {"key": _encoded(start), "range_end": _encoded(end), "limit": _KEYS_AT_ONCE}
            answer = self._post(self._endpoints[0], "/v3/kv/range", body, timeout=_QUORUM_SECONDS)
            for pair in answer.get("kvs", []):
                key = base64.b64decode(pair["key"])
                start = key + b"\0"
                # Four characters for three bytes.
                if base64.b64decode(pair.get("value", "")[: 4 * len(value_starts)]).startswith(value_starts):
                    yield key.decode("utf-8", "replace")[len(directory) + 1 :]
            more = answer.get("more", False)

    def add_learner(self, peer_url: str) -> None:
        """Raises KubestaticError, for this and the other changes. Whether it was done all the same shows in `members`."""
        self._change("add", {"peerURLs": [peer_url], "isLearner": True})

    def remove(self, member: Member) -> None:
        self._change("remove", {"ID": str(int(member.id, 16))})

    def promote(self, member: Member) -> None:
        self._change("promote", {"ID": str(int(member.id, 16))})

    def _change(self, verb: str, body: dict[str, t.Any]) -> None:
        troubles = []
        for url in self._endpoints:
            try:
                self._post(url, f"/v3/cluster/member/{verb}", body, timeout=_QUORUM_SECONDS)
                return
            except Hopeless:
                raise
            except KubestaticError as exc:
                troubles.append(str(exc))
        raise KubestaticError("; ".join(troubles))

    def _post(self, url: str, path: str, body: dict[str, t.Any], *, timeout: float) -> dict[str, t.Any]:
        status, text = _https.ask(url, path, context=self._context, body=body, timeout=timeout)
        answer = _decoded(text)
        if status == 200 and "header" in answer:
            return answer
        # What is no refusal may have secrets in it.
        reason = str(answer.get("message") or (text[:200] if status != 200 else "nothing that etcd would say"))
        kind = Hopeless if answer.get("code") in _FINAL else KubestaticError
        raise kind(f"{url} says: {reason.replace('etcdserver: ', '')} ({status})")

    def _require_health(self, member: Member) -> None:
        if not member.client_urls:
            raise KubestaticError("has not started")
        troubles = []
        for url in member.client_urls:
            try:
                # A full database is no reason to keep anybody from repairing it.
                _status, text = _https.ask(url, "/health?exclude=NOSPACE", context=self._context, timeout=self._timeout)
            except KubestaticError as exc:
                troubles.append(str(exc))
                continue
            answer = _decoded(text)
            if answer.get("health") == "true":
                return
            troubles.append(f"{url} says: {answer.get('reason') or text[:200]}")
        raise KubestaticError(", ".join(troubles))


def voters(members: t.Iterable[Member]) -> list[Member]:
    """Those that count."""
    return [member for member in members if not member.is_learner]


def quorum(members: t.Sized) -> int:
    """How many of so many voting members it takes."""
    return len(members) // 2 + 1


def healthy(members: t.Iterable[Member], troubles: t.Mapping[str, str]) -> list[Member]:
    """Those that serve. `troubles` as of `Etcd.troubles`."""
    return [member for member in members if not troubles[member.id]]


def tally(voting: t.Sequence[Member], troubles: t.Mapping[str, str], *, without: Member | None = None) -> str:
    """Members, quorum and health of voting members in one clause; `without` is one that is not counted as healthy."""
    counted = [member for member in voting if member != without]
    each = "; ".join(f"{member.title} {troubles[member.id] or member.client_urls[0]}" for member in counted)
    return (
        f"{len(voting)} voting member{'s' if len(voting) > 1 else ''}, quorum {quorum(voting)};"
        f" healthy{f' without {without.title}' if without else ''}: {len(healthy(counted, troubles))} ({each})"
    )


def _member(data: t.Mapping[str, t.Any]) -> Member:
    return Member(
        id=_hexadecimal(data.get("ID", "0")),
        name=data.get("name", ""),
        peer_urls=tuple(data.get("peerURLs", ())),
        client_urls=tuple(data.get("clientURLs", ())),
        is_learner=data.get("isLearner", False),
    )


def _hexadecimal(number: str) -> str:
    return format(int(number), "x")


def _encoded(key: bytes) -> str:
    return base64.b64encode(key).decode()


def _decoded(text: str) -> dict[str, t.Any]:
    try:
        data = json.loads(text)
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}

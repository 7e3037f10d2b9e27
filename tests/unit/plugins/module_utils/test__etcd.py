# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Members, health and quorum, from what real members were seen to answer, and from a cluster on loopback."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _etcd, _https
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._etcd import Etcd, Hopeless, Member
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.etcd_gateway import (
    NO_LEADER,
    UNHEALTHY,
    Cluster,
    cluster,
)

# Of etcd 3.7.0, and of 3.6.5 with a learner that has not started.
LIST_37 = (
    '{"header":{"cluster_id":"15427583580326805788", "member_id":"14844474733399323511", "raft_term":"2"}, "members":['
    '{"ID":"8652018476701528022", "name":"node3", "peerURLs":["https://127.0.0.1:21007"], "clientURLs":["https://127.0.0.1:21006"]},'
    ' {"ID":"8689386573271211317", "name":"node2", "peerURLs":["https://127.0.0.1:21005"], "clientURLs":["https://127.0.0.1:21004"]},'
    ' {"ID":"14844474733399323511", "name":"node1", "peerURLs":["https://127.0.0.1:21003"], "clientURLs":["https://127.0.0.1:21002"]}]}'
)
LIST_36 = (
    '{"header":{"cluster_id":"12007706522326610985", "member_id":"8396244028545232478", "raft_term":"2"}, "members":['
    '{"ID":"6206866879986952445", "peerURLs":["https://127.0.0.1:21109"], "isLearner":true},'
    ' {"ID":"8396244028545232478", "name":"node1", "peerURLs":["https://127.0.0.1:21103"], "clientURLs":["https://127.0.0.1:21102"]}]}'
)
STATUS_37 = (
    '{"header":{"cluster_id":"15427583580326805788", "member_id":"14844474733399323511", "revision":"1", "raft_term":"2"},'
    ' "version":"3.7.0", "dbSize":"20480", "leader":"8689386573271211317", "raftIndex":"8", "raftTerm":"2",'
    ' "raftAppliedIndex":"8", "dbSizeInUse":"16384", "storageVersion":"3.7.0", "dbSizeQuota":"2147483648", "downgradeInfo":{}}'
)

Asked = t.List[t.Tuple[str, str, t.Any]]


@pytest.fixture(name="world")
def _world(tmp_path: pathlib.Path) -> t.Iterator[Cluster]:
    with cluster(tmp_path) as found:
        yield found


def etcd(world: Cluster, *names: str) -> Etcd:
    return Etcd(world.urls(*names), context=world.tls.context())


def answering(monkeypatch: pytest.MonkeyPatch, *answers: tuple[int, str]) -> Asked:
    """Have these given in turn. Returns what will have been asked."""
    asked: Asked = []

    def ask(url: str, path: str, *, body: t.Any = None, **_options: t.Any) -> tuple[int, str]:
        asked.append((url, path, body))
        return answers[len(asked) - 1]

    monkeypatch.setattr(_https, "ask", ask)
    return asked


def told(monkeypatch: pytest.MonkeyPatch, *answers: tuple[int, str]) -> tuple[Etcd, Asked]:
    return Etcd(["https://a:1"], context=t.cast("t.Any", None)), answering(monkeypatch, *answers)


# ---- recorded answers


def test_members_as_etcd_lists_them(monkeypatch: pytest.MonkeyPatch) -> None:
    client, asked = told(monkeypatch, (200, LIST_37), (200, LIST_36))
    found = client.members()
    assert [(one.name, one.id) for one in found] == [
        ("node1", "ce022b1ee1873377"),
        ("node2", "7896e70ccfe11d35"),
        ("node3", "781224f6d5e92fd6"),
    ]
    assert found[0] == Member(
        "ce022b1ee1873377", "node1", ("https://127.0.0.1:21003",), ("https://127.0.0.1:21002",), False
    )
    assert client.members(linearizable=False)[0] == Member(
        "5623388abdc268fd", "", ("https://127.0.0.1:21109",), (), True
    )
    assert asked == [
        ("https://a:1", "/v3/cluster/member/list", {"linearizable": True}),
        ("https://a:1", "/v3/cluster/member/list", {"linearizable": False}),
    ]


def test_which_member_an_endpoint_is(monkeypatch: pytest.MonkeyPatch) -> None:
    client, asked = told(monkeypatch, (200, STATUS_37))
    assert client.member_id() == "ce022b1ee1873377"
    assert asked == [("https://a:1", "/v3/maintenance/status", {})]


def test_ids_are_sent_as_decimal_strings(monkeypatch: pytest.MonkeyPatch) -> None:
    client, asked = told(monkeypatch, *[(200, LIST_37)] * 3)
    member = Member("ce022b1ee1873377", "node1", (), (), False)
    client.remove(member)
    client.promote(member)
    client.add_learner("https://b:2")
    assert [(path, body) for _url, path, body in asked] == [
        ("/v3/cluster/member/remove", {"ID": "14844474733399323511"}),
        ("/v3/cluster/member/promote", {"ID": "14844474733399323511"}),
        ("/v3/cluster/member/add", {"peerURLs": ["https://b:2"], "isLearner": True}),
    ]


def test_keys_whose_values_start_so_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    # Of etcd 3.7.0, without the versions of each.
    first = (
        '{"header":{"cluster_id":"15427583580326805788", "revision":"9"}, "kvs":[{"key":"L3IvYS9i", "value":"azhzOmVuYzph"},'
        ' {"key":"L3IvYS9j", "value":"azhzAGE="}], "more":true, "count":"4"}'
    )
    second = (
        '{"header":{"cluster_id":"15427583580326805788", "revision":"9"}, "kvs":[{"key":"L3IvYS9k"},'
        ' {"key":"L3IvYS9lL2Y=", "value":"azhzOmVuYzo="}], "count":"2"}'
    )
    client, asked = told(monkeypatch, (200, first), (200, second))
    assert list(client.keys("/r/a", value_starts=b"k8s:enc:")) == ["b", "e/f"]
    # /r/a/ to /r/a0, then from /r/a/c and a zero byte.
    assert asked == [
        ("https://a:1", "/v3/kv/range", {"key": start, "range_end": "L3IvYTA=", "limit": 100})
        for start in ("L3IvYS8=", "L3IvYS9jAA==")
    ]


@pytest.mark.parametrize("text", ['{"kvs":[{"value":"c2VjcmV0"}]}', '{"header":{}, "kvs":[{"value":"c2VjcmV0'])
def test_an_answer_that_is_broken_gives_no_value_away(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    client, _asked = told(monkeypatch, (200, text))
    with pytest.raises(KubestaticError) as caught:
        list(client.keys("/r/a", value_starts=b"x"))
    assert "c2VjcmV0" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "text", "message", "hopeless"),
    [
        (503, '{"code":14, "message":"etcdserver: unhealthy cluster"}', "unhealthy cluster (503)", False),
        (404, '{"code":5, "message":"etcdserver: member not found"}', "member not found (404)", False),
        (
            400,
            '{"code":3, "message":"etcdserver: given member URLs are invalid"}',
            "given member URLs are invalid",
            True,
        ),
        # A gateway that is turned off, and something else that listens there.
        (404, "404 page not found", "404 page not found (404)", False),
        (200, "<html>", "nothing that etcd would say (200)", False),
        (200, "[]", "nothing that etcd would say (200)", False),
    ],
)
def test_refusals(monkeypatch: pytest.MonkeyPatch, status: int, text: str, message: str, hopeless: bool) -> None:
    client, _asked = told(monkeypatch, (status, text))
    with pytest.raises(KubestaticError) as caught:
        client.add_learner("https://b:2")
    assert f"https://a:1 says: {message}" in str(caught.value)
    assert isinstance(caught.value, Hopeless) is hopeless


# ---- a cluster


def test_the_first_endpoint_that_knows_tells(world: Cluster) -> None:
    world.stop("node1")
    world.peer("node2").is_learner = True
    names = [member.name for member in etcd(world, "node1", "node2", "node3").members(linearizable=False)]
    assert names == ["node1", "node2", "node3"]
    with pytest.raises(KubestaticError) as caught:
        etcd(world, "node1", "node2").members(linearizable=False)
    first, second = world.urls("node1", "node2")
    assert str(caught.value) == (
        f"{first} does not answer: Connection refused; {second} says: rpc not supported for learner (400)"
    )


def test_without_a_quorum_a_member_tells_what_it_remembers(world: Cluster) -> None:
    world.stop("node1", "node2")
    with pytest.raises(KubestaticError, match=r"says: request timed out \(503\)"):
        etcd(world, "node3").members()
    assert len(etcd(world, "node3").members(linearizable=False)) == 3


def test_health(world: Cluster) -> None:
    world.join("https://192.0.2.14:2380", is_learner=True)
    world.stop("node2")
    world.peer("node3").health = NO_LEADER
    members = etcd(world, "node1").members()
    found = etcd(world, "node1").troubles(members)
    assert [(member.name, found[member.id]) for member in members] == [
        ("", "has not started"),
        ("node1", ""),
        ("node2", f"{world.peer('node2').url} does not answer: Connection refused"),
        ("node3", f"{world.peer('node3').url} says: RAFT NO LEADER"),
    ]
    # A full database must not keep anybody from giving it more room.
    assert {path for path, _body in world.asked if "health" in path} == {"/health?exclude=NOSPACE"}


def test_a_member_with_two_addresses(world: Cluster) -> None:
    world.stop("node1")
    member = Member("1", "node1", (), tuple(world.urls("node1", "node2")), False)
    assert etcd(world, "node2").troubles([member]) == {"1": ""}


def test_something_else_than_a_member(monkeypatch: pytest.MonkeyPatch) -> None:
    client, _asked = told(monkeypatch, (404, "404 page not found"))
    member = Member("1", "node1", (), ("https://a:1",), False)
    assert client.troubles([member]) == {"1": "https://a:1 says: 404 page not found"}


def test_a_change_is_asked_of_the_next_member_where_one_cannot(world: Cluster) -> None:
    world.stop("node1")
    world.refusals["add"] = [UNHEALTHY]
    etcd(world, "node1", "node2", "node3").add_learner("https://192.0.2.14:2380")
    assert world.changes() == ["add", "add"]
    assert [peer.peer_url for peer in world.peers if peer.is_learner] == ["https://192.0.2.14:2380"]


def test_a_change_that_is_wrong_is_asked_for_once(world: Cluster) -> None:
    with pytest.raises(Hopeless, match=r"says: given member URLs are invalid \(400\)"):
        etcd(world, "node1", "node2").add_learner("nonsense")
    assert world.changes() == ["add"]


# ---- quorum


@pytest.mark.parametrize(("count", "quorum"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (7, 4)])
def test_quorum(count: int, quorum: int) -> None:
    assert _etcd.quorum([Member(str(number), "", (), (), False) for number in range(count)]) == quorum


def test_tally() -> None:
    members = [
        Member(str(number), f"node{number}", (), (f"https://192.0.2.1{number}:2379",), False) for number in (1, 2, 3)
    ]
    troubles = {"1": "", "2": "", "3": "https://192.0.2.13:2379 does not answer: Connection refused"}
    assert _etcd.tally(members, troubles, without=members[0]) == (
        "3 voting members, quorum 2; healthy without node1: 1 (node2 https://192.0.2.12:2379; node3"
        " https://192.0.2.13:2379 does not answer: Connection refused)"
    )
    assert _etcd.tally(members[:1], troubles) == (
        "1 voting member, quorum 1; healthy: 1 (node1 https://192.0.2.11:2379)"
    )
    unstarted = Member("4", "", ("https://192.0.2.14:2380",), (), False)
    assert _etcd.tally([unstarted], {"4": "has not started"}).endswith(
        "healthy: 0 (the member at https://192.0.2.14:2380 has not started)"
    )

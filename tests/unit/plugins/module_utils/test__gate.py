# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a cluster can spare a node: the decision, and what it is made from on a cluster on loopback."""

from __future__ import annotations

import contextlib
import pathlib
import time
import types
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _etcd, _gate, _https
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._etcd import Member
from ansible_collections.kubestatic.node.plugins.module_utils._gate import Sight
from ansible_collections.kubestatic.node.plugins.module_utils._https import Tls
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.etcd_gateway import (
    NO_LEADER,
    Cluster,
    Server,
    cluster,
)

# ---- the decision

READY = {"https://192.0.2.12:6443": "", "https://192.0.2.13:6443": ""}


def members(count: int, *, learner: int = 0) -> list[Member]:
    """node1, node2... with their numbers as ids."""
    return [
        Member(str(one), f"node{one}", (), (f"https://192.0.2.1{one}:2379",), one == learner)
        for one in range(1, count + 1)
    ]


def sight(count: int, *down: int, own: int = 1, learner: int = 0, **more: t.Any) -> Sight:
    """What is seen of so many members, of which some do not answer."""
    found = members(count, learner=learner)
    troubles = {one.id: f"{one.client_urls[0]} is down" if int(one.id) in down else "" for one in found}
    return Sight(**{"members": found, "own": str(own), "troubles": troubles, "api_servers": READY, **more})


ONE_OF_THREE = (
    "etcd: 3 voting members, quorum 2; healthy without node1: 1 (node2 https://192.0.2.12:2379; node3"
    " https://192.0.2.13:2379 is down)"
)
NO_API_SERVER = "API servers: no other one is ready (a; b)"


@pytest.mark.parametrize(
    ("seen", "refusals"),
    [
        (sight(3), []),
        (sight(3, 3), [ONE_OF_THREE]),
        (sight(3, 2, 3), [ONE_OF_THREE.replace(": 1 (node2 https://192.0.2.12:2379", ": 0 (node2 https://192.0.2.12:2379 is down")]),
        # What is down already costs nothing.
        (sight(3, 1), []),
        (sight(3, 1, 3), [ONE_OF_THREE]),
        (sight(5, 2), []),
        (sight(5, 2, 3), ["etcd: 5 voting members, quorum 3; healthy without node1: 2 ("]),
        (sight(4), []),
        (sight(4, 2), ["etcd: 4 voting members, quorum 3; healthy without node1: 2 ("]),
        # A learner is none of those that count, on this node or on another.
        (sight(3, learner=3), ["etcd: 2 voting members, quorum 2; healthy without node1: 1 ("]),
        (sight(4, 3, learner=4), [ONE_OF_THREE]),
        (sight(4, own=4, learner=4), []),
        (sight(4, 3, own=4, learner=4), []),
        (sight(4, 2, 3, own=4, learner=4), ["etcd: 3 voting members, quorum 2; healthy: 1 ("]),
        (sight(2, own=2, learner=2), []),
        # A node without a member.
        (sight(3, own=9), []),
        (sight(3, 3, own=9), []),
        (sight(3, 2, 3, own=9), ["etcd: 3 voting members, quorum 2; healthy: 1 (node1 "]),
        (sight(1, own=9), []),
        (sight(1, 1, own=9), ["etcd: 1 voting member, quorum 1; healthy: 0 (node1 "]),
        (Sight(trouble="a does not answer", api_servers=READY), ["etcd: its members are not known: a does not answer"]),
        # API servers.
        (sight(3, api_servers={"a": "", "b": "b is away"}), []),
        (sight(3, api_servers={"a": "a", "b": "b"}), [NO_API_SERVER]),
        (sight(3, 3, api_servers={"a": "a", "b": "b"}), [ONE_OF_THREE, NO_API_SERVER]),
        # The own one is down, too.
        (sight(3, api_servers={"a": "a", "b": "b"}, own_api_server="c"), []),
        (sight(3, 3, api_servers={"a": "a", "b": "b"}, own_api_server="c"), [ONE_OF_THREE]),
        (sight(1, api_servers={"a": "a", "b": "b"}), [NO_API_SERVER]),
    ],
)  # fmt: skip
def test_refusals(seen: Sight, refusals: list[str]) -> None:
    found = _gate.judge(seen).refusals
    assert len(found) == len(refusals), found
    assert all(one.startswith(wanted) for one, wanted in zip(found, refusals)), found


@pytest.mark.parametrize(
    ("seen", "warnings"),
    [
        (sight(3), []),
        (sight(1), ["etcd has a single voting member"]),
        # The one that is down is this node's, so nobody loses anything.
        (sight(1, 1), ["etcd has a single voting member"]),
        (sight(2, learner=2), ["etcd has a single voting member"]),
        (sight(3, api_servers={}), ["there is no other API server"]),
        (sight(1, api_servers={}), ["etcd has a single voting member", "there is no other API server"]),
        (Sight(trouble="a", is_alone=True), ["etcd: its members are not known: a", "there is no other API server"]),
    ],
)
def test_warnings(seen: Sight, warnings: list[str]) -> None:
    found = _gate.judge(seen)
    assert found.refusals == []
    assert len(found.warnings) == len(warnings), found
    assert all(one.startswith(wanted) for one, wanted in zip(found.warnings, warnings)), found


@pytest.mark.parametrize(
    ("seen", "is_final"),
    [
        (sight(3), False),
        (sight(3, 2, 3), False),
        (sight(2), True),
        (sight(2, 1, 2), True),
        (sight(2, 1, 2, own=9), False),
        (sight(3, api_servers={"a": "a"}), False),
    ],
)
def test_waiting_is_for_what_may_pass(seen: Sight, is_final: bool) -> None:
    assert _gate.judge(seen).is_final is is_final


# ---- a cluster


class World:
    """Three members, and API servers on the other nodes. ``own``: what is taken for this node's own addresses."""

    def __init__(self, etcd: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
        self.etcd = etcd
        self.servers: list[Server] = []
        self.status = 200
        self.warnings: list[str] = []
        self.naps: list[float] = []
        self.own: list[str] = []
        self.clients: list[str] = []
        monkeypatch.setattr(_etcd, "KUBEADM", etcd.tls)
        monkeypatch.setattr(_etcd, "LOCAL", etcd.peer("node1").url)
        monkeypatch.setattr(_gate, "_API_SERVERS", etcd.tls)
        monkeypatch.setattr(_https, "is_own", lambda url: url in self.own)
        # Not time.sleep itself, which other threads of this process use, too.
        monkeypatch.setattr(_gate, "time", types.SimpleNamespace(sleep=self._sleep, monotonic=time.monotonic))
        self.while_asleep: t.Callable[[], None] = lambda: None

    def api_server(self) -> str:
        def answer(path: str, _body: dict[str, t.Any]) -> tuple[int, dict[str, t.Any]]:
            return (self.status, {}) if path == "/readyz" else (404, {})

        self.servers.append(Server(self.etcd.tls, answer))
        return self.servers[-1].url

    def _sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.while_asleep()

    def require(self, **options: t.Any) -> None:
        defaults = {"etcd_endpoints": [], "api_servers": [self.api_server()], "own_api_server": "", "timeout": 0}
        _gate.require({**defaults, **options}, warn=self.warnings.append)

    def refused(self, **options: t.Any) -> str:
        with pytest.raises(KubestaticError) as caught:
            self.require(**options)
        return str(caught.value)


@pytest.fixture(name="world")
def _world(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[World]:
    with contextlib.ExitStack() as stack:
        world = World(stack.enter_context(cluster(tmp_path)), monkeypatch)
        yield world
        for server in world.servers:
            server.stop()


def test_it_opens(world: World) -> None:
    world.require()
    assert (world.warnings, world.naps) == ([], [])
    # This node's member need not be healthy, so it is not asked whether it is.
    assert sorted(path for path, _body in world.etcd.asked) == [
        *["/health?exclude=NOSPACE"] * 2,
        "/v3/cluster/member/list",
        "/v3/maintenance/status",
    ]


def test_it_stays_shut(world: World) -> None:
    world.etcd.stop("node3")
    second, third = world.etcd.urls("node2", "node3")
    assert world.refused() == (
        "the rest of the cluster could not spare this node for 0 s, so no pod was touched: etcd: 3 voting members, quorum 2;"
        f" healthy without node1: 1 (node2 {second}; node3 {third} does not answer: Connection refused)"
    )


def test_members_that_no_endpoint_names_are_asked_and_named(world: World) -> None:
    [first], [second], [third] = (world.etcd.urls(f"node{number}") for number in (1, 2, 3))
    world.require(etcd_endpoints=[first])
    world.etcd.join("https://192.0.2.14:2380", is_learner=False)
    assert world.refused(etcd_endpoints=[first]).endswith(
        "etcd: 4 voting members, quorum 3; healthy without node1: 2 (the member at https://192.0.2.14:2380 has not started;"
        f" node2 {second}; node3 {third})"
    )


def test_it_waits(world: World) -> None:
    world.status = 500

    def recover() -> None:
        if len(world.naps) == 2:
            world.status = 200

    world.while_asleep = recover
    world.require(timeout=60)
    assert world.naps == [1.0, 1.0]


def test_it_waits_for_the_time_that_is_left(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(f"{_gate.__name__}.time.monotonic", lambda: now[0])

    def pass_time() -> None:
        now[0] += world.naps[-1]

    world.while_asleep = pass_time
    world.status = 503
    url = world.api_server()
    message = world.refused(timeout=2.5, api_servers=[url])
    assert world.naps == [1.0, 1.0, 0.5]
    assert message.endswith(f"API servers: no other one is ready ({url}/readyz answers 503)")


def test_one_api_server_will_do(world: World) -> None:
    ready, away = world.api_server(), world.api_server()
    world.servers[1].stop()
    world.require(api_servers=[away, ready])
    message = world.refused(api_servers=[away])
    assert message.endswith(f"API servers: no other one is ready ({away} does not answer: Connection refused)")


def test_no_other_api_server_has_to_be_ready_where_the_own_one_is_not(world: World) -> None:
    away, own = world.api_server(), world.api_server()
    world.servers[0].stop()
    assert f"({away} does not answer" in world.refused(api_servers=[away], own_api_server=own)
    world.servers[1].stop()
    world.require(api_servers=[away], own_api_server=own)
    assert world.warnings == []
    world.etcd.stop("node3")
    assert "API servers" not in world.refused(api_servers=[away], own_api_server=own)


def test_two_members_can_spare_none(world: World) -> None:
    world.etcd.peers.pop()
    assert "could not spare this node, so" in world.refused(timeout=60)
    assert world.naps == []


def test_a_member_that_answers_and_has_no_leader(world: World) -> None:
    world.etcd.peer("node2").health = NO_LEADER
    assert "says: RAFT NO LEADER; node3" in world.refused()


def test_no_quorum_at_all(world: World) -> None:
    world.etcd.stop("node2", "node3")
    assert "quorum 2; healthy without node1: 0 (node2" in world.refused()


def test_the_own_member_does_not_answer_and_others_are_known(world: World) -> None:
    urls = world.etcd.urls("node1", "node2", "node3")
    world.etcd.stop("node1")
    assert "its members are not known: https://127.0.0.1" in world.refused()
    world.require(etcd_endpoints=urls)
    world.etcd.stop("node3")
    # Which one is this node's does not matter, as it does not serve: but it is told where it is known.
    assert "healthy: 0 (node1" in world.refused(etcd_endpoints=urls)
    world.own = [world.etcd.peer("node1").peer_url]
    assert "healthy without node1: 0 (node2" in world.refused(etcd_endpoints=urls)
    world.own = urls[:1]
    assert "healthy without node1: 0 (node2" in world.refused(etcd_endpoints=urls)


def test_the_own_member_is_away_from_the_loopback_address(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_etcd, "LOCAL", "https://127.0.0.1:1")
    world.etcd.stop("node3")
    world.own = [world.etcd.peer("node1").url]
    assert "healthy without node1: 1 (node2" in world.refused(etcd_endpoints=world.etcd.urls("node1", "node2"))


def test_the_own_member_is_cut_off(world: World) -> None:
    urls = world.etcd.urls("node1", "node2", "node3")
    world.etcd.peer("node1").health = NO_LEADER
    world.require(etcd_endpoints=urls)


def test_a_learner_lists_nothing(world: World) -> None:
    world.etcd.peer("node1").is_learner = True
    assert "says: rpc not supported for learner" in world.refused()
    world.etcd.join("https://192.0.2.14:2380", is_learner=False)
    world.require(etcd_endpoints=world.etcd.urls("node1", "node2"))


def test_a_single_master(world: World) -> None:
    elsewhere = world.etcd.peer("node2").url
    world.etcd.stop("node2", "node3")
    del world.etcd.peers[1:]
    world.require(api_servers=[])
    assert len(world.warnings) == 2
    # Nor is there anybody to spare for while its etcd is down.
    local = world.etcd.peer("node1").url
    world.own = [local]
    world.etcd.stop()
    world.require(api_servers=[])
    world.require(api_servers=[], etcd_endpoints=[local])
    assert world.naps == []
    assert "its members are not known" in world.refused(api_servers=[], etcd_endpoints=[local, elsewhere])
    assert "its members are not known" in world.refused()


def test_the_own_api_server_is_none_of_the_others(world: World) -> None:
    url = world.api_server()
    world.own = [url]
    assert world.refused(api_servers=[url]).startswith(f"gate: {url} in api_servers is this node's own; ")
    assert world.etcd.asked == []


def test_api_servers_are_asked_without_a_client_where_the_node_has_none(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.setattr(_gate, "_API_SERVERS", Tls(world.etcd.tls.ca_file, str(tmp_path / "no"), str(tmp_path / "no")))
    # This one wants to know who asks.
    assert "API servers: no other one is ready" in world.refused()


def test_certificates_that_are_not_there(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_etcd, "KUBEADM", world.etcd.tls._replace(key_file="/no/such.key"))
    assert world.refused() == "cannot read /no/such.key: No such file or directory"

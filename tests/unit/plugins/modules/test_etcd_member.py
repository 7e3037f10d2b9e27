# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""etcd_member from its arguments to its result, on a cluster on loopback."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _etcd_member, _module
from ansible_collections.kubestatic.node.plugins.modules import etcd_member
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.etcd_gateway import (
    NO_LEADER,
    NOT_IN_SYNC,
    TIMED_OUT,
    TOO_MANY_LEARNERS,
    UNHEALTHY,
    Cluster,
    cluster,
)
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.world import call

URL = "https://192.0.2.1{}:2380"
ALL = ",".join(f"node{number}={URL.format(number)}" for number in (1, 2, 3))


@pytest.fixture(name="etcd")
def _etcd(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[Cluster]:
    monkeypatch.setattr(_module, "require_root", lambda: None)
    monkeypatch.setattr(_etcd_member, "_POLL_SECONDS", 0.01)
    with cluster(tmp_path) as found:
        yield found


def have(etcd: Cluster, number: int = 3, **arguments: t.Any) -> dict[str, t.Any]:
    """About node3 unless told otherwise, asked for through the others."""
    endpoints = [peer.url for peer in etcd.peers if peer.server and peer.name != f"node{number}"]
    defaults = {"name": f"node{number}", "peer_url": URL.format(number), "endpoints": endpoints, "timeout": 5}
    return call(None, etcd_member.main, **{**defaults, **etcd.tls._asdict(), **arguments})


def test_a_member_is_rebuilt(etcd: Cluster) -> None:
    lost = format(etcd.peer("node3").id, "x")
    etcd.stop("node3")
    foreseen = have(etcd, replace=True, check=True)
    assert (foreseen["changed"], etcd.changes()) == (True, [])
    assert foreseen["actions"] == [
        f"would remove node3, member {lost}",
        f"would add node3 ({URL.format(3)}) as a learner",
    ]
    assert (foreseen["initial_cluster"], foreseen["member_id"]) == (ALL, "")

    made = have(etcd, replace=True)
    assert made["actions"] == [f"removed node3, member {lost}", f"added node3 ({URL.format(3)}) as a learner"]
    assert made["initial_cluster"] == ALL
    new = etcd.peers[-1]
    assert (made["member_id"], new.is_learner) == (format(new.id, "x"), True)
    assert [(one["name"], one["is_learner"]) for one in made["members"]] == [
        ("", True),
        ("node1", False),
        ("node2", False),
    ]
    assert [{**one, "client_urls": []} for one in foreseen["members"][1:]] == [
        {**one, "client_urls": []} for one in made["members"][1:]
    ]
    # A run that was cut off here goes on with the one that it has added.
    again = have(etcd, replace=True)
    assert (again["changed"], again["actions"], again["member_id"]) == (False, [], made["member_id"])

    etcd.start(new, "node3")
    assert have(etcd, state="voter", check=True)["actions"] == [f"would promote node3, member {made['member_id']}"]
    voter = have(etcd, state="voter")
    assert (voter["actions"], new.is_learner) == ([f"promoted node3, member {made['member_id']}"], False)
    assert not have(etcd, state="voter")["changed"]
    assert not have(etcd)["changed"]
    assert etcd.changes() == ["remove", "add", "promote"]


def test_a_member_is_removed(etcd: Cluster) -> None:
    removed = have(etcd, state="absent", peer_url=None)
    assert (removed["changed"], removed["member_id"]) == (True, "")
    assert removed["initial_cluster"] == ",".join(ALL.split(",")[:2])
    again = have(etcd, state="absent")
    assert (again["changed"], etcd.changes()) == (False, ["remove"])


@pytest.mark.parametrize(
    "arguments", [{"state": "absent"}, {"replace": True}, {"state": "absent", "check": True}, {"replace": True, "check": True}]
)  # fmt: skip
def test_quorum_is_kept(etcd: Cluster, arguments: dict[str, t.Any]) -> None:
    etcd.peer("node2").health = NO_LEADER
    refused = have(etcd, timeout=0, **arguments)
    first, second = etcd.urls("node1", "node2")
    assert refused["failed"] and refused["msg"].startswith(
        "cannot remove node3: without it, etcd has 2 voting members, quorum 2; healthy: 1 ("
        f"node1 {first}; node2 {second} says: RAFT NO LEADER)"
    ), refused
    assert ("changed" in refused, refused["actions"], etcd.changes()) == (False, [], [])


def test_no_quorum_to_begin_with(etcd: Cluster) -> None:
    etcd.stop("node2", "node3")
    refused = have(etcd, replace=True, timeout=0)
    assert refused["msg"].startswith("etcd has no quorum: 3 voting members, quorum 2; healthy: 0 (node1 "), refused
    assert "RAFT NO LEADER; node2" in refused["msg"]


def test_nobody_answers(etcd: Cluster) -> None:
    etcd.stop()
    urls = etcd.urls("node1", "node2")
    refused = have(etcd, timeout=0)
    assert refused["msg"].startswith("; ".join(f"{url} does not answer: Connection refused" for url in urls)), refused


def test_the_only_voting_member_stays(etcd: Cluster) -> None:
    etcd.stop("node2", "node3")
    del etcd.peers[1:]
    refused = have(etcd, number=1, state="absent", endpoints=etcd.urls("node1"))
    assert "it is the only voting member" in refused["msg"]


def test_a_learner_that_is_not_in_sync_yet(etcd: Cluster) -> None:
    etcd.peer("node3").is_learner = True
    etcd.refusals["promote"] = [NOT_IN_SYNC] * 4
    assert have(etcd, state="voter")["changed"]
    etcd.peer("node3").is_learner = True
    etcd.refusals["promote"] = [NOT_IN_SYNC] * 2
    late = have(etcd, state="voter", timeout=0)
    assert late["msg"].endswith(
        "can only promote a learner member which is in sync with leader (400); the learner must run and catch up, see the log"
        " of its etcd (waited 0 s)"
    )


def test_a_learner_that_does_not_run(etcd: Cluster) -> None:
    have(etcd, number=4)
    late = have(etcd, number=4, state="voter", timeout=0)
    # Three of four is a quorum, so that it is etcd that does not want it.
    assert "in sync with leader" in late["msg"]
    etcd.stop("node3")
    late = have(etcd, number=4, state="voter", timeout=0, endpoints=etcd.urls("node1", "node2"))
    assert (
        "cannot promote the member at https://192.0.2.14:2380: with it, etcd has 4 voting members, quorum 3"
        in late["msg"]
    )


def test_what_etcd_refuses_for_a_while(etcd: Cluster) -> None:
    etcd.refusals["remove"] = [UNHEALTHY, UNHEALTHY]
    etcd.refusals["add"] = [UNHEALTHY, TIMED_OUT, UNHEALTHY, UNHEALTHY]
    found = have(etcd, replace=True)
    assert len(found["actions"]) == 2
    assert etcd.changes() == [*["remove"] * 3, *["add"] * 5]


def test_one_learner_at_a_time(etcd: Cluster) -> None:
    etcd.join(URL.format(4), is_learner=True)
    refused = have(etcd, number=5, timeout=0)
    assert TOO_MANY_LEARNERS[1]["message"].partition(": ")[2] in refused["msg"]
    assert "; another learner must be promoted or removed first (waited 0 s)" in refused["msg"]


def test_what_was_done_before_a_failure_is_told(etcd: Cluster) -> None:
    etcd.refusals["add"] = [UNHEALTHY] * 2
    failed = have(etcd, replace=True, timeout=0)
    assert failed["failed"] and failed["changed"]
    assert len(failed["actions"]) == 1
    assert failed["msg"].endswith(f" (waited 0 s); before that, {failed['actions'][0]}")


@pytest.mark.parametrize("verbs", [{"add"}, {"remove"}, {"add", "remove"}])
def test_a_lost_answer(etcd: Cluster, verbs: set[str]) -> None:
    # With one endpoint, as a second one would be asked for the same.
    etcd.lost = verbs
    found = have(etcd, replace=True, endpoints=etcd.urls("node1"))
    assert len(found["actions"]) == 2, found
    assert etcd.changes() == ["remove", "add"]
    assert etcd.peers[-1].is_learner


def test_a_lost_answer_and_another_endpoint(etcd: Cluster) -> None:
    etcd.lost = {"add", "remove"}
    found = have(etcd, replace=True)
    assert len(found["actions"]) == 2, found
    assert [peer.peer_url for peer in etcd.peers] == [URL.format(number) for number in (1, 2, 3)]


def test_a_learner_that_starts_meanwhile_is_not_removed_again(etcd: Cluster) -> None:
    join = etcd.join

    def join_and_start(peer_url: str, *, is_learner: bool) -> t.Any:
        assert etcd.changes() == ["remove", "add"]
        peer = join(peer_url, is_learner=is_learner)
        etcd.start(peer, "node3")
        return peer

    etcd.join = join_and_start  # type: ignore[method-assign]
    have(etcd, replace=True)
    assert etcd.changes() == ["remove", "add"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"endpoints": []}, "endpoints is empty; give the client URLs of the other members"),
        ({"peer_url": None}, "state: learner needs peer_url"),
        ({"peer_url": "/"}, "state: learner needs peer_url"),
        ({"peer_url": URL.format(2)}, "are those of different members"),
        ({"peer_url": "nonsense", "name": "node4"}, "says: given member URLs are invalid (400)"),
        ({"state": "voter", "name": "node4", "peer_url": None}, "node4 is no member that could be promoted"),
        ({"key_file": "/no/key"}, "cannot read /no/key: No such file or directory"),
    ],
)
def test_bad_input(etcd: Cluster, arguments: dict[str, t.Any], message: str) -> None:
    refused = have(etcd, **arguments)
    assert refused["failed"] and message in refused["msg"], refused
    assert len(etcd.peers) == 3
    # Waiting would not help: all that are there were asked for the members once, if at all.
    assert len([path for path, _body in etcd.asked if path.endswith("list")]) <= len(etcd.peers)


def test_it_is_root_who_may(etcd: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert "set become: true" in have(etcd)["msg"]

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done next for a member, and what would cost the cluster its quorum."""

from __future__ import annotations

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _etcd_member
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._etcd import Hopeless, Member
from ansible_collections.kubestatic.node.plugins.module_utils._etcd_member import ABSENT, LEARNER, VOTER, Step, Wish


def member(number: int, *, learner: bool = False, started: bool = True) -> Member:
    peer, client = f"https://192.0.2.1{number}:2380", f"https://192.0.2.1{number}:2379"
    return Member(str(number), f"node{number}" if started else "", (peer,), (client,) if started else (), learner)


def wish(state: str = LEARNER, *, number: int = 3, replace: bool = False, url: int = 0) -> Wish:
    """For node3 and its URL, or another one's."""
    return Wish(f"node{number}", f"https://192.0.2.1{url or number}:2380", state, replace)


TWO = [member(1), member(2)]
THREE = [*TWO, member(3)]
WITH_LEARNER = [*TWO, member(3, learner=True)]
UNSTARTED = [*TWO, member(3, learner=True, started=False)]
UNSTARTED_VOTER = [*TWO, member(3, started=False)]
STRANGER = [*TWO, member(4, learner=True, started=False)]


@pytest.mark.parametrize(
    ("members", "wanted", "verb"),
    [
        (TWO, wish(), "add"),
        (TWO, wish(replace=True), "add"),
        (STRANGER, wish(), "add"),
        # One that is there stays, whatever it is.
        (THREE, wish(), None),
        (WITH_LEARNER, wish(), None),
        (UNSTARTED, wish(), None),
        (UNSTARTED_VOTER, wish(), None),
        # But for one whose data are lost. That which has none yet is taken up.
        (THREE, wish(replace=True), "remove"),
        (WITH_LEARNER, wish(replace=True), "remove"),
        (UNSTARTED_VOTER, wish(replace=True), "remove"),
        (UNSTARTED, wish(replace=True), None),
        # It is the member also under a new address, or a new name.
        (THREE, wish(url=9), None),
        (THREE, wish(url=9, replace=True), "remove"),
        (THREE, wish(number=9, url=3), None),
        (THREE, wish(number=9, url=3, replace=True), "remove"),
        (WITH_LEARNER, wish(VOTER), "promote"),
        (UNSTARTED, wish(VOTER), "promote"),
        (THREE, wish(VOTER), None),
        (THREE, wish(ABSENT), "remove"),
        (UNSTARTED, wish(ABSENT), "remove"),
        (TWO, wish(ABSENT), None),
        # Without a peer URL only the name counts, and without a name nothing that has none.
        (THREE, Wish("node3", "", ABSENT), "remove"),
        (UNSTARTED, Wish("node3", "", ABSENT), None),
        (UNSTARTED, Wish("", "", ABSENT), None),
    ],
)
def test_next_step(members: list[Member], wanted: Wish, verb: str | None) -> None:
    step = _etcd_member.next_step(members, wanted)
    assert (step.verb if step else None) == verb
    assert step is None or step.member == (None if verb == "add" else members[2])


@pytest.mark.parametrize("state", [LEARNER, VOTER, ABSENT])
def test_two_members_for_one_wish(state: str) -> None:
    with pytest.raises(
        Hopeless, match=r"are those of different members: 2 \(node2, \S+\) and 3 \(node3, \S+\); correct"
    ):
        _etcd_member.next_step(THREE, wish(state, url=2, replace=True))


def test_nobody_to_promote() -> None:
    with pytest.raises(Hopeless, match=r"^node3 is no member that could be promoted; "):
        _etcd_member.next_step(TWO, wish(VOTER))


def refused(members: list[Member], verb: str, number: int, *down: int) -> str:
    found = next(one for one in members if one.id == str(number))
    troubles = {one.id: f"{one.client_urls[0]} is down" if int(one.id) in down else "" for one in members}
    try:
        _etcd_member.require_quorum(members, Step(verb, found), troubles)
    except KubestaticError as exc:
        return str(exc)
    return ""


FIVE = [*THREE, member(4), member(5)]
WITHOUT_NODE3 = "cannot remove node3: without it, etcd has 2 voting members, quorum 2;"
ONE_LEARNER = [member(1), member(2, learner=True)]


@pytest.mark.parametrize(
    ("members", "verb", "number", "down", "message"),
    [
        (THREE, "remove", 3, (), ""),
        (THREE, "remove", 3, (3,), ""),
        (
            *(THREE, "remove", 3, (2,)),
            f"{WITHOUT_NODE3} healthy: 1 (node1 https://192.0.2.11:2379; node2 https://192.0.2.12:2379 is down)",
        ),
        (TWO, "remove", 2, (), ""),
        (TWO, "remove", 1, (2,), "cannot remove node1: without it, etcd has 1 voting member, quorum 1; healthy: 0 ("),
        ([member(1)], "remove", 1, (), "cannot remove node1: it is the only voting member, "),
        (ONE_LEARNER, "remove", 1, (), "cannot remove node1: it is the only voting member, "),
        # A learner costs nothing.
        (ONE_LEARNER, "remove", 2, (1, 2), ""),
        (FIVE, "remove", 5, (4,), ""),
        (FIVE, "remove", 5, (3, 4), "cannot remove node5: without it, etcd has 4 voting members, quorum 3; healthy: 2 ("),
        (WITH_LEARNER, "promote", 3, (), ""),
        (WITH_LEARNER, "promote", 3, (2,), ""),
        (WITH_LEARNER, "promote", 3, (2, 3), "cannot promote node3: with it, etcd has 3 voting members, quorum 2; healthy: 1 ("),
        (ONE_LEARNER, "promote", 2, (), ""),
        (ONE_LEARNER, "promote", 2, (2,), "cannot promote node2: with it, etcd has 2 voting members, quorum 2; healthy: 1 ("),
    ],
)  # fmt: skip
def test_quorum(members: list[Member], verb: str, number: int, down: tuple[int, ...], message: str) -> None:
    found = refused(members, verb, number, *down)
    assert found.startswith(message) if message else found == ""


@pytest.mark.parametrize(
    ("members", "wanted", "text"),
    [
        (THREE[::-1], wish(), "node1=https://192.0.2.11:2380,node2=https://192.0.2.12:2380,node3=https://192.0.2.13:2380"),
        (UNSTARTED, wish(), "node1=https://192.0.2.11:2380,node2=https://192.0.2.12:2380,node3=https://192.0.2.13:2380"),
        # etcd wants as many members as there are; the name of another one that has not started does not matter.
        (STRANGER, wish(number=1), "4=https://192.0.2.14:2380,node1=https://192.0.2.11:2380,node2=https://192.0.2.12:2380"),
        ([member(1)._replace(peer_urls=("https://b:1", "https://a:1"))], wish(), "node1=https://a:1,node1=https://b:1"),
    ],
)  # fmt: skip
def test_initial_cluster(members: list[Member], wanted: Wish, text: str) -> None:
    assert _etcd_member.initial_cluster(members, wanted) == text

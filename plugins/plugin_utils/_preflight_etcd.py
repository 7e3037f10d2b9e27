# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""What becomes of etcd on each master: begin a cluster, keep a member, have one join, or rebuild one.

A wrong answer loses data: a second cluster beside the first, or a blank member that votes. So what is not certain is refused.
"""

from __future__ import annotations

import ipaddress
import typing as t
import urllib.parse
from collections.abc import Mapping, Sequence

from ansible_collections.kubestatic.node.plugins.module_utils import _etcd
from ansible_collections.kubestatic.node.plugins.plugin_utils._masters import (
    BOOTSTRAP,
    JOIN,
    KEEP,
    REBUILD,
    Master,
    Terms,
    initial_cluster,
    listed,
)

Member = Mapping[str, t.Any]


class Decision(t.NamedTuple):
    """``phases``: name -> phase of each master that was heard and for which it is certain.

    ``answering``: the masters whose etcd answers.
    """

    phases: dict[str, str]
    problems: Sequence[str] = ()
    warnings: Sequence[str] = ()
    answering: Sequence[Master] = ()


def decide(masters: Sequence[Master], terms: Terms) -> Decision:
    """Decide for all masters together. Those that were not heard count as unknown."""
    heard = [master for master in masters if master.facts]
    answering = [master for master in heard if master.etcd["members"] is not None]
    if answering:
        return _running(masters, answering, terms)
    if any(master.etcd["proven"] for master in heard):
        return _switched_off(heard, terms)
    touched = [master for master in heard if master.has_remains or master.pod("etcd")]
    if all(master.pod("etcd") and master.has_placed("etcd") for master in touched):
        return _beginning(masters, touched, terms)
    if all(master.pod("etcd") and master.has_data for master in heard):
        return Decision(_phases(heard, KEEP))
    return Decision({}, [leftover(master, _remains(master, terms), master.etcd["trouble"]) for master in touched])


def leftover(master: Master, paths: Sequence[str], trouble: str = "") -> str:
    """The sentence for what another cluster has left."""
    why = f", and etcd does not answer there ({trouble})" if trouble else ""
    return (
        f"{master.name}: {listed(paths)} {'is' if len(paths) == 1 else 'are'} from a cluster that this collection does not"
        f" know{why}; where that cluster is of use, have it run first, else run kubeadm reset there or move"
        f" {'it' if len(paths) == 1 else 'them'} away"
    )


def _phases(masters: Sequence[Master], phase: str) -> dict[str, str]:
    return {master.name: phase for master in masters}


def _remains(master: Master, terms: Terms) -> list[str]:
    data = [terms.etcd_data_dir] if master.has_remains else []
    return [*data, *([master.pod("etcd")["file"]] if master.pod("etcd") else [])]


def _switched_off(heard: Sequence[Master], terms: Terms) -> Decision:
    """Nobody answers, and somebody remembers that there was a quorum."""
    having = [master for master in heard if master.has_data]
    lacking = [master.name for master in heard if not master.has_data]
    phases = _phases(having, KEEP)
    if not lacking:
        return Decision(phases)
    remembering = listed(master.name for master in heard if master.etcd["proven"])
    where = f"etcd has data on {listed(master.name for master in having)}" if having else "etcd has data on no master"
    return Decision(
        phases,
        [
            (
                f"no etcd answers, {remembering} once had one with a quorum, {where}, and {listed(lacking)} lack it in"
                f" {terms.etcd_data_dir}: that may be a disk that is not mounted, and without a quorum no member can be made anew;"
                f" mount the disk or start etcd where its data is, or restore a snapshot (for a new cluster in its place, remove"
                f" /var/lib/kubestatic from each of {remembering}, too)"
            )
        ],
    )


def _beginning(masters: Sequence[Master], touched: Sequence[Master], terms: Terms) -> Decision:
    """No etcd ever had a quorum. What is there, if anything, is of an earlier first run that was cut off."""
    wanted = initial_cluster(masters, port=terms.peer_port)
    problems = []
    for master in touched:
        found = master.flag("etcd", "initial-cluster")
        state = master.flag("etcd", "initial-cluster-state")
        if sorted(found.split(",")) != wanted.split(",") or state == "existing":
            problems.append(
                f"{master.name}: an earlier run was cut off there before etcd had a quorum, with"
                f" --initial-cluster={found or '(none)'}, and the masters are now {wanted}; finish it with the masters and"
                f" addresses of then, or move {listed(_remains(master, terms))} away"
            )
    return Decision({} if problems else _phases([one for one in masters if one.facts], BOOTSTRAP), problems)


def _running(masters: Sequence[Master], answering: Sequence[Master], terms: Terms) -> Decision:
    problems = _disagreement(answering)
    if problems:
        return Decision({}, problems, answering=answering)
    members: Sequence[Member] = answering[0].etcd["members"]
    phases = {}
    for master in (one for one in masters if one.facts):
        member = _member(master, members, terms)
        if master.has_data or (master.has_remains and member is None):
            problem = _foreign(master, member, terms)
            problems += [problem] if problem else []
            phases[master.name] = JOIN if member and member["is_learner"] else KEEP
        elif master in answering:
            # Its container may have a disk that the host has no longer, with the only copy of the data.
            problems.append(
                f"{master.name}: etcd answers there, but {terms.etcd_data_dir} has no data on the host; mount its disk, or correct"
                " etcd_data_dir; where the data is really gone, stop that etcd first, to have the member made anew"
            )
        else:
            phases[master.name] = REBUILD if member else JOIN
    problems += _no_majority(phases, members, answering, terms)
    known = [_member(master, members, terms) for master in masters]
    strangers = [one["name"] or one["id"] for one in members if one not in known]
    warnings = [
        f"{master.name}: etcd had its data in {terms.etcd_data_dir}, which has none now, so its member is made anew; where a disk is"
        " not mounted there, mount it before the run, which keeps the member: afterwards what the disk has is of no use"
        for master in masters
        if phases.get(master.name) == REBUILD and master.etcd["proven"]
    ]
    warnings += [
        f"etcd has the member {name}, which is no master here; where it is gone for good, remove it, as it counts for the quorum"
        for name in strangers
    ]
    return Decision(phases, problems, warnings, answering)


def _disagreement(answering: Sequence[Master]) -> list[str]:
    """Two clusters, or members that do not know of each other."""
    first = answering[0]
    for other in answering[1:]:
        # An id is made of the member's URLs, and of the time where it was added (membership.NewMember).
        ids, others = ({member["id"] for member in one.etcd["members"]} for one in (first, other))
        if ids != others:
            told = f"{first.name} and {other.name} tell different members of etcd, {_told(first)} and {_told(other)}"
            return [
                f"{told}, so one of them is cut off or behind; run again, and mend the network between them where it stays so"
                if ids & others
                else f"{told}, so they are in two clusters; list the masters of one cluster only, or take one of the two down"
                " (kubeadm reset)"
            ]
    return []


def _told(master: Master) -> str:
    return listed(sorted(member["name"] or member["id"] for member in master.etcd["members"]))


def _foreign(master: Master, member: Member | None, terms: Terms) -> str:
    """Why the data on this master is not that of its member; empty where it is."""
    if member is None:
        return (
            f"{master.name}: {terms.etcd_data_dir} has data, and etcd has no such member, so it is from another cluster or from a"
            f" member that was removed; move it away there to have {master.name} join"
        )
    if member["name"] not in ("", master.name):
        return (
            f"{master.name}: etcd has its member by the name {member['name']}; give that name (control_plane_node_name), as a node with data cannot be"
            " renamed"
        )
    if not _has_url(master, member, terms):
        return (
            f"{master.name}: etcd has its member at {listed(member['peer_urls'])}, and not at {master.address} port"
            f" {terms.peer_port}; give the old address (control_plane_address), or change the member first with etcdctl member update"
        )
    return ""


def _no_majority(
    phases: Mapping[str, str], members: Sequence[Member], answering: Sequence[Master], terms: Terms
) -> list[str]:
    changing = [name for name, phase in phases.items() if phase in (JOIN, REBUILD)]
    voters = [one for one in members if not one["is_learner"]]
    heard = [_member(master, members, terms) for master in answering]
    healthy = sum(one in heard for one in voters)
    needed = _etcd.quorum(voters)
    if not changing or healthy >= needed:
        return []
    return [
        (
            f"{listed(changing)} cannot join etcd, as {healthy} of {len(voters)} members with a vote answer here and {needed} have to;"
            " start etcd on the other masters, and have all masters in this run (no --limit, no serial)"
        )
    ]


def _member(master: Master, members: Sequence[Member], terms: Terms) -> Member | None:
    by_url = next((one for one in members if _has_url(master, one, terms)), None)
    return by_url or next((one for one in members if one["name"] == master.name), None)


def _has_url(master: Master, member: Member, terms: Terms) -> bool:
    return (_canonical(master.address), terms.peer_port) in [_place(url) for url in member["peer_urls"]]


def _place(url: str) -> tuple[str, int | None]:
    parts = urllib.parse.urlsplit(url)
    return _canonical(parts.hostname or ""), parts.port


def _canonical(host: str) -> str:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host

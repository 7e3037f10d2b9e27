# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""Whether a run may begin, and what is to be done on each master: all masters judged together, before anything is touched."""

from __future__ import annotations

import itertools
import typing as t
from collections.abc import Callable, Iterable, Mapping, Sequence

from ansible_collections.kubestatic.node.plugins.module_utils import _etcd
from ansible_collections.kubestatic.node.plugins.plugin_utils import _preflight_etcd, _preflight_flags, _preflight_nodes
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
from ansible_collections.kubestatic.node.plugins.plugin_utils._preflight_etcd import Decision

# Certificates are backdated by an hour, leases of Kubernetes and etcd's logs want clocks that agree.
_CLOCK_WARNED, _CLOCK_REFUSED = 5.0, 600.0
_PAIR = 2
# cmd/kubeadm/app/constants/constants.go, GetStaticPodDirectory
_MANIFESTS = "/etc/kubernetes/manifests"


class Verdict(t.NamedTuple):
    """``problems`` are the reasons not to begin, one sentence each; with any of them the rest means nothing.

    ``initial_cluster`` is name -> (--initial-cluster, --initial-cluster-state), None where only etcd itself can tell.
    """

    problems: list[str]
    warnings: list[str]
    phases: Mapping[str, str]
    initial_cluster: Mapping[str, tuple[str, str | None] | None]
    endpoints: list[str]
    actions: list[str]
    is_running: bool
    cluster_dns: str

    @property
    def is_first(self) -> bool:
        """Whether a cluster begins."""
        return BOOTSTRAP in self.phases.values()


def judge(masters: Sequence[Master], terms: Terms) -> Verdict:
    """Judge all masters, sorted by their names."""
    heard = [master for master in masters if master.facts]
    decision = _preflight_etcd.decide(masters, terms)
    phases = decision.phases
    late, clock_warnings = _clocks(heard)
    cluster_dns, subnet_problems = _preflight_flags.subnets(masters, phases, terms.flags)
    return Verdict(
        problems=[
            *_version(terms),
            *_manifest_dir(terms),
            *_preflight_nodes.image_problems(terms),
            *_doubles(masters),
            *_not_heard(masters, terms),
            *_held_back(masters, phases, terms),
            *_nothing_to_compare(masters, phases),
            *_second_cluster(masters, phases, terms),
            *(one for master in heard for one in _preflight_nodes.problems(master, phases.get(master.name), terms)),
            *late,
            *subnet_problems,
            *_preflight_flags.excluded(terms.flags),
            *decision.problems,
            *_preflight_nodes.encryption_problems(masters, phases, terms),
        ],
        warnings=[
            *clock_warnings,
            *_even(masters),
            *decision.warnings,
            *_preflight_nodes.untold(masters, phases, terms),
        ],
        phases=phases,
        initial_cluster={
            master.name: _initial_cluster(master, masters, phases[master.name], terms)
            for master in heard
            if master.name in phases
        },
        endpoints=_endpoints(decision),
        actions=_actions(phases),
        is_running=bool(decision.answering),
        cluster_dns=cluster_dns,
    )


def _initial_cluster(
    master: Master, masters: Sequence[Master], phase: str, terms: Terms
) -> tuple[str, str | None] | None:
    computed = initial_cluster(masters, port=terms.peer_port)
    if phase == BOOTSTRAP:
        return computed, "new"
    if phase != KEEP:
        return None
    # etcd looks at neither once it has data, so what is found is as good as what could be computed, and changes nothing.
    found = master.flag("etcd", "initial-cluster")
    if not found:
        return computed, "existing"
    # kubeadm leaves the second one out on its first master.
    return found, master.flag("etcd", "initial-cluster-state") or None


def _endpoints(decision: Decision) -> list[str]:
    """The client URL of each member that answers, as the first of them tells it."""
    if not decision.answering:
        return []
    members = decision.answering[0].etcd["members"]
    names = {master.name for master in decision.answering}
    return [one["client_urls"][0] for one in members if one["name"] in names and one["client_urls"]]


def _actions(phases: Mapping[str, str]) -> list[str]:
    def those(phase: str) -> str:
        names = [name for name, one in phases.items() if one == phase]
        return listed(names) if names else ""

    told = (
        (BOOTSTRAP, "begin a cluster on {}"),
        (JOIN, "have {} join the cluster"),
        (REBUILD, "make the member of etcd on {} anew, which has lost its data"),
    )
    return [text.format(those(phase)) for phase, text in told if those(phase)]


def _version(terms: Terms) -> list[str]:
    oldest, newest = _preflight_nodes.OLDEST_MINOR, _preflight_nodes.NEWEST_MINOR
    minor = _preflight_nodes.minor(terms.kubernetes_version)
    # With a v before it, names of images made from it would have two.
    if not terms.kubernetes_version.startswith("v") and minor is not None and oldest <= minor <= newest:
        return []
    return [
        (
            f"kubernetes_version: {terms.kubernetes_version} is none that is supported; give one from 1.{oldest} to 1.{newest}"
            f" with all three numbers, such as 1.{newest}.0"
        )
    ]


def _manifest_dir(terms: Terms) -> list[str]:
    given = terms.kubelet_settings.get("staticPodPath", _MANIFESTS)
    if given == _MANIFESTS:
        return []
    return [
        (
            f"kubelet_settings: staticPodPath is {given}, and kubeadm looks for the manifests of a control plane in {_MANIFESTS} only; leave"
            " staticPodPath out"
        )
    ]


def _doubles(masters: Sequence[Master]) -> list[str]:
    def machine(master: Master) -> str:
        return str(master.facts.get("machine_id", ""))

    looks: list[tuple[str, Callable[[Master], str], str]] = [
        ("the name", lambda one: one.name, "give each its own"),
        ("the address", lambda one: one.address, "give each its own"),
        (
            "the machine id",
            machine,
            "they are one machine, which can be one master only, or clones: empty /etc/machine-id on one and reboot it",
        ),
    ]
    return [
        f"{one.host} and {other.host} have {what} {value(one)}; {remedy}"
        for what, value, remedy in looks
        for one, other in itertools.combinations(masters, 2)
        if value(one) and value(one) == value(other)
    ]


def _not_heard(masters: Sequence[Master], terms: Terms) -> list[str]:
    return [
        f"{master.name}: nothing is known of it ({master.trouble or 'control_plane_info did not run there'}); mend that, or hold"
        " it back from this run"
        for master in masters
        if not master.facts and (master.trouble or master.host not in terms.missing)
    ]


def _held_back(masters: Sequence[Master], phases: Mapping[str, str], terms: Terms) -> list[str]:
    """No API server gets ready without etcd's quorum, so the first time all masters start side by side."""
    if BOOTSTRAP not in phases.values():
        return []
    found = []
    missing = [master.name for master in masters if master.host in terms.missing]
    if missing:
        found.append(
            f"this would be the first run, in which all masters begin together, and {listed(missing)}"
            f" {'is' if len(missing) == 1 else 'are'} not in it; run without --limit and serial, with all masters reachable"
            " (also where a cluster runs on those, to have its members asked)"
        )
    if terms.forks < len(masters):
        found.append(
            f"this would be the first run, in which all {len(masters)} masters begin together, and Ansible works on {terms.forks}"
            f" at a time; run with --forks {len(masters)}"
        )
    return found


def _nothing_to_compare(masters: Sequence[Master], phases: Mapping[str, str]) -> list[str]:
    """Flags and encryption have to fit the API servers that run, of which nobody in this run can tell."""
    unheard = [master.name for master in masters if not master.facts]
    members = [master for master in masters if phases.get(master.name) in (KEEP, JOIN, REBUILD)]
    if not members or not unheard or any(master.pod("kube-apiserver") for master in members):
        return []
    return [
        (
            f"{listed(master.name for master in members)} {'has' if len(members) == 1 else 'have'} no manifest of an API server, and"
            f" {listed(unheard)} {'was' if len(unheard) == 1 else 'were'} not heard, so nobody tells what encryption and flags the"
            " cluster has; have a master with an API server in this run, or all masters"
        )
    ]


def _second_cluster(masters: Sequence[Master], phases: Mapping[str, str], terms: Terms) -> list[str]:
    """Masters of an existing cluster that a narrower group leaves out can say nothing of it, but their certificates do."""
    others = sorted(terms.certified - {master.name for master in masters})
    if not others or BOOTSTRAP not in phases.values():
        return []
    return [
        (
            f"this would begin a cluster on {listed(master.name for master in masters)}, and {terms.certificates} has certificates of"
            f" {listed(others)}, too: beside their cluster it would be a second one with the same CA; have all masters of that cluster in"
            f" this run, or give another directory; where it is gone, remove them from {terms.certificates}/masters"
        )
    ]


def _clocks(heard: Iterable[Master]) -> tuple[list[str], list[str]]:
    """(problems, warnings)"""
    offsets = sorted((master.facts["clock_offset"], master.name) for master in heard)
    if not offsets:
        return [], []
    (least, behind), (most, ahead) = offsets[0], offsets[-1]
    apart = most - least
    if apart <= _CLOCK_WARNED:
        return [], []
    text = (
        f"the clock of {ahead} is {apart:.0f} s ahead of that of {behind}; set them right (chrony or systemd-timesyncd)"
    )
    return ([text], []) if apart > _CLOCK_REFUSED else ([], [text])


def _even(masters: Sequence[Master]) -> list[str]:
    count = len(masters)
    if count % 2 or not count:
        return []
    needed = _etcd.quorum(masters)
    return [
        (
            f"{count} masters are no safer than {count - 1}: etcd needs {needed} of {count}, so it survives the loss of"
            f" {count - needed}, as {count - 1} do; have {count - 1} or {count + 1}"
            + ("; of two none can be spared, so that later runs can change nothing on them" if count == _PAIR else "")
        )
    ]

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what masters have told to what is to be done, or to the reasons not to begin."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.plugin_utils import _masters
from ansible_collections.kubestatic.node.tests.unit.plugins.plugin_utils.preflight_world import (
    CLUSTER,
    KEY,
    Facts,
    attempt,
    bare,
    changed,
    etcd_pod,
    judge,
    kubeadm,
    master,
    members,
    pod,
    silent,
)

B, K, J, R = "bootstrap", "keep", "join", "rebuild"
FOUR = f"{CLUSTER},master4=https://192.0.2.14:2380"
UNSTARTED = {**members(3)[0], "name": "", "client_urls": []}
LEARNER = {**members(3)[0], "is_learner": True}


def all_of(make: t.Callable[..., Facts], **changes: t.Any) -> list[Facts | None]:
    return [make(number, **changes) for number in (1, 2, 3)]


def seeing(*numbers: int, more: t.Sequence[Facts] = ()) -> Facts:
    return {"etcd__members": [*members(*numbers), *more]}


# What three masters told (None: held back), and their phases.
PHASES: list[tuple[str, list[Facts | None], list[str]]] = [
    ("nothing anywhere", all_of(bare), [B, B, B]),
    ("one master", [bare(1)], [B]),
    (
        "other manifests of ours, left by a first run that was cut off",
        all_of(attempt, etcd__data=False, pods__etcd=None),
        [B, B, B],
    ),
    ("a first run was cut off", all_of(attempt), [B, B, B]),
    ("on one of them", [attempt(1), bare(2), bare(3)], [B, B, B]),
    ("before etcd wrote anything", [attempt(1, etcd__data=False), bare(2), bare(3)], [B, B, B]),
    ("all runs", all_of(master), [K, K, K]),
    ("one master is down", [master(1), master(2), silent(3)], [K, K, K]),
    ("one is held back", [master(1), None, master(3)], [K, K]),
    ("two are held back", [None, None, master(3)], [K]),
    ("a manifest is lost", [master(1), master(2), silent(3, pods={})], [K, K, K]),
    ("data is lost", [master(1), master(2), silent(3, etcd__data=False)], [K, K, R]),
    (
        "data is lost, and a start without it refused",
        [master(1), master(2), silent(3, etcd__data=False, etcd__remains=True)],
        [K, K, R],
    ),
    ("data and memory are lost", [master(1), master(2), bare(3)], [K, K, R]),
    ("a first run left one behind", [master(1), master(2), attempt(3, etcd__data=False)], [K, K, R]),
    (
        "two of five have lost their data",
        [*(master(n, **seeing(1, 2, 3, 4, 5)) for n in (1, 2, 3)), bare(4), silent(5, etcd__data=False)],
        [K, K, K, R, R],
    ),
    ("two new ones", [master(1, **seeing(1)), bare(2), bare(3)], [K, J, J]),
    ("a new one, while one is down", [master(1, **seeing(1, 2)), master(2, **seeing(1, 2)), bare(3)], [K, K, J]),
    ("added, not started", [*(master(n, **seeing(1, 2, more=[UNSTARTED])) for n in (1, 2)), bare(3)], [K, K, R]),
    ("a learner", [*(master(n, **seeing(1, 2, more=[LEARNER])) for n in (1, 2)), attempt(3)], [K, K, J]),
    ("a learner without data", [*(master(n, **seeing(1, 2, more=[LEARNER])) for n in (1, 2)), bare(3)], [K, K, R]),
    (
        "removed, and its data with it",
        [*(master(n, **seeing(1, 2)) for n in (1, 2)), silent(3, etcd__data=False)],
        [K, K, J],
    ),
    ("switched off", all_of(silent), [K, K, K]),
    ("one of them remembers", [silent(1), attempt(2), attempt(3)], [K, K, K]),
    ("switched off, manifests lost", all_of(silent, pods={}), [K, K, K]),
    ("quorum lost, one held back", [silent(1), silent(2), None], [K, K]),
    ("kubeadm's, and it runs", all_of(master, placed=[], etcd__proven=False), [K, K, K]),
    ("kubeadm's, switched off", all_of(kubeadm), [K, K, K]),
    (
        "kubeadm's with two new ones",
        [master(1, placed=[], etcd__proven=False, **seeing(1)), bare(2), bare(3)],
        [K, J, J],
    ),
]


@pytest.mark.parametrize(("told", "phases"), [row[1:] for row in PHASES], ids=[row[0] for row in PHASES])
def test_phases(told: list[Facts | None], phases: list[str]) -> None:
    verdict, problems = judge(told)
    assert problems == []
    assert list(verdict.phases.values()) == phases
    assert list(verdict.phases) == [f"master{number}" for number, one in enumerate(told, start=1) if one]
    assert verdict.is_first == (B in phases)
    assert verdict.is_running == any(one is not None and one["etcd"]["members"] is not None for one in told)


# What masters told, terms, and a part of each problem.
REFUSED: list[tuple[str, list[Facts | None], Facts, list[str]]] = [
    # ---- leftovers
    (
        "data of another cluster",
        [bare(1, etcd__data=True), bare(2), bare(3)],
        {},
        [
            (
                "master1: /var/lib/etcd is from a cluster that this collection does not know, and etcd does not answer there (does not"
                " answer); where that cluster is of use, have it run first, else run kubeadm reset there or move it away"
            )
        ],
    ),
    (
        "a database without a log",
        [bare(1, etcd__remains=True), bare(2), bare(3)],
        {},
        ["master1: /var/lib/etcd is from a cluster that this collection does not know"],
    ),
    (
        "an etcd manifest",
        [bare(1, pods__etcd=etcd_pod()), bare(2), bare(3)],
        {},
        ["master1: /etc/kubernetes/manifests/etcd.yaml is from a cluster"],
    ),
    (
        "kubeadm's master with new ones",
        [kubeadm(1), bare(2), bare(3)],
        {},
        [
            (
                "master1: /var/lib/etcd and /etc/kubernetes/manifests/etcd.yaml are from a cluster that this collection does not"
                " know, and etcd does not answer there (Connection refused); where that cluster is of use, have it run first,"
                " else run kubeadm reset there or move them away"
            )
        ],
    ),
    (
        "kubeadm's on two of three",
        [kubeadm(1), kubeadm(2), kubeadm(3, etcd__data=False)],
        {},
        ["master1: ", "master2: ", "master3: "],
    ),
    ("kubeadm's without a manifest", all_of(kubeadm, pods={}), {}, ["master1: ", "master2: ", "master3: "]),
    ("ours beside another's", [attempt(1), kubeadm(2), bare(3)], {}, ["master1: ", "master2: "]),
    (
        "ours without a manifest",
        [attempt(1, pods__etcd=None), bare(2), bare(3)],
        {},
        ["master1: /var/lib/etcd is from a cluster"],
    ),
    (
        "manifests beside a new etcd",
        [bare(1, pods={"kube-scheduler": pod("kube-scheduler")}), bare(2), bare(3)],
        {},
        [
            "master1: /etc/kubernetes/manifests/kube-scheduler.yaml is from a cluster that this collection does not know;"
        ],
    ),
    (
        "manifests beside one that joins",
        [*(master(n, **seeing(1, 2)) for n in (1, 2)), bare(3, pods__etcd=etcd_pod())],
        {},
        ["master3: /etc/kubernetes/manifests/etcd.yaml is from a cluster"],
    ),
    # ---- a first run that was cut off
    (
        "other masters now",
        [attempt(1, pods__etcd=etcd_pod(FOUR)), bare(2), bare(3)],
        {},
        [
            (
                f"master1: an earlier run was cut off there before etcd had a quorum, with --initial-cluster={FOUR}, and the masters are now"
                f" {CLUSTER}; finish it with the masters and addresses of then, or move /var/lib/etcd and"
                " /etc/kubernetes/manifests/etcd.yaml away"
            )
        ],
    ),
    (
        "it was a join",
        [attempt(1, pods__etcd=etcd_pod(state="existing")), bare(2), bare(3)],
        {},
        ["master1: an earlier run was cut off"],
    ),
    (
        "one differs",
        [attempt(1), attempt(2, pods__etcd=etcd_pod(FOUR)), bare(3)],
        {},
        ["master2: an earlier run was cut off"],
    ),
    # ---- memory
    (
        "a disk is not mounted",
        [silent(1), silent(2), bare(3)],
        {},
        [
            (
                "no etcd answers, master1 and master2 once had one with a quorum, etcd has data on master1 and master2, and master3 lack it in"
                " /var/lib/etcd: that may be a disk that is not mounted, and without a quorum no member can be made anew; mount the"
                " disk or start etcd where its data is, or restore a snapshot"
            )
        ],
    ),
    (
        "all data is gone",
        all_of(silent, etcd__data=False),
        {},
        ["etcd has data on no master, and master1, master2 and master3 lack it"],
    ),
    (
        "one remembers, without data",
        [silent(1, etcd__data=False, pods={}), bare(2), bare(3)],
        {},
        ["(for a new cluster in its place, remove /var/lib/kubestatic from each of master1, too)"],
    ),
    # ---- a cluster that runs
    (
        "data of no member",
        [*(master(n, **seeing(1, 2)) for n in (1, 2)), silent(3)],
        {},
        [
            (
                "master3: /var/lib/etcd has data, and etcd has no such member, so it is from another cluster or from a member that was removed;"
                " move it away there to have master3 join"
            )
        ],
    ),
    (
        "a v before the version",
        all_of(bare),
        {"kubernetes_version": "v1.37.2"},
        ["kubernetes_version: v1.37.2 is none"],
    ),
    (
        "etcd runs on data that the host has no longer",
        [master(1, etcd__data=False), master(2), master(3)],
        {},
        ["master1: etcd answers there, but /var/lib/etcd has no data on the host; mount its disk"],
    ),
    (
        "a database of no member",
        [*(master(n, **seeing(1, 2)) for n in (1, 2)), silent(3, etcd__data=False, etcd__remains=True)],
        {},
        ["master3: /var/lib/etcd has data, and etcd has no such member"],
    ),
    (
        "two clusters",
        [master(1, **seeing(1)), master(2, **seeing(2)), bare(3)],
        {},
        [
            "master1 and master2 tell different members of etcd, master1 and master2, so they are in two clusters; list the"
        ],
    ),
    (
        "one is behind",
        [master(1, **seeing(1, 2)), master(2, **seeing(1, 2, 3)), bare(3)],
        {},
        [
            "master1 and master2 tell different members of etcd, master1 and master2 and master1, master2 and master3, so one of them is cut"
        ],
    ),
    (
        "another name",
        [master(1), master(2), master(3, **seeing(1, 2, 3))],
        {"given": {3: {"name": "masterc"}}},
        ["masterc: etcd has its member by the name master3; give that name"],
    ),
    (
        "another address",
        all_of(master),
        {"given": {3: {"address": "192.0.2.33"}}},
        [
            "master3: etcd has its member at https://192.0.2.13:2380, and not at 192.0.2.33 port 2380; give the old address"
        ],
    ),
    ("another port", [master(1, **seeing(1))], {"peer_port": 12380}, ["not at 192.0.2.11 port 12380"]),
    (
        "two have lost their data",
        [master(1), silent(2, etcd__data=False), silent(3, etcd__data=False)],
        {},
        ["master2 and master3 cannot join etcd, as 1 of 3 members with a vote answer here and 2 have to; start etcd"],
    ),
    (
        "one of five has, two are down",
        [*(master(n, **seeing(1, 2, 3, 4, 5)) for n in (1, 2)), silent(3), silent(4), bare(5)],
        {},
        ["master5 cannot join etcd, as 2 of 5 members with a vote answer here and 3 have to"],
    ),
    (
        "a rebuild with the others held back",
        [master(1), None, bare(3)],
        {},
        ["master3 cannot join etcd, as 1 of 3 members"],
    ),
    (
        "a learner has no vote",
        [
            master(1, **seeing(1, 2, more=[LEARNER])),
            silent(2, etcd__data=False),
            master(3, **seeing(1, 2, more=[LEARNER])),
        ],
        {},
        ["master2 and master3 cannot join etcd, as 1 of 2 members"],
    ),
    # ---- the first run
    (
        "one is held back",
        [bare(1), bare(2), None],
        {},
        [
            "this would be the first run, in which all masters begin together, and master3 is not in it; run without --limit and serial"
        ],
    ),
    ("two are held back", [bare(1), None, None], {}, ["master2 and master3 are not in it"]),
    (
        "others have certificates",
        [bare(1)],
        {"certified": frozenset(["master3", "master1", "master2"])},
        [
            (
                "this would begin a cluster on master1, and /certificates has certificates of master2 and master3, too: beside their cluster it"
                " would be a second one with the same CA; have all masters of that cluster in this run, or give another directory; where it is"
                " gone, remove them from /certificates/masters"
            )
        ],
    ),
    ("a first run goes on with one held back", [attempt(1), attempt(2), None], {}, ["and master3 is not in it"]),
    ("heard, and held back since", all_of(bare), {"missing": frozenset(["master2"])}, ["and master2 is not in it"]),
    (
        "too few forks",
        all_of(bare),
        {"forks": 2},
        ["all 3 masters begin together, and Ansible works on 2 at a time; run with --forks 3"],
    ),
    (
        "one was not heard",
        [master(1), master(2), None],
        {"missing": frozenset()},
        ["master3: nothing is known of it (control_plane_info did not run there); mend that, or hold it back"],
    ),
    # ---- versions
    (
        "too old",
        all_of(bare),
        {"kubernetes_version": "1.33.9"},
        [
            "kubernetes_version: 1.33.9 is none that is supported; give one from 1.34 to 1.37 with all three numbers, such as 1.37.0",
            *["the kubelet is"] * 3,
        ],
    ),
    (
        "another manifest directory",
        all_of(bare),
        {"kubelet_settings": {"staticPodPath": "/etc/kubelet.d"}},
        ["kubelet_settings: staticPodPath is /etc/kubelet.d, and kubeadm looks"],
    ),
    (
        "the kubelet's port",
        [bare(1, listening=[{"port": 10300, "process": "other"}])],
        {"kubelet_settings": {"port": 10300}},
        ["master1: port 10300 of kubelet is taken by other"],
    ),
    ("too new", all_of(bare), {"kubernetes_version": "1.38.0"}, ["kubernetes_version: 1.38.0 is none that is"]),
    ("no version", all_of(bare), {"kubernetes_version": "latest"}, ["kubernetes_version: latest is none that is"]),
    (
        "an upgrade",
        [
            master(1),
            master(2),
            master(3, pods__kube_apiserver=pod("kube-apiserver", image="r:5/kube-apiserver:v1.36.4@sha256:a")),
        ],
        {},
        [
            (
                "master3: the API server is r:5/kube-apiserver:v1.36.4@sha256:a, and kubernetes_version is 1.37.2: another minor is an"
                " upgrade, which is not done here; set kubernetes_version to that of the image"
            )
        ],
    ),
    (
        "a downgrade",
        [master(1, **seeing(1), kubelet_version="1.36.0")],
        {"kubernetes_version": "1.36.4"},
        ["another minor is an upgrade, which is not done here; set kubernetes_version to that of the image"],
    ),
    (
        "a kubelet too new",
        [bare(1)],
        {"kubernetes_version": "1.36.4"},
        ["master1: the kubelet is 1.37.2, newer than the API server of 1.36.4; install kubelet 1.36, or set"],
    ),
    (
        "a kubelet too old",
        [bare(1, kubelet_version="1.33.9")],
        {},
        [
            "master1: the kubelet is 1.33.9, more than 3 minors older than the API server of 1.37.2; install kubelet 1.37"
        ],
    ),
    (
        "no kubelet",
        [bare(1, kubelet_version="")],
        {},
        ["master1: the kubelet is not installed; install kubelet 1.37.2"],
    ),
    ("no crictl", [bare(1, crictl=False)], {}, ["master1: crictl is not installed; install it (package cri-tools)"]),
    # ---- machines
    (
        "swap",
        [bare(1, swap=["/dev/sda2", "/swap"])],
        {},
        ["master1: swap is on (/dev/sda2, /swap), with which a kubelet does not start"],
    ),
    ("not its address", [bare(1, address_is_own=False)], {}, ["master1: 192.0.2.11 is no address of this machine"]),
    (
        "a port",
        [bare(1, listening=[{"port": 6443, "process": "haproxy"}])],
        {},
        ["master1: port 6443 of kube-apiserver is taken by haproxy; stop that, or have it listen elsewhere"],
    ),
    (
        "another port of the API server",
        [bare(1, listening=[{"port": 8443, "process": "nginx"}])],
        {"api_server_port": 8443},
        ["master1: port 8443 of kube-apiserver is taken by nginx"],
    ),
    (
        "a port in the kernel",
        [bare(1, listening=[{"port": 2379, "process": ""}])],
        {},
        ["master1: port 2379 of etcd is taken by a process that cannot be seen"],
    ),
    (
        "an etcd that is not ours",
        [bare(1, listening=[{"port": 2380, "process": "etcd"}])],
        {},
        ["master1: port 2380 of etcd is taken by etcd"],
    ),
    (
        "the kubelet's port",
        [bare(1, listening=[{"port": 10250, "process": "other"}])],
        {},
        ["master1: port 10250 of kubelet is taken by other"],
    ),
    (
        "clocks far apart",
        [bare(1, clock_offset=-400.0), bare(2), bare(3, clock_offset=200.5)],
        {},
        ["the clock of master3 is 600 s ahead of that of master1; set them right"],
    ),
    (
        "one name",
        all_of(bare),
        {"given": {2: {"name": "master1"}}},
        ["master1 and master1 have the name master1; give each its own"],
    ),
    (
        "one name for two hosts",
        all_of(bare),
        {"given": {1: {"host": "a"}, 2: {"name": "master1", "host": "b"}}},
        ["a and b have the name master1; give each its own"],
    ),
    (
        "one address",
        all_of(bare),
        {"given": {2: {"address": "192.0.2.11"}}},
        ["master1 and master2 have the address 192.0.2.11"],
    ),
    (
        "one address, written in two ways",
        [bare(1), bare(2), bare(3)],
        {"given": {2: {"address": "2001:db8::1"}, 3: {"address": "2001:DB8:0::1"}}},
        ["master2 and master3 have the address 2001:db8::1"],
    ),
    (
        "one machine",
        [bare(1), bare(2, machine_id="machine1"), bare(3)],
        {},
        [
            "master1 and master2 have the machine id machine1; they are one machine, which can be one master only, or clones"
        ],
    ),
    (
        "no address",
        [bare(1)],
        {"given": {1: {"address": "master1"}}},
        ["master1: control_plane_address: 'master1' is no IP address"],
    ),
    (
        "no name",
        [bare(1)],
        {"given": {1: {"name": "Master_1"}}, "missing": frozenset()},
        ["Master_1: control_plane_node_name: 'Master_1' is no DNS subdomain"],
    ),
    ("no masters", [], {}, ["masters: is empty; kubestatic_hosts (or control_plane_group) must name a group"]),
    (
        "a broken manifest",
        [master(1, **seeing(1), pods__etcd={**etcd_pod(), "problem": "is empty"})],
        {},
        ["master1: /etc/kubernetes/manifests/etcd.yaml: is empty"],
    ),
    (
        "data elsewhere",
        [master(1, etcd__data=False, **seeing(1))],
        {"etcd_data_dir": "/data/etcd"},
        [
            "master1: etcd has its data in /var/lib/etcd, and would begin anew in /data/etcd; set etcd_data_dir to /var/lib/etcd",
            "master1: etcd answers there, but /data/etcd has no data on the host",
        ],
    ),
]


@pytest.mark.parametrize(("told", "terms", "parts"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refusals(told: list[Facts | None], terms: Facts, parts: list[str]) -> None:
    _verdict, problems = judge(told, **terms)
    assert len(problems) >= len(parts)
    for part in parts:
        assert any(part in problem for problem in problems), problems
    if "kubernetes_version" not in terms:
        assert len(problems) == len(parts), problems


def test_all_problems_of_all_masters_are_told_at_once() -> None:
    told: list[Facts | None] = [
        bare(1, swap=["/dev/sda2"], crictl=False),
        bare(2, kubelet_version="", machine_id="machine1"),
        None,
    ]
    _verdict, problems = judge(told, forks=1)
    assert len(problems) == 6
    assert [problem.partition(":")[0] for problem in problems[3:]] == ["master1", "master1", "master2"]


def test_what_cannot_be_told_of_a_failed_look_is_said() -> None:
    failed = {3: {"info": {"failed": True, "msg": "/var/lib/etcd: mend the disk", "facts": {}}}}
    _verdict, problems = judge([master(1), master(2), None], given=failed)
    assert problems == [
        "master3: nothing is known of it (/var/lib/etcd: mend the disk); mend that, or hold it back from this run"
    ]
    stale = {3: {"info": {"failed": True, "msg": "no", "facts": master(3)}}}
    assert judge([master(1), master(2), None], given=stale)[1] == [
        "master3: nothing is known of it (no); mend that, or hold it back from this run"
    ]
    gone = {3: {"info": {"unreachable": True, "msg": "no route to host"}}}
    assert judge([master(1), master(2), None], given=gone)[1] == []


FINE: list[tuple[str, list[Facts | None], Facts]] = [
    ("swap that is wanted", [bare(1, swap=["/dev/sda2"])], {"kubelet_settings": {"failSwapOn": False}}),
    (
        "the manifest directory of kubeadm",
        all_of(bare),
        {"kubelet_settings": {"staticPodPath": "/etc/kubernetes/manifests"}},
    ),
    ("no address was asked for", [bare(1, address_is_own=None)], {}),
    ("no machine ids", all_of(bare, machine_id=""), {}),
    ("an old kubelet", [bare(1, kubelet_version="1.34.0")], {}),
    ("enough forks", all_of(bare), {"forks": 3}),
    ("their own certificates", all_of(bare), {"certified": frozenset(["master1", "master2", "master3"])}),
    ("certificates of others later", all_of(master), {"certified": frozenset(["master9"])}),
    ("few forks later", all_of(master), {"forks": 1}),
    ("another patch", all_of(master), {"kubernetes_version": "1.37.9"}),
    ("the kubelet's own port", [bare(1, listening=[{"port": 10250, "process": "kubelet"}])], {}),
    ("a port of no interest", [bare(1, listening=[{"port": 80, "process": "nginx"}])], {}),
    (
        "our pods on their way out",
        [
            master(1),
            master(2),
            silent(
                3, pods={}, listening=[{"port": 2379, "process": "etcd"}, {"port": 10257, "process": "kube-controller"}]
            ),
        ],
        {},
    ),
    ("clocks that agree well enough", [bare(1, clock_offset=-300.0), bare(2, clock_offset=300.0), bare(3)], {}),
    ("a slash too many", [master(1, **seeing(1))], {"etcd_data_dir": "/var/lib/etcd/"}),
    (
        "a first run goes on with another minor",
        all_of(attempt, pods__kube_apiserver=pod("kube-apiserver", image="x:v1.36.4")),
        {},
    ),
    ("a learner of kubeadm's", [*(master(n, **seeing(1, 2, more=[LEARNER])) for n in (1, 2)), kubeadm(3)], {}),
]


@pytest.mark.parametrize(("told", "terms"), [row[1:] for row in FINE], ids=[row[0] for row in FINE])
def test_what_is_fine(told: list[Facts | None], terms: Facts) -> None:
    assert judge(told, **terms)[1] == []


WARNED: list[tuple[str, list[Facts | None], Facts, list[str]]] = [
    (
        "two masters",
        [bare(1), bare(2)],
        {},
        [
            (
                "2 masters are no safer than 1: etcd needs 2 of 2, so it survives the loss of 0, as 1 do; have 1 or 3; of two none can be"
                " spared, so that later runs can change nothing on them"
            )
        ],
    ),
    (
        "four masters",
        [bare(1), bare(2), bare(3), bare(4)],
        {},
        ["4 masters are no safer than 3: etcd needs 3 of 4, so it survives the loss of 1, as 3 do; have 3 or 5"],
    ),
    (
        "clocks apart",
        [bare(1), bare(2, clock_offset=5.5), bare(3)],
        {},
        ["the clock of master2 is 6 s ahead of that of master1; set them right (chrony or systemd-timesyncd)"],
    ),
    (
        "a stranger",
        [master(n, **seeing(1, 2, 3, 9)) for n in (1, 2, 3)],
        {},
        [
            "etcd has the member master9, which is no master here; where it is gone for good, remove it, as it counts for the quorum"
        ],
    ),
    (
        "a disk that may not be mounted",
        [master(1), master(2), silent(3, etcd__data=False)],
        {},
        [
            (
                "master3: etcd had its data in /var/lib/etcd, which has none now, so its member is made anew; where a disk is not mounted"
                " there, mount it before the run, which keeps the member: afterwards what the disk has is of no use"
            )
        ],
    ),
    ("a new machine", [master(1), master(2), bare(3)], {}, []),
    ("one that never was a member", [*(master(n, **seeing(1, 2)) for n in (1, 2)), bare(3, etcd__proven=True)], {}, []),
    ("nothing", all_of(master), {}, []),
    ("clocks that agree", [bare(1), bare(2, clock_offset=5.0), bare(3)], {}, []),
]


@pytest.mark.parametrize(("told", "terms", "warnings"), [row[1:] for row in WARNED], ids=[row[0] for row in WARNED])
def test_warnings(told: list[Facts | None], terms: Facts, warnings: list[str]) -> None:
    assert judge(told, **terms)[0].warnings == warnings


# ---- images

MINE, NEXT = "r:5/kube-apiserver@sha256:a", "r:5/kube-apiserver:mine"


@pytest.mark.parametrize("told", [all_of(bare), all_of(master)], ids=["first", "later"])
def test_images_are_of_the_minor_of_kubernetes(told: list[Facts | None]) -> None:
    images = {"kube-apiserver": "r:5/kube-apiserver:v1.37.9", "kube-scheduler": MINE, "etcd": "r/etcd:v1.36.0"}
    assert judge(told, images=images)[1] == []
    older = {**images, "kube-scheduler": "r:5/kube-scheduler:v1.36.4-own@sha256:a"}
    assert judge(told, images=older)[1] == [
        (
            "the image of kube-scheduler is r:5/kube-scheduler:v1.36.4-own@sha256:a, and kubernetes_version is 1.37.2, another"
            " minor; have both be the same"
        )
    ]


# What the manifests of API servers have (None: there are none), what is wanted, and whether that is warned of.
UNTOLD: list[tuple[str | None, str, bool]] = [
    (MINE, NEXT, True),
    (NEXT, MINE, True),
    (MINE, MINE, False),
    (MINE, "r:5/kube-apiserver:v1.37.2", False),
    ("r:5/kube-apiserver:v1.37.2", MINE, False),
    (None, MINE, False),
]


@pytest.mark.parametrize(("have", "want", "is_warned"), UNTOLD)
def test_an_upgrade_that_cannot_be_told_is_warned_of_once(have: str | None, want: str, is_warned: bool) -> None:
    running = {"pods__kube_apiserver": pod("kube-apiserver", image=have)} if have else {}
    told = all_of(master if have else bare, **running)
    verdict, problems = judge(told, images={"kube-apiserver": want})
    warning = f"kube-apiserver has {have}, and {want} is wanted: whether that is another minor cannot be told, and an upgrade is"
    assert (problems, len(verdict.warnings)) == ([], is_warned)
    assert all(one.startswith(warning) for one in verdict.warnings)


# ---- encryption

OTHER = "fedcba9876543210"


def encrypting(number: int, state: str, *keys: str, key: str = KEY) -> Facts:
    stored = 0 if state == "readable" else None
    return master(
        number,
        encryption__state=state,
        encryption__keys_in_use=list(keys),
        encryption__key=key,
        encryption__stored=stored,
    )


def storing(told: Facts, stored: int | None) -> Facts:
    """As its etcd tells how many Secrets are encrypted; None where it does not."""
    example, trouble = "default/quiet" if stored else "", "" if stored is not None else "Connection refused"
    return changed(told, encryption__stored=stored, encryption__example=example, encryption__trouble=trouble)


N, W = [encrypting(n, "none", key="") for n in (1, 2, 3)], [encrypting(n, "written", KEY) for n in (1, 2, 3)]
RD = [encrypting(n, "readable", KEY) for n in (1, 2, 3)]
ENCRYPTION: list[tuple[str, list[Facts | None], str, str]] = [
    ("first run", all_of(bare), "written", ""),
    ("off", [*N], "none", ""),
    ("first step", [*N], "readable", ""),
    (
        "both steps at once",
        [*N],
        "written",
        "encryption: the API servers of master1, master2 and master3 cannot read encrypted Secrets yet, and others would write them;",
    ),
    ("one lacks the first step", [RD[0], RD[1], N[2]], "written", "encryption: the API servers of master3 cannot read"),
    ("second step", [*RD], "written", ""),
    ("second step, cut off", [W[0], RD[1], RD[2]], "written", ""),
    (
        "second step without one",
        [RD[0], RD[1], None],
        "written",
        "going from readable to written takes an API server that is at readable on all masters, and master3 was not heard;",
    ),
    ("in force", [*W], "written", ""),
    ("in force, one held back", [W[0], W[1], None], "written", ""),
    ("back, first step", [*W], "readable", ""),
    (
        "back, both steps at once",
        [*W],
        "none",
        "encryption: the API servers of master1, master2 and master3 encrypt Secrets, and nobody",
    ),
    ("back, second step", [*RD], "none", ""),
    (
        "back, not all written again",
        [RD[0], storing(RD[1], 3), storing(RD[2], 2)],
        "none",
        "encryption: etcd holds 3 of the Secrets encrypted, such as default/quiet, and nobody could read them with none; write",
    ),
    ("back, cut off, not all written again", [N[0], N[1], storing(RD[2], 1)], "none", "etcd holds 1 of the Secrets"),
    ("back, nobody tells", [storing(one, None) for one in RD], "none", "cannot be told: Connection refused; mend etcd"),
    ("back, one tells", [storing(RD[0], None), RD[1], storing(RD[2], None)], "none", ""),
    ("not all written again, and forth", [storing(one, 3) for one in RD], "written", ""),
    ("not all written again, and no further", [storing(one, 3) for one in RD], "readable", ""),
    ("back, second step without two", [RD[0], None, None], "none", "and master2 and master3 were not heard"),
    ("cannot be told", [W[0], W[1], encrypting(3, "")], "written", ""),
    (
        "cannot be told, and none is wanted",
        [RD[0], RD[1], encrypting(3, "")],
        "none",
        "the API servers of master3 encrypt Secrets",
    ),
    ("a new master", [*(changed(W[n], **seeing(1, 2)) for n in (0, 1)), bare(3)], "written", ""),
    ("a lost manifest tells nothing", [W[0], W[1], changed(N[2], pods__kube_apiserver=None)], "written", ""),
    (
        "another key",
        [W[0], W[1], encrypting(3, "written", OTHER)],
        "written",
        "master3: Secrets are encrypted with a key or plugin that is not this collection's; where it is of secretbox",
    ),
    (
        "a plugin",
        [W[0], W[1], encrypting(3, "written", KEY, "kms")],
        "written",
        "master3: Secrets are encrypted with a key or plugin",
    ),
    ("a key file is lost", [W[0], W[1], encrypting(3, "written", KEY, key="")], "written", ""),
    ("unmanaged", [encrypting(n, "written", "kms", key="") for n in (1, 2, 3)], "unmanaged", ""),
    (
        "a first run that was cut off",
        all_of(attempt, encryption=bare(1)["encryption"]),
        "written",
        "",
    ),
]


@pytest.mark.parametrize(
    ("told", "wanted", "part"), [row[1:] for row in ENCRYPTION], ids=[row[0] for row in ENCRYPTION]
)
def test_encryption_goes_step_by_step(told: list[Facts | None], wanted: str, part: str) -> None:
    _verdict, problems = judge(told, encryption=wanted)
    assert len(problems) == bool(part), problems
    assert all(part in problem for problem in problems), problems


def test_unmanaged_encryption_keeps_its_configuration() -> None:
    flag = "encryption-provider-config"
    told = all_of(master, **{f"pods__{API}": pod(API, encryption_provider_config="/etc/enc.yaml")})
    problems = judge(told, encryption="unmanaged", flags={API: {"v": 1}})[1]
    assert len(problems) == 3
    assert problems[0].startswith(
        "master1: the API server has --encryption-provider-config=/etc/enc.yaml, which would go"
    )
    assert judge(told, encryption="unmanaged", flags={API: {flag: "/etc/enc.yaml"}})[1] == []
    assert judge(all_of(master), encryption="unmanaged")[1] == []
    # A flag that is taken out leaves no more than that.
    assert "which would go" in judge(told, encryption="written", flags={API: {flag: None}})[1][0]


# ---- flags that a running cluster has to keep

API, MANAGER = "kube-apiserver", "kube-controller-manager"
RANGE, PORT, ISSUER, PODS = "service-cluster-ip-range", "secure-port", "service-account-issuer", "cluster-cidr"
DUAL = "10.96.0.0/12,2001:db8:1::/108"

# The flag, what a running manifest and the wanted one have (None: not given), and a part of the sentence, if any.
LASTING: list[tuple[str, t.Any, t.Any, str]] = [
    (PORT, "6443", 6443, ""),
    (PORT, None, "6443", ""),
    (PORT, "6443", None, ""),
    (PORT, ["7443", "6443"], 6443, ""),
    (
        PORT,
        "6443",
        "7443",
        (
            "master1: kube-apiserver has --secure-port=6443, and 7443 is wanted: nodes, kubeconfigs and the other masters know the old one;"
            " keep 6443, and have another port at a load balancer"
        ),
    ),
    (PORT, None, 7443, "has --secure-port=6443, and 7443 is wanted"),
    (PORT, "7443", None, "has --secure-port=7443, and 6443 is wanted"),
    (RANGE, "10.96.0.0/12", "10.96.0.0/12", ""),
    (RANGE, "10.96.0.0/12", "10.96.0.1/12", ""),
    (RANGE, "10.96.0.0/12", "10.96.0.0/12,2001:DB8:1:0::/108", ""),
    (RANGE, DUAL, "10.96.0.0/12,2001:db8:1:0::/108", ""),
    (RANGE, None, "10.0.0.0/24", ""),
    (
        RANGE,
        "10.96.0.0/12",
        "10.32.0.0/12",
        (
            "master1: kube-apiserver has --service-cluster-ip-range=10.96.0.0/12, and 10.32.0.0/12 is wanted: services keep the addresses that"
            " they have; keep 10.96.0.0/12, behind which a second IP family may be added"
        ),
    ),
    (RANGE, "10.96.0.0/12", "10.96.0.0/16", "and 10.96.0.0/16 is wanted"),
    (RANGE, "10.96.0.0/12", "2001:db8:1::/108,10.96.0.0/12", "and 2001:db8:1::/108,10.96.0.0/12 is wanted"),
    (RANGE, DUAL, "10.96.0.0/12", "and 10.96.0.0/12 is wanted"),
    (RANGE, "10.96.0.0/12", None, "and 10.0.0.0/24 is wanted"),
    (ISSUER, "https://a", "https://a", ""),
    (ISSUER, "https://a", ["https://a", "https://b"], ""),
    (ISSUER, ["https://a", "https://b"], ["https://b", "https://a"], ""),
    (ISSUER, "https://a", ["https://b", "https://a"], "and https://b and https://a is wanted: tokens of pods would"),
    (ISSUER, ["https://b", "https://a"], ["https://b"], ""),
    (
        ISSUER,
        "https://a",
        "https://b",
        (
            "master1: kube-apiserver has --service-account-issuer=https://a, and https://b is wanted: tokens of pods would be refused;"
            " keep https://a, or give both as a list, that one first, and swap them in a later run"
        ),
    ),
    (
        ISSUER,
        ["https://b", "https://a"],
        "https://a",
        "has --service-account-issuer=https://b, and https://a is wanted",
    ),
    (ISSUER, "https://a", None, "and none is wanted"),
    (ISSUER, "https://a", ["https://b", "https://c"], "and https://b and https://c is wanted"),
    (PODS, "10.244.0.0/16", "10.244.0.0/16", ""),
    (PODS, "10.244.0.0/16", "10.244.0.0/16,2001:db8:2::/56", ""),
    (PODS, None, "10.244.0.0/16", ""),
    (PODS, None, "", ""),
    (
        PODS,
        "10.244.0.0/16",
        "10.0.0.0/16",
        (
            "master1: kube-controller-manager has --cluster-cidr=10.244.0.0/16, and 10.0.0.0/16 is wanted: nodes keep the parts of it that they"
            " have, and the controller manager ends where one is outside; keep 10.244.0.0/16,"
        ),
    ),
    (PODS, "10.244.0.0/16", "", "and none is wanted"),
    (PODS, "10.244.0.0/16", "nonsense", "and nonsense is wanted"),
]


@pytest.mark.parametrize(("flag", "have", "want", "part"), LASTING)
def test_a_running_cluster_keeps_what_it_cannot_change(flag: str, have: t.Any, want: t.Any, part: str) -> None:
    component = MANAGER if flag == PODS else API
    running = {**pod(component), "flags": {} if have is None else {flag: have}}
    told: list[Facts | None] = [
        master(1, **{f"pods__{component.replace('-', '_')}": running}),
        master(2, pods__kube_apiserver=None, pods__kube_controller_manager=None),
        None,
    ]
    _verdict, problems = judge(told, flags={component: {flag: want}})
    assert len(problems) == bool(part), problems
    assert all(part in problem for problem in problems), problems
    # What nobody names may stay.
    assert judge(told, flags={component: {}})[1] == judge(told)[1] == []


LOST = master(3, pods__kube_apiserver=None)
# What masters told, and whom the sentence tells of, if any.
NOTHING_TO_COMPARE: list[tuple[list[Facts | None], str]] = [
    (
        [None, None, LOST],
        "master3 has no manifest of an API server, and master1 and master2 were not heard, so nobody tells what",
    ),
    (
        [None, silent(2, pods={}), silent(3, pods={})],
        "master2 and master3 have no manifest of an API server, and master1 was not heard, so nobody tells what",
    ),
    (
        [master(1, pods__kube_apiserver=None), master(2, pods__kube_apiserver=None), bare(3), None],
        "master1, master2 and master3 have",
    ),
    ([master(1), None, LOST], ""),
    ([None, None, master(3)], ""),
    (all_of(silent, pods={}), ""),
    ([master(1, pods={}, **seeing(1))], ""),
    ([master(1), master(2), bare(3)], ""),
]


@pytest.mark.parametrize(("told", "part"), NOTHING_TO_COMPARE)
def test_somebody_tells_what_the_cluster_has(told: list[Facts | None], part: str) -> None:
    problems = judge(told)[1]
    assert len(problems) == bool(part), problems
    assert all(problem.startswith(part) for problem in problems), problems


@pytest.mark.parametrize(
    ("told", "count"),
    [
        ([master(1), master(2), silent(3)], 3),
        ([master(1), master(2), silent(3, etcd__data=False)], 3),
        ([*(master(n, **seeing(1, 2, more=[LEARNER])) for n in (1, 2)), attempt(3)], 3),
        (all_of(attempt), 0),
        (all_of(bare), 0),
    ],
)
def test_only_a_running_cluster_has_anything_to_keep(told: list[Facts | None], count: int) -> None:
    problems = judge(told, flags={API: {PORT: 7443}})[1]
    assert len(problems) == count and all("--secure-port=6443" in problem for problem in problems), problems


def test_a_broken_manifest_says_nothing_of_flags() -> None:
    broken = {**pod(API), "problem": "is empty"}
    problems = judge([master(1, pods__kube_apiserver=broken, **seeing(1))], flags={API: {PORT: 7443}})[1]
    assert problems == ["master1: /etc/kubernetes/manifests/kube-apiserver.yaml: is empty"]


# ---- subnets

# Those of services and of pods, the address of the cluster's DNS, and parts of the problems.
SUBNETS: list[tuple[str | None, str, str, list[str]]] = [
    ("10.96.0.0/12", "", "10.96.0.10", []),
    ("10.32.0.7/16", "10.244.0.0/16", "10.32.0.10", []),
    (
        "2001:db8:1::/108,10.96.0.0/12",
        "2001:db8:2::/56,10.244.0.0/16",
        "2001:db8:1::a",
        [
            f"master{n}: its address 192.0.2.1{n} is none of IPv6 as the (first) service subnet 2001:db8:1::/108"
            for n in (1, 2, 3)
        ],
    ),
    ("10.96.0.0/12,2001:db8:1::/108", "10.244.0.0/16,2001:db8:2::/56", "10.96.0.10", []),
    (None, "", "10.0.0.10", []),
    ("10.96.0.0/28", "", "10.96.0.10", []),
    (
        "10.96.0.0/29",
        "10.244.0.0",
        "",
        [
            (
                "the service subnet 10.96.0.0/29 has no room for services; give one such as 10.96.0.0/12, for dual stack with one of the other"
                " IP family behind a comma, without blanks"
            ),
            "the pod subnet 10.244.0.0 is no subnet; give one such as 10.244.0.0/16, for dual stack with",
        ],
    ),
    *(
        (bad, "", "", [f"the service subnet {bad} has no room"])
        for bad in ("10.96.0.0", "10.96.0.0/255.240.0.0", "nonsense/12", "10.96.0.0/12,", "10.96.0.0/16,10.97.0.0/16")
    ),
    *(
        (bad, "", "", [f"the service subnet {bad} has no room"])
        for bad in (
            "10.96.0.0/12, 2001:db8:1::/108",
            "10.96.0.0/12 ,2001:db8:1::/108",
            " 10.96.0.0/12",
            "10.96.0.0/12 ",
        )
    ),
    (
        "10.96.0.0/12",
        "10.244.0.0/16, 2001:db8:2::/56",
        "",
        ["the pod subnet 10.244.0.0/16, 2001:db8:2::/56 is no subnet"],
    ),
    (
        "10.96.0.0/12,2001:db8:1::/108",
        "10.100.0.0/16,2001:db8::/32",
        "10.96.0.10",
        [
            (
                "the service subnet 10.96.0.0/12 and the pod subnet 10.100.0.0/16 overlap, so an address could be that of a service and of a pod;"
                " give subnets that have none in common"
            ),
            "the service subnet 2001:db8:1::/108 and the pod subnet 2001:db8::/32 overlap",
        ],
    ),
    (
        "192.0.2.8/30",
        "",
        "",
        ["the service subnet 192.0.2.8/30 has no room"],
    ),
    (
        "192.0.0.0/22",
        "",
        "192.0.0.10",
        [
            (
                "master1: its address 192.0.2.11 is in the service subnet 192.0.0.0/22, so no node would reach it; give another service"
                " subnet"
            ),
            "master2: its address",
            "master3: its address",
        ],
    ),
]


@pytest.mark.parametrize(("services", "pods", "dns", "parts"), SUBNETS)
def test_subnets(services: str | None, pods: str, dns: str, parts: list[str]) -> None:
    flags = {API: {RANGE: services}, MANAGER: {PODS: pods}}
    verdict, problems = judge(all_of(bare), flags=flags)
    assert len(problems) == len(parts), problems
    assert all(problem.startswith(part) for problem, part in zip(problems, parts, strict=True)), problems
    assert verdict.cluster_dns == dns


def test_masters_by_ipv6_have_services_by_ipv6_first() -> None:
    given = {n: {"address": f"2001:db8::1{n}"} for n in (1, 2, 3)}
    assert judge(all_of(bare), given=given, flags={API: {RANGE: "2001:db8:1::/108,10.96.0.0/12"}})[1] == []
    [problem, *more] = judge(all_of(bare), given=given, flags={API: {RANGE: "10.96.0.0/12"}})[1]
    assert len(more) == 2
    assert problem.startswith(
        "master1: its address 2001:db8::11 is none of IPv4 as the (first) service subnet 10.96.0.0/12"
    )


def test_what_a_running_cluster_has_is_not_held_against_it() -> None:
    flags = {API: {RANGE: "192.0.0.0/22"}, MANAGER: {PODS: "192.0.0.0/16"}}
    running = {
        "pods__kube_apiserver": pod(API, service_cluster_ip_range="192.0.0.0/22"),
        "pods__kube_controller_manager": pod(MANAGER, cluster_cidr="192.0.0.0/16"),
    }
    assert judge(all_of(master, **running), flags=flags)[1] == []
    # But one that joins would be cut off by it.
    told = [*(master(n, **running, **seeing(1, 2)) for n in (1, 2)), bare(3)]
    [problem] = judge(told, flags=flags)[1]
    assert problem.startswith("master3: its address 192.0.2.13 is in the service subnet")


def test_without_subnets_there_is_no_address_of_dns() -> None:
    verdict, problems = judge(all_of(bare), flags={API: {}, MANAGER: {PODS: "nonsense"}})
    assert (verdict.cluster_dns, problems) == ("", [])


def test_an_address_that_is_none_is_in_no_subnet() -> None:
    problems = judge([bare(1)], given={1: {"address": "m"}}, flags={API: {RANGE: "10.96.0.0/12"}})[1]
    assert [problem.partition(";")[0] for problem in problems] == [
        "master1: control_plane_address: 'm' is no IP address"
    ]


@pytest.mark.parametrize(
    ("component", "flag", "variable"),
    [
        ("etcd", "data-dir", "control_plane_etcd_data_dir"),
        ("etcd", "name", "control_plane_node_name"),
        (API, "advertise-address", "control_plane_address"),
    ],
)
def test_a_flag_from_which_more_follows_is_no_flag(component: str, flag: str, variable: str) -> None:
    [problem] = judge(all_of(bare), flags={component: {flag: "x"}})[1]
    assert (
        problem
        == f"{component} gets --{flag} from {variable}, as more than this flag follows from it; set that instead"
    )


def test_anonymous_requests_are_for_the_file_to_allow() -> None:
    file: Facts = {"authentication-config": "/etc/x.yaml"}
    [problem] = judge(all_of(bare), flags={API: {**file, "anonymous-auth": False}})[1]
    assert problem.startswith("kube-apiserver takes no anonymous-auth beside authentication-config")
    for flags in ({"anonymous-auth": False}, {**file, "anonymous-auth": None}):
        assert judge(all_of(bare), flags={API: flags})[1] == []


@pytest.mark.parametrize("told", [all_of(bare), all_of(master)], ids=["first", "later"])
def test_flags_of_oidc_are_refused_beside_the_file_that_excludes_them(told: list[Facts | None]) -> None:
    file, url = {"authentication-config": "/etc/x.yaml"}, {"oidc-issuer-url": "https://login.example.org"}
    assert judge(told, flags={API: {**file, **url, "oidc-client-id": "", "oidc-ca-file": None}})[1] == [
        (
            "kube-apiserver takes no oidc-client-id and oidc-issuer-url beside authentication-config; name the provider in"
            " control_plane_jwt_authenticators instead, the list jwt of that file"
        )
    ]
    for flags in (url, {**url, "authentication-config": None}, file, {**file, "oidc-issuer-url": None}):
        assert judge(told, flags={API: flags})[1] == []


# ---- what is returned beside the phases


def test_a_new_cluster_is_of_all_masters() -> None:
    given = {2: {"address": "2001:DB8::2"}}
    verdict, problems = judge(all_of(bare), given=given, peer_port=12380)
    cluster = "master1=https://192.0.2.11:12380,master2=https://[2001:db8::2]:12380,master3=https://192.0.2.13:12380"
    assert problems == []
    assert set(verdict.initial_cluster.values()) == {(cluster, "new")}
    assert verdict.actions == ["begin a cluster on master1, master2 and master3"]
    assert verdict.endpoints == []


def test_flags_of_a_member_stay_as_they_are_found() -> None:
    joined = "master1=https://192.0.2.11:2380,x=https://192.0.2.99:2380"
    told: list[Facts | None] = [
        master(1, pods__etcd=etcd_pod(joined, "existing")),
        master(2, pods__etcd=pod("etcd", initial_cluster="master2=https://192.0.2.12:2380")),
        silent(3, pods={}),
    ]
    verdict, _problems = judge(told)
    assert verdict.initial_cluster == {
        "master1": (joined, "existing"),
        "master2": ("master2=https://192.0.2.12:2380", None),
        "master3": (CLUSTER, "existing"),
    }
    assert verdict.actions == []
    assert verdict.endpoints == ["https://192.0.2.11:2379", "https://192.0.2.12:2379"]


def test_what_etcd_alone_can_tell_is_left_to_it() -> None:
    told: list[Facts | None] = [master(n, **seeing(1, 2, 3)) for n in (1, 2)]
    verdict, problems = judge([*told, bare(3), bare(4), bare(5)])
    assert problems == []
    assert {verdict.initial_cluster[name] for name in ("master3", "master4", "master5")} == {None}
    assert verdict.actions == [
        "have master4 and master5 join the cluster",
        "make the member of etcd on master3 anew, which has lost its data",
    ]


def test_members_are_found_by_their_url_however_it_is_written() -> None:
    told = members(1)
    told[0]["peer_urls"] = ["https://[2001:DB8:0:0::1]:2380"]
    told[0]["name"] = ""
    verdict, problems = judge([master(1, etcd__members=told)], given={1: {"address": "2001:db8::1"}})
    assert (problems, verdict.phases) == ([], {"master1": "keep"})


def test_masters_are_sorted_and_their_hosts_have_their_names() -> None:
    given: list[Facts] = [{"name": name, "address": "192.0.2.1", "host": None, "info": {}} for name in ("b", "a")]
    found, problems = _masters.masters(given)
    assert ([one.host for one in found], problems) == (["a", "b"], [])

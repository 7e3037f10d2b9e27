# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Masters in all states, as control_plane_info tells of them."""

from __future__ import annotations

import copy
import typing as t

from ansible_collections.kubestatic.node.plugins.plugin_utils import _masters, _preflight
from ansible_collections.kubestatic.node.plugins.plugin_utils._masters import Terms
from ansible_collections.kubestatic.node.plugins.plugin_utils._preflight import Verdict

Facts = dict[str, t.Any]

COMPONENTS = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"]
VERSION = "1.37.2"
CLUSTER = ",".join(f"master{number}=https://192.0.2.1{number}:2380" for number in (1, 2, 3))
KEY = "0123456789abcdef"


def members(*numbers: int) -> list[Facts]:
    """Members of etcd, as one of them tells."""
    return [
        {
            "id": f"aa{number}",
            "name": f"master{number}",
            "peer_urls": [f"https://192.0.2.1{number}:2380"],
            "client_urls": [f"https://192.0.2.1{number}:2379"],
            "is_learner": False,
        }
        for number in numbers
    ]


def bare(number: int, **changes: t.Any) -> Facts:
    """A node with nothing but a kubelet and crictl. ``changes`` go to where they belong."""
    facts: Facts = {
        "machine_id": f"machine{number}",
        "clock_offset": 0.0,
        "address_is_own": True,
        "swap": [],
        "kubelet_version": VERSION,
        "crictl": True,
        "listening": [],
        "placed": [],
        "pods": {},
        "etcd": {"data": False, "remains": False, "proven": False, "members": None, "trouble": "does not answer"},
        "encryption": {"state": "none", "keys_in_use": [], "key": "", "stored": None, "example": "", "trouble": ""},
    }
    return changed(facts, **changes)


def changed(facts: Facts, **changes: t.Any) -> Facts:
    """A copy with changes; ``etcd__data`` is that of ``etcd``, ``pods__etcd=None`` removes one."""
    facts = copy.deepcopy(facts)
    for name, value in changes.items():
        *parts, last = name.split("__")
        place = facts
        for part in parts:
            place = place[part]
        if value is None and parts == ["pods"]:
            place.pop(last.replace("_", "-"), None)
        else:
            place[last.replace("_", "-") if parts == ["pods"] else last] = value
    return facts


def pod(component: str, *, image: str = "", **flags: t.Any) -> Facts:
    """The facts of a manifest."""
    return {
        "file": f"/etc/kubernetes/manifests/{component}.yaml",
        "image": image or f"registry.k8s.io/{component}:v{VERSION}",
        "flags": {name.replace("_", "-"): value for name, value in flags.items()},
        "problem": "",
    }


def etcd_pod(cluster: str = CLUSTER, state: str = "new") -> Facts:
    return pod("etcd", initial_cluster=cluster, initial_cluster_state=state, data_dir="/var/lib/etcd")


def master(number: int, **changes: t.Any) -> Facts:
    """A master of a cluster of three that runs."""
    facts = bare(
        number,
        placed=COMPONENTS,
        pods={one: pod(one) if one != "etcd" else etcd_pod() for one in COMPONENTS},
        etcd={"data": True, "remains": False, "proven": True, "members": members(1, 2, 3), "trouble": ""},
        encryption={**bare(number)["encryption"], "state": "written", "keys_in_use": [KEY], "key": KEY},
        listening=[{"port": 2379, "process": "etcd"}, {"port": 10250, "process": "kubelet"}],
    )
    return changed(facts, **changes)


def silent(number: int, **changes: t.Any) -> Facts:
    """As `master`, but its etcd does not answer."""
    stopped: Facts = {"etcd__members": None, "etcd__trouble": "Connection refused", "listening": []}
    return master(number, **{**stopped, **changes})


def kubeadm(number: int, **changes: t.Any) -> Facts:
    """A master that kubeadm has made, which this collection has never touched."""
    return silent(number, **{"placed": [], "etcd__proven": False, **changes})


def attempt(number: int, **changes: t.Any) -> Facts:
    """A master of a first run that was cut off before etcd had a quorum."""
    return silent(number, **{"etcd__proven": False, **changes})


def judge(
    told: t.Sequence[Facts | None], *, given: t.Mapping[int, Facts] | None = None, **terms: t.Any
) -> tuple[Verdict, list[str]]:
    """The verdict over masters that told this, None for one that was not heard, and all problems."""
    listed = [
        {
            "name": f"master{number}",
            "address": f"192.0.2.1{number}",
            "host": None,
            "info": {"facts": facts} if facts else None,
            **(given or {}).get(number, {}),
        }
        for number, facts in enumerate(told, start=1)
    ]
    masters, problems = _masters.masters(listed)
    usual: Facts = {
        "kubernetes_version": VERSION,
        "etcd_data_dir": "/var/lib/etcd",
        "encryption": "written",
        "forks": 5,
        "missing": frozenset(one.host for one in masters if not one.facts),
        "kubelet_settings": {},
        "peer_port": 2380,
        "api_server_port": 6443,
        "flags": {},
        "images": {},
        "certificates": "/certificates",
        "certified": frozenset(),
    }
    verdict = _preflight.judge(masters, Terms(**{**usual, **terms}))
    return verdict, problems + verdict.problems

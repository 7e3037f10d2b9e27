# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""What stands in the way on one master: programs, versions, swap, ports, manifests, leftovers, encryption."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ansible_collections.kubestatic.node.plugins.plugin_utils import _preflight_flags
from ansible_collections.kubestatic.node.plugins.plugin_utils._masters import (
    BOOTSTRAP,
    JOIN,
    KEEP,
    REBUILD,
    Facts,
    Master,
    Terms,
    listed,
)
from ansible_collections.kubestatic.node.plugins.plugin_utils._preflight_etcd import leftover

# Of Kubernetes 1.
OLDEST_MINOR, NEWEST_MINOR = 34, 37
# How many minors a kubelet may be behind its API server (Kubernetes' version skew policy).
_KUBELET_BEHIND = 3
# What the kernel keeps of a process' name.
_NAME_BYTES = 15
_COMPONENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
NONE, READABLE, WRITTEN, UNMANAGED = "none", "readable", "written", "unmanaged"


def minor(version: str) -> int | None:
    """37 for 1.37.2 and v1.37.2; None for what is no version of Kubernetes 1."""
    found = re.match(r"v?1\.(\d+)\.\d+", version)
    return int(found.group(1)) if found else None


def _image_minor(name: str) -> int | None:
    """As `minor`, of the version that is an image's tag."""
    return minor(name.partition("@")[0].rpartition(":")[2])


def image_problems(terms: Terms) -> list[str]:
    """Images that would be an upgrade whatever kubernetes_version says."""
    return [
        f"the image of {one} is {image}, and kubernetes_version is {terms.kubernetes_version}, another minor; have both be the same"
        for one, image in terms.images.items()
        if one in _COMPONENTS and _image_minor(image) not in (None, minor(terms.kubernetes_version))
    ]


def untold(masters: Sequence[Master], phases: Mapping[str, str], terms: Terms) -> list[str]:
    """The warning that an image may be an upgrade for all that can be told."""
    changed = {
        one: (found, image)
        for master in masters
        for one, image in terms.images.items()
        if one in _COMPONENTS and phases.get(master.name) in (KEEP, REBUILD, JOIN)
        for found in [master.pod(one).get("image", image)]
        if found != image and _image_minor(found) is None and _image_minor(image) is None
    }
    told = [f"{one} has {found}, and {image} is wanted" for one, (found, image) in changed.items()]
    if not told:
        return []
    return [f"{'; '.join(told)}: whether that is another minor cannot be told, and an upgrade is not done here"]


def problems(master: Master, phase: str | None, terms: Terms) -> list[str]:
    """The sentences for one master that was heard. `phase` is None where it is not certain."""
    return [
        f"{master.name}: {one}"
        for one in (
            *_machine(master, terms),
            *_kubelet(master, terms),
            *_ports(master, terms),
            *_manifests(master, phase, terms),
        )
    ] + _leftovers(master, phase)


def encryption_problems(masters: Sequence[Master], phases: Mapping[str, str], terms: Terms) -> list[str]:
    """What speaks against the wanted state of encryption on the API servers that are there."""
    wanted = terms.encryption
    servers = [
        one
        for one in masters
        if one.facts and phases.get(one.name) not in (None, BOOTSTRAP) and one.pod("kube-apiserver")
    ]
    dropped = _dropped(servers, terms)
    if dropped or wanted == UNMANAGED or not servers:
        return dropped
    held = {one.facts["encryption"]["key"] for one in masters if one.facts}
    found = [
        f"{one.name}: Secrets are encrypted with a key or plugin that is not this collection's; where it is of secretbox and"
        f" named key1, put it into /etc/kubernetes/pki/encryption.key, else have encryption unmanaged"
        for one in servers
        if set(one.facts["encryption"]["keys_in_use"]) - held
    ]
    states = {one.name: one.facts["encryption"]["state"] for one in servers}
    # A step that another one has to come before on all masters.
    start, target = {WRITTEN: (NONE, WRITTEN), NONE: (WRITTEN, NONE)}.get(wanted, ("", ""))
    far = [name for name, state in states.items() if state == start or (not state and wanted == NONE)]
    unheard = [one.name for one in masters if not one.facts]
    if far and wanted == WRITTEN:
        found.append(
            f"encryption: the API servers of {listed(far)} cannot read encrypted Secrets yet, and others would write them; run"
            " with encryption readable on all masters first, then with written"
        )
    elif far:
        found.append(
            f"encryption: the API servers of {listed(far)} encrypt Secrets, and nobody could read them with none; run with"
            " encryption readable on all masters first, write all Secrets again, then run with none"
        )
    elif target and unheard and READABLE in states.values():
        found.append(
            f"encryption: going from readable to {target} takes an API server that is at readable on all masters, and"
            f" {listed(unheard)} {'was' if len(unheard) == 1 else 'were'} not heard; have all masters in this run"
        )
    if wanted == NONE and not far:
        found += _stored([one.facts["encryption"] for one in servers if states[one.name] == READABLE])
    return found


def _dropped(servers: Sequence[Master], terms: Terms) -> list[str]:
    """API servers whose configuration of encryption would go, as no flag of the user's names one."""
    flag = "encryption-provider-config"
    given = terms.flags.get("kube-apiserver", {})
    if given.get(flag) or (terms.encryption != UNMANAGED and flag not in given):
        return []
    return [
        f"{one.name}: the API server has --{flag}={one.flag('kube-apiserver', flag)}, which would go, and no Secret that is encrypted could"
        " be read; keep it in control_plane_kube_apiserver_flags, and its directory in"
        " control_plane_kube_apiserver_extra_mounts"
        for one in servers
        if one.flag("kube-apiserver", flag)
    ]


def _stored(told: Sequence[Facts]) -> list[str]:
    """That Secrets are encrypted in etcd, or that it cannot be told. Each that can tell tells of the whole cluster."""
    most = max((one for one in told if one["stored"] is not None), key=lambda one: int(one["stored"]), default=None)
    if told and not most:
        return [
            (
                "encryption: whether Secrets are stored encrypted, which nobody could read with none, cannot be told:"
                f" {told[0]['trouble']}; mend etcd, then run again"
            )
        ]
    if most and most["stored"]:
        return [
            (
                f"encryption: etcd holds {most['stored']} of the Secrets encrypted, such as {most['example']}, and nobody could"
                " read them with none; write all Secrets again (kubectl get secrets -A -o json | kubectl replace -f -), then run"
                " again"
            )
        ]
    return []


def _machine(master: Master, terms: Terms) -> list[str]:
    facts = master.facts
    found = []
    if facts["address_is_own"] is False:
        found.append(f"{master.address} is no address of this machine; give the one at which other masters reach it")
    if facts["swap"] and terms.kubelet_settings.get("failSwapOn") is not False:
        found.append(
            f"swap is on ({', '.join(facts['swap'])}), with which a kubelet does not start; turn it off (swapoff -a, and"
            " /etc/fstab), or set failSwapOn: false in control_plane_kubelet_settings"
        )
    if not facts["crictl"]:
        found.append("crictl is not installed; install it (package cri-tools)")
    return found


def _kubelet(master: Master, terms: Terms) -> list[str]:
    version, wanted = master.facts["kubelet_version"], minor(terms.kubernetes_version)
    if not version:
        return [f"the kubelet is not installed; install kubelet {terms.kubernetes_version}"]
    have = minor(version)
    if have is None or wanted is None:
        return []
    if have > wanted:
        return [
            (
                f"the kubelet is {version}, newer than the API server of {terms.kubernetes_version}; install kubelet"
                f" 1.{wanted}, or set a newer kubernetes_version"
            )
        ]
    if have < wanted - _KUBELET_BEHIND:
        return [
            (
                f"the kubelet is {version}, more than {_KUBELET_BEHIND} minors older than the API server of"
                f" {terms.kubernetes_version}; install kubelet 1.{wanted}"
            )
        ]
    return []


def _ports(master: Master, terms: Terms) -> list[str]:
    users = {
        2379: "etcd",
        terms.peer_port: "etcd",
        2381: "etcd",
        terms.api_server_port: "kube-apiserver",
        terms.kubelet_settings.get("port", 10250): "kubelet",
        10257: "kube-controller-manager",
        10259: "kube-scheduler",
    }
    found = []
    for one in master.facts["listening"]:
        user, process = users.get(one["port"], ""), one["process"]
        is_its_own = process == user[:_NAME_BYTES] and (user == "kubelet" or master.has_placed(user))
        if user and not is_its_own and not master.pod(user):
            found.append(
                f"port {one['port']} of {user} is taken by {process or 'a process that cannot be seen'}; stop that, or have it"
                " listen elsewhere"
            )
    return found


def _manifests(master: Master, phase: str | None, terms: Terms) -> list[str]:
    found = [f"{pod['file']}: {pod['problem']}" for pod in master.facts["pods"].values() if pod["problem"]]
    data_dir = master.flag("etcd", "data-dir")
    if data_dir and data_dir.rstrip("/") != terms.etcd_data_dir.rstrip("/"):
        found.append(
            f"etcd has its data in {data_dir}, and would begin anew in {terms.etcd_data_dir}; set etcd_data_dir to {data_dir}"
        )
    if phase in (KEEP, REBUILD, JOIN):
        image = master.pod("kube-apiserver").get("image", "")
        have = _image_minor(image)
        if have is not None and have != minor(terms.kubernetes_version):
            found.append(
                f"the API server is {image}, and kubernetes_version is {terms.kubernetes_version}: another minor is an upgrade,"
                f" which is not done here; set kubernetes_version to that of the image"
            )
        found += _preflight_flags.changes(master, terms.flags)
    return found


def _leftovers(master: Master, phase: str | None) -> list[str]:
    """Manifests of another cluster beside an etcd that is new."""
    if phase not in (BOOTSTRAP, JOIN):
        return []
    paths = [
        master.pod(one)["file"]
        for one in ("etcd", *_COMPONENTS)
        if master.pod(one) and not master.has_placed(one) and not (phase == JOIN and master.has_data)
    ]
    return [leftover(master, paths)] if paths else []

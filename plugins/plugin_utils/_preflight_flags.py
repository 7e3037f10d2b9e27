# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""Flags that a running cluster has to keep, those that exclude each other, and what subnets a cluster can have."""

from __future__ import annotations

import ipaddress
import typing as t
from collections.abc import Mapping, Sequence

from ansible_collections.kubestatic.node.plugins.plugin_utils._masters import BOOTSTRAP, JOIN, Master, listed

# Component -> name -> value, as in a manifest: a list gives a flag several times, None not at all.
Flags = Mapping[str, Mapping[str, t.Any]]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_ISSUER, _SERVICES, _PODS = "service-account-issuer", "service-cluster-ip-range", "cluster-cidr"
_DNS = 10
# What is in force without a flag (kube-apiserver's pkg/kubeapiserver/options/options.go and serving.go).
_DEFAULTS = {"secure-port": "6443", _SERVICES: "10.0.0.0/24"}


_SECOND_FAMILY = "keep {}, behind which a second IP family may be added"
# Component and flag -> why a running cluster needs it, and what to do.
_LASTING = {
    ("kube-apiserver", "secure-port"): (
        "nodes, kubeconfigs and the other masters know the old one; keep {}, and have another port at a load balancer"
    ),
    ("kube-apiserver", _SERVICES): f"services keep the addresses that they have; {_SECOND_FAMILY}",
    ("kube-apiserver", _ISSUER): (
        "tokens of pods would be refused; keep {}, or give both as a list, that one first, and swap them in a later run"
    ),
    ("kube-controller-manager", _PODS): (
        "nodes keep the parts of it that they have, and the controller manager ends where one is outside;"
        f" {_SECOND_FAMILY}"
    ),
}
# Component and flag -> the variable of role control_plane to set instead.
_WIRED = {
    ("etcd", "data-dir"): "control_plane_etcd_data_dir",
    ("etcd", "name"): "control_plane_node_name",
    ("etcd", "initial-advertise-peer-urls"): "control_plane_address",
    ("etcd", "advertise-client-urls"): "control_plane_address",
    ("kube-apiserver", "advertise-address"): "control_plane_address",
}


def changes(master: Master, wanted: Flags) -> list[str]:
    """What is wanted and would break the running cluster that this master belongs to. What `wanted` does not name may stay."""
    found = []
    for (component, name), why in _LASTING.items():
        pod, flags = master.pod(component), wanted.get(component, {})
        if not pod or pod["problem"] or name not in flags:
            continue
        have, want = _values(name, pod["flags"].get(name)), _values(name, flags[name])
        if have and not _is_kept(name, have, want):
            found.append(
                f"{component} has --{name}={have[0]}, and {listed(want) if want else 'none'} is wanted: {why.format(have[0])}"
            )
    return found


def excluded(wanted: Flags) -> list[str]:
    """Flags with which no API server would start (pkg/kubeapiserver/options/authentication.go), or which contradict the rest of a manifest."""
    flags = [name for name, value in wanted.get("kube-apiserver", {}).items() if value not in (None, [])]
    found = [
        f"{component} gets --{name} from {variable}, as more than this flag follows from it; set that instead"
        for (component, name), variable in _WIRED.items()
        if name in wanted.get(component, {})
    ]
    if "authentication-config" not in flags:
        return found
    of_oidc = sorted(name for name in flags if name.startswith("oidc-"))
    if of_oidc:
        found.append(
            f"kube-apiserver takes no {listed(of_oidc)} beside authentication-config; name the provider in"
            " control_plane_jwt_authenticators instead, the list jwt of that file"
        )
    if "anonymous-auth" in flags:
        found.append(
            "kube-apiserver takes no anonymous-auth beside authentication-config, which lets anonymous requests through to health endpoints"
            " and cluster-info only; leave it out"
        )
    return found


def subnets(masters: Sequence[Master], phases: Mapping[str, str], wanted: Flags) -> tuple[str, list[str]]:
    """The address of the cluster's DNS, and what is wrong with the subnets. Without any wanted there is neither.

    It is the tenth of the first service subnet (kubeadm's GetDNSIP in cmd/kubeadm/app/constants/constants.go).
    """
    if _SERVICES not in wanted.get("kube-apiserver", {}):
        return "", []
    of_services = _values(_SERVICES, wanted["kube-apiserver"][_SERVICES])
    of_pods = _values(_PODS, wanted.get("kube-controller-manager", {}).get(_PODS))
    services, pods = _subnets(of_services), _subnets(of_pods)
    both = "for dual stack with one of the other IP family behind a comma, without blanks"
    found = []
    if not services or services[0].num_addresses <= _DNS:
        found.append(
            f"the service subnet {of_services[0]} has no room for services; give one such as 10.96.0.0/12, {both}"
        )
    if of_pods and not pods:
        found.append(f"the pod subnet {of_pods[0]} is no subnet; give one such as 10.244.0.0/16, {both}")
    if found:
        return "", found
    # In a running cluster nobody could change it, and the controller manager leaves out what is of services.
    if BOOTSTRAP in phases.values():
        found += [
            f"the service subnet {service} and the pod subnet {pod} overlap, so an address could be that of a service and of a pod; give"
            " subnets that have none in common"
            for service in services
            for pod in pods
            if service.overlaps(pod)
        ]
    found += [
        f"{master.name}: its address {master.address} is none of IPv{services[0].version} as the (first) service subnet {services[0]}, and no API"
        " server starts so; give a service subnet of the masters' IP family, or that one first"
        for master in masters
        if phases.get(master.name) in (BOOTSTRAP, JOIN) and _is_of_another_family(services[0], master.address)
    ]
    found += [
        f"{master.name}: its address {master.address} is in the service subnet {service}, so no node would reach it; give another"
        " service subnet"
        for master in masters
        for service in services
        if phases.get(master.name) in (BOOTSTRAP, JOIN) and _has(service, master.address)
    ]
    return str(services[0][_DNS]), found


def _is_of_another_family(subnet: Network, address: str) -> bool:
    """An API server wants its own address to be of the first one's (cmd/kube-apiserver/app/options/validation.go)."""
    try:
        return ipaddress.ip_address(address).version != subnet.version
    except ValueError:
        return False


def _has(subnet: Network, address: str) -> bool:
    own = _network(f"{address}/{subnet.max_prefixlen}")
    return not isinstance(own, str) and subnet.overlaps(own)


def _subnets(given: Sequence[str]) -> list[Network]:
    """One, or one of each IP family, as flags take them. Empty for anything else."""
    found = _networks(given)
    subnets_there = [one for one in found if not isinstance(one, str)]
    return subnets_there if len({one.version for one in subnets_there}) == len(found) else []


def _is_kept(name: str, have: Sequence[str], want: Sequence[str]) -> bool:
    if name in (_SERVICES, _PODS):
        old, new = _networks(have), _networks(want)
        return new[: len(old)] == old
    # Of issuers, each master has to accept what another one signs, as long as one has the old manifest and one the new.
    return have[0] in want and want[0] in have


def _values(name: str, given: t.Any) -> list[str]:
    """A flag's values that count: of issuers all, the first of which signs, and of anything else the last."""
    found = [str(one) for one in (given if isinstance(given, list) else [given]) if one not in (None, "")]
    found = found or [_DEFAULTS[name]] if name in _DEFAULTS else found
    return found if name == _ISSUER else found[-1:]


def _networks(given: Sequence[str]) -> list[Network | str]:
    """The subnets that a flag names; what is none, as it is."""
    return [_network(part) for text in given for part in text.split(",")]


def _network(text: str) -> Network | str:
    bits = text.partition("/")[2]
    try:
        # Kubernetes takes neither an address alone nor a mask, nor blanks.
        return ipaddress.ip_network(text, strict=False) if bits.isdigit() else text
    except ValueError:
        return text

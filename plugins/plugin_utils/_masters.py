# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""Masters as a preflight sees them: what the inventory says of each, and what each has told."""

from __future__ import annotations

import typing as t
from collections.abc import Iterable, Mapping, Sequence

from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.plugin_utils import _control_plane

Facts = Mapping[str, t.Any]

BOOTSTRAP, KEEP, JOIN, REBUILD = "bootstrap", "keep", "join", "rebuild"


class Master(t.NamedTuple):
    """One master. ``facts`` are those of control_plane_info, empty where it was not heard, ``trouble`` why that failed."""

    name: str
    address: str
    host: str
    facts: Facts
    trouble: str = ""

    @property
    def etcd(self) -> Facts:
        """What it knows of etcd."""
        return t.cast(Facts, self.facts["etcd"])

    @property
    def has_data(self) -> bool:
        """Whether etcd has data there from which it goes on."""
        return bool(self.etcd["data"])

    @property
    def has_remains(self) -> bool:
        """Whether there is anything of a member, if only a database without a log."""
        return bool(self.etcd["data"] or self.etcd["remains"])

    def pod(self, component: str) -> Facts:
        """The facts of the manifest of this component, empty where it has none."""
        return t.cast(Facts, self.facts["pods"].get(component, {}))

    def flag(self, component: str, name: str) -> str:
        """A flag in the manifest of this component, empty where it is not set."""
        return str(self.pod(component).get("flags", {}).get(name, ""))

    def has_placed(self, component: str) -> bool:
        """Whether this collection has placed a manifest of this component there."""
        return component in self.facts["placed"]


class Terms(t.NamedTuple):
    """What is wanted, and how the run goes. ``missing``: hosts that the run holds back. ``flags``: component -> name -> value.

    ``images``: component -> whole name. ``certified``: names of masters that have a directory in ``certificates``, the controller's
    directory of those of all masters.
    """

    kubernetes_version: str
    etcd_data_dir: str
    encryption: str
    forks: int
    missing: frozenset[str]
    kubelet_settings: Mapping[str, t.Any]
    peer_port: int
    api_server_port: int
    flags: Mapping[str, Mapping[str, t.Any]]
    images: Mapping[str, str]
    certificates: str
    certified: frozenset[str]


def masters(given: Iterable[Mapping[str, t.Any]]) -> tuple[list[Master], list[str]]:
    """The masters by name, and what is wrong with their names and addresses."""
    found: list[Master] = []
    problems: list[str] = []
    for one in given:
        name, address = one["name"], one["address"]
        where = one["host"] or name
        try:
            _control_plane.node_name(name, where=f"{where}: control_plane_node_name")
        except KubestaticError as error:
            problems.append(str(error))
        try:
            address = _control_plane.address(address, where=f"{where}: control_plane_address")
        except KubestaticError as error:
            problems.append(str(error))
        info = one["info"] or {}
        facts = {} if info.get("failed") or info.get("unreachable") else info.get("facts") or {}
        trouble = info.get("msg", "") if info.get("failed") else ""
        found.append(Master(name, address, one["host"] or name, facts, trouble))
    if not found:
        problems.append(
            "masters: is empty; kubestatic_hosts (or control_plane_group) must name a group of the inventory that has hosts, and no pattern"
        )
    return sorted(found, key=lambda master: master.name), problems


def unseen(given: Iterable[Mapping[str, t.Any]], own: Mapping[str, t.Any]) -> list[str]:
    """What a master knows of itself, ``own``, and the others do not, as it is in no inventory."""
    variables = {"name": "control_plane_node_name", "address": "control_plane_address", "sans": "control_plane_sans"}
    return [
        f"{own['host']}: {variable} is {own[option]} in its own tasks and {one[option]} for the other masters; set it in the inventory"
        " (host_vars, group_vars), as they do not see variables of a play or role"
        for one in given
        for option, variable in variables.items()
        if one["host"] == own["host"] and one[option] != own[option]
    ]


def initial_cluster(given: Sequence[Master], *, port: int) -> str:
    """All masters as etcd's --initial-cluster takes them."""
    return ",".join(sorted(f"{master.name}={_control_plane.url(master.address, port)}" for master in given))


def listed(names: Iterable[str]) -> str:
    """Return "a, b and c"."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last

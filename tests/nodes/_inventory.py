# SPDX-FileCopyrightText: kubestatic.node contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names and addresses of the nodes, from the inventory that Ansible reads (without PyYAML: nothing is installed yet)."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from _common import HERE, Problem

INVENTORY = HERE / "inventory.yml"
MASTERS = "masters"
_GROUP_OR_HOST = re.compile(
    r"^(?P<group>\w+):|^ +(?P<name>[a-z0-9][a-z0-9.-]*):\s*\n +ansible_host:\s*[\"']?(?P<address>[0-9.]+)", re.MULTILINE
)


@dataclass(frozen=True)
class Node:
    """One test node: its host name, its fixed address and its group in the inventory."""

    name: str
    address: str
    group: str

    @property
    def container(self) -> str:
        """Return the name of its container, which is also that of its volume."""
        return f"kubestatic-{self.name}"

    @property
    def mac_address(self) -> str:
        """Return its fixed, locally administered MAC address, made from its IP address."""
        return ":".join(f"{byte:02x}" for byte in (0x02, 0, *ipaddress.ip_address(self.address).packed[-4:]))


def read_nodes() -> list[Node]:
    """Return the nodes that there are where nobody asks for others: the masters."""
    return [node for node in all_nodes() if node.group == MASTERS]


def all_nodes() -> list[Node]:
    """Return the nodes in the order of the inventory, with those that only start when they are named."""
    group, nodes = "", []
    for hit in _GROUP_OR_HOST.finditer(INVENTORY.read_text()):
        if hit["group"]:
            group = hit["group"]
        else:
            nodes.append(Node(name=hit["name"], address=hit["address"], group=group))
    if not nodes:
        raise Problem(f"{INVENTORY}: no host with an ansible_host found")
    for node in nodes:
        if ipaddress.ip_address(node.address) not in subnet(nodes):
            raise Problem(f"{INVENTORY}: {node.name} is not in {subnet(nodes)}, the network of the first node")
    return nodes


def subnet(nodes: list[Node]) -> ipaddress.IPv4Network:
    """Return the /24 network that the nodes are in."""
    return ipaddress.IPv4Network(f"{nodes[0].address}/24", strict=False)

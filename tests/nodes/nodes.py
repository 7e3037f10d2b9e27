# SPDX-FileCopyrightText: kubestatic.node contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Start and stop the test nodes: systemd containers with a real kubelet, containerd and sshd. See README.md."""

from __future__ import annotations

import argparse
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import _containers
import _control_plane
import _image
import _programs
from _common import HERE, Problem, cache_dir, locked, main_guard, need_commands, remove_cache, say
from _inventory import MASTERS, Node, all_nodes, read_nodes

_NETAVARK = "/usr/lib/podman/netavark"


def main() -> int:
    """Read the command line and do it; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start the nodes; those that run from the same recipe are kept")
    up.add_argument("--fresh", action="store_true", help="make them anew in any case")
    up.add_argument("--bare", action="store_true", help="leave nothing on them that configures a kubelet")
    up.add_argument("nodes", nargs="*", metavar="NODE", help="only these (default: the masters of inventory.yml)")
    down = commands.add_parser("down", help="remove containers and volumes")
    down.add_argument("nodes", nargs="*", metavar="NODE", help="only these (default: all of inventory.yml)")
    commands.add_parser("status", help="one line per master or running node; exit code 1 unless each is ready")
    build = commands.add_parser("build", help="build the programs")
    for one in (up, build):
        one.add_argument("--control-plane", action="store_true", help="and what a control plane is made of")
    commands.add_parser("image", help="build the programs and the image")
    commands.add_parser("clean", help="down, and remove network, images and the cache")
    chosen = parser.parse_args()
    if chosen.command == "status":
        return status()
    if chosen.command == "build":
        _programs.build_node_programs()
        if chosen.control_plane:
            _control_plane.make()
        return 0
    with locked("nodes"):
        if chosen.command == "up":
            nodes = _select(chosen.nodes) or read_nodes()
            bring_up(nodes, fresh=chosen.fresh, control_plane=chosen.control_plane, bare=chosen.bare)
        elif chosen.command == "down":
            take_down(_select(chosen.nodes) or all_nodes())
        elif chosen.command == "image":
            make_image()
        else:
            clean()
    return 0


def bring_up(nodes: list[Node], *, fresh: bool, control_plane: bool, bare: bool) -> None:
    """Start nodes, and keep those that are ready and made from what a new one would be made from."""
    make_image()
    if control_plane:
        _control_plane.make()
    image = _image.node_image()
    wanted = _containers.recipe(image)
    running = {} if fresh else _containers.running_recipes()
    same = [node for node in nodes if running.get(node.container) == wanted]
    with ThreadPoolExecutor(len(nodes)) as pool:
        problems = dict(zip(same, pool.map(partial(_containers.check, bare=bare), same), strict=True))
    for node, missing in problems.items():
        say(f"{node.name} {f'is made anew: {missing}' if missing else 'is running and kept'}")
    anew = [node for node in nodes if problems.get(node, "not running")]
    if anew:
        say(f"starting {', '.join(node.name for node in anew)}")
        _containers.start(anew, image=image)
    if control_plane:
        # What runs on other nodes are no pods of a control plane.
        _containers.run_on(nodes, lambda node: f"kubestatic-control-plane {'images' if node.group == MASTERS else ''}")
        say("programs and images of a control plane are there")
    if bare:
        _containers.run_on(nodes, lambda _node: "kubestatic-bare")
        say("nothing is configured any more")
    _tell_how_to_reach(nodes)


def make_image() -> None:
    """Build programs and image side by side, as far as they are not there yet."""
    need_commands(
        {"podman": "podman", "runc": "runc", _NETAVARK: "netavark", "iptables": "iptables", "ssh": "openssh-client"}
    )
    if not (_programs.ready_made() or all(path.exists() for path in _programs.node_programs().values())):
        say("the first start takes about 8 minutes on 2 cores (kubelet, Debian image), later ones well under a minute")
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(_programs.build_node_programs), pool.submit(_image.build_base)]:
            done.result()
    _image.build_node()


def status() -> int:
    """Print one line per node; 0 if all are ready, else 1."""
    if not shutil.which("podman"):
        raise Problem("podman is not installed. Run: make nodes")
    running = _containers.running_recipes()
    code = 0
    for node in [node for node in all_nodes() if node.group == MASTERS or node.container in running]:
        missing = _containers.check(node) if node.container in running else "not running"
        code = 1 if missing else code
        print(f"{node.name}\t{node.address}\t{missing or 'ready'}")
    return code


def take_down(nodes: list[Node]) -> None:
    """Remove nodes and what they stored."""
    if shutil.which("podman"):
        _containers.remove(nodes)
    say(f"removed {', '.join(node.name for node in nodes)}")


def clean() -> None:
    """Remove everything: nodes, network, images, cache."""
    if shutil.which("podman"):
        _containers.remove(all_nodes())
        _containers.remove_network()
        _image.remove_all()
    remove_cache()
    say(f"removed nodes, network, images and {cache_dir()}")


def _select(names: list[str]) -> list[Node]:
    """Return the nodes of these names."""
    nodes = all_nodes()
    unknown = set(names) - {node.name for node in nodes}
    if unknown:
        known = ", ".join(node.name for node in nodes)
        raise Problem(f"no node {', '.join(sorted(unknown))} in inventory.yml; there are: {known}")
    return [node for node in nodes if node.name in names]


def _tell_how_to_reach(nodes: list[Node]) -> None:
    """Print a command for a shell on a node, and one for Ansible on all."""
    options = "-o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no -o LogLevel=ERROR"
    print(f"shell:   ssh -i {_containers.ssh_key()} {options} root@{nodes[0].address}")
    environment = f"python3 {HERE.parent / 'tools' / 'env.py'} ansible-2.19"
    print(f"ansible: {environment} ansible -i {HERE / 'inventory.yml'} masters -m ansible.builtin.ping")


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    main_guard(main)

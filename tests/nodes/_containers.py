# SPDX-FileCopyrightText: kubestatic.node contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The containers that are the nodes: started, looked at, removed with podman."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import _control_plane
from _common import Problem, cache_dir, digest, run, say
from _inventory import Node, all_nodes, subnet

NETWORK = "kubestatic"
_LABEL = "kubestatic.recipe"
_READY_SECONDS = 90
_INOTIFY_INSTANCES = Path("/proc/sys/fs/inotify/max_user_instances")
# All that a test may count on. Each line ends the check, and its text says what is missing.
_RUNTIME_CHECK = """
missing() { echo "$1"; exit 1; }
test -e /var/lib/containerd/kubestatic-images || missing "pod images are not imported yet"
crictl info | tr -d ' \\n' | grep -q '"type":"NetworkReady","status":true\\|"status":true,"type":"NetworkReady"' ||
    missing "containerd has no pod network yet"
"""
_KUBELET_CHECK = """
curl -sf -o /dev/null http://127.0.0.1:10248/healthz || missing "kubelet does not answer on 127.0.0.1:10248/healthz"
test -d /etc/kubelet.d || missing "/etc/kubelet.d is not there"
"""


def ssh_key() -> Path:
    """Return the private key for the nodes, made at first use."""
    key = cache_dir() / "ssh" / "id_ed25519"
    if not (key.exists() and key.with_suffix(".pub").exists()):
        key.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        key.unlink(missing_ok=True)
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "kubestatic", "-f", key])
    return key


def ssh_command(node: Node) -> list[str]:
    """Return the command that opens a shell on a node, or runs what is added to it."""
    options = ("UserKnownHostsFile=/dev/null", "StrictHostKeyChecking=no", "LogLevel=ERROR", "BatchMode=yes")
    arguments = [f"-o{option}" for option in (*options, "ConnectTimeout=2")]
    return ["ssh", "-i", str(ssh_key()), *arguments, f"root@{node.address}"]


def _run_arguments(node: Node) -> list[str]:
    """Return the arguments of `podman run` for a node, up to label and image (reasons: README.md, Traps)."""
    others = [f"--add-host={other.name}:{other.address}" for other in all_nodes() if other != node]
    return [
        *("--runtime=runc", "run", "--detach", "--privileged", "--systemd=always", "--cgroupns=private"),
        *("--stop-signal=SIGRTMIN+3", "--ulimit=nofile=20000:20000", "--ulimit=nproc=4096:4096"),
        *(f"--name={node.container}", f"--hostname={node.name}", f"--network={NETWORK}"),
        *(f"--ip={node.address}", f"--mac-address={node.mac_address}"),
        *others,
        f"--volume={node.container}:/var",
        f"--volume={ssh_key().with_suffix('.pub')}:/root/.ssh/authorized_keys:ro",
        f"--volume={_control_plane.directory()}:{_control_plane.MOUNT}:ro",
    ]


def recipe(image: str) -> str:
    """Return the digest of all that a node is made from: it is kept while this stays the same."""
    arguments = [part for node in all_nodes() for part in _run_arguments(node)]
    return digest(image, ssh_key().with_suffix(".pub").read_text(), *arguments)


def running_recipes() -> dict[str, str]:
    """Return the recipe of each running node by the name of its container."""
    listed = json.loads(run(["podman", "ps", "--format", "json", "--filter", f"label={_LABEL}"]) or "[]")
    return {one["Names"][0]: one["Labels"][_LABEL] for one in listed or []}


def check(node: Node, *, bare: bool = False) -> str:
    """Return why a node is not ready, or an empty text when it is; a bare one has no kubelet that answers."""
    script = _RUNTIME_CHECK if bare else _RUNTIME_CHECK + _KUBELET_CHECK
    done = subprocess.run([*ssh_command(node), "sh"], input=script, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else (done.stdout.strip() or done.stderr.strip() or "no answer over ssh")


def start(nodes: list[Node], *, image: str) -> None:
    """Make these nodes anew and wait until each is ready; a Problem tells what is missing and the log's end."""
    if int(_INOTIFY_INSTANCES.read_text()) < 1024:
        say("raising fs.inotify.max_user_instances of this machine to 1024: three times systemd and kubelet need many")
        _INOTIFY_INSTANCES.write_text("1024")
    remove(nodes)
    if subprocess.run(["podman", "network", "exists", NETWORK], check=False).returncode != 0:
        run(["podman", "network", "create", "--disable-dns", f"--subnet={subnet(nodes)}", NETWORK])
    ssh_key()
    _control_plane.directory().mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(len(nodes)) as pool:
        list(pool.map(lambda node: _start_one(node, image=image), nodes))


def _start_one(node: Node, *, image: str) -> None:
    """Start one node and wait until it is ready."""
    began = time.monotonic()
    run(
        ["podman", *_run_arguments(node), f"--label={_LABEL}={recipe(image)}", image, "/usr/local/sbin/kubestatic-init"]
    )
    while missing := check(node):
        if time.monotonic() - began > _READY_SECONDS:
            log = run([*ssh_command(node), "journalctl --no-pager -n 20"], check=False)
            log = log or run(["podman", "logs", node.container], check=False)
            raise Problem(f"{node.name} is not ready after {_READY_SECONDS} s: {missing}\n{log}")
        time.sleep(0.3)
    say(f"{node.name} is ready ({time.monotonic() - began:.1f} s)")


def run_on(nodes: list[Node], command: Callable[[Node], str]) -> None:
    """Run a command on each node, side by side; a Problem tells what failed."""
    with ThreadPoolExecutor(len(nodes)) as pool:
        list(pool.map(lambda node: run([*ssh_command(node), command(node)]), nodes))


def remove(nodes: list[Node]) -> None:
    """Remove these nodes with their volumes; nothing happens where there are none."""
    for node in nodes:
        for socket in (cache_dir() / "ssh").glob(f"*{node.address}"):
            # A connection that is kept would wait for a node that is gone.
            subprocess.run(
                ["ssh", "-O", "exit", "-o", f"ControlPath={socket}", node.address], capture_output=True, check=False
            )
    names = [node.container for node in nodes]
    run(["podman", "rm", "--force", "--ignore", "--time=0", "--volumes", *names])
    run(["podman", "volume", "rm", "--force", *names], check=False)


def remove_network() -> None:
    """Remove the network of the nodes."""
    run(["podman", "network", "rm", "--force", NETWORK], check=False)

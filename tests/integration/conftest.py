# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A test node as these tests see it: a shell over ssh, the modules through Ansible, and the runtime as the witness."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "tools"))

import env

INVENTORY = ROOT / "tests" / "nodes" / "inventory.yml"
MANIFESTS = "/etc/kubelet.d"


@dataclasses.dataclass(frozen=True)
class Run:
    """A module call that is under way."""

    process: subprocess.Popen[str]
    node: str

    def result(self) -> dict[str, t.Any]:
        """Wait for the end; the module's result and, as ``output``, all that Ansible printed, such as warnings."""
        output, _nothing = self.process.communicate(timeout=400)
        # The `minimal` callback prints NODE | STATUS => {JSON} among warnings.
        found = re.search(rf"^{self.node} \| (\S+) => ", output, re.MULTILINE)
        assert found, output
        result, _end = json.JSONDecoder().raw_decode(output, found.end())
        return {"failed": found.group(1) == "FAILED!", "output": output, **result}

    def lose_connection(self) -> None:
        """Kill all that works for it on this side: Ansible, its workers and ssh."""
        ours = [self.process.pid, *_descendants(self.process.pid)]
        assert "ssh" in [Path(f"/proc/{one}/comm").read_text().strip() for one in ours]
        for one in ours:
            os.kill(one, signal.SIGKILL)
        self.process.wait(timeout=60)


@dataclasses.dataclass(frozen=True)
class Node:
    """One test node, by its name in the inventory."""

    name: str
    address: str

    def sh(self, command: str, *, check: bool = True, stdin: str | bytes = "") -> str:
        """Run a shell command as root; its output, both streams."""
        done = subprocess.run(
            [*self._ssh, command],
            check=False,
            # Never ours: ssh makes it non-blocking, and Ansible refuses to start with such a one.
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=120,
        )
        output = done.stdout.decode(errors="replace")
        assert done.returncode == 0 or not check, f"{command}: {output}"
        return output

    def start(self, module: str, *extra: str, **options: t.Any) -> Run:
        """Start a module call; `extra` are further arguments of the ansible command (-vvv to get the diff, too)."""
        arguments = [
            *("ansible", self.name, f"--inventory={INVENTORY}", f"--module-name=kubestatic.node.{module}"),
            *([f"--args={json.dumps(options)}"] if options else []),
            *extra,
        ]
        process = subprocess.Popen(
            arguments, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        return Run(process, self.name)

    def module(self, module: str, *extra: str, **options: t.Any) -> dict[str, t.Any]:
        return self.start(module, *extra, **options).result()

    def playbook(self, name: str) -> None:
        """Run a playbook of this collection on this node."""
        command = ["ansible-playbook", f"--inventory={INVENTORY}", name, f"--extra-vars=kubestatic_hosts={self.name}"]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=400)
        assert done.returncode == 0, done.stdout + done.stderr

    def lose_power(self) -> None:
        """Kill every process of the node at once, and let it boot again."""
        self.disconnect()
        subprocess.run(["podman", "kill", f"kubestatic-{self.name}"], check=True, capture_output=True)
        subprocess.run(["podman", "start", f"kubestatic-{self.name}"], check=True, capture_output=True)
        wait_for(self._answers, "the node has booted")

    def disconnect(self) -> None:
        """Close the connection that is kept: it would hang until a timeout tells that nobody is there any more."""
        subprocess.run([*self._ssh[:-1], "-O", "exit", self._ssh[-1]], check=False, capture_output=True)

    def _answers(self) -> bool:
        return subprocess.run([*self._ssh, "true"], check=False, capture_output=True, timeout=60).returncode == 0

    def place_by_hand(self, filename: str, text: str | bytes) -> None:
        """As a careful human does it: a dot-file first, then one rename."""
        self.sh(
            f"cat > {MANIFESTS}/.{filename}.tmp && mv {MANIFESTS}/.{filename}.tmp {MANIFESTS}/{filename}", stdin=text
        )

    def files(self, directory: str = MANIFESTS) -> dict[str, str]:
        """Every name in the directory, dot-files too, with its content's checksum."""
        # Again where a file was renamed while it was read: a module run may be under way.
        out = self.sh(
            f"cd {directory} && until sums=$(find . -type f -exec sha256sum {{}} + 2>/dev/null); do sleep 0.1; done"
            ' && printf %s "$sums"'
        )
        return {line.split(None, 1)[1][2:]: line.split()[0] for line in out.splitlines()}

    def crictl(self, arguments: str) -> dict[str, t.Any]:
        verb, _space, rest = arguments.partition(" ")
        return t.cast("dict[str, t.Any]", json.loads(self.sh(f"crictl {verb} --output json {rest}")))

    def sandboxes(self, pod: str) -> list[str]:
        """Ids of the ready sandboxes of the static pod with this name (without the node's)."""
        items = self.crictl(f"pods --state ready --name ^{pod}-{self.name}$")["items"]
        return [item["id"] for item in items or []]

    def running(self, pod: str) -> list[str]:
        """Ids of the running containers of the static pod."""
        containers = self.crictl("ps")["containers"] or []
        return [item["id"] for item in containers if item["labels"]["io.kubernetes.pod.name"] == f"{pod}-{self.name}"]

    def text_in(self, pod: str) -> list[str]:
        """What `with_env` gave to each running container of the static pod."""
        envs = [self.crictl(f"inspect {one}")["info"]["config"].get("envs") or [] for one in self.running(pod)]
        return [env["value"] for found in envs for env in found if env["key"] == "TEXT"]

    def lock_holder(self, directory: str = MANIFESTS) -> str:
        """Process id of the module run that holds this directory, or an empty string."""
        return self.sh(
            f"awk -v inode=:$(stat -c %i {directory})' ' 'index($0, inode) && /FLOCK/ {{print $5}}' /proc/locks"
        ).strip()

    def freeze_run(self, directory: str = MANIFESTS) -> None:
        """Have the module on the node do nothing more, however long the test takes from here on; it keeps its lock."""
        self.sh(f"kill -STOP {self.lock_holder(directory)}")

    def kill_run(self, run: Run, directory: str = MANIFESTS) -> None:
        """SIGKILL the module on the node, as an out-of-memory killer or a power cut would."""
        self.sh(f"kill -KILL {self.lock_holder(directory)}")
        run.process.wait(timeout=60)

    def journal(self, since: float) -> str:
        return self.sh(f"journalctl -u kubelet --since=@{since:.0f} -o cat --no-pager")

    def now(self) -> float:
        return float(self.sh("date +%s.%N"))

    def clean(self) -> None:
        """Remove every manifest and wait until the runtime has no pod left."""
        self.sh(f"find {MANIFESTS} -mindepth 1 -delete")
        wait_for(lambda: not self.crictl("pods --state ready")["items"], "all pods gone", seconds=90)

    @property
    def _ssh(self) -> list[str]:
        key = env.cache_dir() / "ssh" / "id_ed25519"
        control = env.cache_dir() / "ssh" / f"test-{self.name}"
        options = {
            "StrictHostKeyChecking": "no",
            "UserKnownHostsFile": "/dev/null",
            "LogLevel": "ERROR",
            "ControlMaster": "auto",
            "ControlPersist": "60s",
            "ControlPath": str(control),
        }
        flags = [f"-o{name}={value}" for name, value in options.items()]
        return ["ssh", f"-i{key}", *flags, f"root@{self.address}"]


def _descendants(process: int) -> list[int]:
    """Process ids of all that this process of ours has started, and of what they have."""
    told = subprocess.run(["pgrep", "--parent", str(process)], check=False, capture_output=True, text=True).stdout
    return [one for child in map(int, told.split()) for one in (child, *_descendants(child))]


def fill(node: Node, directory: str) -> None:
    """Leave no space on the directory's file system, which has to be a small one; `.full` is to be removed."""
    node.sh(f"cat /dev/zero > {directory}/.full", check=False)


def kubelet_with(flags: str) -> str:
    """The command that restarts the kubelet with these flags added to its command line; empty for none, as it was."""
    return f"echo 'KUBELET_EXTRA_ARGS={flags}' > /etc/default/kubelet && systemctl restart kubelet"


def wait_for(condition: t.Callable[[], t.Any], what: str, *, seconds: float = 60) -> t.Any:
    """Ask until the answer is true; a failure that says what was waited for."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = condition()
        if answer:
            return answer
        time.sleep(0.3)
    raise AssertionError(f"waited {seconds} s in vain: {what}")


def _nodes() -> list[Node]:
    masters = yaml.safe_load(INVENTORY.read_text())["masters"]["hosts"]
    return [Node(name, facts["ansible_host"]) for name, facts in masters.items()]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs all nodes; all else has one node for each worker of pytest-xdist."""
    for item in items:
        if "nodes" in getattr(item, "fixturenames", ()):
            item.add_marker("all_nodes")


def _ready(node: Node) -> Node:
    node.sh("systemctl is-active kubelet containerd")
    node.clean()
    return node


@pytest.fixture(scope="session")
def nodes() -> list[Node]:
    """The test nodes, with empty manifest directories; `tests/nodes/nodes.py up` has started them."""
    return [_ready(node) for node in _nodes()]


@pytest.fixture(scope="session")
def own_node() -> Node:
    """The node that this worker has for itself, with an empty manifest directory."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    return _ready(_nodes()[int(worker.removeprefix("gw"))])


@pytest.fixture
def node(own_node: Node) -> t.Iterator[Node]:
    """One node; whatever the test placed is gone afterwards."""
    yield own_node
    own_node.clean()


@pytest.fixture
def undo(node: Node) -> t.Iterator[t.Callable[[str], None]]:
    """Commands that mend the node after the test, last one first, whatever the test did."""
    commands: list[str] = []
    yield commands.append
    for command in reversed(commands):
        node.sh(command)


def pod(name: str = "web", **spec: t.Any) -> dict[str, t.Any]:
    """A Pod that stops within a second and costs nothing; `spec` goes over its spec, `container` over its container."""
    container = {
        "name": "main",
        "image": "busybox",
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.2; done"],
        **spec.pop("container", {}),
    }
    # A pod of its own for each test: a kubelet starts one that has ended some times before, with the same uid, late.
    test = f"{os.environ['PYTEST_CURRENT_TEST'].rpartition(' ')[0]} {os.getpid()}"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "annotations": {"test": test}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container], **spec},
    }


def stops_slowly(seconds: int) -> dict[str, t.Any]:
    """The `container` of a pod that takes so long to stop; its grace period has to be longer."""
    return {"command": ["sh", "-c", f"trap 'sleep {seconds}; exit 0' TERM; while :; do sleep 0.2; done"]}


def with_env(name: str, value: t.Any, **spec: t.Any) -> dict[str, t.Any]:
    """A variant of `pod` that differs in one environment variable, so that the kubelet sees another pod."""
    return pod(name, container={"env": [{"name": "TEXT", "value": value}]}, **spec)


def with_slow_web(node: Node) -> Node:
    """The same node, with a pod web that takes its time to stop."""
    slow = pod("web", terminationGracePeriodSeconds=10, container=stops_slowly(5))
    assert not node.module("static_pod", definition=slow)["failed"]
    return node


def swap_in_the_middle(node: Node) -> Run:
    """A run that changes that pod, frozen with the old manifest away and the new one not in force."""
    run = node.start("static_pod", definition=with_env("web", "new"))
    wait_for(lambda: ".kubestatic.web.yaml.old" in node.files(), "the old manifest is away")
    node.freeze_run()
    assert "web.yaml" not in node.files()
    return run

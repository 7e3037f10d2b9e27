# SPDX-FileCopyrightText: kubestatic.node contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Three real nodes: kubelets configured, static pods placed, changed and removed, and a control plane made of them: make demo"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from _witness import container, each, expect, kubelet, log, page, pod_url, sandbox, shell, wait_for, wait_for_page

# In tests/nodes, which _witness has put into the path.
from _common import Problem, main_guard  # isort: skip
from _inventory import INVENTORY, Node, read_nodes  # isort: skip

HERE = Path(__file__).resolve().parent
ANSIBLE = {"ANSIBLE_STDOUT_CALLBACK": "demo_lines", "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callbacks")}

# As many actions are told one by one.
_FEW = 5

Told = dict[str, str]


class Story:
    """The steps of the demo: what was told of each node in each step, and how long the step took."""

    def __init__(self, nodes: list[Node]) -> None:
        self._nodes = nodes
        self._rows: list[tuple[str, Told, float]] = []

    @contextmanager
    def step(self, name: str, headline: str) -> Iterator[Told]:
        """Announce a step; the caller fills in a word or two per node for the table at the end."""
        print(f"\n{len(self._rows) + 1}. {headline}", flush=True)
        told: Told = {}
        began = time.monotonic()
        yield told
        self._rows.append((name, told, time.monotonic() - began))

    def table(self) -> str:
        """Return the summary: one row per step, one column per node."""
        head = ["step", *(f"{node.name} ({node.address})" for node in self._nodes), "took"]
        rows = [
            [name, *(told.get(node.name, "") for node in self._nodes), f"{took:.1f} s"]
            for name, told, took in self._rows
        ]
        widths = [max(len(line[column]) for line in [head, *rows]) for column in range(len(head))]
        lines = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in [head, *rows]]
        lines.insert(1, ["-" * width for width in widths])
        return "\n".join("  ".join(line).rstrip() for line in lines)


def main() -> int:
    """Run all steps; the first thing that is not as it should be ends the demo with a Problem."""
    nodes = read_nodes()
    story = Story(nodes)
    print("kubestatic.node: static pods, and a control plane made of them, on three nodes, each with a real kubelet.")
    print(
        "The first run builds Kubernetes, etcd and nodes: about 20 minutes on 2 cores. Later runs: about two minutes."
    )
    with story.step("start", "Start three nodes") as told:
        start()
        if any(each(nodes, sandbox).values()):
            print("   an earlier run has left the pod behind")
            play("remove.yml")
        if any(each(nodes, pod_url).values()):
            print("   an earlier run has left its URL with the kubelets")
            play("url.yml", url="")
        told |= {node.name: "ready" for node in nodes}
    configure(story, nodes)
    configure_again(story, nodes)
    place(story, nodes)
    place_again(story, nodes)
    change(story, nodes)
    kill(story, nodes)
    remove(story, nodes)
    by_url(story, nodes)
    url_changes(story, nodes)
    url_goes(story, nodes)
    put_back(story, nodes)
    with tempfile.TemporaryDirectory(prefix="kubestatic-demo-") as certificates:
        bootstrap(story, nodes, certificates)
        through_the_api(story, nodes)
        beside_it(story, nodes)
        bootstrap_again(story, nodes, certificates)
        change_a_flag(story, nodes, certificates)
    print(f"\n{story.table()}\n")
    print("The nodes stay up for a look: make nodes tells how to reach them, make clean removes them.")
    return 0


def start(*options: str) -> None:
    command = [sys.executable, str(HERE.parent / "nodes" / "nodes.py"), "up", "--control-plane", *options]
    if subprocess.run(command, check=False).returncode != 0:
        raise Problem("the nodes do not start, for the reason above")


def configure(story: Story, nodes: list[Node]) -> None:
    headline = (
        "Tell each kubelet its manifest directory, and nowhere else: in its configuration file, in a drop-in,"
        " by --pod-manifest-path"
    )
    with story.step("kubelets", headline) as told:
        results = play("kubelets.yml")
        for name, result in results.items():
            given = result["effective"].get("--pod-manifest-path") or result["effective"]["staticPodPath"]
            print(f"   {name}  {given['value']} by the layer {given['layer']}: {given['file']} line {given['line']}")
            told[name] = given["layer"]
        expect(list(told.values()) == ["file", "drop_in", "flag"], f"three layers, not {told}")
        # The nodes are made with the directory in this file, which would hide that a drop-in or a flag is not read.
        in_file = each(nodes, lambda node: shell(node, "grep ^staticPodPath: /var/lib/kubelet/config.yaml || true"))
        expect(
            [*map(bool, in_file.values())] == [True, False, False], f"it in the file of the first only, not {in_file}"
        )


def configure_again(story: Story, nodes: list[Node]) -> None:
    with story.step("same again", "Run the same playbook again") as told:
        before = each(nodes, kubelet)
        results = play("kubelets.yml")
        after = each(nodes, kubelet)
        expect(not any(result["changed"] for result in results.values()), f"no change, not {results}")
        expect(before == after, f"the kubelets {before}, not {after}")
        told |= {name: f"process {process}" for name, process in after.items()}
        print("   the same kubelet processes as before: " + ", ".join(after.values()))


def place(story: Story, nodes: list[Node]) -> None:
    with story.step("place", "Place static-pod from one template, as JSON on node1 and as YAML on the others") as told:
        results = play("place.yml", greeting="Hello")
        expect_pages(nodes, greeting="Hello")
        for node in nodes:
            first = shell(node, f"head --bytes=1 {results[node.name]['path']}")
            told[node.name] = "JSON" if first == "{" else "YAML"
        expect(set(told.values()) == {"JSON", "YAML"}, f"JSON on one node and YAML on the others, not {told}")


def place_again(story: Story, nodes: list[Node]) -> None:
    with story.step("same again", "Run the same playbook again") as told:
        before = each(nodes, container)
        results = play("place.yml", greeting="Hello")
        after = each(nodes, container)
        expect(not any(result["changed"] for result in results.values()), f"no change, not {results}")
        expect(before == after, f"the containers {before}, not {after}")
        print(f"   the same containers as before: {', '.join(one[:13] for one in after.values())}")
        told |= dict.fromkeys(after, "unchanged")


def change(story: Story, nodes: list[Node]) -> None:
    with story.step("change", "Change its text; one node after the other") as told:
        results = play("place.yml", greeting="Good morning")
        expect_pages(nodes, greeting="Good morning")
        told |= {name: f"down {result['downtime_seconds']} s" for name, result in results.items()}


def kill(story: Story, nodes: list[Node]) -> None:
    with story.step("kill", "Kill the nginx container on all nodes; the kubelets must bring it back") as told:
        old = each(nodes, container)
        began = time.monotonic()
        each(nodes, lambda node: shell(node, f"crictl stop --timeout 0 {old[node.name]}"))

        def back(node: Node) -> float:
            wait_for(lambda: container(node) not in ("", old[node.name]), f"a new container on {node.name}")
            wait_for_page(node, f"Good morning from {node.name}")
            return time.monotonic() - began

        for name, seconds in each(nodes, back).items():
            print(f"   {name}  container {old[name][:13]} killed, a new one answers {seconds:.1f} s later")
            told[name] = f"back in {seconds:.1f} s"


def remove(story: Story, nodes: list[Node]) -> None:
    with story.step("remove", "Remove it") as told:
        play("remove.yml")
        for node in nodes:
            left = shell(node, "ls -A /etc/kubelet.d")
            expect(not left and not sandbox(node) and not page(node), f"nothing of the pod on {node.name}, not {left}")
            print(f"   {node.name}  no manifest, no sandbox, and no answer from http://{node.address}/")
            told[node.name] = "gone"


def by_url(story: Story, nodes: list[Node]) -> None:
    server, *others = nodes
    url = f"http://{server.address}:8080/pods.json"
    with story.step(
        "by URL", f"Have the kubelets of {' and '.join(node.name for node in others)} take a pod from {url}"
    ) as told:
        play("server.yml", hosts=[server], text="Hello")
        play("url.yml", url=url)
        told |= expect_logs(others, text="Hello") | {server.name: "serves it"}


def url_changes(story: Story, nodes: list[Node]) -> None:
    server, *others = nodes
    with story.step("URL changes", "Change the pod there") as told:
        play("server.yml", hosts=[server], text="Good morning")
        told |= expect_logs(others, text="Good morning") | {server.name: "serves it"}


def url_goes(story: Story, nodes: list[Node]) -> None:
    server, *others = nodes
    with story.step("URL goes", "Take it away there, then the URL from the kubelets") as told:
        play("server.yml", hosts=[server], text="")
        for node in others:
            wait_for(partial(says, node, ""), f"no pod from the URL on {node.name}")
            told[node.name] = "gone"
        play("url.yml", url="")
        play("server.yml", hosts=[server], text="", state="absent")
        told[server.name] = "gone"


def put_back(story: Story, nodes: list[Node]) -> None:
    _first, *others = nodes
    names = " and ".join(node.name for node in others)
    with story.step("put back", f"Name the directory in the configuration files of {names} again, as before") as told:
        told |= dict.fromkeys(play("put_back.yml", hosts=others), "as before")


def bootstrap(story: Story, nodes: list[Node], certificates: str) -> None:
    with story.step("bare", "Leave nothing on the nodes that configures anything") as told:
        start("--bare")
        told |= {node.name: "bare" for node in nodes}
    with story.step("bootstrap", "Make them the masters of a control plane, with one playbook") as told:
        play_bootstrap(certificates)
        for node in nodes:
            pods = shell(node, 'crictl ps --output json | grep -c \'"io.kubernetes.pod.namespace": "kube-system"\'')
            told[node.name] = f"{pods} pods"


def through_the_api(story: Story, nodes: list[Node]) -> None:
    with story.step("API", "Look at nodes and pods through the API") as told:
        for node in nodes:
            wait_for(partial(is_ready, node), f"{node.name} is Ready")
            told[node.name] = "Ready"
        for what in ("nodes", "pods --namespace=kube-system"):
            for line in kubectl(nodes[0], f"get {what}").splitlines():
                print(f"   {line}")


def beside_it(story: Story, nodes: list[Node]) -> None:
    with story.step("place", "Place static-pod beside it, as JSON on node1 and as YAML on the others") as told:
        play("place.yml", greeting="Hello")
        expect_pages(nodes, greeting="Hello")
        told |= {node.name: "answers" for node in nodes}


def bootstrap_again(story: Story, nodes: list[Node], certificates: str) -> None:
    with story.step("same again", "Run the playbook again") as told:
        results = play_bootstrap(certificates)
        expect(not any(result["changed"] for result in results.values()), f"no change, not {results}")
        told |= {node.name: "unchanged" for node in nodes}


def change_a_flag(story: Story, nodes: list[Node], certificates: str) -> None:
    client, *_others = nodes
    with story.step(
        "flag", "Change a flag of the API servers, while a client keeps writing through whichever takes it"
    ) as told:
        run_on_client = f"systemd-run --quiet --unit=demo python3 /run/api_client.py write /run/demo {' '.join(node.address for node in nodes)}"
        shell(client, f"cat > /run/api_client.py <<'END'\n{(HERE.parent / 'nodes' / 'api_client.py').read_text()}\nEND")
        shell(client, run_on_client)
        try:
            before = each(nodes, api_server)
            play_bootstrap(certificates, flags={"v": 1})
            after = each(nodes, api_server)
        finally:
            tries = [json.loads(line) for line in shell(client, "systemctl stop demo; cat /run/demo").splitlines()]
        expect(all(before[node.name] != after[node.name] for node in nodes), f"other API servers than {before}")
        good = [one["ended"] for one in tries if one["ok"]]
        silence = max(later - earlier for earlier, later in pairwise(good))
        print(
            f"   {len(good)} writes acknowledged, {len(tries) - len(good)} failed, at most {silence:.1f} s without one"
        )
        told |= {node.name: "restarted" for node in nodes}


def play_bootstrap(certificates: str, flags: Mapping[str, Any] | None = None) -> dict[str, dict[str, Any]]:
    settings = yaml.safe_load((HERE.parent / "nodes" / "control_plane.yml").read_text())
    given = {**settings, "control_plane_certificates_directory": certificates}
    return play(
        str(HERE.parents[1] / "playbooks" / "bootstrap.yml"), **given, control_plane_kube_apiserver_flags=flags or {}
    )


def is_ready(node: Node) -> bool:
    return " Ready " in kubectl(node, f"get node {node.name} --no-headers")


def kubectl(node: Node, arguments: str) -> str:
    return shell(node, f"kubectl --kubeconfig=/etc/kubernetes/admin.conf {arguments}")


def api_server(node: Node) -> str:
    """Return the id of the running container of the API server."""
    return shell(node, "crictl ps --quiet --no-trunc --name ^kube-apiserver$")


def says(node: Node, text: str) -> bool:
    """Whether the pod of the URL says this on the node; an empty text where there is no such pod."""
    return log(node, "from-url") == text


def expect_logs(nodes: list[Node], *, text: str) -> Told:
    """Wait until the pod of the URL says this on each of these nodes."""
    for node in nodes:
        wait_for(partial(says, node, text), f"{text!r} in the log of from-url on {node.name}")
        print(f"   {node.name}  pod from-url says: {text}")
    return {node.name: f"says {text}" for node in nodes}


def play(playbook: str, hosts: list[Node] | None = None, **variables: Any) -> dict[str, dict[str, Any]]:
    """Run a playbook, tell each thing that is done as it comes, and return the last result by node; all output where it fails.

    `hosts`: the nodes that must have results, all where not given.
    """
    command = [
        "ansible-playbook",
        f"--inventory={INVENTORY}",
        f"--extra-vars={json.dumps(variables)}",
        str(HERE / playbook),
    ]
    results: dict[str, dict[str, Any]] = {}
    output = []
    busy: set[str] = set()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, **ANSIBLE}
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            output.append(line)
            if line.startswith("{"):
                result = json.loads(line)
                if result["failed"] or "actions" in result:
                    before = results.get(result["host"], {})
                    result["changed"] |= before.get("changed", False)
                    results[result["host"]] = result
                    if result["failed"] or result["actions"]:
                        print(f"   {result['host']}  {sentence(result)}", flush=True)
                        busy.add(result["host"])
    for name in sorted(results.keys() - busy):
        print(f"   {name}  nothing to do")
    if process.returncode != 0 or len(results) != len(hosts or read_nodes()):
        raise Problem(f"{playbook} failed with exit code {process.returncode}; its whole output:\n{''.join(output)}")
    return results


def sentence(result: Mapping[str, Any]) -> str:
    """Say what became of one node."""
    if result["failed"]:
        return f"FAILED: {result.get('msg')}"
    down = result.get("downtime_seconds")
    first, *more = map(str, result["actions"])
    rest = f"; {'; '.join(more)}" if len(more) < _FEW else f"; and {len(more)} things more"
    return first + (rest if more else "") + (f"; down for {down} s" if down is not None else "")


def expect_pages(nodes: list[Node], *, greeting: str) -> None:
    """Ask each node over HTTP, from outside, and show its answer."""
    for node in nodes:
        wait_for_page(node, f"{greeting} from {node.name}")
        print(f"   http://{node.address}/  says: {page(node)}")


if __name__ == "__main__":
    main_guard(main)

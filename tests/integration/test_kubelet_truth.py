# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a real kubelet does with each bad input, and that static_pod_info says the same: the modules refuse for a reason."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _kubelet_service
from conftest import MANIFESTS, Node, kubelet_with, wait_for

HEAD = """\
apiVersion: v1
kind: Pod
metadata:
  name: {name}
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: main
      image: busybox
      imagePullPolicy: IfNotPresent
      command: [sh, -c, "trap 'exit 0' TERM; while :; do sleep 0.2; done"]
"""

RUNS, REFUSED, SHADOWED, WAITS = "runs", "refused", "shadowed", "pending"


@dataclasses.dataclass(frozen=True)
class Case:
    """A file, and what becomes of it: the words are static_pod_info's verdicts, ``pod`` is the name of the pod in it."""

    fate: str
    content: bytes
    pod: str
    remark: str = ""


def case(fate: str, name: str, content: str = "", *, more: str = "", remark: str = "") -> Case:
    """`more` goes after a good pod called `name`, `content` instead of it."""
    return Case(fate, (content or HEAD.format(name=name) + more).encode(), name, remark)


def changed(name: str, old: str, new: str) -> str:
    text = HEAD.format(name=name)
    assert old in text
    return text.replace(old, new)


def volume(source: str) -> str:
    return f"  volumes: [{{name: data, {source}}}]\n"


CASES: dict[str, Case] = {
    "good": case(RUNS, "good"),
    "empty": Case(REFUSED, b"", ""),
    "yaml-syntax": case(REFUSED, "yaml-syntax", changed("yaml-syntax", "name: yaml", "name: [yaml")),
    "second-document-dropped": case(
        RUNS, "first-document", more="---\n" + HEAD.format(name="second-document"), remark="more than one YAML document"
    ),
    "duplicate-keys": case(
        RUNS,
        "duplicate-keys",
        changed("duplicate-keys", "image: busybox", "image: registry.invalid/nothing:1") + "      image: busybox\n",
        remark="twice",
    ),
    "dotted.name": case(RUNS, "dotted.name", remark="metadata.name"),
    "list": case(REFUSED, "list", "apiVersion: v1\nkind: List\nitems: []\n"),
    "pod-list": case(REFUSED, "pod-list", "apiVersion: v1\nkind: PodList\nitems: []\n"),
    "deployment": case(REFUSED, "deployment", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: deployment}\n"),
    "no-name": case(REFUSED, "no-name", changed("no-name", "  name: no-name", "  labels: {}")),
    "no-dns-subdomain": case(REFUSED, "Web_1"),
    "name-too-long": case(REFUSED, "a" * 250),
    "number-for-string": case(REFUSED, "number-for-string", more="      env: [{name: PORT, value: 8080}]\n"),
    "boolean-for-string": case(REFUSED, "boolean-for-string", more="      env: [{name: YES, value: y}]\n"),
    "unknown-field-dropped": case(RUNS, "unknown-field", more="      imagePullPolcy: Never\n", remark="imagePullPolcy"),
    "fixed-uid": case(
        RUNS,
        "fixed-uid",
        changed("fixed-uid", "  name: fixed-uid", "  name: fixed-uid\n  uid: abc"),
        remark="metadata.uid",
    ),
    "secret": case(REFUSED, "secret", more=volume("secret: {secretName: x}")),
    "configmap": case(REFUSED, "configmap", more=volume("configMap: {name: x}")),
    "claim": case(REFUSED, "claim", more=volume("persistentVolumeClaim: {claimName: x}")),
    "service-account": case(REFUSED, "service-account", more="  serviceAccountName: x\n"),
    "over-10-mib": case(REFUSED, "over-10-mib", more="# " + "x" * (10 * 1024 * 1024)),
    "not-utf-8": Case(REFUSED, HEAD.format(name="not-utf-8").encode() + b"# f\xfcr\n", "not-utf-8"),
    "no-image": case(WAITS, "no-image", changed("no-image", "image: busybox", "image: registry.invalid/nothing:1")),
    "crash-loop": case(WAITS, "crash-loop", changed("crash-loop", "while :; do sleep 0.2; done", "exit 1")),
    "twice-b": case(RUNS, "twice"),
    "twice-a": case(SHADOWED, "twice", more="      env: [{name: FILE, value: a}]\n"),
}


@dataclasses.dataclass(frozen=True)
class Seen:
    """A node after its kubelet has read all the files: what runs, what it logged, and what static_pod_info says."""

    running: set[str]
    uids: dict[str, str]
    log: list[str]
    entries: dict[str, dict[str, t.Any]]


@pytest.fixture(scope="module")
def seen(nodes: list[Node]) -> t.Iterator[Seen]:
    node = nodes[2]
    began = node.now()
    for name, one in CASES.items():
        node.place_by_hand(f"{name}.yaml", one.content)
    wanted = {one.pod for one in CASES.values() if one.fate == RUNS}
    wait_for(lambda: wanted <= _running(node), f"{sorted(wanted)} run", seconds=90)
    # Until the next relist the file that was touched last wins; then the last in byte order, once the other pod is gone.
    # With the third relist all that follows from the first one is over, and what crashes waits for minutes.
    wait_for(lambda: _relists(node, began) >= 3, "the kubelet has read the whole directory three times", seconds=120)
    wait_for(lambda: _env_of(node, "twice") == [], "the pod of the file that is the last in byte order")
    log = wait_for(lambda: _complete_log(node, began), "the kubelet has named every file that it refuses", seconds=60)
    entries = {entry["filename"].removesuffix(".yaml"): entry for entry in node.module("static_pod_info")["entries"]}
    sandboxes = node.crictl("pods --state ready")["items"]
    uids = {item["metadata"]["name"].removesuffix(f"-{node.name}"): item["metadata"]["uid"] for item in sandboxes}
    yield Seen(_running(node), uids, log, entries)
    node.clean()


@pytest.mark.parametrize("name", CASES)
def test_the_kubelet_does_what_the_verdict_says(name: str, seen: Seen) -> None:
    one, entry = CASES[name], seen.entries[name]
    assert entry["verdict"] == one.fate, entry
    assert (one.pod in seen.running) == (one.fate in (RUNS, SHADOWED))
    assert bool(_refusals(seen.log, name)) == (one.fate == REFUSED)
    assert one.remark in str(entry["remarks"])
    assert bool(entry["remarks"]) == bool(one.remark), entry["remarks"]


def test_what_is_dropped_is_dropped_in_silence(seen: Seen) -> None:
    assert "second-document" not in seen.running
    assert not [line for line in seen.log if "imagePullPolcy" in line]


def test_a_fixed_uid_hides_changes(seen: Seen, nodes: list[Node]) -> None:
    """The kubelet takes the file for an update of the same pod, and ignores it: the reason why the modules refuse it."""
    assert seen.uids["fixed-uid"] == "abc"
    node, before = nodes[2], nodes[2].running("fixed-uid")
    text = CASES["fixed-uid"].content.decode() + "      env: [{name: FILE, value: changed}]\n"
    began = node.now()
    node.place_by_hand("fixed-uid.yaml", text)
    node.place_by_hand("good.yaml", changed("good", "sleep 0.2", "sleep 0.3"))
    wait_for(lambda: _started_since(node, "good", began), "a change of another pod that came later")
    assert (node.running("fixed-uid"), _env_of(node, "fixed-uid")) == (before, [])


@pytest.mark.parametrize("bad", ["apiVersion: v1\nkind: Pod\nmetadata:\n  name: tur", "kind: List\napiVersion: v1\n"])
def test_a_running_pod_whose_manifest_turns_bad_is_killed_later(bad: str, nodes: list[Node]) -> None:
    """Not at the event, but at the next look at the whole directory, at most 20 s later: also where a text is half there."""
    node, name = nodes[1], "turns-bad"
    node.place_by_hand("stays.yaml", HEAD.format(name="stays"))
    node.place_by_hand(f"{name}.yaml", HEAD.format(name=name))
    wait_for(lambda: {"stays", name} <= _running(node), "both pods run")
    began = node.now()
    node.place_by_hand(f"{name}.yaml", bad)
    wait_for(lambda: _refusals(node.journal(began).splitlines(), name), "the kubelet refuses it")
    wait_for(lambda: name not in _running(node), "the running pod is killed")
    assert "stays" in _running(node)
    node.clean()


def test_another_file_name_is_another_pod(nodes: list[Node]) -> None:
    """The path is in the uid, so the same text restarts: the reason why a pod is changed in the file that holds it."""
    node = nodes[1]
    node.place_by_hand("one.yaml", HEAD.format(name="renamed"))
    wait_for(lambda: node.running("renamed"), "the pod runs")
    before = node.running("renamed")
    node.sh(f"mv {MANIFESTS}/one.yaml {MANIFESTS}/two.yaml")
    wait_for(lambda: node.running("renamed") not in ([], before), "another container")
    node.clean()


@pytest.fixture
def kubelet_on(nodes: list[Node]) -> t.Iterator[t.Callable[[str], tuple[Node, float]]]:
    """Start the kubelet with another manifest directory; the test's own files are below /var/tmp/truth."""
    node = nodes[2]

    def start(path: str) -> tuple[Node, float]:
        began = node.now()
        node.sh(kubelet_with(f"--pod-manifest-path={path}"))
        return node, began

    node.sh("mkdir -p /var/tmp/truth")
    yield start
    node.sh(f"rm -rf /var/tmp/truth; {kubelet_with('')}")
    node.clean()


def test_a_missing_directory_is_no_error(kubelet_on: t.Callable[[str], tuple[Node, float]]) -> None:
    node, began = kubelet_on("/var/tmp/truth/nowhere")
    wait_for(lambda: "/var/tmp/truth/nowhere" in node.journal(began), "a line in the kubelet's log")
    assert wait_for(lambda: node.sh("curl -fs http://127.0.0.1:10248/healthz", check=False), "health") == "ok"


def test_a_single_file_is_read(kubelet_on: t.Callable[[str], tuple[Node, float]], nodes: list[Node]) -> None:
    """It works until the file is replaced, which is why the modules want a directory."""
    nodes[2].sh("cat > /var/tmp/truth/one.yaml", stdin=HEAD.format(name="one"))
    node, _began = kubelet_on("/var/tmp/truth/one.yaml")
    wait_for(lambda: "one" in _running(node), "the pod of the file")


def test_a_loop_of_links_is_an_error_in_the_log_alone(
    kubelet_on: t.Callable[[str], tuple[Node, float]], nodes: list[Node]
) -> None:
    nodes[2].sh("ln -sfn /var/tmp/truth/loop /var/tmp/truth/loop")
    node, began = kubelet_on("/var/tmp/truth/loop")
    wait_for(lambda: "too many levels of symbolic links" in node.journal(began), "a line in the kubelet's log")


def test_a_path_is_a_pattern(kubelet_on: t.Callable[[str], tuple[Node, float]], nodes: list[Node]) -> None:
    """Told to read a[b], the kubelet reads ab."""
    nodes[2].sh("mkdir -p '/var/tmp/truth/a[b]' /var/tmp/truth/ab")
    nodes[2].sh("cat > '/var/tmp/truth/a[b]/named.yaml'", stdin=HEAD.format(name="named"))
    nodes[2].sh("cat > /var/tmp/truth/ab/matched.yaml", stdin=HEAD.format(name="matched"))
    node, _began = kubelet_on("/var/tmp/truth/a[b]")
    wait_for(lambda: "matched" in _running(node), "the pod of the directory that the pattern matches")
    assert "named" not in _running(node)


def _running(node: Node) -> set[str]:
    """The pods with a running container, without the node's name."""
    containers = node.crictl("ps")["containers"] or []
    return {item["labels"]["io.kubernetes.pod.name"].removesuffix(f"-{node.name}") for item in containers}


def _env_of(node: Node, pod: str) -> list[str] | None:
    """The variables FILE of the pod's running container; None where none runs."""
    found = node.running(pod)
    if not found:
        return None
    envs = node.crictl(f"inspect {found[0]}")["info"]["config"].get("envs") or []
    return [env["value"] for env in envs if env["key"] == "FILE"]


def _started_since(node: Node, pod: str, moment: float) -> bool:
    found = node.crictl("ps")["containers"] or []
    names = [item["labels"]["io.kubernetes.pod.name"] for item in found if int(item["createdAt"]) > moment * 1e9]
    return f"{pod}-{node.name}" in names


def _relists(node: Node, began: float) -> int:
    """How often the kubelet has looked at the whole directory: each time it refuses this file anew."""
    lines = node.journal(began).splitlines()
    return sum("Could not process manifest file" in line and f"{MANIFESTS}/list.yaml" in line for line in lines)


def _complete_log(node: Node, began: float) -> list[str]:
    """The kubelet's log once it has named every file that it is to refuse, else nothing."""
    lines = node.journal(began).splitlines()
    refused = [name for name, one in CASES.items() if one.fate == REFUSED]
    return lines if all(_refusals(lines, name) for name in refused) else []


def _refusals(lines: list[str], name: str) -> list[str]:
    return _kubelet_service.refusals(lines, path=f"{MANIFESTS}/{name}.yaml", pod="")

# SPDX-FileCopyrightText: kubestatic.node contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measure what the README promises, on the test nodes: bench.py [PART...]; all parts where none is named.

The end is one line `figure NAME VALUE GOAL ok|short` per figure. The exit code is 0 when all are ok, else 1.
What each figure compares, and how, is in README.md beside this file.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import typing as t
from pathlib import Path

import _bootstrap
import _playbook
import _truth
from _figure import Figure, spread
from _playbook import HERE, Problem, Run, median, say

Pod = dict[str, t.Any]

_TEN = 10
_FOUR = 4


def main() -> int:
    """Measure and tell; return the exit code."""
    parts = {"ten": ten, "noop": noop, "change": change, "four": four, "kubelet": kubelet}
    parts |= {"records": records, "crash": crash, "control-plane": _bootstrap.measure}
    chosen = sys.argv[1:] or list(parts)
    unknown = [name for name in chosen if name not in parts]
    if unknown:
        print(f"error: there is no part {', '.join(unknown)}; there are: {', '.join(parts)}", file=sys.stderr)
        return 2
    figures: list[Figure] = []
    try:
        subprocess.run([sys.executable, HERE.parent / "nodes" / "nodes.py", "up"], check=True)
        say("emptying the nodes")
        _playbook.run("clean")
        try:
            for name in chosen:
                figures += parts[name]()
        finally:
            say("emptying the nodes")
            # Those that are bare are made anew.
            subprocess.run([sys.executable, HERE.parent / "nodes" / "nodes.py", "up"], check=True)
            _playbook.run("clean")
    except subprocess.CalledProcessError:
        return 2
    except Problem as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    print(*figures, sep="\n", flush=True)
    return 0 if all(figure.ok for figure in figures) else 1


def ten() -> list[Figure]:
    """Ten manifests: one call of static_pods against a loop of ansible.builtin.template."""
    say("ten manifests on one node: ansible.builtin.template in a loop and one call of static_pods, in turn")
    with tempfile.TemporaryDirectory(prefix="kubestatic-bench-") as directory:
        templates = [Path(directory, f"idle-{number}.yaml.j2") for number in range(_TEN)]
        for number, path in enumerate(templates):
            # JSON is YAML; one value is left to the template engine, as in a real template.
            text = json.dumps(pod(f"idle-{number}", stop_seconds=0), indent=2)
            path.write_text(text.replace('"main"', "\"{{ 'main' }}\"") + "\n")
        variables = {"pods": [{"template": str(path)} for path in templates], "rounds": 3}
        done = _playbook.run("ten", variables=variables)
    return [
        _ratio("unchanged-10", done, "Unchanged, template in a loop", "Unchanged, static_pods", goal=8),
        _ratio("new-10", done, "New, template in a loop", "New, static_pods", goal=8),
    ]


def noop() -> list[Figure]:
    """Nothing to do on three nodes: the modules against ping, and what one call does on a node."""
    say("nothing to do on three nodes: ansible.builtin.ping, static_pod and kubelet_config in turn")
    variables = {"definition": pod("idle", stop_seconds=0), "rounds": 12}
    done = _playbook.run("noop", variables=variables)
    counted = _playbook.run("operations", variables=variables, verbose=True)
    tasks = {"noop-vs-ping": "Nothing to do, static_pod", "kubelet-noop-vs-ping": "Nothing to do, kubelet_config"}
    return [
        *(_ratio(name, done, task, "Ping", goal=1.5, relation="<=") for name, task in tasks.items()),
        # Of both modules.
        Figure("remote-operations", counted.remote_operations() / len(tasks), "==", 1, ""),
    ]


def change() -> list[Figure]:
    """A pod that takes a second to stop is changed by swap and by replace, and restarted; the runtime tells the gaps."""
    say("a pod that takes 1 s to stop: swap, rename-over and restarted in turn")
    done = _playbook.run("change", variables={"definition": pod("slow", stop_seconds=1), "rounds": 4})
    seen = [json.loads(record.result["stdout"])["status"] for record in done.of("Look at the container")]
    ended = _truth.exits(done.of("Read the record")[0].result["stdout"])
    times = _truth.downtimes(seen, ended)
    changes = [record for record in done.records if record.task in ("Change, swap", "Change, replace", "Restart")]
    told: dict[str, list[float]] = {}
    own: dict[str, list[float]] = {}
    for record, seconds in zip(changes, times, strict=True):
        told.setdefault(record.task, []).append(seconds)
        own.setdefault(record.task, []).append(float(record.result["downtime_seconds"]))
    for name, values in told.items():
        say(f"{name}: down for {spread(values)} by the runtime's record; downtime_seconds {spread(own[name])}")
    swap, replace, restarted = (median(values) for values in told.values())
    return [
        Figure("swap-downtime", swap, "<=", 1.0, "s"),
        Figure("swap-vs-replace", replace / swap, ">=", 8, "x"),
        Figure("restarted", restarted, "<=", 3, "s"),
    ]


def four() -> list[Figure]:
    """Four pods of a node changed in one call, against one of them alone."""
    say("four pods on one node: one of them changed, then all four in one call, in turn")
    pods = [{"definition": pod(f"slow-{number}", stop_seconds=1)} for number in range(_FOUR)]
    done = _playbook.run("four", variables={"pods": pods, "rounds": 4})
    return [_ratio("four-pods", done, "Four pods", "One pod", goal=1.3, relation="<=")]


def kubelet() -> list[Figure]:
    """A kubelet restarted by hand and by kubelet_config, while a pod runs."""
    say("a kubelet's restart: systemctl until healthz says ok, and kubelet_config with a changed setting, in turn")
    done = _playbook.run("kubelet", variables={"definition": pod("idle", stop_seconds=0), "rounds": 4})
    _tell(done, "Restart by hand", "Change and restart")
    seconds = median(done.seconds("Change and restart")) - median(done.seconds("Restart by hand"))
    seen = {record.result["stdout"] for record in done.of("Look at the containers")}
    return [
        Figure("kubelet-restart", seconds, "<=", 2, "s"),
        Figure("kubelet-restarted-containers", len(seen) - 1, "==", 0, ""),
    ]


def records() -> list[Figure]:
    """What revisions and recovery cost a swap, and how long the kubelet waits at boot for an open change."""
    say("a swap whose records are timed inside the module, and a boot after a power cut in the middle of a swap")
    done = _playbook.run("records", variables={"definition": pod("idle", stop_seconds=0), "rounds": 5})
    inside = [float(line) for line in done.of("Read the clock")[0].result["stdout"].split()]
    moments = [int(line) for line in done.of("Boot, with a change that was cut off")[0].result["stdout"].split()]
    waits = [abs(one - other) / 1e6 for one, other in zip(moments[::2], moments[1::2], strict=True)]
    say(f"records of a swap: {spread(inside)}; the kubelet waits at boot: {spread(waits)}")
    return [
        Figure("records-of-a-swap", median(inside), "<=", 0.15, "s"),
        Figure("recovery-at-boot", median(waits), "<=", 0.2, "s"),
    ]


def crash() -> list[Figure]:
    """The crash tests: how many runs were hit at a side effect, and in how many a pod was lost."""
    say("runs that are killed or fail at one side effect after the other, with a node in memory")
    command = [sys.executable, "-m", "pytest", "-q", str(HERE.parent / "crash")]
    with subprocess.Popen(command, cwd=HERE.parents[1], text=True, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            say(line.rstrip())
            lines.append(line.rstrip())
    found = re.search(r"^hit at a side effect: (\d+) runs, (\d+) without a pod", "\n".join(lines), re.MULTILINE)
    if found is None:
        raise Problem("the crash tests did not tell how many runs they made")
    return [
        Figure("crash-cases", int(found[1]), ">=", 1000, ""),
        Figure("crash-lost-pods", int(found[2]), "==", 0, ""),
    ]


def pod(name: str, *, stop_seconds: int) -> Pod:
    """A pod that does nothing and takes this long to stop."""
    container = {
        "name": "main",
        "image": "busybox",
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", f"trap 'sleep {stop_seconds}; exit 0' TERM; sleep 1000000 & wait"],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"round": "none"}},
        # In the host's network: setting up a pod network is not what is measured.
        "spec": {"hostNetwork": True, "terminationGracePeriodSeconds": 10, "containers": [container]},
    }


def _ratio(name: str, done: Run, above: str, below: str, *, goal: float, relation: str = ">=") -> Figure:
    """The quotient of two tasks' medians."""
    _tell(done, above, below)
    return Figure(name, median(done.seconds(above)) / median(done.seconds(below)), relation, goal, "x")


def _tell(done: Run, *tasks: str) -> None:
    for task in tasks:
        say(f"{task}: {spread(done.seconds(task))}")


if __name__ == "__main__":
    sys.exit(main())

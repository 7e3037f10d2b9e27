# SPDX-FileCopyrightText: kubestatic.node contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a playbook of this directory on the test nodes and read the times of its tasks."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import statistics
import subprocess
import time
import typing as t
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
INVENTORY = HERE.parent / "nodes" / "inventory.yml"
_STARTED = time.monotonic()
_REMOTE_OPERATION = re.compile(r"<[^>]+> SSH: EXEC ")


class Problem(Exception):
    """The benchmark cannot go on; its text is all that is shown."""


def say(text: str) -> None:
    """Print one line of progress with the seconds since the start."""
    print(f"[{time.monotonic() - _STARTED:4.0f} s] {text}", flush=True)


@dataclasses.dataclass(frozen=True)
class Record:
    """One task on one host. ``started`` and ``ended`` are Unix times of the controller; see callback/."""

    task: str
    host: str
    started: float
    ended: float
    failed: bool
    result: dict[str, t.Any]

    @property
    def seconds(self) -> float:
        return self.ended - self.started


@dataclasses.dataclass(frozen=True)
class Run:
    """What a playbook left: its records, and the other lines that Ansible wrote (with -vvvv)."""

    records: list[Record]
    lines: list[str]

    def of(self, task: str) -> list[Record]:
        """The records of a task by its name, one per host and round."""
        return [record for record in self.records if record.task == task]

    def seconds(self, task: str) -> list[float]:
        """How long each round of a task took: from its start to the result of the last host."""
        rounds: dict[float, float] = {}
        for record in self.of(task):
            rounds[record.started] = max(record.seconds, rounds.get(record.started, 0.0))
        if not rounds:
            raise Problem(f"no task is called {task!r}")
        return [rounds[moment] for moment in sorted(rounds)]

    def remote_operations(self) -> int:
        """How often Ansible started something on a node, counted from -vvvv; a file transfer is an EXEC of sftp."""
        return sum(bool(_REMOTE_OPERATION.match(line)) for line in self.lines)


def run(name: str, *, variables: Mapping[str, t.Any] | None = None, verbose: bool = False) -> Run:
    """Run NAME.yml with extra variables, telling each task as it ends. A task that fails is a Problem."""
    command = [
        "ansible-playbook",
        f"--inventory={INVENTORY}",
        f"--extra-vars={json.dumps(dict(variables or {}))}",
        *(["-vvvv"] if verbose else []),
        str(HERE / f"{name}.yml"),
    ]
    environment = {
        **os.environ,
        "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callback"),
        "ANSIBLE_STDOUT_CALLBACK": "kubestatic_bench",
        "ANSIBLE_FORKS": "5",
    }
    try:
        process = subprocess.Popen(
            command, env=environment, cwd=HERE, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    except FileNotFoundError:
        raise Problem("ansible-playbook is not in PATH; `make bench` provides it") from None
    with process:
        assert process.stdout is not None
        done = _read(process.stdout)
    if process.returncode != 0:
        tail = "\n  ".join(done.lines[-12:])
        raise Problem(f"{name}.yml failed with exit code {process.returncode}:\n  {tail}")
    return done


def _read(output: t.IO[str]) -> Run:
    done = Run([], [])
    for line in output:
        record = _parse(line)
        if record is None:
            done.lines.append(line.rstrip())
            continue
        done.records.append(record)
        say(f"  {record.host}: {record.task}: {record.seconds:.2f} s")
        if record.failed:
            done.lines.append(f"{record.host}: {record.task}: {record.result.get('msg')}")
    return done


def _parse(line: str) -> Record | None:
    if not line.startswith('{"task": '):
        return None
    return Record(**json.loads(line))


def median(values: list[float]) -> float:
    """The median; a Problem where there is nothing to take it of."""
    if not values:
        raise Problem("nothing was measured")
    return statistics.median(values)

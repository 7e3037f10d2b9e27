# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""The kubelet's unit and its process: is it there, which version, is it healthy, what did it say."""

from __future__ import annotations

import os
import re
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils._command import NOT_STARTED, Run
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._store import Store, boot_id

UNIT = "kubelet.service"


class Kubelet(t.NamedTuple):
    """A running kubelet process. ``minor`` is 34 for 1.34.4."""

    pid: int
    argv: tuple[str, ...]
    cwd: str
    version: str
    minor: int


class KubeletService:
    """The systemd unit ``kubelet.service`` of this node."""

    def __init__(self, run: Run, *, store: Store) -> None:
        self._run = run
        self._store = store

    def running(self) -> Kubelet:
        """The kubelet that runs now. Raises KubestaticError where none is installed or it does not run."""
        known = self._store.kubelet
        # systemctl and the program's version cost more than all other looks at a kubelet together.
        is_known = bool(known) and known["process"] == process_identity(known["pid"])
        pid = known["pid"] if is_known else self.main_pid()
        try:
            with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="surrogateescape") as file:
                argv = tuple(file.read().rstrip("\0").split("\0"))
            cwd = os.readlink(f"/proc/{pid}/cwd")
        except OSError as exc:
            raise KubestaticError(f"the kubelet (process {pid}) ended while it was looked at: {exc.strerror}") from None
        if not is_known:
            version = self._ask_version(f"/proc/{pid}/exe")
            known = {"pid": pid, "process": process_identity(pid), "version": version}
            self._store.kubelet = known
        return Kubelet(pid=pid, argv=argv, cwd=cwd, version=known["version"], minor=minor_of(known["version"]))

    def main_pid(self) -> int:
        """The process id of the kubelet. Raises KubestaticError with the unit's state where there is none."""
        state = self._state()
        if state.get("LoadState") == "not-found":
            raise KubestaticError(f"no kubelet is installed here: systemd knows no {UNIT}; install it first")
        pid = int(state.get("MainPID") or 0)
        if not pid:
            why = (
                "an earlier run of this collection was cut off while it held it down, and the next run starts it"
                if self._store.kubelet_stopped_for
                else "a manifest that changes while the kubelet is down costs the old pod its orderly stop (1 s, no preStop hook)"
            )
            raise KubestaticError(
                f"the kubelet does not run ({UNIT} is {state.get('ActiveState')}, {state.get('SubState')}); start it first: {why}"
            )
        return pid

    def stop(self, *, holder: str) -> None:
        """Stop the unit for a moment. `holder`: the manifest directory whose lock this run holds until it ends.

        Where this run is killed before `start`, the next one starts the unit.
        """
        self._store.kubelet_stopped_for = holder
        self._systemctl("stop")

    def start(self) -> None:
        self._systemctl("start")
        self._store.kubelet_stopped_for = ""

    def start_after_cut(self) -> bool:
        """Start the unit that a killed run left stopped; False where somebody else has started it meanwhile."""
        if int(self._state().get("MainPID") or 0):
            self._store.kubelet_stopped_for = ""
            return False
        self.start()
        return True

    def journal(self, *, since: float) -> list[str]:
        """The unit's log lines since this Unix time; empty where its log goes elsewhere."""
        _code, out, _err = self._run(
            ["journalctl", f"--unit={UNIT}", f"--since=@{since:.6f}", "--output=cat", "--no-pager", "--quiet"]
        )
        return out.splitlines()

    def _systemctl(self, verb: str) -> None:
        code, out, err = self._run(["systemctl", verb, UNIT])
        if code != 0:
            raise KubestaticError(f"systemctl {verb} {UNIT} failed: {err.strip() or out.strip()}")

    def _state(self) -> dict[str, str]:
        code, out, err = self._run(["systemctl", "show", UNIT, "--property=LoadState,ActiveState,SubState,MainPID"])
        if code == NOT_STARTED:
            raise KubestaticError("this node has no systemctl; the kubelet must be a systemd unit")
        if code != 0:
            raise KubestaticError(f"systemctl cannot tell the state of {UNIT}: {err.strip() or out.strip()}")
        return dict(line.partition("=")[::2] for line in out.splitlines())

    def _ask_version(self, executable: str) -> str:
        code, out, err = self._run([executable, "--version"])
        match = re.search(r"v(\d+\.\d+\.\d+\S*)", out)
        if code != 0 or not match:
            raise KubestaticError(f"the kubelet does not tell its version: {err.strip() or out.strip()}")
        return match.group(1)


def is_alive(pid: int) -> bool:
    """True while the process exists: the cheap question for a loop, without a command."""
    return os.path.exists(f"/proc/{pid}")


def process_identity(pid: int) -> str:
    """What tells this process from every other one with the same id, before or after; empty where there is none.

    Its start in clock ticks since the boot (proc(5), field 22 of stat) and the boot's id.
    """
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            # The name in parentheses may have spaces and parentheses itself.
            return f"{boot_id()} {file.read().rpartition(')')[2].split()[19]}"
    except OSError:
        return ""


def minor_of(version: str) -> int:
    """34 for "1.34.4"."""
    return int(version.split(".")[1])


def refusals(lines: t.Iterable[str], *, path: str, pod: str) -> list[str]:
    """Log lines by which the kubelet refuses this manifest or this pod ("namespace/name-node") for good.

    The phrases stand in pkg/kubelet/config/file.go, file_linux.go and, from 1.37 on, allocation_manager.go.
    """
    file_phrases = ("Could not process manifest file", "Unable to process watch event")
    return [
        line
        for line in lines
        if (any(phrase in line for phrase in file_phrases) and _names(line, path))
        or ("Pod admission denied" in line and f'"{pod}"' in line)
    ]


def errors_about(lines: t.Iterable[str], *, path: str, pod: str) -> list[str]:
    """Log lines at klog's level E that name this manifest or pod: the best hint where nothing else tells why."""
    return [line for line in lines if re.match(r"E\d{4} ", line) and (_names(line, path) or pod in line)]


def _names(line: str, path: str) -> bool:
    """The line is about this file, and not about one whose name begins like it."""
    return re.search(re.escape(path) + r'(\\?"|: )', line) is not None

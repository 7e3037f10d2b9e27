# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""The kubelet's unit: is it there, which version, is it healthy, what did it say."""

from __future__ import annotations

import json
import re
import socket
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _command, _kubelet_process
from ansible_collections.kubestatic.node.plugins.module_utils._command import NOT_STARTED, Run
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_process import Kubelet
from ansible_collections.kubestatic.node.plugins.module_utils._store import Store

UNIT = "kubelet.service"

_PROPERTIES = (
    *("LoadState", "ActiveState", "SubState", "UnitFileState", "MainPID", "NRestarts"),
    *("FragmentPath", "DropInPaths", "NeedDaemonReload"),
)

# In which a kubelet has come up, and by which the clock may have been set since.
_START_SECONDS = 120.0


class State(t.NamedTuple):
    """What systemd says of the unit. ``files`` are its FragmentPath and its DropInPaths, in the order in which they count."""

    load_state: str
    active_state: str
    sub_state: str
    unit_file_state: str
    main_pid: int
    restarts: int
    files: tuple[str, ...]
    needs_reload: bool

    def __str__(self) -> str:
        return f"{self.active_state}, {self.sub_state}"


class KubeletService:
    """The systemd unit of this node's kubelet."""

    def __init__(self, run: Run, *, store: Store, unit: str = UNIT) -> None:
        self.unit = unit
        self._run = run
        self._store = store

    def running(self) -> Kubelet:
        """The kubelet that runs now. Raises KubestaticError where none is installed or it does not run."""
        known = _kubelet_process.known(self._store)
        if known:
            return known
        pid = self.main_pid()
        argv, cwd = _kubelet_process.words_and_place(pid)
        version = self.version_of(f"/proc/{pid}/exe")
        self._store.kubelet = {"pid": pid, "process": _kubelet_process.process_identity(pid), "version": version}
        return Kubelet(pid=pid, argv=argv, cwd=cwd, version=version, minor=_kubelet_process.minor_of(version))

    def main_pid(self) -> int:
        """The process id of the kubelet. Raises KubestaticError with the unit's state where there is none."""
        state = self.state()
        if not state.main_pid:
            why = (
                "an earlier run of this collection was cut off while it held it down, and the next run starts it"
                if self._store.kubelet_stopped_for
                else "a manifest that changes while the kubelet is down costs the old pod its orderly stop (1 s, no preStop hook)"
            )
            raise KubestaticError(f"the kubelet does not run ({self.unit} is {state}); start it first: {why}")
        return state.main_pid

    def state(self) -> State:
        """Ask systemd. Raises KubestaticError where there is no such unit, or no systemd."""
        found = self._show()
        if found.get("LoadState") == "not-found":
            raise KubestaticError(f"no kubelet is installed here: systemd knows no {self.unit}; install it first")
        return State(
            load_state=found.get("LoadState", ""),
            active_state=found.get("ActiveState", ""),
            sub_state=found.get("SubState", ""),
            unit_file_state=found.get("UnitFileState", ""),
            main_pid=int(found.get("MainPID") or 0),
            restarts=int(found.get("NRestarts") or 0),
            files=(found.get("FragmentPath", ""), *found.get("DropInPaths", "").split()),
            needs_reload=found.get("NeedDaemonReload") == "yes",
        )

    def reload(self) -> None:
        """Have systemd read its unit files again."""
        self._do("daemon-reload")

    def restart(self) -> None:
        """Stop and start, or start. systemd does not wait until the kubelet is well."""
        # A unit that failed too often is not started again before this.
        self._do("reset-failed", self.unit)
        self._do("restart", self.unit)

    def stop(self, *, holder: str) -> None:
        """Stop the unit for a moment. `holder`: the manifest directory whose lock this run holds until it ends.

        Where this run is killed before `start`, the next one starts the unit.
        """
        self._store.kubelet_stopped_for = holder
        self._do("stop", self.unit)

    def start(self) -> None:
        self._do("start", self.unit)
        self._store.kubelet_stopped_for = ""

    def start_after_cut(self) -> list[str]:
        """Start the unit that a killed run left stopped, unless somebody else has meanwhile; says so."""
        if self.state().main_pid:
            self._store.kubelet_stopped_for = ""
            return []
        self.start()
        return ["started the kubelet, which an earlier run had stopped for a moment when it was cut off"]

    def sync_journal(self) -> None:
        """Have the journal hold what services have written until now (journalctl(1), --sync)."""
        self._run(["journalctl", "--sync"])

    def journal(self, *, since: float, lines: int | None = None) -> list[str]:
        """The unit's log lines since this Unix time, the last `lines` of them; empty where its log goes elsewhere."""
        count = [] if lines is None else [f"--lines={lines}"]
        _code, out, _err = self._run(
            [
                "journalctl",
                f"--unit={self.unit}",
                f"--since=@{since:.6f}",
                "--output=cat",
                "--no-pager",
                "--quiet",
                *count,
            ]
        )
        return out.splitlines()

    def sync_loop_began(self, pid: int) -> float | None:
        """When the main loop of this kubelet began, by the clock of time.monotonic(); None where its log does not tell.

        Its housekeeping ticks from then on (syncLoop, pkg/kubelet/kubelet.go).
        """
        began = _kubelet_process.started_at(pid)
        _code, out, _err = self._run(
            [
                "journalctl",
                f"_PID={pid}",
                f"--since=@{began - _START_SECONDS:.0f}",
                f"--until=@{began + _START_SECONDS:.0f}",
                "--output=json",
                "--no-pager",
                "--quiet",
            ]
        )
        found = [line for line in out.splitlines() if "Starting kubelet main sync loop" in line]
        return _logged_at(found[-1]) if found else None

    def _do(self, *words: str) -> None:
        try:
            _command.require(self._run, ["systemctl", *words])
        except KubestaticError as exc:
            raise KubestaticError(f"{exc}; see journalctl --unit={self.unit}") from None

    def _show(self) -> dict[str, str]:
        code, out, err = self._run(["systemctl", "show", self.unit, f"--property={','.join(_PROPERTIES)}"])
        if code == NOT_STARTED:
            raise KubestaticError("this node has no systemctl; the kubelet must be a systemd unit")
        if code != 0:
            raise KubestaticError(f"systemctl cannot tell the state of {self.unit}: {err.strip() or out.strip()}")
        return dict(line.partition("=")[::2] for line in out.splitlines())

    def version_of(self, executable: str) -> str:
        """What this kubelet program calls its version, such as 1.34.4."""
        code, out, err = self._run([executable, "--version"])
        match = re.search(r"v(\d+\.\d+\.\d+\S*)", out)
        if code != 0 or not match:
            told = (err.strip() or out.strip()).partition("\n")[0]
            raise KubestaticError(
                f"{executable} --version tells no version of a kubelet ({told}); the unit must start the kubelet itself, and not"
                " by another program"
            )
        return match.group(1)


def local_address(listening: str) -> str:
    """Where a server that listens on this address is reached from its own node."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(listening, listening)


def healthz(address: str, port: int) -> str:
    """Ask the kubelet's healthz endpoint (plain HTTP, no credentials); what is wrong, empty where it says ok.

    It says that the kubelet has come up and listens, nothing about pods or the runtime.
    """
    try:
        with socket.create_connection((address, port), timeout=2) as connection:
            connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            status = connection.makefile("rb").readline().decode("ascii", "replace").split()
    except OSError as exc:
        return f"its healthz on {address}:{port} does not answer: {exc.strerror or exc}"
    return (
        "" if status[1:2] == ["200"] else f"its healthz on {address}:{port} answers {' '.join(status[1:]) or 'nothing'}"
    )


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


def _logged_at(entry: str) -> float | None:
    """When a process wrote this line of klog's (journalctl(1), --output=json), by the clock of time.monotonic().

    The journal tells when it got the line, which is later where the machine was busy; the line tells when it was written.
    """
    try:
        fields = json.loads(entry)
        received = int(fields["__REALTIME_TIMESTAMP"]) / 1e6
        header = re.match(r"I\d{4} \d\d:(\d\d):(\d\d\.\d+) ", fields["MESSAGE"])
        if header is None:
            return None
        # The header is in local time, and time zones differ by quarters of an hour.
        late = (received - 60 * int(header[1]) - float(header[2])) % 900
        return int(fields["__MONOTONIC_TIMESTAMP"]) / 1e6 - late if late < _START_SECONDS else None
    except (ValueError, KeyError, TypeError):
        return None

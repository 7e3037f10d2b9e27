# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""The proof that a kubelet has come up on a setup and stays up: its unit, its process, its healthz, its static pods."""

from __future__ import annotations

import re
import time
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import (
    _kubelet_process,
    _kubelet_service,
    _kubelet_start,
)
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_service import KubeletService
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_setup import Setup

if t.TYPE_CHECKING:
    from ansible_collections.kubestatic.node.plugins.module_utils._runtime import Runtime

_ROUND_SECONDS = 0.2
_LAST_LINES = 20

# A kubelet logs the header values of its pod URL when it starts (makePodSourceConfig, pkg/kubelet/kubelet.go).
_SECRET = re.compile("Adding pod URL with HTTP header|staticPodURLHeader|manifest[-_]url[-_]header", re.IGNORECASE)

# Level and date, time, thread and place in the source.
_KLOG = re.compile(r"^[DIWEF]\d{4} \S+ +\d+ \S+\] ")


class Unwell(KubestaticError):
    """The kubelet is not well. ``journal`` holds the last lines of its log since its start."""

    def __init__(self, message: str, *, journal: t.Sequence[str]) -> None:
        super().__init__(message)
        self.journal = list(journal)


def prove(
    service: KubeletService,
    setup: Setup,
    *,
    since: float,
    timeout: int,
    settle: float,
    runtime: Runtime | None = None,
    manifest_dir: str = "",
    node_name: str = "",
) -> int:
    """Wait until the kubelet is well, and has been for `settle` seconds; returns its process id.

    `since` is the Unix time just before its start, `timeout` in seconds without the settle time. With a `runtime` the pods
    of `manifest_dir` must have been started. Raises Unwell at once where the process ends, else after the timeout.
    """
    deadline = time.monotonic() + timeout
    pid = _pid(service, since=since, deadline=deadline)
    identity = _kubelet_process.process_identity(pid)
    well_since: float | None = None
    while True:
        if not identity or _kubelet_process.process_identity(pid) != identity:
            raise _unwell(service, f"the kubelet ended {time.time() - since:.0f} s after its start", since=since)
        missing = _missing(setup, pid=pid, runtime=runtime, manifest_dir=manifest_dir, node_name=node_name)
        now = time.monotonic()
        well_since = None if missing else (well_since if well_since is not None else now)
        if well_since is not None and now >= well_since + settle:
            return pid
        if well_since is None and now > deadline:
            raise _unwell(service, f"the kubelet is not well after {timeout} s: {missing}", since=since)
        time.sleep(_ROUND_SECONDS)


def quotable(lines: t.Sequence[str]) -> list[str]:
    """The last lines of a kubelet's log, without those that may hold a secret of its configuration.

    Lines that begin with white space belong to a dump of it.
    """
    return [line for line in lines if not _SECRET.search(line) and line.strip() and not line[0].isspace()][
        -_LAST_LINES:
    ]


def last_word(lines: t.Sequence[str]) -> str:
    """The last line that tells of an error, else the last one, without klog's time and place; empty for none."""
    told = [line for line in lines if re.match(r"E\d{4} |F\d{4} |Error:|panic: ", line)] or list(lines)
    return _KLOG.sub("", told[-1]) if told else ""


def _pid(service: KubeletService, *, since: float, deadline: float) -> int:
    while True:
        state = service.state()
        if state.main_pid:
            return state.main_pid
        # Restart=always has it "activating (auto-restart)" by now, and it would end again.
        if state.active_state != "activating" or state.sub_state == "auto-restart" or time.monotonic() > deadline:
            raise _unwell(service, f"the kubelet does not stay up ({service.unit} is {state})", since=since)
        time.sleep(_ROUND_SECONDS)


def _missing(setup: Setup, *, pid: int, runtime: Runtime | None, manifest_dir: str, node_name: str) -> str:
    """What is still to be seen, empty for nothing."""
    try:
        running = _kubelet_process.command_line(pid)
    except OSError:
        return "its process ended"
    if running[1:] != setup.unit.argv[1:]:
        return "it runs with other flags than its unit says, as where another program starts it"
    address, port = _kubelet_start.endpoint(setup.layers)
    trouble = _kubelet_service.healthz(address, port) if port else ""
    if trouble or runtime is None or not manifest_dir:
        return trouble
    from ansible_collections.kubestatic.node.plugins.module_utils import _manifest_dir

    wanted = {
        (entry.pod.namespace, f"{entry.pod.name}-{node_name}"): entry.path
        for entry in _manifest_dir.read(manifest_dir)
        if entry.pod is not None
    }
    running_pods = {(box.namespace, box.pod) for box in runtime.snapshot().sandboxes if box.ready}
    missing = [path for key, path in wanted.items() if key not in running_pods]
    return f"it has not started the pod of {missing[0]}" if missing else ""


def _unwell(service: KubeletService, what: str, *, since: float) -> Unwell:
    # It may have written its last line a moment ago.
    service.sync_journal()
    lines = quotable(service.journal(since=since))
    told = last_word(lines)
    return Unwell(f"{what}; its log ends with: {told}" if told else what, journal=lines)

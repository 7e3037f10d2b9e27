# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""What all waiting looks at: one fresh snapshot per round, and whether waiting still makes sense."""

from __future__ import annotations

import time
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _kubelet_process
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._node import Node
from ansible_collections.kubestatic.node.plugins.module_utils._runtime import Snapshot

# How long kubelet or runtime may be away before waiting for them is given up: a restart by systemd (RestartSec=10 in
# the kubelet's package) must pass unnoticed.
_PATIENCE_SECONDS = 20.0

# Between two rounds. A round itself costs two crictl calls.
_ROUND_SECONDS = 0.1
_POLL_SECONDS = 0.01


class Pause(t.NamedTuple):
    """What a change waits for before it looks again: until `until` says so, and no longer than `seconds`."""

    until: t.Callable[[], bool] | None = None
    seconds: float = _ROUND_SECONDS


# What a change yields whenever it must wait.
Waiting = t.Generator[Pause, None, None]


def pause(pauses: t.Sequence[Pause]) -> bool:
    """Sleep until the first of them is over; True where that is because of what it waited for."""
    end = time.monotonic() + min(one.seconds for one in pauses)
    conditions = [one.until for one in pauses if one.until]
    while not any(condition() for condition in conditions):
        left = end - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(left, _POLL_SECONDS) if conditions else left)
    return True


class Trouble(KubestaticError):
    """Kubelet or runtime are away, so that waiting for a pod is pointless."""


class Watch:
    """The latest snapshot of the runtime, and the health of the two services that a rollout waits for."""

    def __init__(self, node: Node) -> None:
        self.snapshot = Snapshot((), ())
        # When the runtime was asked for the snapshot, as Unix time and by the clock of deadlines: a round may take long.
        self.taken_at = 0.0
        self.moment = time.monotonic()
        # Seconds that the runtime took for it: on a busy node the kubelet is as slow.
        self.pace = 0.0
        self._node = node
        self.kubelet_pid = node.kubelet.pid
        self._sync_loops: dict[int, float | None] = {}
        self._well_since: dict[str, float] = {}

    def sync_loop_began(self) -> float | None:
        """See KubeletService; the journal is asked once for each kubelet."""
        if self.kubelet_pid not in self._sync_loops:
            self._sync_loops[self.kubelet_pid] = self._node.service.sync_loop_began(self.kubelet_pid)
        return self._sync_loops[self.kubelet_pid]

    def refresh(self) -> Trouble | None:
        """Take a new snapshot. Returns what makes further waiting pointless, once it has lasted."""
        return self._kubelet_trouble() or self._runtime_trouble()

    def _kubelet_trouble(self) -> Trouble | None:
        if not _kubelet_process.is_alive(self.kubelet_pid):
            try:
                self.kubelet_pid = self._node.service.main_pid()
            except KubestaticError as exc:
                return self._bad("kubelet", f"the kubelet ended meanwhile: {exc}")
        self._good("kubelet")
        return None

    def _runtime_trouble(self) -> Trouble | None:
        if self._node.runtime is None:
            return None
        taken_at, moment = time.time(), time.monotonic()
        try:
            self.snapshot = self._node.runtime.snapshot()
        except KubestaticError as exc:
            return self._bad("runtime", str(exc))
        self.taken_at, self.moment = taken_at, moment
        self.pace = time.monotonic() - moment
        self._good("runtime")
        return None

    def _good(self, service: str) -> None:
        self._well_since[service] = time.monotonic()

    def _bad(self, service: str, message: str) -> Trouble | None:
        # Trouble at the first look is final: nothing was begun, so nothing is gained by patience.
        lasted = time.monotonic() - self._well_since.get(service, float("-inf"))
        return Trouble(message) if lasted > _PATIENCE_SECONDS else None

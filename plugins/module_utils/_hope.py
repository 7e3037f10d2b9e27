# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""Whether a pod on its way in may still come: not where the kubelet refuses its manifest, or its containers crash."""

from __future__ import annotations

import time

from ansible_collections.kubestatic.node.plugins.module_utils import _kubelet_service
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._manifest import Pod
from ansible_collections.kubestatic.node.plugins.module_utils._node import Node
from ansible_collections.kubestatic.node.plugins.module_utils._runtime import Container, Runtime

# The kubelet restarts a container at once, then after 10 s: the third end within one rollout is no start-up hiccup.
_CRASH_LOOP_EXITS = 3

# The journal is asked less often than the runtime.
_JOURNAL_SECONDS = 2.0


class Hope:
    """What is known of one pod's obstacles. ``path``: its manifest, ``since``: Unix time from which on the log is about it."""

    def __init__(self, node: Node, *, pod: Pod, path: str, since: float) -> None:
        self._node = node
        self._pod = pod
        self._full_name = node.full_name(pod.name)
        self._path = path
        self._since = since
        self._next_journal = 0.0

    def require_not_refused(self) -> None:
        """Raise KubestaticError where the kubelet's log says that it does not take this manifest."""
        if time.monotonic() <= self._next_journal:
            return
        self._next_journal = time.monotonic() + _JOURNAL_SECONDS
        lines = self._node.service.journal(since=self._since)
        refused = _kubelet_service.refusals(lines, path=self._path, pod=f"{self._pod.namespace}/{self._full_name}")
        if refused:
            raise KubestaticError(f"the kubelet refuses it: {refused[-1]}")

    def require_no_crash_loop(self, runtime: Runtime, container: Container, *, ends: int) -> None:
        """Raise KubestaticError with its last words where this container has ended `ends` times, and that is once too often."""
        final = self._pod.spec.get("restartPolicy") == "Never"
        if not final and ends < _CRASH_LOOP_EXITS:
            return
        status = runtime.inspect(container.id)
        if not status.get("exitCode"):
            return
        what = f"ended with exit code {status['exitCode']}" + ("" if final else f", {ends} times in a row")
        reason = ", ".join(str(status[key]) for key in ("reason", "message") if status.get(key))
        lines = runtime.last_lines(container.id)
        tail = "; its last log lines: " + " | ".join(lines) if lines else "; it logged nothing"
        raise KubestaticError(f"container {container.name} {what} ({reason}){tail}")

    def hint(self) -> str:
        """What the kubelet's log says last of this pod, for the end of a message; else empty."""
        lines = self._node.service.journal(since=self._since)
        hints = _kubelet_service.errors_about(lines, path=self._path, pod=self._full_name)
        return f"; the kubelet's last word on it: {hints[-1]}" if hints else ""

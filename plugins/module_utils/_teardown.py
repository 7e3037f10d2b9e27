# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""When the kubelet is through with a pod that it has stopped, to the moment: its successor starts at once only after that.

A successor of the same name that comes sooner waits for 10 to 15 s (backOffPeriod, pkg/kubelet/pod_workers.go), and each
moment that it comes later is a moment without the pod. What the kubelet does after a sandbox has stopped:

- The pod's worker waits for the next relist of the runtime, each 1 s (podWorkerLoop).
- Then it waits until the volumes are unmounted, removes the pod's cgroup and is through (SyncTerminatedPod, kubelet.go).
- But the kubelet's housekeeping, each 2 s, removes the cgroup, too, where it comes by between the two (HandlePodCleanups).

So the cgroup's end says that the worker is through, unless it came with a tick of the housekeeping. That ticks from the
moment on at which the kubelet logs that its main loop starts (syncLoop). Where a tick may have been the cause, or nothing is
known of ticks, an empty cgroup is put in the place of the one that went: its end says it then, as the next tick is further
away than the next relist. Where that stays, the worker had been the first, and it is taken away when the relist has certainly
been. The housekeeping removes what a killed run leaves of it.
"""

from __future__ import annotations

import contextlib
import glob
import math
import os
import time
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils._node import Node
from ansible_collections.kubestatic.node.plugins.module_utils._runtime import Sandbox
from ansible_collections.kubestatic.node.plugins.module_utils._watch import Pause, Waiting, Watch

_HOUSEKEEPING_SECONDS = 2.0
_RELIST_SECONDS = 1.0
# What the kubelet does between a sandbox's end and the wait for the relist: 0.04 s were measured.
_WORKER_SECONDS = 0.06
# The worker looks only every 300 ms whether volumes are unmounted (WaitForUnmount) and every 100 ms for their directories.
_UNMOUNT_SECONDS = 0.45
# How far the log's time of a tick may be off, and within which time a tick is acted on: 0.02 s were measured, but the main
# loop has other work, too.
_TICK_EARLY_SECONDS = 0.01
_TICK_LATE_SECONDS = 0.1
# A cgroup that stays is another trouble than the one that is waited for here.
_CGROUP_TIMEOUT = 30.0
# All of that takes longer on a busy node. What the runtime takes for a snapshot tells how much: 0.04 s on an idle one.
_PACES = 0.5

_CGROUP_ROOTS = ("/sys/fs/cgroup", "/sys/fs/cgroup/*")


class Teardown:
    """What the kubelet still does for a pod that is being stopped. Made while its cgroup is there, `look` is asked often."""

    def __init__(self, node: Node, watch: Watch, sandboxes: t.Iterable[Sandbox], *, with_volumes: bool) -> None:
        self._watch = watch
        self._with_volumes = with_volumes
        self._pid = watch.kubelet_pid
        self._ticks_since = watch.sync_loop_began()
        self._there_at = self._gone_at = time.monotonic()
        by_pod = [pod_cgroups([sandbox]) for sandbox in {sandbox.uid: sandbox for sandbox in sandboxes}.values()]
        self._cgroups = [path for paths in by_pod for path in paths]
        # Each pod has a worker of its own, which takes all of its cgroups at once.
        self._one_of_each = [path for paths in by_pod for path in paths[:1]]
        self._gone = not self._cgroups

    def look(self) -> bool:
        """Whether the cgroup is gone."""
        if not self._gone:
            now = time.monotonic()
            if any_left(self._cgroups):
                self._there_at = now
            else:
                self._gone_at = now
                self._gone = True
        return self._gone

    def wait(self) -> Waiting:
        """Yield until the kubelet is through; to be called when the sandboxes have been seen gone."""
        ended, began = self._watch.moment, time.monotonic()
        while not self.look() and time.monotonic() < began + _CGROUP_TIMEOUT:
            yield Pause(until=self.look, seconds=_RELIST_SECONDS)
        if self._removed_by_worker():
            ready = self._gone_at + _PACES * self._watch.pace
            # No pod can have come up since, so that there is nothing new to be seen.
            yield Pause(until=lambda: time.monotonic() >= ready, seconds=_RELIST_SECONDS)
            return
        # The relist that is under way when the worker begins to wait does not count, and the next one takes its time.
        relist = ended + _WORKER_SECONDS + _RELIST_SECONDS + 2 * _PACES * self._watch.pace
        if self._with_volumes:
            relist = max(relist, self._gone_at) + _UNMOUNT_SECONDS
        yield from self._wait_for_worker(self._one_of_each, latest=relist)

    def _removed_by_worker(self) -> bool:
        """False where no cgroup was seen to go, too."""
        if self._ticks_since is None or self._pid != self._watch.kubelet_pid or self._gone_at == self._there_at:
            return False
        earliest = self._there_at - _TICK_LATE_SECONDS - _PACES * self._watch.pace
        latest = self._gone_at + _TICK_EARLY_SECONDS
        return _ticks(earliest - self._ticks_since) == _ticks(latest - self._ticks_since)

    def _wait_for_worker(self, cgroups: list[str], *, latest: float) -> Waiting:
        """Put empty cgroups where those of the pods have gone, and yield until they have gone, too, or until this moment."""
        try:
            make(cgroups)
            if not any_left(cgroups):
                yield from _until(latest)
            while any_left(cgroups) and time.monotonic() < latest:
                yield Pause(until=lambda: not any_left(cgroups), seconds=latest - time.monotonic())
        finally:
            remove(cgroups)


def _until(moment: float) -> Waiting:
    while time.monotonic() < moment:
        yield Pause(seconds=moment - time.monotonic())


def pod_cgroups(sandboxes: t.Iterable[Sandbox], *, roots: t.Sequence[str] = _CGROUP_ROOTS) -> list[str]:
    """The cgroups of these pods: kubepods/QOS/podUID, or with systemd kubepods.slice/...-podUID.slice (cm/cgroup_manager)."""
    found = []
    for uid in {sandbox.uid for sandbox in sandboxes}:
        # systemd's slices have '_' where an API pod's uid has '-'.
        name = f"*pod{glob.escape(uid).replace('-', '[-_]')}*"
        for root in roots:
            found += glob.glob(f"{root}/*kubepods*/{name}") + glob.glob(f"{root}/*kubepods*/*/{name}")
    return found


def any_left(cgroups: t.Iterable[str]) -> bool:
    return any(os.path.exists(path) for path in cgroups)


def make(cgroups: t.Iterable[str]) -> None:
    """Make empty ones, where that is possible."""
    for path in cgroups:
        with contextlib.suppress(OSError):
            os.mkdir(path)


def remove(cgroups: t.Iterable[str]) -> None:
    """Remove empty ones that are still there."""
    for path in cgroups:
        with contextlib.suppress(OSError):
            os.rmdir(path)


def _ticks(seconds: float) -> int:
    """How often the housekeeping has come by in this time since the main loop began."""
    return math.floor(seconds / _HOUSEKEEPING_SECONDS)

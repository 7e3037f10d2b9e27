# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""Waiting until an old pod is gone, and the way out where the kubelet does not let it go."""

from __future__ import annotations

import contextlib
import time
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _kubelet_service, _proof
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._manifest import Key, Pod
from ansible_collections.kubestatic.node.plugins.module_utils._node import Node
from ansible_collections.kubestatic.node.plugins.module_utils._runtime import EXITED, Runtime, Sandbox
from ansible_collections.kubestatic.node.plugins.module_utils._teardown import Teardown
from ansible_collections.kubestatic.node.plugins.module_utils._watch import Pause, Waiting, Watch

# The kubelet's back-off for crash loops strikes a container of the same uid that ended well, too: its second start in a
# row is delayed until 10 s after the end, the next one 20 s, up to 300 s, and all is forgotten after 600 s of running. It
# asks the record of the ended container, so without one there is no delay (doBackOff, kuberuntime_manager.go). What is
# gone from the runtime the kubelet knows after its next relist (genericPlegRelistPeriod, 1 s after the last has ended).
_BACKOFF_MEMORY_SECONDS = 600.0
_AFTER_REMOVAL_SECONDS = 2.2

# How long past its grace period a pod may take to go: the kubelet's and the runtime's own work.
_MARGIN_SECONDS = 10.0

# What a kubelet says where it cannot take a sandbox away (ErrKillPodSandbox, pkg/kubelet/container/sync_result.go). It says
# other things of a pod that it may not delete yet: that it cannot start it, or tell its API server of it.
_SANDBOX_STAYS = "KillPodSandbox"


class Departure:
    """One pod on its way out. ``stopped_at`` (Unix time) and ``forced`` are known once `wait` has ended.

    ``forced`` means that the kubelet is stopped now, and that the caller calls `resume` when the directory is as it shall be.
    `old`: what the manifest said, None where that is not known. `comes_back`: the same pod, with the same uid, is to be
    started next; `restarted_at`: Unix time at which that was done before, 0.0 for never. `only`: the ids of the sandboxes
    that shall go, where others of the same pod may stay.
    """

    def __init__(
        self,
        node: Node,
        watch: Watch,
        *,
        key: Key,
        old: Pod | None,
        comes_back: bool = False,
        restarted_at: float = 0.0,
        only: t.AbstractSet[str] | None = None,
    ) -> None:
        self.stopped_at: float | None = None
        self.forced = False
        self._node = node
        self._watch = watch
        self._namespace, self._pod = key[0], node.full_name(key[1])
        self._grace = old.grace_seconds if old else 0
        self._with_volumes = bool(old.spec.get("volumes")) if old else True
        self._comes_back = comes_back
        self._only = only
        self._began_at = time.time()
        # The kubelet's own restarts show in a container's attempts, but those count from 0 again where the kubelet's garbage
        # collection, each minute, met the pod away and removed its records and logs (evictPodLogsDirectories).
        self._restarted_lately = self._began_at - restarted_at < _BACKOFF_MEMORY_SECONDS
        self._seen: dict[str, Sandbox] = {}
        self._ended = False

    @property
    def pending(self) -> bool:
        """The runtime still has the pod, and from this directory: one that comes from elsewhere does not count."""
        return self._node.watches and bool(self._alive())

    def wait(self) -> Waiting:
        """Yield until the pod is gone and torn down. Raises KubestaticError where it cannot be made to go."""
        runtime = self._node.runtime
        if runtime is None or not self._node.watches:
            return
        began = self._watch.moment
        alive = self._observe(runtime)
        while True:
            teardown = Teardown(self._node, self._watch, alive, with_volumes=self._with_volumes)
            while alive:
                if self._watch.moment > began + self._grace + _MARGIN_SECONDS:
                    self._force(runtime, alive)
                    return
                # Once the cgroup is gone, what comes next is seen in a new snapshot only.
                yield Pause(until=None if teardown.look() else teardown.look)
                alive = self._observe(runtime)
            yield from teardown.wait()
            alive = self._observe(runtime)
            # A kubelet that was just starting the pod may have brought up a sandbox meanwhile.
            if not alive:
                break
        if self._comes_back and self._restarted_lately:
            yield from self._remove_records(runtime)

    def resume(self) -> str:
        """Start a kubelet that had to be stopped; returns what to tell of it, for the end of a sentence."""
        if not self.forced:
            return ""
        self._node.service.start()
        return (
            "; the kubelet held back all deletions, as a source (API server or staticPodURL) has not answered since it"
            " started, so it was stopped for a moment and the old containers were stopped through the runtime"
        )

    def _remove_records(self, runtime: Runtime) -> Waiting:
        """What the kubelet does itself within a minute after a pod is gone, but sooner: else it starts the pod late."""
        ended = [
            container.id
            for container in self._watch.snapshot.containers
            if (container.namespace, container.pod, container.state) == (self._namespace, self._pod, EXITED)
        ]
        if not ended:
            return
        # The kubelet may have been faster with some of them.
        with contextlib.suppress(KubestaticError):
            runtime.remove(ended)
        # The relist lasts as long as the runtime takes for it.
        ready = time.monotonic() + _AFTER_REMOVAL_SECONDS + self._watch.pace
        while time.monotonic() < ready:
            yield Pause()

    def _alive(self) -> list[Sandbox]:
        snapshot = self._watch.snapshot
        return [
            sandbox
            for sandbox in snapshot.sandboxes_of(self._namespace, self._pod)
            if sandbox.source == "file" and (sandbox.ready or snapshot.running_in([sandbox.id]))
            if self._only is None or sandbox.id in self._only
        ]

    def _observe(self, runtime: Runtime) -> list[Sandbox]:
        """What of the pod is alive; also notes when its last container ended: by the runtime's record, else by sight."""
        alive = self._alive()
        self._seen.update((sandbox.id, sandbox) for sandbox in alive)
        snapshot = self._watch.snapshot
        running = snapshot.running_in(self._seen)
        if running:
            self._grace = max(self._grace, *(container.grace for container in running))
            self.stopped_at = self._watch.taken_at
            self._restarted_lately |= any(
                container.attempt > 0 and self.stopped_at - container.created_at < _BACKOFF_MEMORY_SECONDS
                for container in running
            )
        elif self.stopped_at is not None and not self._ended:
            self.stopped_at = max(_proof.finished_at(runtime, snapshot, self._seen), self.stopped_at)
            self._ended = True
        return alive

    def _force(self, runtime: Runtime, alive: list[Sandbox]) -> None:
        """A source that never answered holds back all deletions of this kubelet (HandlePodCleanups, kubelet_pods.go).

        So the kubelet is stopped and its work done here: each container with its own grace period, then the sandbox.
        """
        running = self._watch.snapshot.running_in(sandbox.id for sandbox in alive)
        settings = self._node.settings
        complaints = self._complaints()
        # Where the containers have ended and the kubelet tells why the sandbox stays, it does work on it.
        works = not running and any(_SANDBOX_STAYS in line for line in complaints)
        if works or not (settings.api_source or settings.url_source):
            raise KubestaticError(self._stuck(complaints, running=bool(running)))
        self._note_pause()
        self._node.service.stop(holder=self._node.manifest_dir)
        try:
            for container in running:
                runtime.stop(container.id, grace_seconds=self._grace)
            for sandbox in alive:
                runtime.stop_sandbox(sandbox.id)
        except BaseException:
            self._node.service.start()
            raise
        self.stopped_at = time.time()
        self.forced = True

    def _note_pause(self) -> None:
        """Where this run is killed, somebody must start the kubelet; a run that changes no manifest has noted nothing yet."""
        from ansible_collections.kubestatic.node.plugins.module_utils import _recover_pods
        from ansible_collections.kubestatic.node.plugins.module_utils._open_changes import OpenChanges

        changes = OpenChanges(self._node.store)
        if self._node.manifest_dir not in changes.directories():
            changes.begin(self._node.manifest_dir, [])
            _recover_pods.unit(self._node.store).rearm()

    def _complaints(self) -> list[str]:
        """What the kubelet has logged about this pod at level E since the wait began."""
        lines = self._node.service.journal(since=self._began_at)
        return _kubelet_service.errors_about(lines, path="\0", pod=self._pod)

    def _stuck(self, complaints: t.Sequence[str], *, running: bool) -> str:
        hint = f": {complaints[-1]}" if complaints else ""
        if running:
            return f"the kubelet did not stop pod {self._pod} within {self._grace + _MARGIN_SECONDS:.0f} s{hint}"
        return f"the containers of pod {self._pod} ended, but its sandbox does not go, as with a network plugin that fails{hint}"

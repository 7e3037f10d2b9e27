# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""Waiting for the proof that a pod runs, with an early end where it never will."""

from __future__ import annotations

import time
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _proof
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._manifest import Pod
from ansible_collections.kubestatic.node.plugins.module_utils._node import Node
from ansible_collections.kubestatic.node.plugins.module_utils._proof import Sight
from ansible_collections.kubestatic.node.plugins.module_utils._runtime import EXITED, RUNNING, Runtime
from ansible_collections.kubestatic.node.plugins.module_utils._watch import Pause, Waiting, Watch

if t.TYPE_CHECKING:
    from ansible_collections.kubestatic.node.plugins.module_utils._hope import Hope
    from ansible_collections.kubestatic.node.plugins.module_utils._readiness import Readiness

# Startup first, then readiness, as the kubelet does.
PROBES = ("startupProbe", "readinessProbe")

# What the kubelet and the runtime take at least from a new manifest to a running container.
_START_SECONDS = 0.2


class Arrival:
    """One pod on its way in. Once `wait` has ended ``uid`` is known, and ``downtime`` where an older copy ran.

    ``before``: ids of the sandboxes that there were when the manifest was placed, none where any will do.
    ``starts``: it starts now, and has not run before.
    ``stopped_at``: Unix time at which the old pod ended, where that is known already.
    ``since``: Unix time just before the kubelet could see the manifest; what its log says before is about another one.
    """

    def __init__(
        self,
        node: Node,
        watch: Watch,
        *,
        pod: Pod,
        path: str,
        before: t.AbstractSet[str],
        starts: bool,
        stopped_at: float | None = None,
        since: float | None = None,
    ) -> None:
        self.downtime: float | None = None
        self.uid = ""
        self._node = node
        self._watch = watch
        self._pod = pod
        self._full_name = node.full_name(pod.name)
        self._path = path
        self._before = before
        self._starts = starts
        self._stopped_at = stopped_at
        self._since = since or time.time()
        self._first_attempts: dict[str, int] = {}
        self._seen: list[str] = []
        self._seen_at = 0.0
        # Made once they are asked: a pod that runs already, and has no probes, has no use for them.
        self._hope: Hope | None = None
        self._readiness: Readiness | None = None

    def wait(self, *, timeout: int, settle: int | None) -> Waiting:
        """Yield until the pod is proven; raises KubestaticError with the reason where it is not within `timeout` seconds."""
        runtime = self._node.runtime
        if runtime is None:
            return
        deadline = time.monotonic() + timeout
        if self._starts:
            # To look is work, too, for a node that is about to start a pod.
            yield Pause(seconds=_START_SECONDS)
        while True:
            sight = self._look(runtime)
            missing = _proof.unfinished(self._pod, sight)
            self._require_hope(runtime, sight, missing)
            missing = missing or self._not_ready(runtime, sight) or self._not_settled(sight, settle)
            if not missing:
                break
            if self._watch.moment > deadline:
                raise KubestaticError(f"not proven within {timeout} s: {missing[0]}{self._hopes().hint()}")
            yield Pause()
        self.downtime = self._measure(runtime, sight)
        self.uid = sight.sandbox.uid if sight.sandbox else ""

    def _look(self, runtime: Runtime) -> Sight:
        snapshot = self._watch.snapshot
        sight = _proof.look(
            snapshot,
            namespace=self._pod.namespace,
            pod=self._full_name,
            before=self._before,
            may_end=_proof.may_end(self._pod),
        )
        for container in sight.containers.values():
            # Where any sandbox will do, the pod has a past and its restarts count.
            self._first_attempts.setdefault(container.name, container.attempt if self._before else 0)
        running = sorted(container.id for container in sight.containers.values() if container.state == RUNNING)
        if running != self._seen:
            self._seen, self._seen_at = running, self._watch.moment
        if self._before and sight.old:
            if snapshot.running_in(sandbox.id for sandbox in sight.old):
                self._stopped_at = self._watch.taken_at
            else:
                self._stopped_at = (
                    max(
                        _proof.finished_at(runtime, snapshot, [sandbox.id for sandbox in sight.old]),
                        self._stopped_at or 0.0,
                    )
                    or None
                )
        return sight

    def _require_hope(self, runtime: Runtime, sight: Sight, missing: list[str]) -> None:
        ended = [container for container in sight.containers.values() if container.state == EXITED]
        for container in ended:
            ends = _proof.exits(container, first_attempt=self._first_attempts[container.name])
            self._hopes().require_no_crash_loop(runtime, container, ends=ends)
        if missing:
            self._hopes().require_not_refused()

    def _hopes(self) -> Hope:
        if self._hope is None:
            from ansible_collections.kubestatic.node.plugins.module_utils._hope import Hope

            self._hope = Hope(self._node, pod=self._pod, path=self._path, since=self._since)
        return self._hope

    def _not_ready(self, runtime: Runtime, sight: Sight) -> list[str]:
        specs = _proof.long_running(self._pod)
        if not any(spec.get(kind) for spec in specs for kind in PROBES):
            return []
        if self._readiness is None:
            from ansible_collections.kubestatic.node.plugins.module_utils._readiness import Readiness

            self._readiness = Readiness(self._node, specs)
        return self._readiness.missing(runtime, sight)

    def _not_settled(self, sight: Sight, settle: int | None) -> list[str]:
        seconds = _proof.settle_seconds(self._pod, settle)
        # The clock by which the runtime tells when they started may be set meanwhile. It counts for a pod that ran before.
        ran = self._watch.moment - self._seen_at
        if not self._starts:
            ran = max(ran, self._watch.taken_at - _proof.undisturbed_since(self._pod, sight))
        return [] if ran >= seconds else [f"it has run undisturbed for {ran:.1f} s of {seconds} s"]

    def _measure(self, runtime: Runtime, sight: Sight) -> float | None:
        if self._stopped_at is None:
            return None
        started = 0.0
        for spec in _proof.long_running(self._pod):
            container = sight.containers.get(str(spec.get("name")))
            if container is not None:
                started = max(started, _proof.unix_time(str(runtime.inspect(container.id).get("startedAt") or "")))
        return round(max(started - self._stopped_at, 0.0), 2)

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""Waiting for the proof that a pod runs, with an early end where it never will."""

from __future__ import annotations

import time
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _kubelet_service, _proof
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._manifest import Pod
from ansible_collections.kubestatic.node.plugins.module_utils._node import Node
from ansible_collections.kubestatic.node.plugins.module_utils._proof import Sight
from ansible_collections.kubestatic.node.plugins.module_utils._runtime import EXITED, RUNNING, Container, Runtime
from ansible_collections.kubestatic.node.plugins.module_utils._watch import Pause, Waiting, Watch

# The kubelet restarts a container at once, then after 10 s: the third end within one rollout is no start-up hiccup.
_CRASH_LOOP_EXITS = 3

# The journal and the probes are asked less often than the runtime.
_JOURNAL_SECONDS = 2.0
_PROBE_SECONDS = 0.3
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
        self._addresses: dict[str, str] = {}
        self._passed: dict[tuple[str, str], int] = {}
        self._seen: list[str] = []
        self._seen_at = 0.0
        self._next_journal = 0.0
        self._next_probe = 0.0
        self._failing_probe: list[str] = []

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
                raise KubestaticError(f"not proven within {timeout} s: {missing[0]}{self._hint()}")
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
        for container in sight.containers.values():
            # Where any sandbox will do, the pod has a past and its restarts count.
            first = self._first_attempts.setdefault(container.name, container.attempt if self._before else 0)
            if container.state == EXITED:
                self._require_no_crash_loop(runtime, container, ends=_proof.exits(container, first_attempt=first))
        if missing and time.monotonic() > self._next_journal:
            self._next_journal = time.monotonic() + _JOURNAL_SECONDS
            lines = self._node.service.journal(since=self._since)
            refused = _kubelet_service.refusals(lines, path=self._path, pod=f"{self._pod.namespace}/{self._full_name}")
            if refused:
                raise KubestaticError(f"the kubelet refuses it: {refused[-1]}")

    def _require_no_crash_loop(self, runtime: Runtime, container: Container, *, ends: int) -> None:
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

    def _not_ready(self, runtime: Runtime, sight: Sight) -> list[str]:
        """The probe that has not passed yet. Startup first, then readiness, as the kubelet does."""
        if time.monotonic() < self._next_probe:
            return self._failing_probe
        self._failing_probe = []
        for spec in _proof.long_running(self._pod):
            container = sight.containers.get(str(spec.get("name")))
            if container is None or container.state != RUNNING:
                continue
            for kind in ("startupProbe", "readinessProbe"):
                failing = self._probe(runtime, container, spec, kind) if spec.get(kind) else ""
                if failing:
                    self._next_probe = time.monotonic() + _PROBE_SECONDS
                    self._failing_probe = [f"the {kind} of container {container.name} fails ({failing})"]
                    return self._failing_probe
        return []

    def _probe(self, runtime: Runtime, container: Container, spec: dict[str, t.Any], kind: str) -> str:
        """Run a probe that has not passed often enough yet; its description while it still has not."""
        from ansible_collections.kubestatic.node.plugins.module_utils import _probes

        needed = spec[kind].get("successThreshold") or 1
        key = (container.id, kind)
        if self._passed.get(key, 0) < needed:
            try:
                host = self._address(runtime, container.sandbox)
            except KubestaticError as exc:
                return str(exc)
            passed = _probes.passes(spec[kind], spec=spec, container=container.id, host=host, runtime=runtime)
            self._passed[key] = self._passed.get(key, 0) + 1 if passed else 0
        return "" if self._passed[key] >= needed else _probes.describe(spec[kind])

    def _address(self, runtime: Runtime, sandbox: str) -> str:
        if sandbox not in self._addresses:
            from ansible_collections.kubestatic.node.plugins.module_utils import _probes

            self._addresses[sandbox] = runtime.address(sandbox) or _probes.host_of_node(
                self._node.settings.node_name, node_ip=self._node.settings.node_ip
            )
        return self._addresses[sandbox]

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

    def _hint(self) -> str:
        lines = self._node.service.journal(since=self._since)
        hints = _kubelet_service.errors_about(lines, path=self._path, pod=self._full_name)
        return f"; the kubelet's last word on it: {hints[-1]}" if hints else ""

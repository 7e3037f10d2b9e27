# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""The proof of a pod whose manifest is in force, and what becomes of a change until then.

It is all that a call with nothing to do carries out, so what changes anything stands elsewhere (_steps).
"""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _proof
from ansible_collections.kubestatic.node.plugins.module_utils._arrival import Arrival
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._known_runs import KnownRuns
from ansible_collections.kubestatic.node.plugins.module_utils._manifest_dir import ManifestDir
from ansible_collections.kubestatic.node.plugins.module_utils._node import Node
from ansible_collections.kubestatic.node.plugins.module_utils._plan import Change
from ansible_collections.kubestatic.node.plugins.module_utils._revisions import Revisions
from ansible_collections.kubestatic.node.plugins.module_utils._watch import Pause, Trouble, Waiting, Watch


@dataclasses.dataclass
class Outcome:
    """What became of one change. ``error`` is empty where it is done; ``downtime`` is in seconds.

    ``is_open``: the error is that kubelet or runtime are away, so nothing is known of the pod.
    ``stopped_at``: Unix time at which the old pod ended; ``in_force_since``: that just before a manifest was put in force.
    """

    change: Change
    changed: bool = False
    done: bool = False
    error: str = ""
    is_open: bool = False
    downtime: float | None = None
    stopped_at: float | None = None
    in_force_since: float | None = None
    actions: list[str] = dataclasses.field(default_factory=list)


class NotProven(KubestaticError):
    """The pod of a manifest that is in force does not run as it should. ``in_force`` says in words which one that is."""

    def __init__(self, message: str, *, in_force: str) -> None:
        super().__init__(message)
        self.in_force = in_force


class Proving:
    """How the pods of one node are proven to run, each from the manifest that is in force."""

    def __init__(
        self, node: Node, directory: ManifestDir, *, watch: Watch, known: KnownRuns, revisions: Revisions
    ) -> None:
        self._node = node
        self._directory = directory
        self._watch = watch
        self._known = known
        self._revisions = revisions

    def what_runs(self, outcome: Outcome, *, in_force: str) -> Waiting:
        """Prove a pod that nothing is changed of; a copy from an older manifest must go first."""
        namespace, name = outcome.change.wanted.key
        before = self._known.others(outcome.change)
        sight = _proof.look(self._watch.snapshot, namespace=namespace, pod=self._node.full_name(name), before=before)
        yield from self.see_off(outcome, {sandbox.id for sandbox in sight.old}, in_force=in_force)
        yield from self.prove(outcome, before=before, in_force=in_force)

    def see_off(
        self, outcome: Outcome, sandboxes: t.AbstractSet[str], *, in_force: str = "the new manifest"
    ) -> t.Generator[Pause, None, float | None]:
        """Wait until the kubelet has stopped these sandboxes, or stop them; when their last container ended, if any ran."""
        if not (sandboxes and outcome.change.wanted.wait):
            return None
        # Rare where nothing is changed.
        from ansible_collections.kubestatic.node.plugins.module_utils._departure import Departure

        change, path = outcome.change, self._directory.full_path(outcome.change.filename)
        departure = Departure(self._node, self._watch, key=change.wanted.key, old=change.old, only=sandboxes)
        if not departure.pending:
            return None
        try:
            yield from departure.wait()
        except KubestaticError as exc:
            raise KubestaticError(f"{exc}; in force now: {in_force} ({path})") from None
        told = departure.resume()
        if told:
            outcome.changed = True
            outcome.actions.append("stopped the copy of the pod that ran an older manifest" + told)
        return departure.stopped_at

    def prove(
        self,
        outcome: Outcome,
        *,
        before: t.AbstractSet[str] = frozenset(),
        in_force: str = "the new manifest",
    ) -> Waiting:
        change = outcome.change
        if not change.wanted.wait or change.new is None:
            return
        path = self._directory.full_path(change.filename)
        arrival = Arrival(
            self._node,
            self._watch,
            pod=change.new,
            path=path,
            before=before,
            starts=change.starts_pod,
            stopped_at=outcome.stopped_at,
            since=outcome.in_force_since,
        )
        try:
            yield from arrival.wait(timeout=change.wanted.wait_timeout, settle=change.wanted.settle)
        except Trouble as exc:
            # Nothing that the manifest is to blame for, and while a kubelet is away no pod is to lose its manifest.
            raise KubestaticError(f"{exc}; in force now: {in_force} ({path})") from None
        except KubestaticError as exc:
            self._require_still_there(change, failed=f"{exc}; ")
            raise NotProven(str(exc), in_force=in_force) from None
        self._require_still_there(change)
        outcome.downtime = arrival.downtime
        if self._node.runtime is not None:
            # The next run proves it again; an error would hide what was done.
            with contextlib.suppress(KubestaticError):
                self._revisions.mark_good(change.wanted.key, change.new.text)
        self._known.note(change, uid=arrival.uid)

    def _require_still_there(self, change: Change, *, failed: str = "") -> None:
        """Raise KubestaticError where somebody has edited the manifest while its pod was being proven."""
        if change.touches_directory and change.new and self._directory.text(change.filename) != change.new.text:
            raise KubestaticError(
                f"{failed}somebody has edited {self._directory.full_path(change.filename)} by hand meanwhile, which was left as"
                " it is; run again"
            )

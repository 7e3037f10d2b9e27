# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""The steps of each kind of change, from the old manifest to the new one: every strategy, and its way out.

Each change is a generator that yields whenever it must wait.
"""

from __future__ import annotations

import contextlib
import time
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _manifest, _plan, _proof
from ansible_collections.kubestatic.node.plugins.module_utils._departure import Departure
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._known_runs import KnownRuns
from ansible_collections.kubestatic.node.plugins.module_utils._manifest_dir import ManifestDir
from ansible_collections.kubestatic.node.plugins.module_utils._node import Node
from ansible_collections.kubestatic.node.plugins.module_utils._plan import Change
from ansible_collections.kubestatic.node.plugins.module_utils._proving import NotProven, Outcome, Proving
from ansible_collections.kubestatic.node.plugins.module_utils._revisions import Revisions
from ansible_collections.kubestatic.node.plugins.module_utils._watch import Pause, Waiting, Watch

# A container that crashes ends sooner, or is waited for by the kubelet's back-off of 10 s and more.
_GOOD_SECONDS = 10.0


class ChangeSteps:
    """What is done for one pod on one node; the new manifest lies there as a dot-file already.

    ``write_new(change)`` writes that dot-file, for the manifest of a revision that is put back; None where none shall be.
    """

    def __init__(
        self,
        node: Node,
        directory: ManifestDir,
        *,
        watch: Watch,
        known: KnownRuns,
        revisions: Revisions,
        proving: Proving,
        write_new: t.Callable[[Change], None] | None,
    ) -> None:
        self._node = node
        self._directory = directory
        self._watch = watch
        self._known = known
        self._revisions = revisions
        self._proving = proving
        self._write_new = write_new

    def forward(self, outcome: Outcome) -> Waiting:
        """The steps of this change; `outcome` tells what became of it as they go."""
        return {
            _plan.REWRITE: self._rewrite,
            _plan.GONE: self._gone,
            _plan.REMOVE: self._remove,
            _plan.PLACE: self._place,
            _plan.CHANGE: self._change,
            _plan.RESTART: self._restart,
        }[outcome.change.action](outcome)

    def back(self, outcome: Outcome, failed: NotProven) -> Waiting:
        """Put the last revision that was proven back; in any case the change has failed."""
        from ansible_collections.kubestatic.node.plugins.module_utils import _one_way, _revision_choice

        change, path = outcome.change, self._path(outcome)
        story = f"{failed}; in force now: {failed.in_force} ({path})"
        if not change.wanted.rollback:
            raise KubestaticError(f"{story}, as rollback is false")
        revision = _revision_choice.way_back(self._revisions, change)
        if revision is None or change.new is None or self._write_new is None:
            raise KubestaticError(story)
        good = _manifest.parse(revision.text)
        worse = _one_way.reason(change.new, good)
        if worse:
            raise KubestaticError(f"{story}; revision {revision.number} was not put back: {worse}")
        back = Outcome(
            change._replace(action=_plan.CHANGE, old=change.new, old_text=change.new.text, new=good),
            stopped_at=outcome.stopped_at,
        )
        name = f"revision {revision.number}"
        try:
            self._write_new(back.change)
        except KubestaticError as exc:
            raise KubestaticError(f"{story}; {name}, the last one that was proven, cannot be put back: {exc}") from None
        try:
            yield from self._swap(
                back, what=f"put {name} back into {path}", what_was="the manifest that is not proven", in_force=name
            )
        except NotProven as exc:
            raise KubestaticError(
                f"{failed}; {name}, the last one that was proven, is in force again, but not proven either: {exc}"
            ) from None
        except KubestaticError as exc:
            raise KubestaticError(f"{failed}; then {name}, the last one that was proven, was put back: {exc}") from None
        except OSError as exc:
            with contextlib.suppress(OSError):
                self._directory.settle(change.filename)
            now = name if self._directory.text(change.filename) == revision.text else failed.in_force
            raise KubestaticError(
                f"{failed}; putting {name} back failed: {exc.filename or path}: {exc.strerror}; in force now: {now} ({path})"
            ) from None
        finally:
            outcome.actions += back.actions
            outcome.changed |= back.changed
            outcome.downtime = back.downtime
        raise KubestaticError(f"{failed}; {name}, the last one that was proven, is in force again and its pod runs")

    def _rewrite(self, outcome: Outcome) -> Waiting:
        self._require_unedited(outcome.change)
        self._put_in_force(outcome, over=True)
        outcome.actions.append(f"replaced the text of {self._path(outcome)}: the same pod to the kubelet, no restart")
        yield from self._proving.what_runs(outcome, in_force="the new text")

    def _gone(self, outcome: Outcome) -> Waiting:
        self._forget(outcome)
        departure = self._departure(outcome)
        if not departure.pending:
            return
        yield from departure.wait()
        outcome.changed = True
        outcome.actions.append("waited until the pod was gone; its manifest was gone before" + departure.resume())

    def _remove(self, outcome: Outcome) -> Waiting:
        departure = yield from self._take_away(outcome, for_good=True)
        try:
            self._directory.tidy(outcome.change.filename)
            self._forget(outcome)
        except KubestaticError as exc:
            raise KubestaticError(f"{exc}; the manifest {self._path(outcome)} is removed and its pod is gone") from None
        finally:
            told = departure.resume()
        outcome.actions.append(f"removed {self._path(outcome)} and waited until its pod was gone" + told)

    def _forget(self, outcome: Outcome) -> None:
        self._known.forget(outcome.change)
        self._node.store.forget_placed(self._directory.path, "/".join(outcome.change.wanted.key))
        self._revisions.forget_proofs(outcome.change.wanted.key)

    def _place(self, outcome: Outcome) -> Waiting:
        # A pod whose manifest is gone may still be on its way out.
        departure = self._departure(outcome)
        if departure.pending:
            yield from departure.wait()
        before = self._sandbox_ids(outcome)
        # A file that holds no pod, which was named to be replaced.
        over = bool(outcome.change.old_text)
        outcome.actions.append(
            f"placed {self._path(outcome)}" + self._put_in_force_after(outcome, departure, over=over)
        )
        yield from self._proving.prove(outcome, before=before)

    def _change(self, outcome: Outcome) -> Waiting:
        self._known.note_old(outcome.change)
        self._note_whether_old_is_good(outcome.change)
        if outcome.change.wanted.strategy == _plan.SWAP:
            yield from self._swap(outcome, what=f"changed {self._path(outcome)}")
            return
        before = self._sandbox_ids(outcome)
        self._require_unedited(outcome.change)
        self._put_in_force(outcome, over=True)
        outcome.actions.append(f"changed {self._path(outcome)} by renaming the new manifest over the old one")
        outcome.stopped_at = yield from self._proving.see_off(outcome, before)
        yield from self._proving.prove(outcome, before=before)

    def _note_whether_old_is_good(self, change: Change) -> None:
        """What somebody else has placed is a way back where it has run undisturbed for a while; what a task brought was proven."""
        key, old = change.wanted.key, change.old
        if old is None or self._revisions.is_ours(key, old.text) or self._known.others(change._replace(new=old)):
            return
        sight = _proof.look(self._watch.snapshot, namespace=key[0], pod=self._node.full_name(key[1]))
        ran = self._watch.taken_at - _proof.undisturbed_since(old, sight)
        if not _proof.unfinished(old, sight) and ran >= _GOOD_SECONDS:
            self._revisions.mark_good(key, old.text)

    def _require_unedited(self, change: Change) -> None:
        """Raise KubestaticError where somebody has edited the manifest since it was read: nobody's work is to be lost."""
        if change.old is not None and self._directory.text(change.filename) != change.old.text:
            raise KubestaticError(
                f"somebody has edited {self._directory.full_path(change.filename)} by hand since this run has read it; run again"
            )

    def _restart(self, outcome: Outcome) -> Waiting:
        yield from self._swap(
            outcome,
            what=f"restarted the pod of {self._path(outcome)}"
            + (outcome.change.cause or ", whose manifest stays the same"),
        )

    def _swap(
        self,
        outcome: Outcome,
        *,
        what: str,
        what_was: str = "the previous manifest",
        in_force: str = "the new manifest",
    ) -> Waiting:
        departure = yield from self._take_away(outcome, for_good=False, what_was=what_was)
        before = self._sandbox_ids(outcome)
        outcome.actions.append(what + self._put_in_force_after(outcome, departure))
        # One that is put back counts from the end of the pod that ran at first.
        outcome.stopped_at = outcome.stopped_at or departure.stopped_at
        yield from self._proving.prove(outcome, before=before, in_force=in_force)

    def _take_away(
        self, outcome: Outcome, *, for_good: bool, what_was: str = "the previous manifest"
    ) -> t.Generator[Pause, None, Departure]:
        """Take the manifest out of the kubelet's sight until its pod is gone; where that fails, put it back."""
        comes_back = outcome.change.action == _plan.RESTART
        restarted_at = self._known.note_restart(outcome.change) if comes_back else 0.0
        departure = self._departure(outcome, comes_back=comes_back, restarted_at=restarted_at)
        # Asked for now, as the gap has begun when it is needed.
        self._watch.sync_loop_began()
        self._require_unedited(outcome.change)
        try:
            self._directory.take_away(outcome.change.filename, for_good=for_good)
            outcome.changed = True
            yield from departure.wait()
            if for_good and not departure.forced:
                # Nothing is in a hurry now, and the result tells what the runtime still has of it.
                yield Pause()
        except OSError:
            with contextlib.suppress(OSError):
                self._directory.put_back(outcome.change.filename)
            raise
        except KubestaticError as exc:
            try:
                self._directory.put_back(outcome.change.filename)
            except KubestaticError as second:
                raise KubestaticError(f"{exc}; {second}") from None
            raise KubestaticError(f"{exc}; {what_was} {self._path(outcome)} is in force again") from None
        return departure

    def _put_in_force_after(self, outcome: Outcome, departure: Departure, *, over: bool = False) -> str:
        """Place the manifest where the old pod is gone, and have the kubelet run whatever happens."""
        try:
            self._put_in_force(outcome, over=over)
        finally:
            told = departure.resume()
        return told

    def _put_in_force(self, outcome: Outcome, *, over: bool) -> None:
        outcome.in_force_since = time.time()
        if outcome.change.action == _plan.RESTART and not outcome.change.writes:
            self._directory.put_back(outcome.change.filename)
        else:
            self._directory.place(outcome.change.filename, over=over)
        self._directory.tidy(outcome.change.filename)
        outcome.changed = True

    def _sandbox_ids(self, outcome: Outcome) -> frozenset[str]:
        namespace, name = outcome.change.wanted.key
        return frozenset(box.id for box in self._watch.snapshot.sandboxes_of(namespace, self._node.full_name(name)))

    def _departure(self, outcome: Outcome, *, comes_back: bool = False, restarted_at: float = 0.0) -> Departure:
        key, old = outcome.change.wanted.key, outcome.change.old
        return Departure(self._node, self._watch, key=key, old=old, comes_back=comes_back, restarted_at=restarted_at)

    def _path(self, outcome: Outcome) -> str:
        return self._directory.full_path(outcome.change.filename)

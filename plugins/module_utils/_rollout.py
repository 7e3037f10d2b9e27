# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""The order of side effects from the old manifest to the new one, for all pods of a call side by side.

Each change is a generator that yields whenever it must wait; one loop takes one snapshot of the runtime per round and
lets every change look at it. So ten pods cost as many questions to the runtime as one.
"""

from __future__ import annotations

import contextlib
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _plan
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._known_runs import KnownRuns
from ansible_collections.kubestatic.node.plugins.module_utils._manifest import Key
from ansible_collections.kubestatic.node.plugins.module_utils._manifest_dir import ManifestDir
from ansible_collections.kubestatic.node.plugins.module_utils._node import Node
from ansible_collections.kubestatic.node.plugins.module_utils._plan import Change
from ansible_collections.kubestatic.node.plugins.module_utils._proving import NotProven, Outcome, Proving
from ansible_collections.kubestatic.node.plugins.module_utils._revisions import Revisions
from ansible_collections.kubestatic.node.plugins.module_utils._runtime import Snapshot
from ansible_collections.kubestatic.node.plugins.module_utils._watch import Pause, Trouble, Waiting, Watch, pause

if t.TYPE_CHECKING:
    from ansible_collections.kubestatic.node.plugins.module_utils._steps import ChangeSteps


class Rollout:
    """Carries out the changes of one call on one node; their new manifests lie there as dot-files already."""

    def __init__(
        self,
        node: Node,
        directory: ManifestDir,
        *,
        revisions: Revisions,
        write_new: t.Callable[[Change], None] | None = None,
    ) -> None:
        self._node = node
        self._directory = directory
        self._revisions = revisions
        self._write_new = write_new
        self._watch = Watch(node)
        self._known = KnownRuns(node, self._watch)
        self._proving = Proving(node, directory, watch=self._watch, known=self._known, revisions=revisions)

    @property
    def snapshot(self) -> Snapshot:
        """What the runtime told last."""
        return self._watch.snapshot

    def run(self, changes: t.Sequence[Change]) -> list[Outcome]:
        """Do all changes and say what became of each; a failed one does not stop those that do not depend on it."""
        outcomes = [Outcome(change) for change in changes]
        by_key = {outcome.change.wanted.key: outcome for outcome in outcomes}
        running = [(outcome, self._steps(outcome, by_key)) for outcome in outcomes]
        try:
            trouble = self._watch.refresh()
            while running:
                looked = [(*one, self._advance(*one, trouble=trouble)) for one in running]
                running = [(outcome, steps) for outcome, steps, wait in looked if wait]
                # What was waited for is acted on at once, and not after another look.
                if running and not pause([wait for _outcome, _steps, wait in looked if wait]):
                    trouble = self._watch.refresh()
        except BaseException:
            # Whatever it is, it must not leave a pod without its manifest.
            for outcome, _steps in running:
                self._settle(outcome)
            raise
        self._known.remember()
        return outcomes

    def _advance(self, outcome: Outcome, steps: Waiting, *, trouble: Trouble | None) -> Pause | None:
        """One round of one change; what it waits for next, None when it has ended."""
        try:
            return next(steps) if trouble is None else steps.throw(trouble)
        except StopIteration:
            outcome.done = True
        except KubestaticError as exc:
            outcome.error = str(exc)
            outcome.is_open = trouble is not None
            self._settle(outcome)
        except OSError as exc:
            self._settle(outcome)
            new, in_force = self._in_force(outcome)
            outcome.changed |= new
            outcome.error = f"{exc.filename or self._directory.path}: {exc.strerror}; in force now: {in_force}"
        if outcome.error and not outcome.changed:
            outcome.error += "; nothing was changed"
        return None

    def _settle(self, outcome: Outcome) -> None:
        """Whatever failed, the old or the new manifest shall be in force and nothing left beside it."""
        with contextlib.suppress(OSError):
            self._directory.settle(outcome.change.filename)

    def _in_force(self, outcome: Outcome) -> tuple[bool, str]:
        """Whether it is the new manifest, and in words what it is."""
        change = outcome.change
        path = self._directory.full_path(change.filename)
        text = self._directory.text(change.filename)
        if text is None:
            return (
                change.action == _plan.REMOVE,
                f"no manifest, as {path} is missing; mend the file system and run again",
            )
        if change.writes and change.new and text == change.new.text:
            return True, f"the new manifest ({path})"
        return False, f"the previous manifest ({path})"

    def _steps(self, outcome: Outcome, by_key: t.Mapping[Key, Outcome]) -> Waiting:
        for key in outcome.change.wanted.depends_on:
            needed = by_key[key]
            while not needed.done and not needed.error:
                yield Pause()
            if needed.error:
                raise KubestaticError(f"it depends on {'/'.join(key)}, which failed")
        while outcome.change.action == _plan.PLACE and self._makes_room(by_key.values()):
            yield Pause()
        try:
            if outcome.change.action == _plan.KEEP:
                yield from self._proving.what_runs(outcome, in_force="the manifest that was there")
            else:
                yield from self._change_steps().forward(outcome)
        except NotProven as exc:
            yield from self._change_steps().back(outcome, exc)

    def _change_steps(self) -> ChangeSteps:
        # A call with nothing to do has no use for them.
        from ansible_collections.kubestatic.node.plugins.module_utils._steps import ChangeSteps

        return ChangeSteps(
            self._node,
            self._directory,
            watch=self._watch,
            known=self._known,
            revisions=self._revisions,
            proving=self._proving,
            write_new=self._write_new,
        )

    @staticmethod
    def _makes_room(outcomes: t.Iterable[Outcome]) -> bool:
        """A pod is on its way out, and a new one may need its host ports: refused once, the kubelet never tries again."""
        return any(
            one.change.action == _plan.REMOVE and not one.change.wanted.depends_on and not one.done and not one.error
            for one in outcomes
        )

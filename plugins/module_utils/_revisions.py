# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""The manifests that each pod has had on this node, numbered from 1, and which of them a pod was proven to run from.

A text is one revision: where it comes again it gets the next number. Which of them is in force is told by the manifest alone.
"""

from __future__ import annotations

import time
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _plan
from ansible_collections.kubestatic.node.plugins.module_utils._node import Node
from ansible_collections.kubestatic.node.plugins.module_utils._plan import Change
from ansible_collections.kubestatic.node.plugins.module_utils._store import Revision

if t.TYPE_CHECKING:
    from ansible_collections.kubestatic.node.plugins.module_utils._manifest import Key

# Why a revision is there; CHOSEN is by the option `revision`.
FOUND, EDITED, PLACED, CHANGED, CHOSEN = "found", "edited", "placed", "changed", "chosen"


class Revisions:
    """The revisions of the pods in the directory that the kubelet reads; each pod's are read once. Of other directories none are kept."""

    def __init__(self, node: Node) -> None:
        self._store = node.store
        self._is_kept = node.watches
        self._known: dict[Key, tuple[Revision, ...]] = {}

    def of(self, key: Key) -> tuple[Revision, ...]:
        """By number, oldest first."""
        if key not in self._known:
            self._known[key] = self._store.revisions(key) if self._is_kept else ()
        return self._known[key]

    def with_text(self, key: Key, text: str | None) -> Revision | None:
        return next((one for one in self.of(key) if one.text == text), None)

    def edited_since(self, change: Change) -> int:
        """The number of the revision since which somebody has edited the manifest by hand; 0 where nobody has."""
        known = self.of(change.wanted.key)
        if change.old is None or not known or self.with_text(change.wanted.key, change.old.text):
            return 0
        return known[-1].number

    def is_settled(self, change: Change) -> bool:
        """Whether the manifest stays, and stays also where its pod turns out not to run: there is no older one to go back to."""
        if change.action != _plan.KEEP:
            return False
        revision = self.with_text(change.wanted.key, change.old.text if change.old else None)
        return not change.wanted.wait or (revision is not None and revision.good)

    def record(self, change: Change) -> None:
        """Note what a manifest says before the change and what it will say after it.

        Raises KubestaticError where the store takes no note.
        """
        wanted, known = change.wanted, self.of(change.wanted.key)
        before = change.old.text if change.old else None
        if before is not None and self.with_text(wanted.key, before) is None:
            known = _with(known, before, EDITED if known else FOUND)
        reason = CHOSEN if wanted.revision else PLACED if change.action == _plan.PLACE else CHANGED
        if change.new is not None and change.writes and not _is(known[-1:], change.new.text, reason):
            known = _with(known, change.new.text, reason, cause=wanted.source)
        self._keep(wanted.key, _pruned(known, wanted.keep_revisions, in_force=before))

    def is_ours(self, key: Key, text: str) -> bool:
        """Whether a task has brought this manifest, and not somebody else."""
        revision = self.with_text(key, text)
        return revision is not None and revision.reason not in (FOUND, EDITED)

    def mark_good(self, key: Key, text: str) -> None:
        """A pod was proven to run from this manifest. Raises KubestaticError where the store takes no note."""
        self._keep(key, tuple(one._replace(good=True) if one.text == text else one for one in self.of(key)))

    def forget_proofs(self, key: Key) -> None:
        """The pod is removed: what it was is no way back for one that comes anew. Raises KubestaticError as `mark_good`."""
        self._keep(key, tuple(one._replace(good=False) for one in self.of(key)))

    def _keep(self, key: Key, revisions: tuple[Revision, ...]) -> None:
        if self._is_kept and revisions != self.of(key):
            self._store.remember_revisions(key, revisions)
            self._known[key] = revisions


def _with(known: tuple[Revision, ...], text: str, reason: str, *, cause: str = "") -> tuple[Revision, ...]:
    """One more, in the place of an older one with the same text, which has to be proven anew."""
    number = known[-1].number + 1 if known else 1
    new = Revision(number, time.time(), reason, cause, text, False)
    return (*(one for one in known if one.text != text), new)


def _is(newest: tuple[Revision, ...], text: str, reason: str) -> bool:
    """Whether this is it already, as for a change that failed before, or was cut off."""
    return any(one.text == text and (one.reason == CHOSEN or reason != CHOSEN) for one in newest)


def _pruned(known: tuple[Revision, ...], most: int, *, in_force: str | None) -> tuple[Revision, ...]:
    """The newest ones, the one that is in force until now, and the last one that was proven."""
    goods = [one for one in known if one.good]
    return tuple(one for one in known if one in known[-most:] or one.text == in_force or one in goods[-1:])

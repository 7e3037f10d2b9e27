# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""The manifests that each pod has had on this node, numbered from 1, and which of them a pod was proven to run from."""

from __future__ import annotations

import contextlib
import time
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _manifest, _plan
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._plan import Change
from ansible_collections.kubestatic.node.plugins.module_utils._store import Revision, Store

if t.TYPE_CHECKING:
    from ansible_collections.kubestatic.node.plugins.module_utils._manifest import Key, Pod

PREVIOUS = "previous"

# Why a revision is there.
FOUND, EDITED, PLACED, CHANGED, PUT_BACK = "found", "edited", "placed", "changed", "put back"


class Revisions:
    """The revisions of a node's pods; each pod's are read once. The newest one is in force, or is on its way."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[Key, tuple[Revision, ...]] = {}

    def of(self, key: Key) -> tuple[Revision, ...]:
        """By number, oldest first."""
        if key not in self._known:
            self._known[key] = self._store.revisions(key)
        return self._known[key]

    def edited_since(self, change: Change) -> int:
        """The number of the revision since which somebody has edited the manifest by hand; 0 where nobody has."""
        known = self.of(change.wanted.key)
        if change.old is None or not known or any(one.text == change.old.text for one in known):
            return 0
        return known[-1].number

    def record(self, change: Change) -> None:
        """Note what a manifest says before the change and what it will say after it.

        Raises KubestaticError where the store takes no note.
        """
        wanted = change.wanted
        newest = self.newest(wanted.key)
        if change.old is not None and (newest is None or newest.text != change.old.text):
            # An older revision is there again where a run was killed before the newest one was in force.
            reason = FOUND if newest is None else EDITED if self.edited_since(change) else PUT_BACK
            self._add(change, change.old.text, reason)
            newest = self.newest(wanted.key)
        if change.new is not None and change.action == _plan.PLACE:
            # What it was before it was removed is no way back for a pod that comes anew.
            self._known[wanted.key] = tuple(one._replace(good=False) for one in self.of(wanted.key))
            self._add(change, change.new.text, PLACED, cause=wanted.source)
        elif change.new is not None and (newest is None or newest.text != change.new.text):
            self._add(change, change.new.text, PUT_BACK if wanted.revision else CHANGED, cause=wanted.source)

    def put_back(self, change: Change, revision: Revision) -> None:
        """Note that this revision is in force again, as the change was not proven."""
        # A full disk is no reason to leave what does not run.
        with contextlib.suppress(KubestaticError):
            self._add(change, revision.text, PUT_BACK, cause="rollback")

    def mark_good(self, key: Key, text: str) -> None:
        """A pod was proven to run from this manifest. Raises KubestaticError where the store takes no note."""
        self._keep(key, tuple(one._replace(good=True) if one.text == text else one for one in self.of(key)))

    def newest(self, key: Key) -> Revision | None:
        return self.of(key)[-1] if self.of(key) else None

    def way_back(self, change: Change) -> Revision | None:
        """The newest revision that was proven and is another pod than the new one; None where there is none.

        A manifest that stays and that was proven before has no way back: whatever fails now, it is not what it says.
        """
        goods = [one for one in reversed(self.of(change.wanted.key)) if one.good]
        others = [one for one in goods if change.new is None or not _manifest.parse(one.text).same_as(change.new)]
        if change.action != _plan.CHANGE and len(others) < len(goods):
            return None
        return others[0] if others else None

    def chosen(self, key: Key, which: str) -> Pod:
        """The manifest that `previous`, or a number, stands for.

        `previous` is the one before the newest, or the newest itself where that was put back: asked for twice it stays.
        Raises KubestaticError where there is none.
        """
        known = self.of(key)
        found = [one for one in known if str(one.number) == which]
        if which == PREVIOUS and known:
            found = [known[-1]] if known[-1].reason == PUT_BACK else list(known[-2:-1])
        if not found:
            numbers = ", ".join(str(one.number) for one in known) or "none"
            raise KubestaticError(
                f"revision: there is no {'previous revision' if which == PREVIOUS else f'revision {which}'} of pod"
                f" {'/'.join(key)} on this node, which keeps {numbers}; choose another one (static_pod_info lists them)"
            )
        return _manifest.parse(found[0].text)

    def _add(self, change: Change, text: str, reason: str, *, cause: str = "") -> None:
        """One more revision; an older one with the same text is it, under its new number."""
        known = self.of(change.wanted.key)
        good = any(one.good for one in known if one.text == text)
        number = known[-1].number + 1 if known else 1
        new = Revision(number, time.time(), reason, cause, text, good)
        self._keep(
            change.wanted.key, _pruned([one for one in known if one.text != text] + [new], change.wanted.keep_revisions)
        )

    def _keep(self, key: Key, revisions: tuple[Revision, ...]) -> None:
        if revisions != self.of(key):
            self._store.remember_revisions(key, revisions)
            self._known[key] = revisions


def _pruned(revisions: t.Sequence[Revision], most: int) -> tuple[Revision, ...]:
    """The newest ones, and the last one that was proven."""
    goods = [one for one in revisions if one.good]
    return tuple(one for one in revisions if one in goods[-1:] or one in revisions[-most:])

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""Which of the manifests that a pod has had is meant: by a task that names a revision, and where a change has failed."""

from __future__ import annotations

import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _manifest, _plan
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._plan import Change
from ansible_collections.kubestatic.node.plugins.module_utils._revisions import CHANGED, CHOSEN, Revisions
from ansible_collections.kubestatic.node.plugins.module_utils._store import Revision

if t.TYPE_CHECKING:
    from ansible_collections.kubestatic.node.plugins.module_utils._manifest import Key, Pod


def way_back(revisions: Revisions, change: Change) -> Revision | None:
    """The newest revision that was proven and is another pod than the new one; None where there is none.

    Only from a manifest that a task has brought in the place of another one, and that was never proven: what ran
    before, or was brought by somebody else, is not to blame where it fails now.
    """
    key, new = change.wanted.key, change.new
    revision = revisions.with_text(key, new.text) if new else None
    if new is None or revision is None or change.action in (_plan.PLACE, _plan.RESTART):
        return None
    goods = [one for one in reversed(revisions.of(key)) if one.good]
    others = [one for one in goods if not _manifest.parse(one.text).same_as(new)]
    if change.action != _plan.CHANGE and (len(others) < len(goods) or revision.reason not in (CHANGED, CHOSEN)):
        return None
    return others[0] if others else None


def chosen(revisions: Revisions, key: Key, which: str, *, in_force: str | None) -> Pod:
    """The manifest that `previous`, or a number, stands for. `in_force`: the text of the manifest now, None for none.

    `previous` is the last proven one before the one in force, or the one before it where none was proven. Where the
    newest was chosen itself it is meant, so that a second run means the same. Raises KubestaticError for none.
    """
    known = revisions.of(key)
    found = [one for one in known if str(one.number) == which]
    if which == _plan.PREVIOUS and known:
        now = revisions.with_text(key, in_force)
        older = known[: known.index(now)] if now else known
        found = (
            [known[-1]] if known[-1].reason == CHOSEN else [one for one in older if one.good][-1:] or list(older[-1:])
        )
    if not found:
        numbers = ", ".join(str(one.number) for one in known) or "none"
        raise KubestaticError(
            f"revision: there is no {'previous revision' if which == _plan.PREVIOUS else f'revision {which}'} of pod"
            f" {'/'.join(key)} on this node, which keeps {numbers}; choose another one (static_pod_info lists them)"
        )
    return _manifest.parse(found[0].text)

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""What check mode tells of each pod: what would become of it, by which fields, and for how long it would be down."""

from __future__ import annotations

import os
import statistics
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _plan
from ansible_collections.kubestatic.node.plugins.module_utils._differences import differences
from ansible_collections.kubestatic.node.plugins.module_utils._manifest import Pod
from ansible_collections.kubestatic.node.plugins.module_utils._node import Node
from ansible_collections.kubestatic.node.plugins.module_utils._plan import Change

MAX_FIELDS = 20

_EFFECTS = {
    _plan.KEEP: "nothing",
    _plan.GONE: "nothing",
    _plan.REWRITE: "text only",
    _plan.PLACE: "new",
    _plan.CHANGE: "replace",
    _plan.RESTART: "restart",
    _plan.REMOVE: "remove",
}


def of_all(changes: t.Sequence[Change], *, node: Node) -> list[dict[str, t.Any]]:
    """What each of these changes would do to its pod."""
    downtimes = node.store.downtimes(node.manifest_dir)
    return [
        of(
            change,
            path=os.path.join(node.manifest_dir, change.filename),
            downtimes=downtimes.get("/".join(change.wanted.key), {}),
        )
        for change in changes
    ]


def of(change: Change, *, path: str, downtimes: t.Mapping[str, t.Sequence[float]]) -> dict[str, t.Any]:
    """What this change would do to its pod, as results have it.

    `path`: the manifest. `downtimes`: what changes of this pod on this node have taken, in seconds, by `Change.kind`.
    """
    namespace, name = change.wanted.key
    taken = downtimes.get(change.kind, ())
    both = (change.old, change.new) if change.action == _plan.CHANGE else (None, None)
    return {
        "name": name,
        "namespace": namespace,
        "path": path,
        "effect": _EFFECTS[change.action],
        **fields(*both),
        "changed_files": list(change.changed_files),
        "expected_downtime_seconds": round(statistics.median(taken), 2) if taken else None,
    }


def fields(before: Pod | None, after: Pod | None) -> dict[str, t.Any]:
    """``fields`` and ``fields_left_out``: in what the kubelet sees two pods; nothing where one of them is None."""
    found = differences(before, after) if before and after else []
    return {
        "fields": [difference._asdict() for difference in found[:MAX_FIELDS]],
        "fields_left_out": len(found[MAX_FIELDS:]),
    }

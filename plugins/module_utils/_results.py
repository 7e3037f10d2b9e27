# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""What a call of static_pod or static_pods tells: one result per pod, and all of them together."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _plan, _proof
from ansible_collections.kubestatic.node.plugins.module_utils._node import Node
from ansible_collections.kubestatic.node.plugins.module_utils._proving import Outcome
from ansible_collections.kubestatic.node.plugins.module_utils._runtime import Snapshot
from ansible_collections.kubestatic.node.plugins.module_utils._store import Revision

_WOULD = {
    _plan.KEEP: "",
    _plan.GONE: "",
    _plan.REWRITE: "would replace the text of {path}: the same pod to the kubelet, no restart",
    _plan.PLACE: "would place {path}",
    _plan.CHANGE: "would change {path} by {strategy} and wait for the new pod",
    _plan.RESTART: "would restart the pod of {path}{cause}",
    _plan.REMOVE: "would remove {path} and its pod",
}


class Applied(t.NamedTuple):
    """What one call did, or would do in check mode.

    ``pods``: one result per wanted pod in their order; ``pruned``: one per pod that prune removed. All have the keys
    name, namespace, path, changed, failed, msg, pod, downtime_seconds, revision, actions and diff.
    ``recovered``: sentences of what was done without a run since the last one.
    ``before``: sentences of what was done before the first pod: what a killed run had left, and images.
    ``plan``: in check mode one entry of `_blast_radius.of` per pod, in the order of ``all``.
    ``due``: something is to be done and nothing was, as the call was to disturb nothing; all else is empty.
    """

    pods: list[dict[str, t.Any]]
    pruned: list[dict[str, t.Any]]
    recovered: list[str]
    before: list[str]
    plan: list[dict[str, t.Any]]
    due: bool = False

    @property
    def all(self) -> list[dict[str, t.Any]]:
        return [*self.pods, *self.pruned]

    @property
    def changed(self) -> bool:
        return bool(self.before) or any(result["changed"] for result in self.all)

    @property
    def actions(self) -> list[str]:
        return [*self.recovered, *self.before, *(action for result in self.all for action in result["actions"])]

    @property
    def diff(self) -> list[dict[str, str]]:
        """Only for --diff: results are registered and logged, and environment variables of a pod may be secret."""
        return [result["diff"] for result in self.all if result["diff"]["before"] != result["diff"]["after"]]

    @property
    def failure(self) -> str:
        """One sentence per failed pod; empty where all is well."""
        return ". ".join(
            f"pod {result['namespace']}/{result['name']}: {result['msg']}" for result in self.all if result["failed"]
        )


def result(
    outcome: Outcome, *, node: Node, snapshot: Snapshot | None, revision: Revision | None, would: bool
) -> dict[str, t.Any]:
    change = outcome.change
    namespace, name = change.wanted.key
    path = os.path.join(node.manifest_dir, change.filename)
    actions = list(outcome.actions)
    if would and _WOULD[change.action]:
        actions.append(_WOULD[change.action].format(path=path, strategy=change.wanted.strategy, cause=change.cause))
    new_text = change.new.text if change.new else "" if change.action == _plan.REMOVE else change.old_text
    return {
        "name": name,
        "namespace": namespace,
        "path": path,
        "changed": outcome.changed,
        "failed": bool(outcome.error),
        "msg": outcome.error,
        "pod": _proof.report(
            snapshot or Snapshot((), ()),
            namespace=namespace,
            pod=node.full_name(name),
            # What failed may run another manifest than the one in force.
            manifest=None if outcome.error else change.new or change.old,
        ),
        "downtime_seconds": outcome.downtime,
        "revision": revision.number if revision else None,
        "actions": actions,
        "diff": {"before_header": path, "after_header": path, "before": change.old_text, "after": new_text},
    }

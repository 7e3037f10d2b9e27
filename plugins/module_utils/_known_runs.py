# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""Which manifest a running pod stands for: a pod that runs is no proof where the kubelet has not taken the manifest yet.

A uid is a digest of what the manifest says (applyDefaults, pkg/kubelet/config/common.go), which cannot be computed here. So it
is remembered with the manifest whenever one is seen to run.
"""

from __future__ import annotations

import time

from ansible_collections.kubestatic.node.plugins.module_utils import _manifest
from ansible_collections.kubestatic.node.plugins.module_utils._node import Node
from ansible_collections.kubestatic.node.plugins.module_utils._plan import Change
from ansible_collections.kubestatic.node.plugins.module_utils._runtime import Sandbox
from ansible_collections.kubestatic.node.plugins.module_utils._store import Run
from ansible_collections.kubestatic.node.plugins.module_utils._watch import Watch


class KnownRuns:
    """What is known of the pods of one manifest directory, and what a rollout learns of them."""

    def __init__(self, node: Node, watch: Watch) -> None:
        self._node = node
        self._watch = watch
        self._runs = node.store.runs(node.manifest_dir)

    def others(self, change: Change) -> frozenset[str]:
        """Ids of the pod's sandboxes that are known to run another manifest than the one that shall be in force."""
        run, new = self._runs.get(change.wanted.key), change.new
        if run is None or new is None or new.text == run.text or _manifest.parse(run.text).same_as(new):
            return frozenset()
        return frozenset(box.id for box in self._sandboxes(change) if box.uid == run.uid)

    def note(self, change: Change, *, uid: str) -> None:
        """The new manifest of this change runs under this uid."""
        if change.new is not None and uid:
            self._runs[change.wanted.key] = Run(uid, change.new.text, self._restarted_at(change, uid=uid))

    def note_old(self, change: Change) -> None:
        """Remember what runs now before it is changed, also where it was placed by hand."""
        boxes = self._sandboxes(change)
        run = self._runs.get(change.wanted.key)
        if change.old is not None and boxes and (run is None or run.uid != boxes[0].uid):
            self._runs[change.wanted.key] = Run(boxes[0].uid, change.old.text)
            self.remember()

    def note_restart(self, change: Change) -> float:
        """Remember that this pod is restarted now; returns the Unix time at which it was before, 0.0 for never."""
        boxes = self._sandboxes(change)
        if change.old is None or not boxes:
            return 0.0
        before = self._restarted_at(change, uid=boxes[0].uid)
        self._runs[change.wanted.key] = Run(boxes[0].uid, change.old.text, time.time())
        self.remember()
        return before

    def forget(self, change: Change) -> None:
        """The pod is gone for good."""
        # What has never been seen to run was never measured either, so nothing is read for a pod that was gone before.
        if self._runs.pop(change.wanted.key, None):
            self._node.store.forget_downtimes(self._node.manifest_dir, "/".join(change.wanted.key))

    def remember(self) -> None:
        """Keep it for the next run."""
        self._node.store.remember_runs(self._node.manifest_dir, self._runs)

    def _restarted_at(self, change: Change, *, uid: str) -> float:
        run = self._runs.get(change.wanted.key)
        return run.restarted_at if run and run.uid == uid else 0.0

    def _sandboxes(self, change: Change) -> list[Sandbox]:
        namespace, name = change.wanted.key
        return self._watch.snapshot.sandboxes_of(namespace, self._node.full_name(name))

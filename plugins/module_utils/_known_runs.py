# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""Which manifest a running pod stands for: a pod that runs is no proof where the kubelet has not taken the manifest yet.

A uid is a digest of what the manifest says (applyDefaults, pkg/kubelet/config/common.go), which cannot be computed here. So it
is remembered with the manifest whenever one is seen to run.
"""

from __future__ import annotations

from ansible_collections.kubestatic.node.plugins.module_utils import _manifest
from ansible_collections.kubestatic.node.plugins.module_utils._node import Node
from ansible_collections.kubestatic.node.plugins.module_utils._plan import Change
from ansible_collections.kubestatic.node.plugins.module_utils._runtime import Sandbox
from ansible_collections.kubestatic.node.plugins.module_utils._watch import Watch


class KnownRuns:
    """What is known of the pods of one manifest directory, and what a rollout learns of them."""

    def __init__(self, node: Node, watch: Watch) -> None:
        self._node = node
        self._watch = watch
        self._runs = node.store.runs(node.manifest_dir)

    def others(self, change: Change) -> frozenset[str]:
        """Ids of the pod's sandboxes that are known to run another manifest than the one that shall be in force."""
        uid, text = self._runs.get(change.wanted.key, ("", ""))
        new = change.new
        if not uid or new is None or new.text == text or _manifest.parse(text).same_as(new):
            return frozenset()
        return frozenset(box.id for box in self._sandboxes(change) if box.uid == uid)

    def note(self, change: Change, *, uid: str) -> None:
        """The new manifest of this change runs under this uid."""
        if change.new is not None and uid:
            self._runs[change.wanted.key] = (uid, change.new.text)

    def note_old(self, change: Change) -> None:
        """Remember what runs now before it is changed, also where it was placed by hand."""
        boxes = self._sandboxes(change)
        if change.old is not None and boxes and boxes[0].uid != self._runs.get(change.wanted.key, ("", ""))[0]:
            self._runs[change.wanted.key] = (boxes[0].uid, change.old.text)
            self.remember()

    def forget(self, change: Change) -> None:
        """The pod is gone for good."""
        self._runs.pop(change.wanted.key, None)

    def remember(self) -> None:
        """Keep it for the next run."""
        self._node.store.remember_runs(self._node.manifest_dir, self._runs)

    def _sandboxes(self, change: Change) -> list[Sandbox]:
        namespace, name = change.wanted.key
        return self._watch.snapshot.sandboxes_of(namespace, self._node.full_name(name))

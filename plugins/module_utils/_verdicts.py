# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""The directory as this kubelet reads it: one verdict per entry, from the same functions that refuse a change."""

from __future__ import annotations

import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _manifest_dir, _proof, _rules
from ansible_collections.kubestatic.node.plugins.module_utils._errors import REFUSED
from ansible_collections.kubestatic.node.plugins.module_utils._manifest_dir import Entry
from ansible_collections.kubestatic.node.plugins.module_utils._runtime import Snapshot

RUNS, PENDING, SHADOWED, REFUSES, IGNORED = "runs", "pending", "shadowed", "refused", "ignored"


class Verdict(t.NamedTuple):
    """What the kubelet makes of one entry. ``reason`` is empty for ``runs``; ``remarks`` are drops and warnings."""

    entry: Entry
    verdict: str
    reason: str = ""
    remarks: tuple[str, ...] = ()


def judge(entries: t.Sequence[Entry], *, node_name: str, minor: int, snapshot: Snapshot | None) -> list[Verdict]:
    """One verdict per entry, in the kubelet's order; without a snapshot nothing tells whether a pod runs."""
    return [_judge(entry, entries, node_name=node_name, minor=minor, snapshot=snapshot) for entry in entries]


def _judge(
    entry: Entry, entries: t.Sequence[Entry], *, node_name: str, minor: int, snapshot: Snapshot | None
) -> Verdict:
    if entry.ignored:
        return Verdict(entry, IGNORED, entry.ignored)
    if entry.pod is None:
        return Verdict(entry, REFUSES, entry.refused)
    found = _rules.findings(entry.pod, node_name=node_name, minor=minor)
    remarks = tuple(str(finding) for finding in found if finding.level != REFUSED)
    refused = [str(finding) for finding in found if finding.level == REFUSED]
    if refused:
        return Verdict(entry, REFUSES, "; ".join(refused), remarks)
    same = _manifest_dir.duplicates(entries, entry.pod.key)
    rivals = same[same.index(entry) + 1 :]
    # A file that the kubelet refuses is skipped at each relist and shadows nothing.
    rival = next((one for one in reversed(rivals) if not _is_refused(one, node_name=node_name, minor=minor)), None)
    if rival is not None:
        return Verdict(entry, SHADOWED, f"{rival.path} holds the same pod and comes later in byte order", remarks)
    if snapshot is None:
        return Verdict(entry, PENDING, "crictl is not on this node, so nothing tells whether it runs", remarks)
    full_name, may_end = f"{entry.pod.name}-{node_name}", _proof.may_end(entry.pod)
    sight = _proof.look(snapshot, namespace=entry.pod.namespace, pod=full_name, may_end=may_end)
    missing = _proof.unfinished(entry.pod, sight)
    return Verdict(entry, PENDING if missing else RUNS, missing[0] if missing else "", remarks)


def _is_refused(entry: Entry, *, node_name: str, minor: int) -> bool:
    pod = entry.pod
    return pod is not None and any(
        finding.level == REFUSED for finding in _rules.findings(pod, node_name=node_name, minor=minor)
    )

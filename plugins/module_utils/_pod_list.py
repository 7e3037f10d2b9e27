# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""What the pods of one call are to each other, and to those that are not listed."""

from __future__ import annotations

import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils._control_plane_files import COMPONENTS, NAMESPACE
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._manifest import Key, Pod
from ansible_collections.kubestatic.node.plugins.module_utils._manifest_dir import Entry
from ansible_collections.kubestatic.node.plugins.module_utils._plan import GONE, Change, Wanted, is_managed


def prunable(
    wanted: t.Iterable[Wanted], entries: t.Iterable[Entry], *, prune: str, placed: t.Mapping[str, str]
) -> list[tuple[str, Pod]]:
    """(filename, pod) that `prune` removes: pods that nobody lists, of this collection (managed) or of anybody (all).

    A control plane that is beside what one task lists is another task's.
    """
    listed = {one.key for one in wanted}
    elsewhere = {(NAMESPACE, component) for component in COMPONENTS}
    return [
        (entry.filename, entry.pod)
        for entry in entries
        if entry.pod is not None
        and entry.pod.key not in listed
        and (prune == "all" or (prune == "managed" and entry.pod.key not in elsewhere and is_managed(entry, placed)))
    ]


def require_consistent(wanted: t.Sequence[Wanted]) -> None:
    """Raise KubestaticError where the wanted pods contradict each other: twice the same, unknown or circular depends_on."""
    keys = [one.key for one in wanted]
    filenames: dict[str, Wanted] = {}
    for index, one in enumerate(wanted):
        if one.key in keys[:index]:
            raise KubestaticError(f"{one.title}: this pod is listed twice; list it once")
        if one.filename and one.filename in filenames:
            raise KubestaticError(
                f"{one.title}: filename {one.filename} is taken by {filenames[one.filename].title}; one file per pod"
            )
        if one.filename:
            filenames[one.filename] = one
        for needed in one.depends_on:
            if needed not in keys:
                raise KubestaticError(f"{one.title}: depends_on names {'/'.join(needed)}, which is not listed in pods")
    _require_no_circle({one.key: one.depends_on for one in wanted})


def require_distinct_files(changes: t.Sequence[Change]) -> None:
    """Raise KubestaticError where two manifests would be one file."""
    seen: dict[str, Change] = {}
    for change in changes:
        if change.action == GONE:
            continue
        other = seen.setdefault(change.filename, change)
        if other is not change:
            raise KubestaticError(
                f"pods {'/'.join(other.wanted.key)} and {'/'.join(change.wanted.key)} would both be in {change.filename};"
                " set filename for one of them"
            )


def _require_no_circle(needs: t.Mapping[Key, tuple[Key, ...]]) -> None:
    settled: set[Key] = set()
    while len(settled) < len(needs):
        free = {key for key, needed in needs.items() if key not in settled and settled.issuperset(needed)}
        if not free:
            circle = ", ".join(sorted("/".join(key) for key in needs if key not in settled))
            raise KubestaticError(f"depends_on goes round in a circle among {circle}; remove one of the links")
        settled |= free

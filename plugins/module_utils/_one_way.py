# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""Manifests from which there is no way back: what their pods have done to data on the node, the older ones cannot read."""

from __future__ import annotations

import re
import typing as t

if t.TYPE_CHECKING:
    from ansible_collections.kubestatic.node.plugins.module_utils._manifest import Pod


def reason(new: Pod, old: Pod) -> str:
    """Why a node that had `new` in force must not go back to `old`; empty where it may.

    An etcd raises its data to its own minor, and an older one refuses to start on them
    (https://etcd.io/docs/v3.6/downgrades/). Whether it came so far cannot be told from here.
    """
    newer, older = _etcd_minor(new), _etcd_minor(old)
    if newer is None or older is None or newer <= older:
        return ""
    return (
        f"etcd {newer[0]}.{newer[1]} may have migrated its data, on which etcd {older[0]}.{older[1]} does not start; mend the"
        " new manifest, or restore a snapshot for the old one"
    )


def _etcd_minor(pod: Pod) -> tuple[int, int] | None:
    """(3, 6) for a pod with a container of the image etcd:v3.6.4-0."""
    for container in pod.containers:
        found = re.search(r"(?:^|/)etcd:v?(\d+)\.(\d+)", str(container.get("image")))
        if found:
            return int(found[1]), int(found[2])
    return None

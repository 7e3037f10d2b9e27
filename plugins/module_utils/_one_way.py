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
    newer, older = _etcd_image(new), _etcd_image(old)
    if not newer or not older or newer == older:
        return ""
    minor, older_minor = _minor(newer), _minor(older)
    if minor and older_minor and minor <= older_minor:
        return ""
    return (
        f"{newer} may have migrated the data of etcd, on which {older} does not start if it is of an older minor; mend the new"
        " manifest, or restore a snapshot for the old one"
    )


def _etcd_image(pod: Pod) -> str:
    """The image of the container that runs etcd, by its name, such as registry.k8s.io/etcd or rancher/hardened-etcd."""
    images = (str(container.get("image")) for container in pod.containers)
    return next((image for image in images if "etcd" in _name_and_tag(image)[0]), "")


def _minor(image: str) -> tuple[int, int] | None:
    """(3, 6) for the tag v3.6.4-0; None where the tag tells no version."""
    found = re.match(r"v?(\d+)\.(\d+)", _name_and_tag(image)[1])
    return (int(found[1]), int(found[2])) if found else None


def _name_and_tag(image: str) -> tuple[str, str]:
    name, _colon, tag = image.partition("@")[0].rpartition("/")[2].partition(":")
    return name, tag

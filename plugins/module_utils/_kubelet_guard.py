# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""Which restarts of a kubelet would kill the static pods that run: those after which it knows them no more.

A kubelet knows its pods by uid and finds them by cgroup. The manifest's full path and the node's name are part of a static
pod's uid, and so are the fields that a minor knows (applyDefaults, pkg/kubelet/config/common.go). What it does not know
it kills with one second of grace and without preStop hooks (HandlePodCleanups, pkg/kubelet/kubelet_pods.go).
"""

from __future__ import annotations

import os
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _kubelet_process
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_identity import UNKNOWN, Identity

# Longer lists of pods are cut in messages.
_FEW = 4


class Pods(t.NamedTuple):
    """Names of the pods that run, by where they come from; those from manifests as the manifests name them."""

    file: tuple[str, ...] = ()
    http: tuple[str, ...] = ()
    api: tuple[str, ...] = ()

    @property
    def static(self) -> tuple[str, ...]:
        return self.file + self.http


def require_safe(before: Identity, after: Identity, *, pods: Pods) -> None:
    """Raise KubestaticError where a restart would kill some of these running pods."""
    if pods.file and before.manifest_dir != after.manifest_dir:
        raise KubestaticError(_other_directory(before.manifest_dir, after.manifest_dir, pods=pods.file))
    if pods.http and before.pod_url != after.pod_url:
        raise KubestaticError(
            f"staticPodURL: with another URL, or none, the kubelet {_kills(pods.http)}, as it knows them by it; have the old"
            " URL stop serving them first, or set allow_pod_loss: true"
        )
    # A cgroup that is elsewhere is lost for a pod of the API server as well.
    changes = (
        ("the node's name", before.node_name, after.node_name, pods.static, "static pods"),
        ("the cgroup driver", before.cgroup_driver, after.cgroup_driver, pods.static + pods.api, "pods"),
        ("the cgroup root", before.cgroup_root, after.cgroup_root, pods.static + pods.api, "pods"),
    )
    for what, old, new, lost, kind in changes:
        if lost and old != new:
            raise KubestaticError(
                f"{what} changes from {old} to {new} with this restart, and the kubelet then {_kills(lost, kind=kind)}; stop them"
                " first, or set allow_pod_loss: true"
            )


def require_same_minor(running: str, waiting: str, *, program: str, pods: Pods) -> None:
    """Raise KubestaticError where the restart would be the first start of another minor, which gives static pods new uids.

    `running` and `waiting`: versions of the kubelet that runs and of the `program` that would be started.
    """
    if pods.static and _kubelet_process.minor_of(running) != _kubelet_process.minor_of(waiting):
        raise KubestaticError(
            f"{program} is kubelet {waiting} by now, while {running} runs: its first start gives every static pod a new uid"
            " and kills the old ones with one second of grace; restart the kubelet as a part of that upgrade, or set"
            " allow_pod_loss: true"
        )


def _other_directory(before: str, after: str, *, pods: t.Sequence[str]) -> str:
    pointed = (
        f"staticPodPath: a kubelet that is pointed from {before or 'nothing'} to {after or 'nothing'} {_kills(pods)}"
    )
    if before == UNKNOWN:
        return (
            f"{pointed}; it was started before its files were changed by hand, so say the old staticPodPath there again and"
            " let this task change it, or set allow_pod_loss: true"
        )
    if not (before and after):
        return f"{pointed}, as it knows them by their paths; remove them first, or set allow_pod_loss: true"
    if os.path.realpath(before) == os.path.realpath(after):
        return (
            f"{pointed}, as another spelling of the same directory gives them other uids; keep the one that is in force, or"
            " set allow_pod_loss: true"
        )
    return (
        f"{pointed}, as it knows them by their paths; set move_manifests: true to have them stopped orderly and moved, or"
        " allow_pod_loss: true"
    )


def _kills(pods: t.Sequence[str], *, kind: str = "static pods") -> str:
    names = ", ".join(pods[:_FEW]) + (f" and {len(pods) - _FEW} more" if len(pods) > _FEW else "")
    return f"kills the {kind} that run ({names}) with one second of grace"

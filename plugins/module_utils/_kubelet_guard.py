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

from ansible_collections.kubestatic.node.plugins.module_utils import _kubelet_service, _kubelet_settings
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_layers import Key, Layers
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_service import Kubelet, KubeletService

PATH: Key = ("staticPodPath",)

# Longer lists of pods are cut in messages.
_FEW = 4


class Identity(t.NamedTuple):
    """What a kubelet knows its static pods by. ``manifest_dir`` is empty for none."""

    manifest_dir: str
    node_name: str
    cgroup_driver: str
    cgroup_root: str


_NAMES = {
    "node_name": "the node's name",
    "cgroup_driver": "the cgroup driver",
    "cgroup_root": "the cgroup root",
}


def identity(layers: Layers) -> Identity:
    """By what a kubelet with these layers knows its pods."""
    hostname = layers.flag("hostname-override")
    return Identity(
        manifest_dir=manifest_dir(layers),
        node_name=_kubelet_settings.node_name(hostname.value if hostname else ""),
        cgroup_driver=text(layers, ("cgroupDriver",)) or "cgroupfs",
        cgroup_root=text(layers, ("cgroupRoot",)) or "/",
    )


def manifest_dir(layers: Layers) -> str:
    """The effective staticPodPath as the kubelet spells it, or an empty string."""
    given = layers.strongest(PATH)
    if given is None or not isinstance(given.value, str) or not given.value:
        return ""
    # KubeletConfigurationPathRefs: relative to the file, in --config only.
    return _kubelet_settings.full_path(
        given.value, base=os.path.dirname(given.path) if given.layer == _kubelet_settings.FILE else "/"
    )


def require_safe(before: Identity, after: Identity, *, pods: t.Sequence[str]) -> None:
    """Raise KubestaticError where a restart would kill these running static pods, named as their manifests name them."""
    if not pods or before == after:
        return
    names = ", ".join(pods[:_FEW]) + (f" and {len(pods) - _FEW} more" if len(pods) > _FEW else "")
    kills = f"the static pods that run ({names}) with one second of grace"
    if before.manifest_dir != after.manifest_dir:
        is_both = before.manifest_dir and after.manifest_dir
        spelt = is_both and os.path.realpath(before.manifest_dir) == os.path.realpath(after.manifest_dir)
        why = (
            "another spelling of the same directory gives them other uids" if spelt else "it knows them by their paths"
        )
        raise KubestaticError(
            f"staticPodPath: a kubelet that is pointed from {before.manifest_dir or 'nothing'} to {after.manifest_dir or 'nothing'} kills"
            f" {kills}, as {why}; set move_manifests: true to have them stopped orderly and moved, or allow_pod_loss: true"
        )
    for field, what in _NAMES.items():
        old, new = getattr(before, field), getattr(after, field)
        if old != new:
            raise KubestaticError(
                f"{what} changes from {old} to {new} with this restart, and the kubelet then kills {kills}; stop them first,"
                " or set allow_pod_loss: true"
            )


def require_same_minor(service: KubeletService, kubelet: Kubelet, *, program: str, pods: t.Sequence[str]) -> None:
    """Raise KubestaticError where the restart would be the first start of another minor, which gives pods new uids."""
    if not pods or _kubelet_service.is_same_program(kubelet.pid, program):
        return
    version = service.version_of(program)
    if _kubelet_service.minor_of(version) != kubelet.minor:
        raise KubestaticError(
            f"{program} is kubelet {version} by now, while {kubelet.version} runs: its first start gives every static pod a"
            " new uid and kills the old ones with one second of grace; restart the kubelet as a part of that upgrade, or"
            " set allow_pod_loss: true"
        )


def text(layers: Layers, key: Key) -> str:
    """The effective value of a setting that is text; empty for none."""
    return str(layers.value(key, "") or "")

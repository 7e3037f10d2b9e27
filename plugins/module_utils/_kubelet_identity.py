# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""What a kubelet knows its pods by, as its layers say it.

A kubelet knows its pods by uid and finds them by cgroup. The manifest's full path and the node's name are part of a static
pod's uid (applyDefaults, pkg/kubelet/config/common.go).
"""

from __future__ import annotations

import hashlib
import os
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _kubelet_layers, _kubelet_settings
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_layers import Key, Layers

PATH: Key = ("staticPodPath",)

# The manifest directory of a kubelet that was started before its files said what they say now.
UNKNOWN = "a directory that no file tells any more"


class Identity(t.NamedTuple):
    """What a kubelet knows its pods by. ``manifest_dir`` is empty for none, ``pod_url`` a digest of staticPodURL, or empty."""

    manifest_dir: str
    node_name: str
    cgroup_driver: str
    cgroup_root: str
    pod_url: str


def identity(layers: Layers) -> Identity:
    """By what a kubelet with these layers knows its pods."""
    hostname = layers.flag("hostname-override")
    url = text(layers, _kubelet_layers.URL)
    return Identity(
        manifest_dir=manifest_dir(layers),
        node_name=_kubelet_settings.node_name(hostname.value if hostname else ""),
        cgroup_driver=text(layers, ("cgroupDriver",)) or "cgroupfs",
        cgroup_root=text(layers, ("cgroupRoot",)) or "/",
        pod_url=hashlib.sha256(url.encode()).hexdigest()[:32] if url else "",
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


def text(layers: Layers, key: Key) -> str:
    """The effective value of a setting that is text; empty for none."""
    return str(layers.value(key, "") or "")

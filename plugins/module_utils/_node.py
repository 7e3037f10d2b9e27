# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""One look at a node: its kubelet, what that kubelet was told, its runtime and its manifest directory."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import (
    _directory,
    _kubelet_process,
    _kubelet_settings,
    _runtime,
)
from ansible_collections.kubestatic.node.plugins.module_utils._command import Run
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_process import Kubelet
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_settings import Settings
from ansible_collections.kubestatic.node.plugins.module_utils._runtime import Runtime
from ansible_collections.kubestatic.node.plugins.module_utils._store import Store

if t.TYPE_CHECKING:
    from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_service import KubeletService


class Node(t.NamedTuple):
    """What the modules work on. ``runtime`` is None where there is no crictl."""

    store: Store
    run: Run
    kubelet: Kubelet
    settings: Settings
    runtime: Runtime | None
    manifest_dir: str

    @property
    def service(self) -> KubeletService:
        """The kubelet's unit."""
        return _service(self.run, self.store)

    def full_name(self, name: str) -> str:
        """The pod's name with the node's suffix, as the runtime and the API know it."""
        return f"{name}-{self.settings.node_name}"

    @property
    def watches(self) -> bool:
        """True where this kubelet takes pods from ``manifest_dir``."""
        return self.settings.manifest_dir == self.manifest_dir


def look(run: Run, *, search_path: str, manifest_dir: str | None, remember: bool) -> Node:
    """Look at this node. Nothing changes on it.

    `remember`: whether the store may keep what a kubelet answered.

    Raises KubestaticError where no kubelet runs or no manifest directory is known or usable.
    """
    store = Store(remember=remember)
    kubelet = _kubelet_process.known(store) or _service(run, store).running()
    settings = _kubelet_settings.effective(kubelet.argv, cwd=kubelet.cwd)
    path = manifest_dir or settings.manifest_dir
    if (
        manifest_dir
        and settings.manifest_dir
        and os.path.realpath(manifest_dir) == os.path.realpath(settings.manifest_dir)
    ):
        path = settings.manifest_dir
    if not path:
        raise KubestaticError(
            "this kubelet reads no manifest directory; set staticPodPath in its configuration and restart it"
        )
    _directory.require_usable(path)
    crictl = _runtime.find_crictl(search_path)
    endpoint = _runtime.find_endpoint(str(settings.value("containerRuntimeEndpoint") or ""))
    return Node(
        store=store,
        run=run,
        kubelet=kubelet,
        settings=settings,
        runtime=Runtime(run, crictl=crictl, endpoint=endpoint) if crictl else None,
        # The kubelet's own spelling counts: the path is part of a pod's uid.
        manifest_dir=os.path.normpath(path),
    )


def _service(run: Run, store: Store) -> KubeletService:
    # A node whose kubelet is known, and where nothing goes wrong, is not asked for it.
    from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_service import KubeletService

    return KubeletService(run, store=store)


def require_runtime(node: Node) -> Runtime:
    """The runtime, or a KubestaticError that says what to install."""
    if node.runtime is None:
        raise KubestaticError(
            "crictl is not on this node, and without it nothing proves that a pod runs; install it (package cri-tools, or"
            " the cri-tools release in /usr/local/bin), or set wait: false to place manifests without proof"
        )
    return node.runtime

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""One look at a kubelet, running or not: its unit, its process and the setup of its next start. Nothing changes by it."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import (
    _kubelet_guard,
    _kubelet_health,
    _kubelet_service,
    _kubelet_setup,
    _kubelet_start,
    _kubelet_unit,
    _manifest_dir,
)
from ansible_collections.kubestatic.node.plugins.module_utils._command import Run
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_guard import Identity
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_service import Kubelet, KubeletService, State
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_setup import Setup
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_start import Note
from ansible_collections.kubestatic.node.plugins.module_utils._node_files import Tree
from ansible_collections.kubestatic.node.plugins.module_utils._store import Store

if t.TYPE_CHECKING:
    from ansible_collections.kubestatic.node.plugins.module_utils._runtime import Runtime


class Look(t.NamedTuple):
    """What was seen. ``kubelet`` is None where none runs; ``identity`` is what the running one knows its pods by.

    ``note`` is what it was started with, None where that is not known.
    """

    store: Store
    service: KubeletService
    state: State
    kubelet: Kubelet | None
    version: str
    setup: Setup
    note: Note | None
    identity: Identity
    run: Run
    search_path: str

    @property
    def runtime(self) -> Runtime | None:
        """The container runtime; None where there is no crictl."""
        from ansible_collections.kubestatic.node.plugins.module_utils import _runtime

        crictl = _runtime.find_crictl(self.search_path)
        endpoint = _runtime.find_endpoint(_kubelet_guard.text(self.setup.layers, ("containerRuntimeEndpoint",)))
        return _runtime.Runtime(self.run, crictl=crictl, endpoint=endpoint) if crictl else None

    def stale(self, setup: Setup) -> list[str]:
        """Why the kubelet has to be restarted to run on this setup; empty where it does so, or does not run."""
        if self.kubelet is None:
            return []
        return _kubelet_start.stale(self.kubelet, setup, note=self.note, needs_reload=self.state.needs_reload)

    @property
    def minor(self) -> int:
        return self.setup.minor

    def static_pods(self) -> list[str]:
        """Names of the pods that run from manifests; where nothing shows pods, of those that the manifests name."""
        runtime = self.runtime
        if runtime is not None:
            boxes = runtime.snapshot().sandboxes
            found = {box.pod for box in boxes if box.source == "file" and box.ready}
            suffix = f"-{self.identity.node_name}"
            return sorted(name[: -len(suffix)] if name.endswith(suffix) else name for name in found)
        directory = self.identity.manifest_dir
        entries = _manifest_dir.read(directory) if directory and os.path.isdir(directory) else []
        return sorted(entry.pod.name for entry in entries if entry.pod is not None)

    def require_well(self) -> None:
        """Raise KubestaticError where the kubelet does not run or does not answer, whatever the reason is."""
        if self.kubelet is None:
            lines = _kubelet_health.quotable(self.service.journal(since=0, lines=20))
            told = _kubelet_health.last_word(lines)
            raise KubestaticError(
                f"the kubelet does not run ({self.service.unit} is {self.state})"
                + (f"; its log ends with: {told}" if told else "")
                + "; mend that first, or set restart: always to have it started with what is wanted here"
            )
        # Its files may name another port by now than when it started.
        address, port = self.note.healthz if self.note else _kubelet_health.endpoint(self.setup.layers)
        trouble = _kubelet_service.healthz(address, port) if port else ""
        if trouble:
            raise KubestaticError(
                f"the kubelet runs but is not well: {trouble}; mend that first, or set restart: always to have it restarted"
                " with what is wanted here"
            )


def look(run: Run, *, store: Store, unit: str, search_path: str, tree: Tree) -> Look:
    """Look at this node's kubelet. `tree`: the files as they are, or as they will be at its next start.

    Raises KubestaticError where there is no such unit, or where its files cannot be read.
    """
    service = KubeletService(run, store=store, unit=unit)
    state = service.state()
    if state.load_state == "masked":
        raise KubestaticError(
            f"{unit} is masked, so that nothing can start it; unmask it first (systemctl unmask {unit})"
        )
    if state.load_state != "loaded":
        raise KubestaticError(f"{unit} cannot be loaded by systemd ({state.load_state}); mend its files first")
    kubelet = service.running() if state.main_pid else None
    version = (
        kubelet.version
        if kubelet
        else service.version_of(_kubelet_unit.read(state.files, name=unit, tree=tree).argv[0])
    )
    setup = _kubelet_setup.read(
        unit,
        f"/etc/systemd/system/{unit}.d",
        files=state.files,
        minor=_kubelet_service.minor_of(version),
        tree=tree,
    )
    note = _kubelet_start.known(kubelet, store=store) if kubelet else None
    return Look(
        store=store,
        service=service,
        state=state,
        kubelet=kubelet,
        version=version,
        setup=setup,
        note=note,
        identity=note.identity if note else _kubelet_guard.identity(setup.layers),
        run=run,
        search_path=search_path,
    )

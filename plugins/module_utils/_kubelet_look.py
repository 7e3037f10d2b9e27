# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""One look at a kubelet, running or not: its unit, its process and the setup of its next start. Nothing changes by it."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import (
    _kubelet_identity,
    _kubelet_layers,
    _kubelet_process,
    _kubelet_service,
    _kubelet_setup,
    _kubelet_start,
    _kubelet_unit,
)
from ansible_collections.kubestatic.node.plugins.module_utils._command import Run
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_identity import Identity
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_process import Kubelet
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_service import KubeletService, State
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_setup import Setup
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_start import Note
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_unit import Word
from ansible_collections.kubestatic.node.plugins.module_utils._node_files import Tree
from ansible_collections.kubestatic.node.plugins.module_utils._store import Store

if t.TYPE_CHECKING:
    from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_guard import Pods
    from ansible_collections.kubestatic.node.plugins.module_utils._runtime import Runtime


class Look(t.NamedTuple):
    """What was seen. ``kubelet`` is None where none runs; ``identity`` is what the one that runs, or ran, knows its pods by.

    ``note`` is what it was started with, None where that is not known. ``version`` is that of the program which would be
    started next, ``setup`` is judged by it.
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
        endpoint = _runtime.find_endpoint(_kubelet_identity.text(self.setup.layers, ("containerRuntimeEndpoint",)))
        return _runtime.Runtime(self.run, crictl=crictl, endpoint=endpoint) if crictl else None

    def stale(self, setup: Setup) -> list[str]:
        """Why the kubelet has to be restarted to run on this setup; empty where it does so, or does not run."""
        if self.kubelet is None:
            return []
        return _kubelet_start.stale(self.kubelet, setup, note=self.note, needs_reload=self.state.needs_reload)

    @property
    def minor(self) -> int:
        return self.setup.minor

    def pods(self) -> Pods:
        """The pods that run; where nothing shows them, those that the manifests of a running kubelet name."""
        from ansible_collections.kubestatic.node.plugins.module_utils import _manifest_dir
        from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_guard import Pods

        runtime = self.runtime
        if runtime is not None:
            found: dict[str, set[str]] = {"file": set(), "http": set(), "api": set()}
            suffix = f"-{self.identity.node_name}"
            for box in runtime.snapshot().sandboxes:
                if box.ready:
                    name = box.pod[: -len(suffix)] if box.pod.endswith(suffix) else box.pod
                    found.setdefault(box.source, set()).add(name)
            return Pods(*(tuple(sorted(found[source])) for source in Pods._fields))
        directory = self.identity.manifest_dir
        entries = _manifest_dir.read(directory) if self.kubelet and os.path.isdir(directory) else []
        return Pods(tuple(sorted(entry.pod.name for entry in entries if entry.pod is not None)))

    def require_well(self) -> None:
        """Raise KubestaticError where the kubelet does not run or does not answer, whatever the reason is."""
        if self.kubelet is None:
            from ansible_collections.kubestatic.node.plugins.module_utils import _kubelet_health

            lines = _kubelet_health.quotable(self.service.journal(since=0, lines=20))
            told = _kubelet_health.last_word(lines)
            raise KubestaticError(
                f"the kubelet does not run ({self.service.unit} is {self.state})"
                + (f"; its log ends with: {told}" if told else "")
                + "; mend that first, or set restart: always to have it started with what is wanted here"
            )
        # Its files may name another port by now than when it started.
        address, port = self.note.healthz if self.note else _kubelet_start.endpoint(self.setup.layers)
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
    # As systemctl completes it.
    unit = unit if unit.endswith(".service") else f"{unit}.service"
    service = KubeletService(run, store=store, unit=unit)
    state = service.state()
    if state.load_state == "masked":
        raise KubestaticError(
            f"{unit} is masked, so that nothing can start it; unmask it first (systemctl unmask {unit})"
        )
    if state.load_state != "loaded":
        raise KubestaticError(f"{unit} cannot be loaded by systemd ({state.load_state}); mend its files first")
    kubelet = service.running() if state.main_pid else None
    files = _kubelet_unit.files_on_disk(unit, state.files) if state.needs_reload else state.files
    program = "" if kubelet else _kubelet_unit.read(files, name=unit, tree=tree).argv[0]
    version = kubelet.version if kubelet else service.version_of(program)

    def read(version: str) -> Setup:
        minor = _kubelet_process.minor_of(version)
        return _kubelet_setup.read(unit, f"/etc/systemd/system/{unit}.d", files=files, minor=minor, tree=tree)

    setup = read(version)
    if kubelet and not _kubelet_process.is_same_program(kubelet.pid, setup.unit.argv[0]):
        version = service.version_of(setup.unit.argv[0])
        setup = setup if _kubelet_process.minor_of(version) == kubelet.minor else read(version)
    note = _kubelet_start.known(kubelet, store=store) if kubelet else None
    found = Look(
        store=store,
        service=service,
        state=state,
        kubelet=kubelet,
        version=version,
        setup=setup,
        note=note,
        identity=_kubelet_identity.identity(setup.layers),
        run=run,
        search_path=search_path,
    )
    if note is not None:
        return found._replace(identity=note.identity)
    if kubelet is None:
        return found._replace(identity=_kubelet_start.last_identity(store) or found.identity)
    return found._replace(identity=_running_identity(kubelet, tree=tree)) if found.stale(setup) else found


def _running_identity(kubelet: Kubelet, *, tree: Tree) -> Identity:
    """The identity of a kubelet whose files were changed since its start: by its flags, and by what it watches."""
    words = [Word(text, f"/proc/{kubelet.pid}/cmdline", 0) for text in kubelet.argv]
    found = _kubelet_identity.identity(_kubelet_layers.read(words, minor=kubelet.minor, tree=tree))
    if found.manifest_dir and not _kubelet_process.watches(kubelet.pid, found.manifest_dir):
        return found._replace(manifest_dir=_kubelet_identity.UNKNOWN)
    return found

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""What is under way on this node, noted before the first step, and what was done about it where a run was cut off.

The dot-files of a manifest directory tell the steps; the note tells where to look for them, and which pods are not proven
yet. It goes when the run has told its story, whether that is a good one or not.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._manifest import Key
from ansible_collections.kubestatic.node.plugins.module_utils._store import UNDER_WAY, Store

_LOCK = "notes.lock"


class OpenPod(t.NamedTuple):
    """A pod whose proof is due, with the options that its task gave it (see static_pod)."""

    name: str
    namespace: str
    wait_timeout: int
    settle: int | None
    rollback: bool

    @property
    def key(self) -> Key:
        return (self.namespace, self.name)


class OpenChanges:
    """The notes in the store. Raises KubestaticError where it takes none."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def directories(self) -> dict[str, list[OpenPod]]:
        """Manifest directory -> the pods in it that were to be proven."""
        return {
            path: [OpenPod(*pod) for pod in pods if isinstance(pod, list) and len(pod) == len(OpenPod._fields)]
            for path, pods in self._store.read(UNDER_WAY).items()
            if isinstance(pods, list)
        }

    def begin(self, directory: str, pods: t.Sequence[OpenPod]) -> None:
        """Note pods whose proof is due from now on; that of others, from a run that was cut off, stays due."""
        with alone(self._store):
            noted = [*self._others(directory, {pod.key for pod in pods}), *pods]
            self._store.write(UNDER_WAY, {**self._store.read(UNDER_WAY), directory: [list(pod) for pod in noted]})

    def end(self, directory: str, keys: t.AbstractSet[Key]) -> None:
        """What became of these pods has been told. The last one takes the note of the directory with it."""
        # A note that stays finds nothing to do.
        with contextlib.suppress(KubestaticError), alone(self._store):
            others = [list(pod) for pod in self._others(directory, keys)]
            rest = {path: pods for path, pods in self._store.read(UNDER_WAY).items() if path != directory}
            self._store.write(UNDER_WAY, {**rest, **({directory: others} if others else {})})

    def _others(self, directory: str, keys: t.AbstractSet[Key]) -> list[OpenPod]:
        return [pod for pod in self.directories().get(directory, []) if pod.key not in keys]

    def tell(self, what: str, sentences: t.Sequence[str]) -> None:
        """Keep for the next run what was done without one. `what` is PODS or KUBELET of _store."""
        if not sentences:
            return
        moment = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        told = [f"{sentence} ({moment}, by the recovery unit)" for sentence in sentences]
        with contextlib.suppress(KubestaticError), alone(self._store):
            known = self._store.recovered
            self._store.recovered = {**known, what: [*known.get(what, []), *told]}


def take_told(store: Store, what: str, *, forget: bool) -> list[str]:
    """What was done without a run since the last one."""
    told = [str(sentence) for sentence in store.recovered.get(what, [])]
    if told and forget:
        with contextlib.suppress(KubestaticError), alone(store):
            store.recovered = {key: value for key, value in store.recovered.items() if key != what}
    return told


@contextlib.contextmanager
def alone(store: Store) -> t.Iterator[None]:
    """Within, nobody else changes these notes: runs on other directories and both recovery units share them."""
    path = os.path.join(store.path, _LOCK)
    try:
        os.makedirs(store.path, mode=0o700, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as exc:
        raise KubestaticError(f"{path}: cannot be made: {exc.strerror}; make room or make it writable") from None
    try:
        # Held for one small file's replacement.
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""Several files changed as one: all of them, or none, whatever fails and wherever the run is killed.

Before the first file is made or changed, what all of them said is in the store. It goes from there once the kubelet is
proven on the new ones. A run that finds it there undoes what it tells of first: the old files are the ones that worked.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _file_edit, _kubelet_layers
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._file_edit import Content, SetContext
from ansible_collections.kubestatic.node.plugins.module_utils._node_files import Tree
from ansible_collections.kubestatic.node.plugins.module_utils._store import Store

# Drop-ins and units are world-readable where packages place them; what may hold a secret is not.
_PUBLIC = 0o644
_DIRECTORY_MODE, _MANIFEST_DIRECTORY_MODE = 0o755, 0o700

# A note of a change that was undone, while the kubelet may still run on it.
_UNDONE: dict[str, t.Any] = {"files": {}}


class FileChange(t.NamedTuple):
    """One file, as it is and as it shall be. The path has no links in it."""

    path: str
    before: Content
    after: Content


class Manifest(t.NamedTuple):
    """One file that moves. Owner and group are numbers."""

    filename: str
    text: str
    mode: int
    owner: int
    group: int
    managed: bool


class Moves(t.NamedTuple):
    """All manifests of `source` that hold a pod, on their way to `target`."""

    source: str
    target: str
    manifests: tuple[Manifest, ...]

    def __str__(self) -> str:
        names = ", ".join(one.filename for one in self.manifests)
        return f"{names} from {self.source} to {self.target}"


def of(tree: Tree, *, found: Tree) -> list[FileChange]:
    """The files of a planned tree that differ from those that are found. What holds a secret is for root alone."""
    changes = []
    for path, text in tree.planned.items():
        before = _file_edit.content(path)._replace(text=found.text(path))
        if text == before.text:
            continue
        mode = before.mode if before.text is not None else _PUBLIC
        # Nobody else's from now on, whatever it was before.
        mode = mode & ~0o077 if text is not None and _kubelet_layers.may_hold_secret(text) else mode
        changes.append(FileChange(path, before, Content(text, mode, before.owner, before.group)))
    return changes


class Undone(t.NamedTuple):
    """What an undo did, in sentences. ``is_whole``: nobody else had changed a file meanwhile, which is left then."""

    told: list[str]
    is_whole: bool


class Journal:
    """The change that is under way, as the store knows it."""

    def __init__(self, store: Store, *, set_context: SetContext) -> None:
        self._store = store
        self._set_context = set_context

    def begin(
        self, changes: t.Sequence[FileChange], *, moves: Moves | None = None, manifest_dir: str = "", unit: str = ""
    ) -> None:
        """All that may fail while nothing has changed: the note, new directories and files.

        `manifest_dir`: the manifest directory that has to be made, empty for none. `unit`: the kubelet's, for a recovery.
        """
        before = self._store.kubelet_change
        wanted = [os.path.dirname(change.path) for change in changes] + ([manifest_dir] if manifest_dir else [])
        missing = _file_edit.missing_directories(wanted)
        files = {
            change.path: {"before": list(change.before), "after": _digest(change.after.text)} for change in changes
        }
        moved = {**moves._asdict(), "manifests": [list(one) for one in moves.manifests]} if moves else None
        self._store.kubelet_change = {"files": files, "directories": missing, "moves": moved, "unit": unit}
        try:
            if manifest_dir:
                _file_edit.make_directory(manifest_dir, mode=_MANIFEST_DIRECTORY_MODE)
            for change in changes:
                _file_edit.make_directory(os.path.dirname(change.path), mode=_DIRECTORY_MODE)
                _file_edit.prepare(change.path, change.after, set_context=self._set_context)
        except KubestaticError:
            for change in changes:
                _file_edit.discard(change.path)
            _file_edit.remove_directories(self._store.kubelet_change["directories"])
            # A disk that takes no file may take no note either; then the next run finds nothing to undo.
            with contextlib.suppress(KubestaticError):
                self._store.kubelet_change = before
            raise

    def put_in_force(self, changes: t.Sequence[FileChange]) -> None:
        for change in changes:
            _put_in_force(change.path, change.after)

    def put_in(self, moves: Moves) -> None:
        """The manifests that were taken out of their old directory, into the new one."""
        from ansible_collections.kubestatic.node.plugins.module_utils import _kubelet_move

        _kubelet_move.put_in(moves, store=self._store, set_context=self._set_context)

    def undo(self, *, timeout: int) -> Undone:
        """Put everything back that still is as the change left it.

        The kubelet is not restarted, so the journal stays open until `close` says that it is proven. `timeout`: seconds for
        static pods that had moved to go.
        """
        change = self._store.kubelet_change
        told = []
        is_whole = True
        moves = _moves(change)
        if moves:
            from ansible_collections.kubestatic.node.plugins.module_utils import _kubelet_move

            # First, as long as the kubelet that may have started them reads that directory.
            _kubelet_move.take_back(moves, timeout=timeout)
        for path, note in change.get("files", {}).items():
            before = Content(*note["before"])
            now = _file_edit.content(path)
            _file_edit.discard(path)
            if _digest(now.text) == _digest(before.text):
                continue
            if _digest(now.text) != note["after"]:
                told.append(f"left {path} as it is, which somebody else has changed meanwhile")
                is_whole = False
                continue
            _file_edit.prepare(path, before, set_context=self._set_context)
            _put_in_force(path, before)
            told.append(f"put {path} back" if before.text is not None else f"removed {path} again")
        if moves:
            from ansible_collections.kubestatic.node.plugins.module_utils import _kubelet_move

            _kubelet_move.put_back(moves, store=self._store, set_context=self._set_context)
            told.append(f"put the manifests back into {moves.source}")
        _file_edit.remove_directories(change.get("directories", []))
        # Without it the note tells of what is undone already, and the next run finds nothing more to undo.
        with contextlib.suppress(KubestaticError):
            self._store.kubelet_change = {**_UNDONE, "unit": change.get("unit", "")}
        return Undone(told, is_whole)

    def close(self) -> None:
        """The files that are there are the ones to keep."""
        self._store.kubelet_change = {}

    @property
    def has_changed_files(self) -> bool:
        """Whether `undo` would put anything back."""
        return bool(self.undone(Tree()).planned or self._store.kubelet_change.get("moves"))

    def undone(self, tree: Tree) -> Tree:
        """The files as `undo` would leave them, for check mode."""
        for path, note in self._store.kubelet_change.get("files", {}).items():
            now = _digest(_file_edit.content(path).text)
            if now == note["after"] != _digest(Content(*note["before"]).text):
                tree = tree.with_file(path, Content(*note["before"]).text)
        return tree


def _moves(change: t.Mapping[str, t.Any]) -> Moves | None:
    moved = change.get("moves")
    if not moved:
        return None
    return Moves(moved["source"], moved["target"], tuple(Manifest(*one) for one in moved["manifests"]))


def _put_in_force(path: str, new: Content) -> None:
    try:
        _file_edit.put_in_force(path, new)
    except OSError as exc:
        raise KubestaticError(f"{path}: cannot be replaced: {exc.strerror}") from None


def _digest(text: str | None) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest() if text is not None else ""

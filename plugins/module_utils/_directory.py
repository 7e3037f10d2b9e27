# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""A directory as a place: could a kubelet read manifests from it, and does another run of this collection hold it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError

# filepath.Glob in listConfig takes these in the directory's own path as a pattern.
_GLOB_CHARACTERS = "*?[\\"


def require_usable(path: str) -> None:
    """Raise KubestaticError where the kubelet could not read manifests from this path."""
    if any(character in path for character in _GLOB_CHARACTERS):
        raise KubestaticError(
            f"{path}: the path of a manifest directory must not contain any of {' '.join(_GLOB_CHARACTERS)}, as the kubelet"
            " takes it as a pattern; use another directory"
        )
    try:
        mode = os.stat(path).st_mode
    except OSError as exc:
        if exc.errno == errno.ELOOP:
            raise KubestaticError(
                f"{path}: the manifest directory is a loop of symbolic links; mend the link"
            ) from None
        if exc.errno == errno.ENOENT:
            raise KubestaticError(
                f"{path}: the manifest directory does not exist; create it (mode 0700, owner root) or set manifest_dir"
            ) from None
        raise KubestaticError(f"{path}: the manifest directory cannot be read: {exc.strerror}") from None
    if not stat.S_ISDIR(mode):
        raise KubestaticError(
            f"{path}: the manifest directory is a file; the kubelet loses a single file when it is replaced, so point it to a"
            " directory"
        )


@contextlib.contextmanager
def locked(path: str, *, what: str = "static pods") -> t.Iterator[None]:
    """Hold the directory for this process alone; the kernel lets go of it when the process ends, however it ends.

    `what` is changed here, for the message.

    Raises KubestaticError at once where another run holds it, as two runs would undo each other's waits, and where it cannot
    be opened.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as exc:
        raise KubestaticError(
            f"{path}: cannot be opened: {exc.strerror}; mend its owner or mode, or name another"
        ) from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise KubestaticError(
                f"{path}: another run{_lock_holder(handle)} is changing {what} here; let it finish and run again"
            ) from None
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def held(path: str, *, what: str) -> t.Iterator[None]:
    """As `locked`, for a directory of this collection's own, which is made where it is not there."""
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
    except OSError as exc:
        raise KubestaticError(
            f"{path}: cannot be made: {exc.strerror}; without it nothing is safe from another run, make it writable"
        ) from None
    with locked(path, what=what):
        yield


def _lock_holder(handle: int) -> str:
    """' (process N)' where /proc/locks tells who holds the lock, for the message."""
    inode = str(os.fstat(handle).st_ino)
    with contextlib.suppress(OSError), open("/proc/locks", encoding="ascii") as file:
        for line in file:
            fields = line.split()
            if "FLOCK" in fields and fields[-3].rpartition(":")[2] == inode:
                return f" (process {fields[-4]})"
    return ""

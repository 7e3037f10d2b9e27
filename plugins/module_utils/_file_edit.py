# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""Files of the node replaced whole, in one rename, and directories made for them."""

from __future__ import annotations

import contextlib
import os
import stat
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError

# No reader of a directory takes a name for its own that begins and ends so: systemd (units, drop-ins: *.conf), a kubelet
# (manifests: all but dot-files; drop-ins: *.conf, also hidden ones).
_PREFIX, _SUFFIX = ".", ".kubestatic-new"


# `set_context(path, final_path)` gives a new file the SELinux context of where it goes.
SetContext = t.Callable[[str, str], object]


class Content(t.NamedTuple):
    """One file as it is or shall be. ``text`` is None for no file; owner and group are numbers."""

    text: str | None
    mode: int = 0o600
    owner: int = 0
    group: int = 0


def content(path: str) -> Content:
    """The file that is there, without links in its path."""
    try:
        # Whatever bytes are in it, they are put back as they were.
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            text = file.read()
        found = os.stat(path)
    except FileNotFoundError:
        return Content(None)
    except OSError as exc:
        raise KubestaticError(f"{path}: cannot be read: {exc.strerror}") from None
    return Content(text, stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid)


def prepare(path: str, new: Content, *, set_context: SetContext) -> None:
    """The first half of a replacement, which the disk may refuse: the new file, complete, beside the old one.

    Raises KubestaticError; nothing has changed then.
    """
    temporary = _temporary(path)
    try:
        if new.text is None:
            return
        # The directory may be another user's, who may have put a link there.
        discard(path)
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            # A change of owner takes setuid and setgid away.
            os.fchown(handle, new.owner, new.group)
            os.fchmod(handle, new.mode)
            file.write(new.text)
            file.flush()
            set_context(temporary, path)
            os.fsync(handle)
    except (OSError, ValueError, OverflowError, KubestaticError) as exc:
        discard(path)
        why = exc.strerror if isinstance(exc, OSError) else exc
        raise KubestaticError(f"{path}: cannot be written: {why}; nothing was changed") from None


def put_in_force(path: str, new: Content) -> None:
    """The second half: one rename, or the file goes. It is on the disk on return."""
    _replace(path, new)
    _sync(os.path.dirname(path))


def put_all(
    files: t.Mapping[str, Content],
    *,
    directories: t.Sequence[str] = (),
    directory_mode: int,
    set_context: SetContext,
) -> None:
    """Have all these files (path -> what it shall be), the directories that they lack, and `directories`.

    Whatever the disk may refuse is done before the first rename. Where the process ends in between, each file is the old
    or the new one. Raises KubestaticError.
    """
    made: list[str] = []
    try:
        for path in [*directories, *map(os.path.dirname, files)]:
            made += make_directory(path, mode=directory_mode)
        for path, new in files.items():
            prepare(path, new, set_context=set_context)
        _replace_all(files)
    except Exception:
        # There may be secrets in them.
        for path in files:
            discard(path)
        remove_directories(made)
        raise
    # Each directory once: a sync costs as much as all else that is done for a file.
    for directory in sorted({os.path.dirname(path) for path in [*files, *made]}):
        try:
            _sync(directory)
        except OSError as exc:
            raise KubestaticError(
                f"{directory}: cannot be synced to the disk: {exc.strerror}; all files are new, and may be lost with the power"
            ) from None


def _replace_all(files: t.Mapping[str, Content]) -> None:
    for path, new in files.items():
        try:
            _replace(path, new)
        except OSError as exc:
            raise KubestaticError(
                f"{path}: cannot be replaced: {exc.strerror}; the files before it are new, run again for the others"
            ) from None


def discard(path: str) -> None:
    """Forget a first half."""
    with contextlib.suppress(OSError):
        os.unlink(_temporary(path))


def _temporary(path: str) -> str:
    directory, name = os.path.split(path)
    return os.path.join(directory, f"{_PREFIX}{name}{_SUFFIX}")


def _replace(path: str, new: Content) -> None:
    if new.text is None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    else:
        os.rename(_temporary(path), path)


def _sync(directory: str) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_directory(path: str, *, mode: int) -> list[str]:
    """Have a directory, and those above it, with this mode; returns those that were made, outermost first."""
    made: list[str] = []
    for one in missing_directories([path]):
        try:
            os.mkdir(one, mode)
            made.append(one)
            # Whatever the umask is.
            os.chmod(one, mode)
        except OSError as exc:
            remove_directories(made)
            raise KubestaticError(f"{one}: cannot be made: {exc.strerror}") from None
    return made


def missing_directories(paths: t.Iterable[str]) -> list[str]:
    """Those that are not there, and those above them, outermost first."""
    found: set[str] = set()
    for path in paths:
        while not os.path.lexists(path):
            found.add(path)
            path = os.path.dirname(path)
    return sorted(found)


def remove_directories(paths: t.Sequence[str]) -> None:
    """Take back what make_directory made, as far as nothing lies in it."""
    for path in reversed(paths):
        with contextlib.suppress(OSError):
            os.rmdir(path)

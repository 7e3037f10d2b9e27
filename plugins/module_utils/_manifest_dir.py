# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""The manifest directory as the kubelet reads it, and the few ways in which it is changed.

Reading follows pkg/kubelet/config/file.go: every name that does not start with a dot is read, whatever its extension.

Changing never shows the kubelet half a file, and needs no record beside the directory. What is under way is told by
dot-files, which the kubelet does not read, next to the manifest F:

====================  ======================  =========================================================
F                     dot-files               what an earlier run left undone, and what `recover` does
====================  ======================  =========================================================
there                 any                     nothing but litter: removed
not there             ``.old`` and ``.new``   a swap after its first step: ``.new`` becomes F
not there             ``.old``                a swap that lost its ``.new``: ``.old`` becomes F again
not there             ``.new`` or `.removed`  a first placement before, or a removal after its step: removed
====================  ======================  =========================================================
"""

from __future__ import annotations

import contextlib
import os
import stat
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _manifest
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError

_PREFIX = ".kubestatic."
NEW, OLD, REMOVED = "new", "old", "removed"

# NAME_MAX is 255 on all usual file systems; prefix and suffix need their share.
MAX_FILENAME = 255 - len(_PREFIX) - len(REMOVED) - 1


class Entry(t.NamedTuple):
    """One name in the directory: a Pod, or the reason why the kubelet finds none in it.

    ``refused`` is set where the kubelet reads the file and takes no Pod from it, ``ignored`` where it does not read it.
    """

    filename: str
    path: str
    pod: _manifest.Pod | None = None
    refused: str = ""
    ignored: str = ""


def read(path: str, *, recovered: bool = False) -> list[Entry]:
    """All entries of the directory in the kubelet's order (byte-wise), dot-files of this collection left out.

    With `recovered` they are as they will be once `ManifestDir.recover` has put in force what a killed run left.
    """
    files = {name: os.path.join(path, name) for name in os.listdir(path) if not name.startswith(_PREFIX)}
    for filename in left_behind(path) if recovered else ():
        version = successor(path, filename)
        if version:
            files[filename] = _dot(path, filename, version)
    return [_entry(path, name, source=files[name]) for name in sorted(files, key=os.fsencode)]


def left_behind(path: str) -> list[str]:
    """The manifests beside which a run has left dot-files."""
    left = set()
    for name in os.listdir(path):
        filename, _separator, suffix = name[len(_PREFIX) :].rpartition(".")
        if name.startswith(_PREFIX) and filename and suffix in (NEW, OLD, REMOVED):
            left.add(filename)
    return sorted(left)


def successor(path: str, filename: str) -> str:
    """Which dot-file takes the place of a manifest that is not there, by the table above; empty for none."""
    if os.path.lexists(os.path.join(path, filename)) or not os.path.lexists(_dot(path, filename, OLD)):
        return ""
    return NEW if os.path.lexists(_dot(path, filename, NEW)) else OLD


def duplicates(entries: t.Iterable[Entry], key: _manifest.Key) -> list[Entry]:
    """The entries that hold the pod with this (namespace, name); more than one is a fault of the directory.

    The kubelet keeps one pod per key: the last in byte order after each relist, the last touched in between.
    """
    return [entry for entry in entries if entry.pod is not None and entry.pod.key == key]


def require_filename(filename: str) -> None:
    """Raise KubestaticError for a name that the kubelet would not read or that leaves the directory."""
    if not filename or "/" in filename or filename.startswith(".") or "\0" in filename:
        raise KubestaticError(
            f"filename: {filename!r} is not a plain file name without a leading dot (the kubelet does not read dot-files)"
        )
    if len(os.fsencode(filename)) > MAX_FILENAME:
        raise KubestaticError(f"filename: {filename!r} is longer than {MAX_FILENAME} bytes; choose a shorter one")


class ManifestDir:
    """The steps by which the directory changes: each is one rename or unlink that is on the disk when it returns.

    ``finish_file(path, final_path)`` gives a new dot-file its mode, owner and SELinux context before the kubelet can see
    it; ``final_path`` is where it goes.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def full_path(self, filename: str) -> str:
        return os.path.join(self.path, filename)

    def text(self, filename: str) -> str | None:
        """What stands in a manifest; None where there is none, or where it cannot be read."""
        try:
            with open(self.full_path(filename), encoding="utf-8", newline="") as file:
                return file.read()
        except (OSError, UnicodeError):
            return None

    def recover(self, *, check_mode: bool) -> list[str]:
        """Finish or undo what a killed run left, by the table above. Returns what was done, in sentences."""
        done = []
        for filename in left_behind(self.path):
            suffix = successor(self.path, filename) if check_mode else self.settle(filename)
            if suffix:
                what = f"{'would put' if check_mode else 'put'} the {'new' if suffix == NEW else 'previous'} manifest"
                done.append(f"{self.full_path(filename)}: {what} in force, an earlier run was cut off")
        return done

    def settle(self, filename: str) -> str:
        """Bring one manifest to an end by the table above; the suffix of the dot-file that came in force, if any."""
        suffix = successor(self.path, filename)
        if suffix:
            self._rename(self._dot(filename, suffix), self.full_path(filename))
        self.tidy(filename)
        return suffix

    def write_new(self, filename: str, text: str, *, finish_file: t.Callable[[str, str], t.Any]) -> None:
        """Step 0: the new manifest as a dot-file, complete. A failure leaves nothing behind. `sync` ends the step."""
        path = self._dot(filename, NEW)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
                file.write(text)
                file.flush()
                finish_file(path, self.full_path(filename))
                os.fsync(file.fileno())
        except (OSError, KubestaticError) as exc:
            with contextlib.suppress(OSError):
                os.unlink(path)
            why = exc.strerror if isinstance(exc, OSError) else exc
            raise KubestaticError(
                f"{self.full_path(filename)}: cannot write the new manifest: {why}; nothing was changed"
            ) from None

    def take_away(self, filename: str, *, for_good: bool) -> None:
        """The kubelet loses sight of the manifest; its text stays as a dot-file until `tidy`."""
        self._rename(self.full_path(filename), self._dot(filename, REMOVED if for_good else OLD))

    def place(self, filename: str, *, over: bool) -> None:
        """The new manifest is in force from here on: one rename, `over` the old one where that is still there.

        Raises KubestaticError where it is not, and somebody else has put a manifest there.
        """
        if not over:
            self._require_free(filename)
        self._rename(self._dot(filename, NEW), self.full_path(filename))

    def put_back(self, filename: str) -> None:
        """The manifest that `take_away` took is in force again. Raises KubestaticError as `place`."""
        for suffix in (OLD, REMOVED):
            if os.path.lexists(self._dot(filename, suffix)):
                self._require_free(filename)
                self._rename(self._dot(filename, suffix), self.full_path(filename))
        self.tidy(filename)

    def _require_free(self, filename: str) -> None:
        if os.path.lexists(self.full_path(filename)):
            raise KubestaticError(
                f"somebody has put another manifest at {self.full_path(filename)} meanwhile, which was left as it is; run again"
            )

    def tidy(self, filename: str) -> None:
        """Remove this collection's dot-files of a manifest that is in force or gone for good.

        Where a power cut brings one back, it is litter by the table above.
        """
        for suffix in (NEW, OLD, REMOVED):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._dot(filename, suffix))

    def _dot(self, filename: str, suffix: str) -> str:
        return _dot(self.path, filename, suffix)

    def _rename(self, source: str, target: str) -> None:
        os.rename(source, target)
        self.sync()

    def sync(self) -> None:
        """A new file or a rename is on the disk only once its directory is."""
        handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _dot(directory: str, filename: str, suffix: str) -> str:
    return os.path.join(directory, f"{_PREFIX}{filename}.{suffix}")


def _entry(directory: str, name: str, *, source: str) -> Entry:
    """What the kubelet makes of a name; `source` is the file that it will find there."""
    path = os.path.join(directory, name)
    if name.startswith("."):
        return Entry(name, path, ignored="its name starts with a dot")
    try:
        mode = os.stat(source).st_mode
    except OSError as exc:
        return Entry(name, path, ignored=f"it cannot be read: {exc.strerror}")
    if not stat.S_ISREG(mode):
        kind = "a directory" if stat.S_ISDIR(mode) else "no regular file"
        return Entry(name, path, ignored=f"it is {kind}")
    try:
        with open(source, "rb") as file:
            # One byte more than the kubelet takes tells a file that is too long from one that just fits.
            raw = file.read(_manifest.MAX_BYTES + 1)
        return Entry(name, path, pod=_manifest.parse(raw))
    except OSError as exc:
        return Entry(name, path, ignored=f"it cannot be read: {exc.strerror}")
    except KubestaticError as exc:
        return Entry(name, path, refused=str(exc))

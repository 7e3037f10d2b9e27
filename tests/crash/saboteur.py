# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the nth side effect of a piece of code fail, or kills the process there.

A side effect is a system call that changes a file below the given directories, or a command that changes the node.
Real calls are wrapped, and what they do to the file system is real.
"""

from __future__ import annotations

import builtins
import contextlib
import os
import signal
import typing as t

# The functions of os that change files, and which of their arguments are paths.
_CALLS = {
    "rename": (0, 1),
    "replace": (0, 1),
    "unlink": (0,),
    "remove": (0,),
    "mkdir": (0,),
    "rmdir": (0,),
    "chmod": (0,),
    "chown": (0,),
    "lchown": (0,),
    "symlink": (1,),
    "link": (1,),
    "truncate": (0,),
    "utime": (0,),
}
# The second words of the commands that change a node.
_COMMANDS = ("stop", "start", "restart", "reset-failed", "daemon-reload", "stopp", "pull", "rm")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Saboteur:
    """Counts side effects and strikes at number `at` (from 0; None: never).

    ``how``: an errno, with which the call fails instead of being made, or one of two ways in which the process is killed
    by SIGKILL: `BEFORE` the call, which is also after the last one, or `HALFWAY`, with the first half of a text written.
    The latter counts writes alone, as all other calls are made whole or not at all. ``only``: count no side effects but
    those that are described by words that begin so. ``struck`` tells what was hit, ``seen`` all that was met.
    """

    BEFORE, HALFWAY = "before", "halfway"

    def __init__(self, *directories: str, at: int | None = None, how: int | str = BEFORE, only: str = "") -> None:
        self.directories = tuple(os.path.join(os.path.realpath(directory), "") for directory in directories)
        self.at = at
        self.how = how
        self.only = only
        self.seen: list[str] = []
        self.struck = ""
        self.before_kill: t.Callable[[str], t.Any] = lambda _what: None
        self._number = 0
        self._files: dict[int, str] = {}

    @contextlib.contextmanager
    def at_work(self) -> t.Iterator[Saboteur]:
        names = [name for name in _CALLS if hasattr(os, name)]
        before = {name: getattr(os, name) for name in [*names, "open", "fsync", "fdopen", "close"]}
        opened = builtins.open
        try:
            for name in names:
                setattr(os, name, self._path_call(name, before[name]))
            os.open = self._os_open(before["open"])
            os.close = self._os_close(before["close"])
            os.fsync = self._fsync(before["fsync"])
            os.fdopen = self._fdopen(before["fdopen"])
            builtins.open = self._open(opened)
            yield self
        finally:
            for name, function in before.items():
                setattr(os, name, function)
            builtins.open = opened

    def command(self, words: str, *, do: t.Callable[[], t.Any]) -> str | None:
        """A command that is about to be run; `do` makes sure that it counts as run. Returns its error where it fails."""
        if words.split()[:2][-1] not in _COMMANDS:
            return None
        try:
            self._effect(f"run {words}", do)
        except OSError as exc:
            return str(exc.strerror)
        return None

    # ---- wrappers

    def _effect(self, what: str, call: t.Callable[[], t.Any], *, half: t.Callable[[], t.Any] | None = None) -> t.Any:
        self.seen.append(what)
        counts = what.startswith(self.only) and (self.how != self.HALFWAY or half is not None)
        self._number += counts
        if not counts or self._number - 1 != self.at:
            return call()
        self.struck = what
        if isinstance(self.how, int):
            raise OSError(self.how, os.strerror(self.how), what)
        self.before_kill(what)
        if half is not None and self.how == self.HALFWAY:
            half()
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("not reached")

    def _is_ours(self, path: t.Any) -> bool:
        if isinstance(path, int):
            return path in self._files
        directory, name = os.path.split(os.path.abspath(os.fsdecode(path)))
        return os.path.join(os.path.realpath(directory), name).startswith(self.directories)

    def _path_call(self, name: str, function: t.Any) -> t.Any:
        def call(*args: t.Any, **kwargs: t.Any) -> t.Any:
            paths = [args[index] for index in _CALLS[name] if index < len(args)]
            if not any(self._is_ours(path) for path in paths):
                return function(*args, **kwargs)
            words = " ".join(os.path.basename(os.fsdecode(path)) for path in paths if not isinstance(path, int))
            return self._effect(f"{name} {words}", lambda: function(*args, **kwargs))

        return call

    def _os_open(self, function: t.Any) -> t.Any:
        def call(path: t.Any, flags: int, *args: t.Any, **kwargs: t.Any) -> t.Any:
            if not self._is_ours(path) and not self._is_ours(os.path.join(os.fsdecode(path), "x")):
                return function(path, flags, *args, **kwargs)

            def make() -> int:
                handle: int = function(path, flags, *args, **kwargs)
                self._files[handle] = os.path.basename(os.fsdecode(path))
                return handle

            name = os.path.basename(os.fsdecode(path))
            return self._effect(f"open {name}", make) if flags & _WRITES else make()

        return call

    def _os_close(self, function: t.Any) -> t.Any:
        def call(handle: int) -> None:
            self._files.pop(handle, None)
            function(handle)

        return call

    def _fsync(self, function: t.Any) -> t.Any:
        def call(handle: int) -> None:
            if handle not in self._files:
                function(handle)
            else:
                self._effect(f"fsync {self._files[handle]}", lambda: function(handle))

        return call

    def _fdopen(self, function: t.Any) -> t.Any:
        def call(handle: int, *args: t.Any, **kwargs: t.Any) -> t.Any:
            file = function(handle, *args, **kwargs)
            return _File(file, self, self._files[handle]) if handle in self._files else file

        return call

    def _open(self, function: t.Any) -> t.Any:
        def call(path: t.Any, mode: str = "r", *args: t.Any, **kwargs: t.Any) -> t.Any:
            if not set(mode) & set("wax+") or isinstance(path, int) or not self._is_ours(path):
                return function(path, mode, *args, **kwargs)
            name = os.path.basename(os.fsdecode(path))
            file = self._effect(f"open {name}", lambda: function(path, mode, *args, **kwargs))
            self._files[file.fileno()] = name
            return _File(file, self, name)

        return call


class _File:
    """A file that is written through the saboteur: what is written is one side effect, when it is flushed or closed."""

    def __init__(self, file: t.Any, saboteur: Saboteur, name: str) -> None:
        self._file = file
        self._saboteur = saboteur
        self._name = name
        self._pending: list[t.Any] = []

    def __enter__(self) -> _File:
        return self

    def __exit__(self, kind: t.Any, *_exc: t.Any) -> None:
        if kind is not None:
            # A file object still flushes its buffer when it is closed after a failure.
            self._pending, pending = [], self._pending
            with contextlib.suppress(OSError):
                for part in pending:
                    self._file.write(part)
        self.close()

    def __getattr__(self, name: str) -> t.Any:
        return getattr(self._file, name)

    def write(self, data: t.Any) -> int:
        self._pending.append(data)
        return len(data)

    def flush(self) -> None:
        pending, self._pending = self._pending, []
        if not pending:
            return
        whole = pending[0][:0].join(pending)

        def put(data: t.Any) -> None:
            self._file.write(data)
            self._file.flush()

        self._saboteur._effect(f"write {self._name}", lambda: put(whole), half=lambda: put(whole[: len(whole) // 2]))

    def close(self) -> None:
        if self._file.closed:
            return
        handle = self._file.fileno()
        try:
            self.flush()
        finally:
            self._saboteur._files.pop(handle, None)
            self._file.close()

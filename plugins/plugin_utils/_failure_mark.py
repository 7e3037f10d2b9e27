# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""The mark that a task leaves on the controller when it fails on a node, so that the nodes after it stay untouched.

``throttle: 1`` alone goes on with the next node after a failure, and with it the same bad change goes on too.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import pathlib
import typing as t
import urllib.parse

if t.TYPE_CHECKING:
    from ansible.playbook.task import Task

_DIRECTORY = "kubestatic-failed"
_NAME_LENGTH = 180  # leaves room for the digest in a file name of 255 bytes


def task_key(task: Task) -> str:
    """Name the place in the play where ``task`` stands: 16 hex digits, the same for each host and each serial batch.

    A task that a play or a role loads once has one uuid for the whole run. One behind a dynamic include gets
    a new uuid with each batch, but the outermost include keeps its own, and the files and lines below do not change.
    """
    places = [task.get_path()]
    outermost = task
    include = task.get_first_parent_include()
    while include:
        places.append(include.get_path())
        outermost = include
        include = include.get_first_parent_include()
    return _digest(outermost._uuid, *places)


@dataclasses.dataclass(frozen=True)
class FailureMark:
    """The mark of one call of a task on one node, an empty file ``kubestatic-failed/KEY/NODE@CALL``.

    ``run_directory`` is this run's temporary directory on the controller, shared by all workers of the run and
    removed at its end. ``call`` tells the items of a loop apart: an item that succeeds must not
    clear the mark of the item before it, while a retry of the same item must.
    """

    run_directory: str
    key: str
    node: str
    call: str

    @property
    def _directory(self) -> pathlib.Path:
        return pathlib.Path(self.run_directory, _DIRECTORY, self.key)

    @property
    def _path(self) -> pathlib.Path:
        return self._directory / f"{_file_name(self.node)}@{_digest(self.call)}"

    def failed_elsewhere(self) -> list[str]:
        """Return the other nodes on which this task failed in this run, the first failure first."""
        marks = []
        for path in self._directory.glob("*@*"):
            with contextlib.suppress(FileNotFoundError):  # a retry that succeeds on that node takes its mark away
                marks.append((path.stat().st_mtime_ns, path.name.rpartition("@")[0]))
        names = dict.fromkeys(name for _time, name in sorted(marks))
        return [urllib.parse.unquote(name) for name in names if name != _file_name(self.node)]

    def leave(self) -> None:
        """Leave the mark. Raises OSError where the controller cannot write it."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path.touch(mode=0o600)

    def clear(self) -> None:
        """Take the mark of an earlier try of the same call away."""
        self._path.unlink(missing_ok=True)


def _file_name(node: str) -> str:
    return urllib.parse.quote(node, safe="")[:_NAME_LENGTH]


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:16]

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One change, run again and again: with its first side effect hit, then the second, until a run meets no more of them."""

from __future__ import annotations

import dataclasses
import errno
import os
import typing as t

import pytest
from ansible_collections.kubestatic.node.tests.crash.saboteur import Saboteur

# More than any scenario has: a loop that never ends is a fault of the test.
MOST_SIDE_EFFECTS = 200

KILLS = (Saboteur.BEFORE, Saboteur.HALFWAY)
# Each side effect fails with one of them in turn: to the code they differ by their text alone.
ERRORS = (errno.ENOSPC, errno.EROFS, errno.EIO)


# What was struck in each run of this session, for the count at its end (conftest.py).
STRUCK: list[str] = []


@dataclasses.dataclass
class Run:
    """What became of one run. ``struck``: the side effect that was hit. ``result`` is None where the process was killed."""

    struck: str
    seen: list[str]
    result: dict[str, t.Any] | None
    traceback: str = ""


class World(t.Protocol):
    """A node in memory; ``on_command`` sees its commands before they are run."""

    on_command: t.Callable[[str], str | None]


class Node(t.Protocol):
    """What is hit: a world that can be made anew, the change in it, and the directories ``watched`` for side effects."""

    @property
    def world(self) -> World: ...

    @property
    def watched(self) -> tuple[str, ...]: ...

    def renew(self) -> None: ...

    def change(self) -> dict[str, t.Any]: ...


def killed(
    node: Node,
    *,
    at: int,
    how: str,
    done: t.Callable[[str], t.Any] = lambda _words: None,
    before_kill: t.Callable[[], t.Any] = lambda: None,
) -> Run:
    """Run the change in a child that is killed. There `done` gets each command that was run; what it did is lost else."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            saboteur = Saboteur(*node.watched, at=at, how=how)

            def tell(what: str) -> None:
                before_kill()
                os.write(writing, what.encode())

            saboteur.before_kill = tell
            _sabotage(node, saboteur, done=done)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        struck = pipe.read().decode()
    _pid, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) is bool(struck)
    STRUCK.extend([struck] if struck else [])
    return Run(struck=struck, seen=[], result=None)


def failing(node: Node, *, at: int | None, how: int) -> Run:
    """Run the change with one call that fails."""
    run = _sabotage(node, Saboteur(*node.watched, at=at, how=how), done=lambda _words: None)
    STRUCK.extend([run.struck] if run.struck else [])
    return run


def hits(node: Node, run: t.Callable[[int], Run], *, is_enough: t.Callable[[int, Run], bool]) -> t.Iterator[Run]:
    """Runs of the change with one side effect hit after the other, as long as there is one to hit.

    `is_enough`: whether a scenario may have so many, given the run that met no more.
    """
    for number in range(MOST_SIDE_EFFECTS):
        node.renew()
        hit = run(number)
        if not hit.struck:
            assert is_enough(number, hit), "the saboteur meets too few side effects"
            assert not hit.traceback
            return
        yield hit
    pytest.fail("there is no end of side effects")


def _sabotage(node: Node, saboteur: Saboteur, *, done: t.Callable[[str], t.Any]) -> Run:
    result: dict[str, t.Any] | None = None
    traceback = ""
    node.world.on_command = lambda words: saboteur.command(words, do=lambda: done(words))
    with saboteur.at_work():
        try:
            result = node.change()
        except Exception as exc:  # noqa: BLE001  # a traceback is what no test wants to see, of whatever kind
            traceback = f"{type(exc).__name__}: {exc}"
    node.world.on_command = lambda _command: None
    return Run(saboteur.struck, saboteur.seen, result, traceback)

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nodes in memory have in common: a clock of their own, commands that may be made to fail, a journal."""

from __future__ import annotations

import abc
import contextlib
import typing as t

if t.TYPE_CHECKING:
    Answer = tuple[int, str, str]

BEGIN = 1_800_000_000.0
STEP_SECONDS = 0.1


class Simulation(abc.ABC):
    """Goes on by steps while somebody sleeps, and stands for the module ``time``.

    ``broken``: beginnings of commands that fail, with what they say. ``on_command`` sees every command before it is run; a
    text that it returns is the error with which the command fails.
    """

    def begin_anew(self) -> None:
        """Forget all that has happened."""
        self.now = BEGIN
        self.journal: list[tuple[float, str]] = []
        self.commands: list[str] = []
        # What was asked of systemd about the recovery units, which are files here and run nothing.
        self.recovery_commands: list[str] = []
        self.synced = 0.0
        # Seconds by which the clock of the node was set while the runtime's records stay as they are.
        self.clock_error = 0.0
        self.broken: dict[str, str] = {}
        self.on_command: t.Callable[[str], str | None] = lambda _command: None

    @abc.abstractmethod
    def _live(self) -> None:
        """What happens in a step."""

    # ---- the clock

    def time(self) -> float:
        return self.now + self.clock_error

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + STEP_SECONDS)
            self._live()

    # ---- commands

    def about_recovery(self, words: t.Sequence[str]) -> bool:
        """Whether this is a command about the recovery units, which is noted then."""
        is_so = any(word.startswith("kubestatic-recover-") for word in words)
        self.recovery_commands += [" ".join(words)] if is_so else []
        return is_so

    def begun(self, command: str) -> Answer | None:
        """Note a command; its answer where it fails."""
        self.commands.append(command)
        error = self.on_command(command)
        broken = [said for beginning, said in self.broken.items() if command.startswith(beginning)]
        if error or broken:
            return 1, "", error or broken[0]
        self.sleep(0.02)
        return None

    def journalctl(self, words: t.Sequence[str]) -> Answer:
        if words[1] == "--sync":
            self.synced = self.now
            return 0, "", ""
        # What is logged is written a little later.
        seen = max(self.synced, self.now - STEP_SECONDS)
        since = next(float(word.partition("@")[2]) for word in words if word.startswith("--since="))
        return 0, "".join(f"{line}\n" for moment, line in self.journal if since <= moment <= seen), ""


@contextlib.contextmanager
def swapped(places: t.Sequence[tuple[t.Any, str, t.Any]]) -> t.Iterator[None]:
    """Within, each (object, name) of the places has that value."""
    before = [(room, name, getattr(room, name)) for room, name, _value in places]
    try:
        for room, name, value in places:
            setattr(room, name, value)
        yield
    finally:
        for room, name, value in before:
            setattr(room, name, value)

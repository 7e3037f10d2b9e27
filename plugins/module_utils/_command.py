# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""Commands on the node."""

from __future__ import annotations

import os
import subprocess
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError

# (exit code, stdout, stderr) of a command given as a list of words.
Run = t.Callable[[t.Sequence[str]], t.Tuple[int, str, str]]

NOT_STARTED = 127

# Programs in Go that live for some milliseconds, as crictl, take a fifth less CPU time without a second thread that collects
# their garbage early (runtime, "Environment Variables", in the documentation of Go).
_SHORT_LIVED_GO = {"GOMAXPROCS": "1", "GOGC": "400"}


def run(args: t.Sequence[str]) -> tuple[int, str, str]:
    """Run a command without a shell and without input. One that cannot be started ends with 127, as in a shell.

    AnsibleModule.run_command does the same, and more that is not needed here, at 2 ms a command: a run that changes
    nothing has two of them at least. That is why pylint is told to let subprocess pass below.
    """
    try:
        environment = {**os.environ, **_SHORT_LIVED_GO}
        done = subprocess.run(args, stdin=subprocess.DEVNULL, capture_output=True, check=False, env=environment)  # pylint: disable=ansible-bad-function
    except OSError as exc:
        return NOT_STARTED, "", f"{args[0]}: {exc.strerror}"
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def require(run: Run, args: t.Sequence[str]) -> None:
    """Run a command that has to end well. Raises KubestaticError with what it says, on one line."""
    code, out, err = run(args)
    if code != 0:
        raise KubestaticError(f"{' '.join(args)} failed: {' '.join((err.strip() or out.strip()).split())}")

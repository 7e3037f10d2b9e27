# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One call of a module in a process that has imported nothing else, as on a node: commands answer what they are told to.

Run as a program with a `Call` as JSON on its input; prints the module's result, then the rooms that the call imported.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import sys
import typing as t

from ansible.module_utils.testing import patch_module_args

_ROOMS = "ansible_collections.kubestatic.node.plugins.module_utils."


class Call(t.TypedDict):
    """``answers``: command -> exit code, output, errors. ``values``: [room, function, what each call of it returns]."""

    module: str
    arguments: dict[str, t.Any]
    store: str
    answers: dict[str, tuple[int, str, str]]
    values: list[tuple[str, str, t.Any]]


def main(given: Call) -> None:
    module = importlib.import_module(f"ansible_collections.kubestatic.node.plugins.modules.{given['module']}")
    # Rooms that a module looks at a node with, whatever it is.
    room("_store").Store.__init__.__defaults__ = (given["store"],)
    room("_command").run = lambda words: given["answers"][" ".join(words)]
    room("_module").require_root = lambda: None
    for name, function, value in given["values"]:
        setattr(room(name), function, lambda *_arguments, value=value: value)
    readlink = os.readlink
    # Where a process works that is none.
    vars(os)["readlink"] = lambda path, **options: "/" if str(path).endswith("/cwd") else readlink(path, **options)
    out = io.StringIO()
    with patch_module_args(given["arguments"]), contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        module.main()
    print(out.getvalue().strip())
    print(json.dumps(sorted(name[len(_ROOMS) :] for name in sys.modules if name.startswith(_ROOMS))))


def room(name: str) -> t.Any:
    return importlib.import_module(_ROOMS + name)


if __name__ == "__main__":
    main(json.load(sys.stdin))

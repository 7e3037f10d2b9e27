# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module runs on a node that are killed at one side effect after the other, by the saboteur that tests/crash uses, too."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

if t.TYPE_CHECKING:
    from conftest import Node

_TESTS = Path(__file__).resolve().parents[1]
# On the node. The interpreter loads the saboteur, and with it runs the module.
_PLACE = "/run/sabotage"
_INTERPRETER = f'#!/bin/sh\nPYTHONPATH={_PLACE} exec /usr/bin/python3 "$@"\n'


def install(node: Node) -> None:
    node.sh(f"mkdir -p {_PLACE}")
    for source in (_TESTS / "crash" / "saboteur.py", _TESTS / "integration" / "sabotage" / "sitecustomize.py"):
        node.sh(f"cat > {_PLACE}/{source.name}", stdin=source.read_bytes())
    node.sh(f"cat > {_PLACE}/python && chmod +x {_PLACE}/python", stdin=_INTERPRETER)


def run(node: Node, module: str, *, at: int, directories: t.Sequence[str], only: str = "", **options: t.Any) -> str:
    """Kill a module run by SIGKILL just before its side effect number `at` (from 0) below these directories.

    `only`: of those whose description begins so, see `Saboteur`. Returns what it was, or an empty string where the run
    came to its end before.
    """
    order = {"at": at, "directories": directories, "only": only}
    node.sh(f"cat > {_PLACE}/order.json; rm -f {_PLACE}/struck", stdin=json.dumps(order))
    node.module(module, f"--extra-vars=ansible_python_interpreter={_PLACE}/python", **options)
    return str(node.sh(f"cat {_PLACE}/struck 2>/dev/null; true"))

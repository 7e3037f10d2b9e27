# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Python on a test node loads before a module that shall be killed: the saboteur of tests/crash, at work in it.

It reads ``order.json`` beside it, keys directories, at and only, and leaves ``struck`` there where it kills.
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import typing as t
from unittest import mock

from saboteur import Saboteur

_HERE = pathlib.Path(__file__).parent
_ORDER = json.loads((_HERE / "order.json").read_text())

_saboteur = Saboteur(*_ORDER["directories"], at=_ORDER["at"], only=_ORDER["only"])
_saboteur.before_kill = (_HERE / "struck").write_text
_start = subprocess.Popen.__init__


def _started(process: t.Any, args: t.Any, *more: t.Any, **options: t.Any) -> None:
    _saboteur.command(" ".join(args), do=lambda: None)
    _start(process, args, *more, **options)


mock.patch.object(subprocess.Popen, "__init__", _started).start()
# Kept, as a context that is collected ends.
_at_work = _saboteur.at_work()
_at_work.__enter__()

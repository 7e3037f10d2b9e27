# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands on the node: what they get, and what comes of them."""

from __future__ import annotations

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _command


def test_output_errors_and_exit_code_are_told_apart() -> None:
    assert _command.run(["sh", "-c", "echo out; echo err >&2; exit 3"]) == (3, "out\n", "err\n")


def test_there_is_no_input() -> None:
    assert _command.run(["cat"]) == (0, "", "")


def test_what_cannot_be_started_ends_as_in_a_shell() -> None:
    assert _command.run(["/no/such"]) == (_command.NOT_STARTED, "", "/no/such: No such file or directory")


def test_the_environment_is_ours_and_short_for_programs_in_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEPT", "as it is")
    assert _command.run(["sh", "-c", "echo $KEPT $GOMAXPROCS $GOGC"]) == (0, "as it is 1 400\n", "")

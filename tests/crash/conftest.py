# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells at the end how many runs were hit, which `make bench` prints as a figure."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.kubestatic.node.tests.crash import hits


def pytest_sessionfinish(session: pytest.Session) -> None:
    # There in a worker of pytest-xdist alone, whose count is its own.
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["struck"] = hits.STRUCK


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: t.Any) -> None:
    # A worker that died has told nothing.
    hits.STRUCK.extend(getattr(node, "workeroutput", {}).get("struck", []))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    # A test ends with the first pod that is lost.
    lost = len(terminalreporter.stats.get("failed", []))
    terminalreporter.write_line(f"hit at a side effect: {len(hits.STRUCK)} runs, {lost} without a pod")

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A callback for the tests: one JSON line [host, result with its outcome] per result of this collection's modules."""

from __future__ import annotations

import json
import os
import typing as t

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: results_log
type: notification
short_description: Writes results down for the tests
description: Writes results down for the tests.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "results_log"
    CALLBACK_NEEDS_ENABLED = True

    def _log(self, outcome: str, result: t.Any) -> None:
        old = not hasattr(result, "task")  # ansible-core 2.18
        host, task, data = (
            (result._host, result._task, result._result) if old else (result.host, result.task, result.result)
        )
        if task.action.startswith("kubestatic.node."):
            with open(os.environ["RESULTS_LOG"], "a", encoding="utf-8") as log:
                log.write(json.dumps([host.get_name(), {**data, "outcome": outcome}], default=str) + "\n")

    def v2_runner_on_ok(self, result: t.Any) -> None:
        self._log("ok", result)

    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:
        self._log("failed", result)

    def v2_runner_on_unreachable(self, result: t.Any) -> None:
        self._log("unreachable", result)

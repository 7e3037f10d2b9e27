# SPDX-FileCopyrightText: kubestatic.node contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Ansible prints in the demo: one line of JSON per result, which demo.py turns into a sentence."""

from __future__ import annotations

import json
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: demo_lines
type: stdout
short_description: One line of JSON per result
description: One line of JSON per result, with host, failed and all that the module returns.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "demo_lines"

    def _tell(self, result: Any, *, failed: bool) -> None:
        line = {**result.result, "host": result.host.get_name(), "failed": failed}
        self._display.display(json.dumps(line, default=str))

    def v2_runner_on_ok(self, result: Any) -> None:
        self._tell(result, failed=False)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._tell(result, failed=True)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._tell(result, failed=True)

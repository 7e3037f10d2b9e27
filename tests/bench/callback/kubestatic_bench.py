# SPDX-FileCopyrightText: kubestatic.node contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Standard output for the benchmark: one JSON object per task and host, with the times of the task.

The clock starts when Ansible announces the task and stops with the host's result, so neither the start of
ansible-playbook nor its connections count where a task of the same run came before.
"""

from __future__ import annotations

import json
import time
import typing as t

from ansible.plugins.callback import CallbackBase

if t.TYPE_CHECKING:
    from ansible.executor.task_result import CallbackTaskResult
    from ansible.playbook.task import Task

DOCUMENTATION = r"""
name: kubestatic_bench
type: stdout
short_description: One JSON object per task and host
description:
  - For tests/bench only.
"""

# What the benchmark reads of a result; the rest (manifests, diffs) would only make long lines.
_KEYS = ("changed", "msg", "stdout", "downtime_seconds", "pods")


class CallbackModule(CallbackBase):
    """Writes records: ``task``, ``host``, ``started`` and ``ended`` (Unix time), ``failed``, ``result``."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "kubestatic_bench"

    def __init__(self) -> None:
        super().__init__()
        self._started: dict[str, float] = {}

    def v2_playbook_on_task_start(self, task: Task, is_conditional: bool) -> None:
        self._started[task._uuid] = time.time()

    def v2_runner_on_ok(self, result: CallbackTaskResult) -> None:
        self._write(result, failed=False)

    def v2_runner_on_failed(self, result: CallbackTaskResult, ignore_errors: bool = False) -> None:
        self._write(result, failed=not ignore_errors)

    def v2_runner_on_unreachable(self, result: CallbackTaskResult) -> None:
        self._write(result, failed=True)

    def _write(self, result: CallbackTaskResult, *, failed: bool) -> None:
        task = result.task
        record = {
            "task": task.get_name(),
            "host": result.host.get_name(),
            "started": self._started[task._uuid],
            "ended": time.time(),
            "failed": failed,
            "result": {key: value for key, value in result.result.items() if key in _KEYS},
        }
        print(json.dumps(record, default=str), flush=True)

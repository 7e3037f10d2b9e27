# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of the module control_plane_info."""

from __future__ import annotations

import os
import time
import typing as t
import urllib.parse

from ansible import constants as C
from ansible.plugins.action import ActionBase
from ansible_collections.kubestatic.node.plugins.module_utils._control_plane_files import OF_ONE_MASTER, SHARED
from ansible_collections.kubestatic.node.plugins.plugin_utils import _certificate_files

Result = dict[str, t.Any]


class ActionModule(ActionBase):
    """Puts what the node's half returns into files, and nothing of it into the result."""

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> Result:
        """Call the module and keep the copies in this run's temporary directory, which all tasks of the run share.

        Only an answer is kept: "nothing was told" must not look like "this master holds nothing", or a CA is made anew.
        """
        super().run(tmp, task_vars)
        variables = task_vars or {}
        node = self._task.delegate_to or variables.get("inventory_hostname", "")
        place = os.path.join(C.DEFAULT_LOCAL_TMP, "kubestatic-held", urllib.parse.quote(node, safe=""))
        _certificate_files.forget_held(place)
        asked = time.time()
        result = self._told(variables)
        _note_clock(result.get("facts"), asked=asked, answered=time.time())
        texts = result.pop("texts", None)
        # What the module wrote, where Ansible cannot make sense of it, and what is only ours to say.
        for name in ("module_stdout", "module_stderr", "held"):
            result.pop(name, None)
        if result.get("failed"):
            return result
        if not isinstance(texts, dict):
            return {**result, "failed": True, "msg": f"{node}: the module's answer does not say what this node holds"}
        _certificate_files.keep_held(place, texts, names=(*SHARED, *OF_ONE_MASTER))
        return {**result, "held": place}

    def _told(self, variables: dict[str, t.Any]) -> Result:
        # Connections show what a module returns with -vvv, and Ansible's log has it then, unless the task has no_log. Here
        # the result itself may be shown.
        context = self._connection._play_context
        before, context.no_log = context.no_log, True
        try:
            result: Result = self._execute_module(task_vars=variables)
        finally:
            context.no_log = before
        return result


def _note_clock(facts: t.Any, *, asked: float, answered: float) -> None:
    """How far the node's clock is ahead, beyond what the call itself may account for."""
    if isinstance(facts, dict) and isinstance(facts.get("time"), float):
        told = facts["time"]
        facts["clock_offset"] = round(told - min(max(told, asked), answered), 3)

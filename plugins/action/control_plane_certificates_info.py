# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of the module control_plane_certificates_info."""

from __future__ import annotations

import os
import pathlib
import shutil
import typing as t
import urllib.parse

from ansible import constants as C
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """Puts what the node's half returns into files, and nothing of it into the result."""

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Call the module and keep the copies in this run's temporary directory, which all tasks of the run share."""
        super().run(tmp, task_vars)
        variables = task_vars or {}
        node = self._task.delegate_to or variables.get("inventory_hostname", "")
        result: dict[str, t.Any] = self._execute_module(task_vars=variables)
        # What the module wrote, where Ansible cannot make sense of it.
        for name in ("module_stdout", "module_stderr"):
            result.pop(name, None)
        place = pathlib.Path(C.DEFAULT_LOCAL_TMP, "kubestatic-held", urllib.parse.quote(node, safe=""))
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(mode=0o700, parents=True)
        for name, text in result.pop("texts", {}).items():
            path = place / name
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8", newline="") as file:
                file.write(text)
        return {**result, "held": str(place)}

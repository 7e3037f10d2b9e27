# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of the module api_objects."""

from __future__ import annotations

import base64
import re
import typing as t
from collections.abc import Iterator, Mapping, Sequence

from ansible.plugins.action import ActionBase
from ansible_collections.kubestatic.node.plugins.module_utils import _yaml, _yaml_dump
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.plugin_utils._action import NodeAction, Result

_SOURCES = ("definitions", "template")


class ActionModule(NodeAction):
    """Renders the template, and sends the objects in one piece, which Ansible keeps out of logs and results."""

    MODULE = "kubestatic.node.api_objects"

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> Result:
        """Call the module, also where it failed on another node: what it changes is no node, and another may get through."""
        ActionBase.run(self, tmp, task_vars)
        return self._outcome(task_vars or {})

    def arguments(self, variables: dict[str, t.Any]) -> dict[str, t.Any]:
        """Return the module's arguments, with all objects in ``definitions``. Raises KubestaticError."""
        args = dict(self._task.args)
        given = [name for name in _SOURCES if args.get(name) is not None]
        if len(given) != 1:
            raise KubestaticError(
                f"{' and '.join(given) or 'neither definitions nor template'} {'are' if given else 'is'} given;"
                " give one of definitions and template"
            )
        label = given[0]
        value = args[label]
        if label == "template":
            label = f"template {value}"
            value = self.sources(variables).rendered(value)
        try:
            text = _yaml_dump.dump(_listed(value), as_json=True)
        except KubestaticError as error:
            raise KubestaticError(f"{label}: {error}") from error
        return {**args, "definitions": base64.b64encode(text.encode()).decode()}


def _listed(value: t.Any) -> list[t.Any]:
    if getattr(value, "__ENCRYPTED__", False) or isinstance(value, str):  # the former is a vaulted text in 2.18
        return list(_documents(str(value)))
    if isinstance(value, Mapping):
        return [value]
    if isinstance(value, Sequence):
        return [_decrypted(item) for item in value]
    raise KubestaticError("is neither a list of mappings nor text with YAML documents")


def _documents(text: str) -> Iterator[t.Any]:
    """What is in each document that is not empty; errors name the lines of the whole text."""
    line = 0
    for part in re.split(r"(?m)^(?=---(?:\s|$))", text):
        document = _yaml.load("\n" * line + part)
        if document.duplicate_keys:
            raise KubestaticError(f"{', '.join(document.duplicate_keys)} is there twice; keep one of the two")
        if document.data is not None:
            yield document.data
        line += part.count("\n")


def _decrypted(value: t.Any) -> t.Any:
    """The same with plain texts for those that 2.18 keeps as vaulted ones."""
    if getattr(value, "__ENCRYPTED__", False):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _decrypted(item) for key, item in value.items()}
    return [_decrypted(item) for item in value] if isinstance(value, list) else value

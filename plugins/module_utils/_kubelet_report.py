# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""What kubelet_info tells."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import (
    _command,
    _kubelet_flags,
    _kubelet_identity,
    _kubelet_look,
    _kubelet_mistakes,
    _kubelet_sources,
    _module,
)
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_layers import HEADER_FLAG, FlagUse
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_look import Look
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_settings import without_user
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_shown import HIDDEN, setting, shown
from ansible_collections.kubestatic.node.plugins.module_utils._node_files import Tree
from ansible_collections.kubestatic.node.plugins.module_utils._store import Store


def report(*, unit: str) -> dict[str, t.Any]:
    """All that kubelet_info returns. Raises KubestaticError where there is no kubelet to be seen."""
    _module.require_root()
    store = Store(remember=False)
    look = _kubelet_look.look(_command.run, store=store, unit=unit, search_path=os.environ.get("PATH", ""), tree=Tree())
    layers = look.setup.layers
    trouble = _trouble(look)
    stale = look.stale(look.setup)
    node_name = _kubelet_identity.identity(layers).node_name
    sources = _kubelet_sources.look(look.setup, node_name=node_name)
    return {
        "changed": False,
        "version": look.kubelet.version if look.kubelet else look.version,
        "node_name": node_name,
        "unit": {
            "name": look.service.unit,
            "state": str(look.state),
            "enabled": look.state.unit_file_state,
            "needs_reload": look.state.needs_reload,
        },
        "pid": look.state.main_pid,
        "command_line": shown_words(look.setup.unit.argv),
        "files": [
            *look.setup.unit.files,
            *(file.path for file in look.setup.unit.environment_files if os.path.exists(file.path)),
            *(config.path for config in layers.configs),
        ],
        "settings": {".".join(key): setting(layers, key) for key in sorted(layers.keys())},
        "flags": [_flag(use, minor=look.minor) for use in layers.flags],
        "problems": [*layers.problems, *map(str, _kubelet_mistakes.mistakes(layers))],
        "sources": {name: source._asdict() for name, source in sources.items()},
        "healthy": not trouble,
        "trouble": trouble,
        "stale": bool(stale),
        "stale_reasons": stale,
    }


def shown_words(words: t.Sequence[str]) -> list[str]:
    """A command line as it may be shown."""
    shown: list[str] = []
    is_value = False
    for word in words:
        name, equals, _value = word.partition("=")
        is_flag = name.startswith("--") and name[2:].replace("_", "-") == HEADER_FLAG
        shown.append(f"{name}={HIDDEN}" if is_flag and equals else HIDDEN if is_value else without_user(word))
        is_value = is_flag and not equals and not is_value
    return shown


def _flag(use: FlagUse, *, minor: int) -> dict[str, t.Any]:
    known = _kubelet_flags.flags(minor).get(use.name)
    removed = _kubelet_flags.removed_later(use.name, minor=minor)
    return {
        "name": use.name,
        "value": HIDDEN if use.name == HEADER_FLAG else shown(use.value),
        "file": use.word.path,
        "line": use.word.line,
        "setting": known.key if known else "",
        "deprecated": known.deprecated if known else False,
        "removed_in": f"1.{removed}" if removed else "",
    }


def _trouble(look: Look) -> str:
    try:
        look.require_well()
    except KubestaticError as exc:
        # What a task could do about it is no business of one that only looks.
        return str(exc).partition("; mend that first")[0]
    return ""

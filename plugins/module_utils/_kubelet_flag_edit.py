# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""One flag of a kubelet set, or removed, where the administrator's flags are: a change of its setup."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _environment_edit, _environment_file
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_setup import Setup

EXTRA_ARGS = "KUBELET_EXTRA_ARGS"
# Where the unit reads no KUBELET_EXTRA_ARGS, a drop-in of our own gives it this.
_OWN_ARGS = "KUBESTATIC_ARGS"
OWN_DROP_IN = "90-kubestatic.conf"
# The environment files that packages and kubeadm's documentation leave to the administrator.
_ADMINISTRATORS = ("/etc/default/kubelet", "/etc/sysconfig/kubelet")


def with_flag(found: Setup, name: str, value: str | None, *, flags_file: str = "") -> Setup:
    """The same node with this flag set where the administrator's flags are, or, for None, removed everywhere.

    `flags_file`: the environment file to use, empty for the one that the unit tells. Raises KubestaticError.
    """
    use = found.layers.flag(name)
    if value is None:
        return without_flag(found, name)
    if use is not None and use.value == value:
        return found
    path, variable = _place(found, flags_file)
    if path == _own_path(found):
        return found.with_file(path, _own_drop_in(found, variable, {name: value}))
    text = found.tree.text(path) or ""
    given = (one.value for one in reversed(_environment_file.parse(text)) if one.name == variable)
    # What an Environment= of the unit says would be lost: the file wins over it.
    before = next(given, found.unit.environment.get(variable, ""))
    after = _environment_edit.with_flags(before, {name: value})
    return found.with_file(path, _environment_edit.with_value(text, variable, after))


def without_flag(found: Setup, name: str) -> Setup:
    """The same node without any use of this flag. Raises KubestaticError where one stands in the unit itself."""
    new = found
    use = new.layers.flag(name)
    while use is not None:
        word = use.word
        if word.path == _own_path(new) and word.variable:
            new = new.with_file(word.path, _own_drop_in(new, word.variable, {name: None}))
        elif word.variable and word.path in [file.path for file in new.unit.environment_files]:
            text = new.tree.text(word.path) or ""
            value = new.unit.environment[word.variable]
            changed = _environment_edit.with_flags(value, {name: None})
            new = new.with_file(word.path, _environment_edit.with_value(text, word.variable, changed))
        else:
            raise KubestaticError(
                f"--{name} stands in {word.path} line {word.line}, in the unit itself, which this collection does not edit;"
                f" set {'Environment=' if word.variable else 'ExecStart='} without it in a drop-in of yours (systemctl edit"
                f" {found.name})"
            )
        left = new.layers.flag(name)
        if left is not None and left.word == word:
            raise KubestaticError(f"--{name} cannot be removed from {word.path} line {word.line}; remove it by hand")
        use = left
    return new


def _place(found: Setup, flags_file: str) -> tuple[str, str]:
    """File and variable for new flags."""
    paths = [file.path for file in found.unit.environment_files]
    if flags_file:
        if os.path.normpath(flags_file) not in paths or EXTRA_ARGS not in found.unit.references:
            raise KubestaticError(
                f"flags_file: {found.name} does not read {EXTRA_ARGS} from {flags_file}; leave flags_file out, then the flags"
                " go where the unit looks"
            )
        return os.path.normpath(flags_file), EXTRA_ARGS
    if EXTRA_ARGS not in found.unit.references:
        return _own_path(found), _OWN_ARGS
    # The last one that gives the variable counts (systemd.exec(5)).
    giving = [path for path in paths if _gives(found, path)]
    usual = [path for path in paths if path in _ADMINISTRATORS]
    return ((giving or usual or [_own_path(found)])[-1], EXTRA_ARGS)


def _gives(found: Setup, path: str) -> bool:
    return any(one.name == EXTRA_ARGS for one in _environment_file.parse(found.tree.text(path) or ""))


def _own_path(found: Setup) -> str:
    return os.path.join(found.unit_directory, OWN_DROP_IN)


def _own_drop_in(found: Setup, variable: str, flags: t.Mapping[str, str | None]) -> str:
    """The unit drop-in of this collection, whole: it gives the variable, and has ExecStart= use it where that did not."""
    value = _environment_edit.with_flags(found.unit.environment.get(variable, ""), flags)
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    escaped = escaped.replace("\n", "\\n").replace("\r", "\\r")
    lines = ["# Written by kubestatic.node.kubelet_config, which changes it, too.", "[Service]"]
    lines.append(f'Environment="{variable}={escaped}"')
    if variable == _OWN_ARGS:
        start = found.unit.exec_start_text
        start = start if f"${_OWN_ARGS}" in start else f"{start} ${_OWN_ARGS}"
        lines += ["ExecStart=", f"ExecStart={start}"]
    return "\n".join(lines) + "\n"

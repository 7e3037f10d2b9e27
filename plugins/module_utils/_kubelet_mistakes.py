# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""What a kubelet does not know in the files and flags that it is started with, whoever wrote them."""

from __future__ import annotations

import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _kubelet_flags, _schema
from ansible_collections.kubestatic.node.plugins.module_utils._errors import REFUSED, KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_layers import KIND, Layers


class Mistake(t.NamedTuple):
    """What a kubelet does not know in one of its files. ``fatal``: it does not start with it, else it ignores it."""

    where: str
    what: str
    fatal: bool

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; the kubelet {'does not start with' if self.fatal else 'ignores'} it"


def mistakes(layers: Layers) -> list[Mistake]:
    """Keys, values and flags that this kubelet does not take. A kubelet newer than the tables may know more."""
    found = []
    for config in layers.configs:
        for finding in _schema.check(config.data, root=KIND, minor=layers.minor):
            found.append(Mistake(config.path, str(finding), fatal=finding.level == REFUSED))
    known = _kubelet_flags.flags(layers.minor)
    for use in layers.flags:
        if use.name not in known:
            why = f"--{use.name} is {_kubelet_flags.why_unknown(use.name, minor=layers.minor)}"
            found.append(Mistake(f"{use.word.path} line {use.word.line}", why, fatal=True))
    return found


def require_startable(layers: Layers) -> None:
    """Raise KubestaticError for what would keep this kubelet from starting, whoever wrote it."""
    if layers.problems:
        raise KubestaticError(layers.problems[0])
    fatal = [one for one in mistakes(layers) if one.fatal]
    if fatal and layers.minor <= _schema.MINORS[-1]:
        raise KubestaticError(f"the kubelet cannot be restarted: {fatal[0]}; mend that first")

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""The one exception that crosses rooms, and the one kind of remark about a manifest."""

from __future__ import annotations

import typing as t


class KubestaticError(Exception):
    """A failure that a user can act on.

    The message is one sentence: what, where, why, what to do. The module files turn it into ``fail_json``.
    ``actions`` are sentences of what was done on the node before it, such as finishing what a killed run had left.
    """

    def __init__(self, message: str, *, actions: t.Sequence[str] = ()) -> None:
        super().__init__(message)
        self.actions = list(actions)


class Finding(t.NamedTuple):
    """One remark about one manifest.

    ``level`` is ``refused`` (this kubelet does not run the pod), ``dropped`` (this kubelet silently ignores that
    part of the file) or ``warned`` (it runs, but not as most people expect).
    ``field`` is a path such as ``spec.containers[0].image``, or empty for the whole file.
    """

    level: str
    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


REFUSED = "refused"
DROPPED = "dropped"
WARNED = "warned"

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""What is wanted of a kubelet, and whether it is so already: then nothing has to know how files are changed."""

from __future__ import annotations

import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _kubelet_layers
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_layers import Key, Layers

AUTO = "auto"


class Wish(t.NamedTuple):
    """What is wanted. ``settings`` is a JSON merge patch, ``flags`` has names without dashes; None removes.

    ``layer`` is ``auto``, ``file`` or ``drop_in``; the paths are empty for those that the unit tells.
    """

    settings: t.Mapping[str, t.Any]
    flags: t.Mapping[str, str | None]
    layer: str = AUTO
    migrate: bool = False
    config_file: str = ""
    drop_in_file: str = ""
    flags_file: str = ""


def is_met(wish: Wish, layers: Layers) -> bool:
    """Whether all of it is in force, in whatever layer. False where that is not all that is asked for."""
    wanted = dict(_kubelet_layers.leaves(wish.settings))
    if wanted and (wish.layer != AUTO or wish.migrate):
        return False
    uses = {name: layers.flag(name) for name in wish.flags}
    given = {name: use.value if use else None for name, use in uses.items()}
    return given == dict(wish.flags) and are_in_force(layers, wanted)


def are_in_force(layers: Layers, wanted: t.Mapping[Key, t.Any]) -> bool:
    """Whether each of these settings has the value that is wanted, None for none."""
    return all(_kubelet_layers.same(value, layers.strongest(key)) for key, value in wanted.items())

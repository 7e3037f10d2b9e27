# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""How settings and flags are shown in results: with layer, file and line, without secrets."""

from __future__ import annotations

import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_layers import HEADER_FLAG, HEADERS, Key, Layers
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_settings import DEFAULT, FLAG, without_user

HIDDEN = "hidden"


def setting(layers: Layers, key: Key) -> dict[str, t.Any]:
    """Value, layer, file and line of a KubeletConfiguration key, as results have them."""
    strongest = layers.strongest(key)
    value = strongest.value if strongest else None
    return {
        "value": HIDDEN if key[0] == HEADERS[0] and value is not None else shown(value),
        "layer": strongest.layer if strongest else DEFAULT,
        "file": strongest.path if strongest else "",
        "line": strongest.line if strongest else 0,
    }


def flag(layers: Layers, name: str) -> dict[str, t.Any]:
    """The same of a flag."""
    use = layers.flag(name)
    return {
        "value": (HIDDEN if name == HEADER_FLAG else shown(use.value)) if use else None,
        "layer": FLAG if use else DEFAULT,
        "file": use.word.path if use else "",
        "line": use.word.line if use else 0,
    }


def shown(value: t.Any) -> t.Any:
    """A value as it may be shown."""
    return without_user(value) if isinstance(value, str) else value

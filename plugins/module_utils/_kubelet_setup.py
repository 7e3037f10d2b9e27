# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""How a kubelet is started next: its unit, its command line and its configuration files."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import (
    _kubelet_layers,
    _kubelet_unit,
)
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_layers import Layers
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_unit import Unit
from ansible_collections.kubestatic.node.plugins.module_utils._node_files import Tree


class Setup(t.NamedTuple):
    """The next start as the tree has it. ``unit_directory`` takes drop-ins of the administrator."""

    name: str
    unit_directory: str
    files: tuple[str, ...]
    minor: int
    tree: Tree
    unit: Unit
    layers: Layers

    def with_file(self, path: str, text: str) -> Setup:
        """The same node with another text in this file; a drop-in of the unit is read from then on."""
        path = os.path.realpath(path)
        files = self.files
        if os.path.dirname(path) == os.path.realpath(self.unit_directory) and path not in map(os.path.realpath, files):
            # Drop-ins count in the order of their names, whatever directory they are in (systemd.unit(5)).
            files = (files[0], *sorted((*files[1:], path), key=os.path.basename))
        return read(self.name, self.unit_directory, files=files, minor=self.minor, tree=self.tree.with_file(path, text))


def read(name: str, unit_directory: str, *, files: t.Sequence[str], minor: int, tree: Tree) -> Setup:
    """Read the unit and all that it names. Raises KubestaticError for what would keep the kubelet from starting."""
    unit = _kubelet_unit.read(files, name=name, tree=tree)
    layers = _kubelet_layers.read(unit.words, minor=minor, tree=tree)
    return Setup(name, unit_directory, tuple(files), minor, tree, unit, layers)

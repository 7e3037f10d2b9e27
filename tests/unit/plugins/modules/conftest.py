# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node in memory for the modules, with a real manifest directory."""

from __future__ import annotations

import pathlib
import typing as t

import pytest

pytest.importorskip(
    "ansible.module_utils.testing", reason="this environment has no ansible-core, which the modules need"
)

from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.world import World


@pytest.fixture(name="world")
def _world(tmp_path: pathlib.Path) -> t.Iterator[World]:
    (tmp_path / "manifests").mkdir()
    with World(str(tmp_path / "manifests"), str(tmp_path / "store")).installed() as world:
        yield world

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role static_pods says of its variables against what the module says of its options."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
import yaml
from ansible_collections.kubestatic.node.plugins.module_utils import _pod_options
from ansible_collections.kubestatic.node.plugins.plugin_utils import _action

ROLE = pathlib.Path(_action.__file__).parents[2] / "roles" / "static_pods"
OPTIONS: dict[str, dict[str, t.Any]] = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())["argument_specs"][
    "main"
]["options"]
DEFAULTS: dict[str, t.Any] = yaml.safe_load((ROLE / "defaults/main.yml").read_text())


def test_documented_defaults_are_the_real_ones() -> None:
    documented = {name: option["default"] for name, option in OPTIONS.items() if "default" in option}
    assert documented == DEFAULTS


@pytest.mark.parametrize("name", ["strategy", "wait", "wait_timeout", "validation"])
def test_shared_options_are_those_of_the_module(name: str) -> None:
    mine = {key: value for key, value in OPTIONS[f"static_pods_{name}"].items() if key != "description"}
    assert mine == _pod_options.SHARED_OPTIONS[name]


def test_readme_lists_every_variable() -> None:
    readme = (ROLE / "README.md").read_text()
    rows = [line.split("`")[1] for line in readme.splitlines() if line.startswith("| `")]
    assert sorted(rows) == sorted(OPTIONS)

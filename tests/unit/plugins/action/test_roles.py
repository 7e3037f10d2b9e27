# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the roles say of their variables against what the modules say of their options."""

from __future__ import annotations

import pathlib
import re
import typing as t

import pytest
import yaml
from ansible_collections.kubestatic.node.plugins.module_utils import _pod_options
from ansible_collections.kubestatic.node.plugins.modules import kubelet_config
from ansible_collections.kubestatic.node.plugins.plugin_utils import _action

ROLES = pathlib.Path(_action.__file__).parents[2] / "roles"
NAMES = ("kubelet", "static_pods")


def options(role: str) -> dict[str, dict[str, t.Any]]:
    specs = yaml.safe_load((ROLES / role / "meta/argument_specs.yml").read_text())
    found: dict[str, dict[str, t.Any]] = specs["argument_specs"]["main"]["options"]
    return found


@pytest.mark.parametrize("role", NAMES)
def test_documented_defaults_are_the_real_ones(role: str) -> None:
    documented = {name: option["default"] for name, option in options(role).items() if "default" in option}
    assert documented == yaml.safe_load((ROLES / role / "defaults/main.yml").read_text())


@pytest.mark.parametrize("name", ["strategy", "wait", "wait_timeout", "validation"])
def test_shared_options_of_pods_are_those_of_the_module(name: str) -> None:
    mine = {key: value for key, value in options("static_pods")[f"static_pods_{name}"].items() if key != "description"}
    assert mine == _pod_options.SHARED_OPTIONS[name]


def test_restart_on_is_auto_in_the_role_alone() -> None:
    mine = options("static_pods")["static_pods_restart_on"]
    assert (mine["type"], mine["default"]) == (_pod_options.SHARED_OPTIONS["restart_on"]["type"], "auto")
    assert _pod_options.SHARED_OPTIONS["restart_on"]["default"] == []


def test_options_of_the_kubelet_are_those_of_the_module() -> None:
    """All but those that make no sense in a role: it always waits, does what is due, and has the directory made."""
    module: dict[str, dict[str, t.Any]] = yaml.safe_load(kubelet_config.DOCUMENTATION)["options"]
    role = options("kubelet")
    assert set(role) - {f"kubelet_{name}" for name in module} == {"kubelet_enabled", "kubelet_throttle"}
    assert {name for name in module if f"kubelet_{name}" not in role} == {"wait", "disturb", "create_directories"}
    for name, option in module.items():
        if f"kubelet_{name}" in role:
            mine, theirs = (
                {key: one.get(key) for key in ("type", "default", "choices")}
                for one in (role[f"kubelet_{name}"], option)
            )
            assert mine == theirs, name


@pytest.mark.parametrize("role", NAMES)
def test_readme_lists_every_variable(role: str) -> None:
    rows = [
        line.split("|")[1] for line in (ROLES / role / "README.md").read_text().splitlines() if line.startswith("| `")
    ]
    assert sorted(name for row in rows for name in re.findall(r"`(\w+)`", row)) == sorted(options(role))

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What surrounds the work of every module: its end, and what it needs on the node."""

from __future__ import annotations

import importlib.util
import os
import sys
import types
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _module
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError


class Ended(Exception):
    """An end of the module: how, and with what."""


class Module:
    """The two ends that AnsibleModule has."""

    def exit_json(self, **result: t.Any) -> t.NoReturn:
        raise Ended("exit", result)

    def fail_json(self, **result: t.Any) -> t.NoReturn:
        raise Ended("fail", result)


def finish(work: t.Callable[[], dict[str, t.Any]]) -> tuple[str, t.Any]:
    with pytest.raises(Ended) as ended:
        _module.finish(t.cast("t.Any", Module()), work, empty={"path": "", "actions": []})
    return t.cast("tuple[str, t.Any]", ended.value.args)


def test_a_result_is_the_modules_result() -> None:
    assert finish(lambda: {"changed": True}) == ("exit", {"changed": True})


def test_a_result_may_say_that_it_failed() -> None:
    result = {"changed": True, "failed": True, "msg": "no"}
    assert finish(lambda: result) == ("fail", result)


def test_a_refusal_is_a_failure_with_all_keys() -> None:
    def work() -> t.NoReturn:
        raise KubestaticError("this: because of that; do so")

    assert finish(work) == ("fail", {"path": "", "actions": [], "msg": "this: because of that; do so"})


def test_other_exceptions_are_faults_of_ours_and_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        _module.finish(t.cast("t.Any", Module()), lambda: {"a": 1 // 0}, empty={})


@pytest.mark.parametrize(("uid", "allowed"), [(0, True), (1000, False)])
def test_root(monkeypatch: pytest.MonkeyPatch, uid: int, allowed: bool) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    if allowed:
        _module.require_root()
        return
    with pytest.raises(KubestaticError, match="set become: true"):
        _module.require_root()


# ---- a Python without PyYAML


class Respawn(types.ModuleType):
    """ansible.module_utils.common.respawn, with what it finds."""

    def __init__(self, *, respawned: bool, found: str | None) -> None:
        super().__init__("ansible.module_utils.common.respawn")
        self.asked: tuple[list[str], str] | None = None
        self._respawned = respawned
        self._found = found

    def has_respawned(self) -> bool:
        return self._respawned

    def probe_interpreters_for_module(self, interpreters: list[str], module: str) -> str | None:
        self.asked = interpreters, module
        return self._found

    def respawn_module(self, interpreter: str) -> t.NoReturn:
        raise Ended("respawn", interpreter)


@pytest.fixture(name="without_yaml")
def _without_yaml(monkeypatch: pytest.MonkeyPatch) -> t.Callable[[Respawn], None]:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "yaml" else real(name, *rest))
    return lambda respawn: monkeypatch.setitem(sys.modules, respawn.__name__, respawn)


def test_another_python_with_pyyaml_takes_over(without_yaml: t.Callable[[Respawn], None]) -> None:
    respawn = Respawn(respawned=False, found="/usr/bin/python3")
    without_yaml(respawn)
    assert finish(dict) == ("respawn", "/usr/bin/python3")
    assert respawn.asked is not None
    assert respawn.asked[1] == "yaml"
    assert "/usr/bin/python3" in respawn.asked[0]


@pytest.mark.parametrize("respawned", [True, False])
def test_no_python_with_pyyaml_is_an_error_that_says_what_to_install(
    without_yaml: t.Callable[[Respawn], None], respawned: bool
) -> None:
    without_yaml(Respawn(respawned=respawned, found="/usr/bin/python3" if respawned else None))
    end, result = finish(dict)
    assert end == "fail"
    assert "install it (package python3-yaml, or python3-pyyaml on RPM systems)" in result["msg"]


def test_importing_the_modules_needs_no_pyyaml() -> None:
    """Else the import fails before anything can be said about it."""
    import subprocess

    code = (
        "import sys; sys.modules['yaml'] = None\n"
        "from ansible_collections.kubestatic.node.plugins.module_utils import _static_pods, _pod_options, _verdicts, _rules\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)

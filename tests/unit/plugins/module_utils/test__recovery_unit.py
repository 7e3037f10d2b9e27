# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The recovery units: installed once, armed each time, and a program that needs nothing but Python and PyYAML."""

from __future__ import annotations

import pathlib
import socket
import subprocess
import sys

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _recover_kubelet, _recover_pods, _recovery_unit
from ansible_collections.kubestatic.node.plugins.module_utils._recovery_unit import RecoveryUnit
from ansible_collections.kubestatic.node.plugins.module_utils._store import Store

ARM = "systemctl start --no-block kubestatic-recover-pods.timer"
ENABLE = "systemctl enable --no-reload kubestatic-recover-pods.service"


class Node:
    """A store, a directory of units and a systemd that does all it is told."""

    def __init__(self, root: pathlib.Path) -> None:
        self.store = Store(str(root / "store"))
        self.units = root / "units"
        self.units.mkdir()
        self.program = root / "store" / "recover-pods.pyz"
        self.commands: list[str] = []
        self.broken = ""

    def arm(self, *, room: str = "_recover_pods") -> str:
        self.store.write("placed.json", {"/m": {}})
        unit = RecoveryUnit(
            self._run,
            store=self.store,
            what="pods",
            room=room,
            note="under-way.json",
            title="static pods",
            is_open=lambda: False,
            before="kubelet.service",
        )
        return unit.arm(set_context=lambda _path, _final: None)

    def _run(self, words: object) -> tuple[int, str, str]:
        command = " ".join(map(str, words))  # type: ignore[call-overload]
        self.commands.append(command)
        return (1, "", "no bus\n") if self.broken and self.broken in command else (0, "", "")


@pytest.fixture(name="node")
def _node(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    node = Node(tmp_path)
    monkeypatch.setattr(_recovery_unit, "UNIT_DIRECTORY", str(node.units))
    return node


def test_installed_with_the_first_change_and_armed_with_each(node: Node) -> None:
    assert node.arm() == ""
    assert node.commands == [ENABLE, ARM]
    service = (node.units / "kubestatic-recover-pods.service").read_text()
    assert f"ConditionPathExists={node.store.path}/under-way.json\nBefore=kubelet.service\n" in service
    assert f"ExecStart={sys.executable} -I {node.program}\n" in service
    before = {path: path.stat().st_mtime_ns for path in [*node.units.iterdir(), node.program]}
    assert node.arm() == ""
    assert node.commands == [ENABLE, ARM, ARM]
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_newer_collection_replaces_it(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.arm()
    old = node.program.read_bytes()
    sources = _recovery_unit._sources()
    monkeypatch.setattr(_recovery_unit, "_sources", lambda: [*sources, ("ansible_collections.x", "")])
    assert node.arm() == ""
    assert node.commands[2:] == ["systemctl daemon-reload", ENABLE, ARM]
    assert node.program.read_bytes() != old


def test_a_program_that_was_removed_is_made_again(node: Node) -> None:
    node.arm()
    node.program.unlink()
    node.arm()
    assert node.program.exists()


@pytest.mark.parametrize("broken", ["enable", "start"])
def test_a_node_that_takes_no_units_is_warned_of(node: Node, broken: str) -> None:
    node.broken = broken
    assert node.arm().endswith(
        f"as kubestatic-recover-pods cannot be set up: systemctl {[ENABLE, ARM][broken == 'start'][10:]} failed: no bus"
    )


def test_a_place_that_cannot_be_written_is_warned_of(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_recovery_unit, "UNIT_DIRECTORY", str(node.units / "none"))
    assert "cannot be set up" in node.arm()


@pytest.mark.parametrize("room", [_recover_pods.__name__, _recover_kubelet.__name__])
def test_the_program_needs_python_and_its_yaml_alone(node: Node, room: str) -> None:
    """All of its rooms are there and can be imported, also those that are imported late; none of them needs Ansible."""
    node.arm(room=room.rpartition(".")[2])
    code = (
        f"import sys; sys.path[:0] = [{str(node.program)!r}]; import pkgutil, importlib;"
        f" package = importlib.import_module({_recovery_unit._PACKAGE!r});"
        " names = [one.name for one in pkgutil.iter_modules(package.__path__)];"
        " rooms = [importlib.import_module(package.__name__ + '.' + name) for name in names];"
        " assert all(room.__file__.startswith(sys.path[0]) for room in rooms), rooms;"
        " assert not [name for name in sys.modules if name == 'ansible' or name.startswith('ansible.')]; print(len(rooms))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 40


def test_it_tells_systemd_that_files_are_in_their_places(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _recovery_unit.notify_started()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        _recovery_unit.notify_started()
        assert systemd.recv(100) == b"READY=1"

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel tells of this machine."""

from __future__ import annotations

import os
import pathlib
import socket

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _machine


def test_who_listens() -> None:
    with socket.socket() as one, socket.socket() as other:
        for server in (one, other):
            server.bind(("127.0.0.1", 0))
        one.listen()
        port, silent = (server.getsockname()[1] for server in (one, other))
        name = pathlib.Path("/proc/self/comm").read_text().strip()
        assert _machine.listeners([port, silent]) == [{"port": port, "process": name}]
        assert _machine.listeners([silent]) == []


def test_who_cannot_be_found(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a server in the kernel, or a process that ends meanwhile."""
    monkeypatch.setattr(_machine, "_PROC", str(tmp_path))
    (tmp_path / "net").mkdir()
    line = "   0: 00000000000000000000000000000000:{port:04X} 00:0 {state} 0:0 0:0 0 0 0 {inode} 1 0 100 0\n"
    rows = [(2379, "0A", 11), (2380, "01", 12), (6443, "0A", 13)]
    lines = [line.format(port=port, state=state, inode=inode) for port, state, inode in rows]
    (tmp_path / "net" / "tcp6").write_text("".join(["  sl local_address\n", *lines]))
    for pid, link in (("1", "/dev/null"), ("22", "socket:[13]"), ("self", "socket:[11]")):
        (tmp_path / pid / "fd").mkdir(parents=True)
        (tmp_path / pid / "fd" / "3").symlink_to(link)
    (tmp_path / "22" / "comm").write_text("kube-apiserver\n")
    (tmp_path / "self" / "comm").write_text("ourselves\n")
    (tmp_path / "33").mkdir()
    assert _machine.listeners([2379, 2380, 6443]) == [
        {"port": 2379, "process": ""},
        {"port": 6443, "process": "kube-apiserver"},
    ]


@pytest.mark.parametrize(
    ("text", "known"), [("0" * 32 + "\n", True), ("uninitialized\n", False), ("", False), (None, False)]
)
def test_machine_ids(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, text: str | None, known: bool) -> None:
    monkeypatch.setattr(_machine, "_MACHINE_ID", f"{tmp_path}/id")
    if text is not None:
        (tmp_path / "id").write_text(text)
    assert bool(_machine.machine_id()) is known


def test_swap(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_machine, "_PROC", str(tmp_path))
    assert _machine.swap() == []
    (tmp_path / "swaps").write_text("Filename\tType\n")
    assert _machine.swap() == []
    (tmp_path / "swaps").write_text("Filename\tType\n/dev/zram0  partition 1 0 100\n/a\\040b file 1 0 -2\n")
    assert _machine.swap() == ["/dev/zram0", "/a\\040b"]
    assert os.path.exists("/proc/swaps")


def test_directories_of_authorities_are_those_that_are_there(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").mkdir()
    monkeypatch.setattr(_machine, "_CA_DIRECTORIES", (str(tmp_path / "there"), str(tmp_path / "not")))
    assert _machine.ca_directories() == [str(tmp_path / "there")]

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of node_files: real ansible-playbook runs."""

from __future__ import annotations

import base64
import typing as t

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret

if t.TYPE_CHECKING:
    from ansible_collections.kubestatic.node.tests.unit.plugins.action.conftest import Project

PLAY = """
- hosts: master1
  gather_facts: false
  environment:
    NODE_DIR: "{{ node_dir }}"
  vars:
    mapping: {a: 1}
  tasks:
    - kubestatic.node.node_files:
        files:
"""


def play(project: Project, *entries: str, args: t.Sequence[str] = ()) -> t.Any:
    return project.play(PLAY + "".join(f"          - {entry}\n" for entry in entries), *args)


def test_content_arrives_whatever_it_is(project: Project) -> None:
    binary = bytes(range(256))
    project.write("files/binary", binary)
    project.write("password", "open sesame")
    project.write("vaulted.key", VaultLib([("default", VaultSecret(b"open sesame"))]).encrypt("vaulted"))
    run = play(
        project,
        "{path: /a, content: '1'}",
        '{path: /b, content: "\u00e4{{ number }}\\n", mode: "0644"}',
        "{path: /c, src: binary}",
        "{path: /d, src: vaulted.key}",
        "{path: /e, content: '{{ mapping | to_nice_yaml }}'}",
        "{path: /f, content: AAE=, encoding: base64}",
        "{path: /g, content: ''}",
        args=["--vault-password-file", "password", "-vvv"],
    )
    assert run.rc == 0, run.text
    [call] = project.calls("master1")
    received = {file["path"]: base64.b64decode(file["content"]) for file in call["files"]}
    assert received == {
        "/a": b"1", "/b": "\u00e41\n".encode(), "/c": binary, "/d": b"vaulted", "/e": b"a: 1\n", "/f": b"\0\1", "/g": b"",
    }  # fmt: skip
    assert (call["files"][1]["mode"], {file["encoding"] for file in call["files"]}) == ("0644", {"base64"})
    assert base64.b64encode(b"vaulted").decode() not in run.text and "to be vaulted" not in run.text


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            "{path: /a, content: a, src: b}",
            "files[1] (/a): content and src are given, but a file has one of them; remove",
        ),
        (
            "{path: /a, content: '{{ mapping }}'}",
            "files[1] (/a): content must be text; use a filter such as to_nice_yaml",
        ),
        (
            "{path: /a, content: \"{{ '%c' | format(55296) }}\"}",
            "files[1] (/a): content has characters that UTF-8 has not; give it in base64",
        ),
        ("{path: /a, src: none.key}", "files[1] (/a): src none.key was not found on the controller; looked for "),
    ],
)
def test_what_cannot_be_had_is_named(project: Project, entry: str, message: str) -> None:
    run = play(project, "{path: /ok, content: a}", entry)
    assert run.rc == 2 and run.one("master1")["msg"].startswith(message), run.text
    assert project.calls("master1") == []

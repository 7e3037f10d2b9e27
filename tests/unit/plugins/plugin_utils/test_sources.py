# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sources with the real DataLoader, vault and Templar."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import typing as t

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible.template import Templar
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.plugin_utils._sources import Sources

POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": {"hostNetwork": True, "nodeName": None}}


@dataclasses.dataclass(frozen=True)
class Play:
    """A playbook directory with one role beside it; the search path is that of a task in the role."""

    base: pathlib.Path
    loader: DataLoader

    def write(self, name: str, data: str | bytes) -> None:
        path = self.base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())

    def resolve(self, options: dict[str, t.Any], *, where: str = "", **variables: t.Any) -> dict[str, t.Any]:
        sources = Sources(
            loader=self.loader,
            templar=Templar(loader=self.loader, variables=variables),
            variables=variables,
            search_path=[str(self.base / "role"), str(self.base / "role" / "tasks")],
            host="master2",
        )
        return sources.resolve(options, where=where)

    def render(self, text: str, **variables: t.Any) -> dict[str, t.Any]:
        self.write("templates/pod.j2", text)
        resolved = self.resolve({"template": "pod.j2"}, **variables)
        assert resolved.pop("template") == "pod.j2", "the module names the template where it refuses the text"
        return resolved

    def error(self, options: dict[str, t.Any], *, where: str = "", **variables: t.Any) -> str:
        with pytest.raises(KubestaticError) as caught:
            self.resolve(options, where=where, **variables)
        message = str(caught.value)
        assert "\n" not in message
        return message.replace(str(self.base), "BASE")


@pytest.fixture
def play(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    loader = DataLoader()
    loader.set_basedir(str(tmp_path))
    loader.set_vault_secrets([("default", VaultSecret(b"open sesame"))])
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("ansible.constants.DEFAULT_LOCAL_TMP", str(tmp_path / "tmp"))
    return Play(base=tmp_path, loader=loader)


def encrypted(text: str) -> bytes:
    data: bytes = VaultLib([("default", VaultSecret(b"open sesame"))]).encrypt(text)
    return data


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("name: {{ name }}\n", "name: web\n", id="text"),
        pytest.param("no template\n", "no template\n", id="plain"),
        pytest.param("a:\n{% if true %}\n  - 1\n{% endif %}\nb: 2\n", "a:\n  - 1\nb: 2\n", id="trim_blocks"),
        pytest.param("a\n  {% if true %}\nb\n  {% endif %}\n", "a\n  b\n  \n", id="no lstrip_blocks"),
        pytest.param('{"name": "{{ name }}", "n": 1}\n', '{"name": "web", "n": 1}\n', id="JSON stays text"),
        pytest.param("{'n': 1}\n", "{'n': 1}\n", id="what looks like Python stays text"),
        pytest.param("n: \\n {{ '\\\\d' }}\n", "n: \\n \\d\n", id="backslashes as in ansible.builtin.template"),
        pytest.param("{% raw %}{{ .Values }}{% endraw %} {{ name }}\n", "{{ .Values }} web\n", id="raw"),
        pytest.param("{{ pod | to_json }}\n", json.dumps(POD) + "\n", id="one expression that is text"),
        pytest.param("n: {{ pod.spec.hostNetwork | to_json }}\n", "n: true\n", id="value in text"),
        pytest.param("# {{ ansible_managed }} {{ template_path }}\n", "# Ansible managed pod.j2\n", id="own variables"),
        pytest.param("port: 8080\r\n", "port: 8080\r\n", id="not templated, not touched"),
        pytest.param("", "", id="empty: the module says what is wrong"),
    ],
)
def test_template_that_is_text(play: Play, text: str, expected: str) -> None:
    assert play.render(text, name="web", pod=POD) == {"content": expected}


@pytest.mark.parametrize(
    "text",
    [
        "{{ pod }}",
        "{{ pod }}\n",
        "{# a licence #}\n{{ pod }}\n",
        "{% set extra = {} %}\n{{ pod | combine(extra) }}\n",
        "{{ {'apiVersion': 'v1', 'kind': 'Pod'} | combine(pod) }}\n",
    ],
)
def test_template_that_is_one_expression_is_a_mapping(play: Play, text: str) -> None:
    assert play.render(text, pod=POD) == {"definition": POD}


@pytest.mark.parametrize(
    ("text", "kind"),
    [("{{ [1] }}", "a list"), ("{{ 8080 }}", "a number"), ("{{ true }}", "a boolean"), ("{{ 1.5 }}\n", "a number")],
)
def test_template_that_is_neither(play: Play, text: str, kind: str) -> None:
    play.write("templates/pod.j2", text)
    assert play.error({"template": "pod.j2"}) == (
        f"template pod.j2 gives {kind} for master2, but a manifest is text or a mapping with one Pod"
    )


def test_include_and_import(play: Play) -> None:
    play.write("role/templates/labels.j2", "labels: {node: {{ node }}}\n")
    play.write("templates/macros.j2", "{% macro port(n) %}port: {{ n }}{% endmacro %}\n")
    text = "{% import 'macros.j2' as m %}\n{% include 'labels.j2' %}\n\n{{ m.port(80) }}\n"
    assert play.render(text, node="n1") == {"content": "labels: {node: n1}\nport: 80\n"}


def test_role_before_playbook_and_absolute(play: Play) -> None:
    play.write("templates/pod.j2", "playbook")
    play.write("role/templates/pod.j2", "role")
    play.write("elsewhere/pod.j2", "absolute")
    assert play.resolve({"template": "pod.j2"}) == {"content": "role", "template": "pod.j2"}
    assert play.resolve({"template": str(play.base / "elsewhere/pod.j2")})["content"] == "absolute"


def test_src_is_not_a_template(play: Play) -> None:
    play.write("files/pod.yaml", "a: '{{ b }}'\n# ü\n")
    assert play.resolve({"src": "pod.yaml", "filename": "x"}) == {
        "content": "a: '{{ b }}'\n# ü\n",
        "filename": "x",
        "src": "pod.yaml",
    }


def test_vaulted_files(play: Play) -> None:
    play.write("files/pod.yaml", encrypted("secret: 1\n"))
    play.write("templates/pod.j2", encrypted("secret: {{ word }}\n"))
    assert play.resolve({"src": "pod.yaml"})["content"] == "secret: 1\n"
    assert play.resolve({"template": "pod.j2"}, word="s")["content"] == "secret: s\n"
    assert list((play.base / "tmp").iterdir()) == []


def test_values_from_outside_are_not_templates(play: Play) -> None:
    """What a module or a lookup returned stays as it is."""
    play.write("role/files/given", "{{ 1 + 1 }}")
    found = play.render("a: {{ lookup('file', path) }}\n", path=str(play.base / "role/files/given"))
    assert found == {"content": "a: {{ 1 + 1 }}\n"}


@pytest.mark.parametrize(
    "options",
    [
        {"content": "a"},
        {"definition": POD},
        {"name": "web", "state": "absent"},
        {"state": "restarted", "template": "nowhere.j2", "src": "nowhere"},
        {"content": ""},
        {"content": 5},
        {},
    ],
)
def test_what_needs_no_file_is_left_alone(play: Play, options: dict[str, t.Any]) -> None:
    assert play.resolve(options) == options


def test_text_and_mapping_are_taken_alike(play: Play) -> None:
    assert play.resolve({"content": POD, "name": "web"}) == {"definition": POD, "name": "web"}
    assert play.resolve({"definition": "a: 1\n", "state": "present"}) == {"content": "a: 1\n", "state": "present"}


def test_two_sources(play: Play) -> None:
    assert play.error({"content": "a", "template": "nowhere.j2"}, where="pods[2]") == (
        "pods[2]: content and template are given, but a manifest has one source: "
        "keep one of content, definition, src, template"
    )


def test_undefined_variable(play: Play) -> None:
    play.write("templates/pod.j2", "port: {{ web_port }}\n")
    assert play.error({"template": "pod.j2"}, where="pods[0]") == (
        "pods[0]: template pod.j2 needs a variable that master2 does not have: "
        "'web_port' is undefined (BASE/templates/pod.j2)"
    )


def test_undefined_attribute_and_single_expression(play: Play) -> None:
    play.write("templates/pod.j2", "{{ pod.metadata.uid }}")
    message = play.error({"template": "pod.j2"}, pod=POD)
    assert message.startswith("template pod.j2 needs a variable that master2 does not have: ")
    assert "no attribute 'uid'" in message


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("a\n{% if %}\n", "line 2: Expected an expression"),
        ("{{ 'a' | no_such_filter }}", "no_such_filter"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{% include 'gone.j2' %}", "gone.j2"),
        ("{{ lookup('file', '/does/not/exist') }}", "/does/not/exist"),
    ],
)
def test_template_with_a_fault(play: Play, text: str, part: str) -> None:
    play.write("templates/pod.j2", text)
    message = play.error({"template": "pod.j2"})
    assert message.startswith("template pod.j2 cannot be rendered for master2: ")
    assert part in message


@pytest.mark.parametrize(("option", "folder"), [("src", "files"), ("template", "templates")])
def test_missing_file(play: Play, option: str, folder: str) -> None:
    message = play.error({option: "gone.yaml"})
    assert message.startswith(f"{option} gone.yaml was not found on the controller; looked for ")
    assert f"BASE/role/{folder}/gone.yaml, " in message
    assert message.endswith(f"BASE/{folder}/gone.yaml, BASE/gone.yaml")


@pytest.mark.parametrize("option", ["src", "template"])
def test_unusable_files(play: Play, option: str) -> None:
    play.write("latin.yaml", b"a: \xe9\n")
    play.write("locked.yaml", encrypted("a: 1\n"))
    (play.base / "folder").mkdir()
    assert play.error({option: "/does/not/exist"}).endswith("looked for /does/not/exist")
    assert play.error({option: "folder"}) == f"{option} folder is not a file but a directory or a device: BASE/folder"
    assert play.error({option: "latin.yaml"}).endswith(
        "latin.yaml is not UTF-8 text: byte 3 of BASE/latin.yaml is 0xe9"
    )
    assert play.error({option: ["a"]}) == f"{option} must be the name of a file on the controller; got ['a']"
    assert play.error({option: ""}) == f"{option} must be the name of a file on the controller; got ''"
    play.loader.set_vault_secrets([("default", VaultSecret(b"wrong"))])
    message = play.error({option: "locked.yaml"})
    assert message.startswith(f"{option} locked.yaml cannot be read: ") and "vault" in message.lower()

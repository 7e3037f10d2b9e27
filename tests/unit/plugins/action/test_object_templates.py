# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of api_objects: real ansible-playbook runs."""

from __future__ import annotations

import base64
import json
import typing as t

from ansible.parsing.vault import VaultLib, VaultSecret

if t.TYPE_CHECKING:
    from ansible_collections.kubestatic.node.tests.unit.plugins.action.conftest import Project

PLAY = """
- hosts: {hosts}
  gather_facts: false
  environment:
    NODE_DIR: "{{{{ node_dir }}}}"
  vars: {variables}
  tasks:
"""
TASK = """
    - kubestatic.node.api_objects: {}
      ignore_errors: true
"""


def play(
    project: Project,
    *calls: str,
    args: t.Sequence[str] = (),
    variables: t.Mapping[str, t.Any] | None = None,
    hosts: str = "master1",
) -> t.Any:
    text = PLAY.format(hosts=hosts, variables=json.dumps(variables or {}))
    run = project.play(text + "".join(TASK.format(one) for one in calls), *args)
    assert run.rc == 0, run.text
    return run


def received_by(project: Project) -> list[list[t.Any]]:
    return [one["objects"] for one in project.calls("master1")]


def test_objects_arrive_as_they_are_and_out_of_sight(project: Project) -> None:
    project.write("password", "open sesame")
    secret = VaultLib([("default", VaultSecret(b"open sesame"))]).encrypt("vaulted")
    lines = secret.decode().replace("\n", "\n        ")
    project.write("vars.yml", f"token: !vault |\n        {lines}\n")
    run = play(
        project,
        "{definitions: [{a: 1, b: '1', c: true, d: null, e: [0.5, \"\u00e4\"], f: '{{ token }}', g: '{{ inventory_hostname }}'}]}",
        args=["-e", "@vars.yml", "--vault-password-file", "password", "-vvv"],
    )
    [[received]] = received_by(project)
    assert received == {"a": 1, "b": "1", "c": True, "d": None, "e": [0.5, "\u00e4"], "f": "vaulted", "g": "master1"}
    assert "to be vaulted" not in run.text and '"vaulted"' not in run.text
    assert base64.b64encode(b'"vaulted"').decode()[:8] not in run.text


def test_a_template_has_one_document_or_more(project: Project) -> None:
    project.write(
        "templates/objects.j2",
        "# first\n---\na: {{ inventory_hostname }}\nb: |\n  ---\n  text\n--- # second\na: yes\n---\n\n---\n{a: no}\n...\n",
    )
    run = play(project, "{template: objects.j2}")
    assert received_by(project) == [[{"a": "master1", "b": "---\ntext\n"}, {"a": True}, {"a": False}]]
    assert run.one("master1")["received"] == '"objects.j2"'


def test_a_template_may_be_an_expression(project: Project) -> None:
    project.write("templates/all.j2", "{{ things }}")
    project.write("templates/one.j2", "{{ things[0] }}")
    project.write("templates/loop.j2", "{% for thing in things %}\n---\na: {{ thing.a }}\n{% endfor %}\n")
    project.write("templates/empty.j2", "")
    names = ("all", "one", "loop", "empty")
    play(project, *(f"{{template: {name}.j2}}" for name in names), variables={"things": [{"a": 1}, {"a": 2}]})
    assert received_by(project) == [[{"a": 1}, {"a": 2}], [{"a": 1}], [{"a": 1}, {"a": 2}], []]


BAD = {
    "{}": "neither definitions nor template is given; give one of definitions and template",
    "{definitions: [], template: a}": "definitions and template are given; give one of definitions and template",
    "{definitions: 5}": "definitions: is neither a list of mappings nor text with YAML documents",
    "{definitions: [{a: 2026-01-01}]}": "definitions: a value of type ",
    "{template: none.j2}": "template none.j2 was not found on the controller; looked for ",
    "{template: undefined.j2}": "template undefined.j2 needs a variable that master1 does not have: ",
    "{template: broken.j2}": "template broken.j2: YAML syntax error in line 5",
    "{template: twice.j2}": "template twice.j2: a (line 4) is there twice; keep one of the two",
}


def test_what_cannot_be_had_is_named(project: Project) -> None:
    project.write("templates/undefined.j2", "{{ nothing }}")
    project.write("templates/broken.j2", "a: b\n---\na: b\nc: [\n")
    project.write("templates/twice.j2", "a: b\n---\na: b\na: c\n")
    results = play(project, *BAD).results["master1"]
    for result, message in zip(results, BAD.values(), strict=True):
        assert result["msg"].startswith(message), result["msg"]
    assert project.calls("master1") == []


def test_a_failure_on_one_node_does_not_keep_the_others_from_trying(project: Project) -> None:
    (project.node("master1") / "fail").touch()
    run = play(project, "{definitions: []}", args=["--forks", "1"], hosts="masters")
    assert run.one("master1")["msg"] == "told to fail"
    assert [len(project.calls(host)) for host in ("master1", "master2", "master3")] == [1, 1, 1]
    assert [run.one(host)["outcome"] for host in ("master1", "master2")] == ["failed", "ok"]

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates and files reach each node's module as text or mapping: real ansible-playbook runs."""

from __future__ import annotations

import re
import typing as t

import pytest

if t.TYPE_CHECKING:
    from ansible_collections.kubestatic.node.tests.unit.plugins.action.conftest import Project

PLAY = """
- hosts: masters
  gather_facts: false
  tasks:
    - kubestatic.node.static_pod:
        template: pod.j2
        manifest_dir: "{{ node_dir }}"
"""

ROLE_PLAY = """
- hosts: masters
  gather_facts: false
  vars:
    static_pods_manifest_dir: "{{ node_dir }}"
    static_pods_pods:
      - template: pod.j2
      - src: plain.yaml
        filename: other.yaml
"""


def contents(project: Project) -> dict[str, list[str]]:
    return {
        host: [pod["content"] for call in project.calls(host) for pod in call["pods"] or [call]]
        for host in ("master1", "master2", "master3")
    }


def test_one_template_gives_each_host_its_own(project: Project) -> None:
    project.write("templates/pod.j2", "name: {{ inventory_hostname }}\n{% include 'rest.j2' %}\n")
    project.write("templates/rest.j2", "number: {{ number }}\n")
    run = project.play(PLAY)
    assert run.rc == 0, run.text
    assert contents(project) == {f"master{n}": [f"name: master{n}\nnumber: {n}\n"] for n in (1, 2, 3)}


def test_mapping_keeps_its_types(project: Project) -> None:
    project.write("templates/pod.j2", "{{ pod | combine({'spec': {'node': inventory_hostname}}, recursive=true) }}\n")
    variables = "  vars: {pod: {kind: Pod, spec: {hostNetwork: true, priority: 7, x: null}}}\n"
    run = project.play(PLAY.replace("  tasks:", variables + "  tasks:"))
    assert run.rc == 0, run.text
    call = project.calls("master2")[0]
    assert call["content"] is None
    assert call["definition"] == {
        "kind": "Pod",
        "spec": {"hostNetwork": True, "priority": 7, "x": None, "node": "master2"},
    }


def test_vaulted_template(project: Project) -> None:
    project.write("password", "open sesame\n")
    project.write("templates/pod.j2", "number: {{ number }}\n")
    encrypted = project.run("ansible.cli.vault", "encrypt", "--vault-password-file=password", "templates/pod.j2")
    assert encrypted.rc == 0, encrypted.text
    run = project.play(PLAY, "--vault-password-file=password")
    assert contents(project)["master3"] == ["number: 3\n"], run.text
    refused = project.play(PLAY, "--limit=master1")
    assert "template pod.j2 cannot be read: " in refused.one("master1")["msg"]


def test_undefined_variable_of_one_host(project: Project) -> None:
    project.write("templates/pod.j2", "port: {{ hostvars[inventory_hostname]['only'] if number == 1 else port }}\n")
    run = project.play(PLAY, "-e", "only=1", "--limit=master1,master2")
    message = run.one("master2")["msg"]
    assert message.startswith("template pod.j2 needs a variable that master2 does not have: 'port' is undefined (")
    assert "Traceback" not in run.text
    assert project.calls("master2") == []


def test_pods_names_the_entry(project: Project) -> None:
    run = project.play(
        """
        - hosts: master1
          gather_facts: false
          tasks:
            - kubestatic.node.static_pods:
                manifest_dir: "{{ node_dir }}"
                pods:
                  - content: a
                  - {name: old, state: absent}
                  - {src: gone.yaml}
        """
    )
    assert run.one("master1")["msg"].startswith("pods[2]: src gone.yaml was not found on the controller; looked for ")


@pytest.mark.parametrize(
    "way",
    [
        pytest.param("  roles: [kubestatic.node.static_pods]\n", id="roles"),
        pytest.param("  tasks:\n    - import_role: {name: kubestatic.node.static_pods}\n", id="import_role"),
        pytest.param("  tasks:\n    - include_role: {name: kubestatic.node.static_pods}\n", id="include_role"),
    ],
)
def test_role_finds_files_beside_the_playbook(project: Project, way: str) -> None:
    project.write("templates/pod.j2", "playbook {{ number }}\n")
    project.write("files/plain.yaml", "{{ plain }}\n")
    run = project.play(ROLE_PLAY + way, "--limit=master1,master2")
    assert run.rc == 0, run.text
    assert contents(project)["master1"] == ["playbook 1\n", "{{ plain }}\n"]
    assert contents(project)["master2"] == ["playbook 2\n", "{{ plain }}\n"]


@pytest.mark.parametrize("statement", ["import_role", "include_role", "dependency"])
def test_role_finds_files_of_the_role_that_calls_it(project: Project, statement: str) -> None:
    project.write("templates/pod.j2", "playbook\n")
    project.write("roles/mine/templates/pod.j2", "mine {{ number }}\n")
    project.write("roles/mine/files/plain.yaml", "plain\n")
    if statement == "dependency":
        project.write("roles/mine/meta/main.yml", "dependencies: [kubestatic.node.static_pods]\n")
    else:
        project.write("roles/mine/tasks/main.yml", f"- {statement}: {{name: kubestatic.node.static_pods}}\n")
    run = project.play(ROLE_PLAY + "  roles: [mine]\n", "--limit=master2")
    assert run.rc == 0, run.text
    assert contents(project)["master2"] == ["mine 2\n", "plain\n"]


def test_playbook_of_the_collection(project: Project) -> None:
    """It takes one master at a time and ends with the first that fails."""
    project.write("files/plain.yaml", "plain\n")
    project.write(
        "pods.yml",
        f"static_pods_pods: [{{src: {project.path}/files/plain.yaml}}]\nansible_become: false\n"
        'static_pods_manifest_dir: "{{ node_dir }}"\n',
    )
    (project.node("master2") / "fail").touch()
    run = project.run("ansible.cli.playbook", "kubestatic.node.static_pods", "-e", "@pods.yml")
    assert [len(project.calls(host)) for host in ("master1", "master2", "master3")] == [1, 1, 0], run.text
    assert run.results["master3"] == []
    again = project.run(
        "ansible.cli.playbook",
        "kubestatic.node.static_pods",
        "-e",
        "@pods.yml",
        "-e",
        "kubestatic_hosts=master3 kubestatic_serial=100% static_pods_throttle=0",
    )
    assert again.rc == 0 and len(project.calls("master3")) == 1, again.text


def test_one_remote_operation(project: Project) -> None:
    """With pipelining: one command, no file sent."""
    project.write("templates/pod.j2", "number: {{ number }}\n")
    run = project.play(PLAY, "-vvvv", "--limit=master1")
    assert run.rc == 0, run.text
    assert len(re.findall(r"^<[^>]*> EXEC ", run.text, re.MULTILINE)) == 1, run.text
    assert not re.search(r"^<[^>]*> PUT ", run.text, re.MULTILINE)
    assert len(project.calls("master1")) == 1

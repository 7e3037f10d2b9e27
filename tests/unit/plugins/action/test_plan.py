# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook kubestatic.node.plan: one table for all nodes, from real ansible-playbook runs, and nothing changed."""

from __future__ import annotations

import json
import pathlib
import re
import typing as t

import pytest
import yaml
from ansible_collections.kubestatic.node.plugins.plugin_utils import _action

if t.TYPE_CHECKING:
    from ansible_collections.kubestatic.node.tests.unit.plugins.action.conftest import Project, Run

HOSTS = ("master1", "master2", "master3")
VARIABLES = json.dumps({"static_pods_manifest_dir": "{{ node_dir }}", "static_pods_pods": [{"content": "text"}]})
FLAG: dict[str, str | None] = {"path": "spec.containers[main].command", "before": "--v=2", "after": "--v=4"}
LONG: dict[str, str | None] = {
    "path": "spec.containers[main].args",
    "before": None,
    "after": "first\nsecond " + "x" * 100,
}


def pod(
    name: str, effect: str, *fields: dict[str, str | None], left_out: int = 0, downtime: float | None = None
) -> dict[str, t.Any]:
    return {
        "name": name,
        "namespace": "default",
        "path": f"/manifests/{name}.yaml",
        "effect": effect,
        "fields": list(fields),
        "fields_left_out": left_out,
        "changed_files": [],
        "expected_downtime_seconds": downtime,
    }


def plan(project: Project, **plans: list[dict[str, t.Any]]) -> Run:
    for host in HOSTS:
        project.write(f"nodes/{host}/plan", json.dumps(plans.get(host, [])))
    run = project.run("ansible.cli.playbook", "kubestatic.node.plan", "-e", VARIABLES)
    assert all(not result["changed"] for host in HOSTS for result in run.results[host]), run.text
    return run


def table(run: Run) -> list[str]:
    """The lines as the default callback prints them."""
    (lines,) = re.findall(r'"msg": (\[\n.*?\n    \])', run.text, re.DOTALL)
    found: list[str] = json.loads(lines)
    return found


def test_one_table_for_all_nodes(project: Project) -> None:
    run = plan(
        project,
        master1=[pod("web", "replace", FLAG, LONG, left_out=2, downtime=0.97), pod("other-pod", "text only")],
        master2=[pod("web", "restart"), pod("old", "remove"), pod("next", "new")],
    )
    assert run.rc == 0, run.text
    assert table(run) == [
        "NODE     POD                EFFECT     DOWNTIME  CAUSE",
        "master1  default/web        replace    1.0 s     spec.containers[main].command: --v=2 -> --v=4",
        "                                                 spec.containers[main].args: (none) -> first second "
        + "x" * 44
        + "...",
        "                                                 and 2 more",
        "master1  default/other-pod  text only  -         -",
        "master2  default/web        restart    unknown   -",
        "master2  default/old        remove     -         -",
        "master2  default/next       new        -         -",
        "master3  -                  nothing    -         -",
    ]


def test_each_node_is_looked_at_with_the_same_variables(project: Project) -> None:
    run = plan(project)
    assert [project.calls(host)[0]["pods"] for host in HOSTS] == [[{"content": "text"}]] * 3, run.text


def test_no_node_waits_for_another() -> None:
    """Ansible does not tell who waited, so this is what the playbook says."""
    (play,) = yaml.safe_load((pathlib.Path(_action.__file__).parents[2] / "playbooks" / "plan.yml").read_text())
    assert "serial" not in play
    (role,) = play["tasks"][0]["block"]
    assert role["vars"] == {"static_pods_throttle": 0}


def test_a_node_that_would_fail_is_in_the_table_and_fails_the_play(project: Project) -> None:
    (project.node("master1") / "fail").touch()
    run = plan(project, master2=[pod("web", "new")])
    assert run.rc == 2, run.text
    assert table(run)[1:] == [
        "master1  -            fails    -         told to fail",
        "master2  default/web  new      -         -",
        "master3  -            nothing  -         -",
    ]


def test_variables_that_are_missing_are_told(project: Project) -> None:
    run = project.run("ansible.cli.playbook", "kubestatic.node.plan")
    assert run.rc == 2
    (line,) = [line for line in table(run) if line.startswith("master3")]
    assert "missing required arguments: static_pods_pods" in line


@pytest.mark.parametrize("lost", ["master1", "master3"])
def test_a_node_that_cannot_be_reached_is_in_the_table(project: Project, lost: str) -> None:
    """Port 1 refuses at once."""
    inventory = json.loads((project.path / "inventory.yml").read_text())
    inventory["masters"]["hosts"][lost] |= {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
    project.write("inventory.yml", json.dumps(inventory))
    run = plan(project)
    assert run.rc == 4, run.text
    assert f"{lost}  -    unknown  -         the node could not be reached" in table(run)


def test_it_is_the_playbook_that_sees_to_check_mode(project: Project) -> None:
    """The other playbook changes the nodes with the same variables."""
    run = project.run("ansible.cli.playbook", "kubestatic.node.static_pods", "-e", VARIABLES)
    assert all(run.one(host)["changed"] for host in HOSTS), run.text

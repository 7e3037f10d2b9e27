# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All masters judged in one task: real ansible-playbook runs. What is judged how is tested with the rooms."""

from __future__ import annotations

import json
import time
import typing as t

import pytest
import yaml
from ansible_collections.kubestatic.node.plugins.action import control_plane_info, control_plane_preflight
from ansible_collections.kubestatic.node.plugins.modules import control_plane_preflight as module
from ansible_collections.kubestatic.node.tests.unit.plugins.modules.test_documentation import (
    documentation,
    require_same,
    require_shape,
    require_type,
)
from ansible_collections.kubestatic.node.tests.unit.plugins.plugin_utils.preflight_world import (
    CLUSTER,
    VERSION,
    Facts,
    bare,
    master,
)

if t.TYPE_CHECKING:
    from ansible_collections.kubestatic.node.tests.unit.plugins.action.conftest import Project, Run

PLAY = """
- hosts: masters
  gather_facts: false
  environment:
    NODE_DIR: "{{ node_dir }}"
  tasks:
    - kubestatic.node.control_plane_info:
      register: info
      ignore_unreachable: true
    - kubestatic.node.control_plane_preflight:
        kubernetes_version: VERSION
        masters:
          - {name: master1, address: 192.0.2.11, info: "{{ hostvars.master1.info | default({}) }}"}
          - {name: master2, address: 192.0.2.12, info: "{{ hostvars.master2.info | default({}) }}"}
          - {name: m3, host: master3, address: 192.0.2.13, info: "{{ hostvars.master3.info | default({}) }}"}
      run_once: true
"""


def play(project: Project, told: t.Callable[..., Facts], *args: str, text: str = PLAY) -> Run:
    """Run on masters that tell this."""
    for number in (1, 2, 3):
        facts = {**told(number), "time": time.time()}
        answer = {"changed": False, "held_files": [], "texts": {}, "facts": facts}
        (project.node(f"master{number}") / "answer").write_text(json.dumps(answer))
    return project.play(text.replace("VERSION", VERSION), *args)


def judged(run: Run) -> dict[str, t.Any]:
    return next(results[1] for results in run.results.values() if len(results) > 1)


@pytest.mark.parametrize("args", [[], ["--check"]])
def test_a_first_run(project: Project, args: list[str]) -> None:
    run = play(project, bare, *args)
    assert run.rc == 0, run.text
    result = judged(run)
    cluster = CLUSTER.replace("master3", "m3")
    assert result["phase"] == dict.fromkeys(["m3", "master1", "master2"], "bootstrap")
    assert set(result["initial_cluster"].values()) == {",".join(sorted(cluster.split(",")))}
    assert set(result["initial_cluster_state"].values()) == {"new"}
    assert (result["first_run"], result["running"], result["changed"]) == (True, False, False)
    assert result["actions"] == ["begin a cluster on m3, master1 and master2"]


def test_problems_are_numbered(project: Project) -> None:
    run = play(project, lambda number: bare(number, swap=["/dev/sda2"], crictl=number == 1))
    lines = judged(run)["msg"].splitlines()
    assert lines[0] == "nothing was touched on any master, for 5 reasons:"
    assert [line[:13] for line in lines[1:]] == [
        "1. m3: swap i",
        "2. m3: crictl",
        "3. master1: s",
        "4. master2: s",
        "5. master2: c",
    ]
    assert (run.rc, judged(run)["phase"]) == (2, {})


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--limit", "master1,master3"], "and master2 is not in it; run without --limit and serial"),
        (["--forks", "2"], "and Ansible works on 2 at a time; run with --forks 3"),
    ],
)
def test_a_first_run_takes_all_masters_at_once(project: Project, args: list[str], message: str) -> None:
    result = judged(play(project, bare, *args))
    assert result["msg"].startswith("nothing was touched on any master: this would be the first")
    assert message in result["msg"]


def test_a_host_of_the_play_that_is_no_master_is_refused(project: Project) -> None:
    """It would run the tasks that follow beside the masters, which have been judged without it."""
    text = "".join(line for line in PLAY.splitlines(keepends=True) if "name: m3" not in line)
    run = play(project, bare, text=text)
    assert run.rc != 0
    assert judged(run)["msg"].startswith(
        "nothing was touched on any master: master3: is in this play and not among the masters"
    )


def test_a_first_run_with_serial_is_refused_in_the_first_batch(project: Project) -> None:
    run = play(project, bare, text=PLAY.replace("gather_facts: false", "gather_facts: false\n  serial: 1"))
    assert "and m3 and master2 are not in it" in judged(run)["msg"]
    assert [len(results) for results in run.results.values()] == [2, 0, 0]


def of_cluster(number: int) -> Facts:
    facts = master(number)
    for member in facts["etcd"]["members"]:
        member["name"] = member["name"].replace("master3", "m3")
    return facts


def test_a_later_run_may_leave_masters_out(project: Project) -> None:
    run = play(project, of_cluster, "--limit", "master1")
    result = judged(run)
    assert (run.rc, result["phase"], result["running"]) == (0, {"master1": "keep"}, True), run.text
    assert result["initial_cluster"] == {"master1": CLUSTER}


def test_a_master_where_the_look_failed_is_none_that_was_left_out(project: Project) -> None:
    answer = {"failed": True, "msg": "/var/lib/etcd: mend the disk", "facts": {}, "held_files": []}
    change = f"    - ansible.builtin.copy: {{dest: '{{{{ node_dir }}}}/answer', content: {json.dumps(json.dumps(answer))}}}\n"
    change += "      when: inventory_hostname == 'master3'\n"
    text = PLAY.replace("  tasks:\n", "  tasks:\n" + change)
    run = play(project, of_cluster, text=text)
    message = run.results["master1"][-1]["msg"]
    assert message.startswith(
        "nothing was touched on any master: m3: nothing is known of it (/var/lib/etcd: mend the disk);"
    )


def test_warnings_are_shown(project: Project) -> None:
    text = "\n".join(line for line in PLAY.splitlines() if "master3" not in line)
    run = play(project, bare, "--limit", "master1,master2", text=text)
    assert run.rc == 0 and "2 masters are no safer than 1" in run.text.replace("\n", " "), run.text


# Times: told by the node, and what is noted where it was asked at 100 and answered at 103.
CLOCKS = [(100.0, 0.0), (102.5, 0.0), (103.0, 0.0), (104.5, 1.5), (90.0, -10.0)]


@pytest.mark.parametrize(("told", "offset"), CLOCKS)
def test_a_clock_is_off_by_what_the_call_does_not_account_for(told: float, offset: float) -> None:
    facts = {"time": told}
    control_plane_info._note_clock(facts, asked=100.0, answered=103.0)
    assert facts["clock_offset"] == offset


def test_clocks_are_compared(project: Project) -> None:
    run = play(project, bare)
    assert [results[0]["facts"]["clock_offset"] <= 0 for results in run.results.values()] == [True] * 3


# ---- documentation


def test_options_are_those_of_the_code() -> None:
    require_same(documentation(module)["options"], control_plane_preflight.ARGUMENT_SPEC, path="")


def test_return_values_are_those_that_are_documented(project: Project) -> None:
    for result in (judged(play(project, of_cluster)), judged(play(project, lambda number: bare(number, crictl=False)))):
        words = yaml.safe_load(module.RETURN)
        added = {"changed", "outcome", "failed", "invocation", "_ansible_no_log", "warnings", "msg", "exception"}
        assert set(result) - added == set(words)
        for name, one in words.items():
            require_type(result[name], one, path=name, known=True)
            if not isinstance(one["sample"], dict):
                require_shape(one["sample"], result[name], path=name)

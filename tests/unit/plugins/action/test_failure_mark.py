# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A master that fails stops the masters after it: real ansible-playbook runs."""

from __future__ import annotations

import typing as t

import pytest

if t.TYPE_CHECKING:
    from ansible_collections.kubestatic.node.tests.unit.plugins.action.conftest import Project, Run

ALONE = """
- hosts: masters
  gather_facts: false
  tasks:
    - kubestatic.node.static_pod:
        content: text
        manifest_dir: "{{ node_dir }}"
      throttle: 1
"""


def assert_untouched(project: Project, run: Run, host: str, *, failed: str) -> None:
    assert project.calls(host) == [], run.text
    result = run.one(host)
    assert result["outcome"] == "failed" and not result["changed"]
    assert result["msg"].startswith(f"Nothing was touched on {host}, because this task failed on {failed} before")


def test_masters_after_a_failed_one_stay_untouched(project: Project) -> None:
    (project.node("master2") / "fail").touch()
    run = project.play(ALONE)
    assert run.rc == 2
    assert run.one("master1")["changed"]
    assert run.one("master2")["msg"] == "told to fail"
    assert_untouched(project, run, "master3", failed="master2")


def test_result_of_the_module_passes_through(project: Project) -> None:
    (project.node("master3") / "fail").touch()
    run = project.play(ALONE, "--diff")
    good, bad = run.one("master1"), run.one("master3")
    assert good["diff"] == {"before": "a\n", "after": "b\n"}
    assert (good["received"]["content"], good["received"]["definition"]) == ("text", None)
    assert (bad["actions"], bad["downtime_seconds"], bad["changed"]) == (["failed"], 1.5, False)


def test_no_mark_outlives_the_run(project: Project) -> None:
    (project.node("master1") / "fail").touch()
    project.play(ALONE)
    (project.node("master1") / "fail").unlink()
    run = project.play(ALONE)
    assert run.rc == 0, run.text
    assert list((project.path / "tmp").iterdir()) == []


ROLE_WAYS = {
    "task": """
  tasks:
    - kubestatic.node.static_pods:
        pods: "{{ static_pods_pods }}"
        manifest_dir: "{{ node_dir }}"
""",
    "roles": """
  roles:
    - kubestatic.node.static_pods
""",
    "import_role": """
  tasks:
    - import_role:
        name: kubestatic.node.static_pods
""",
    "include_role": """
  tasks:
    - include_role:
        name: kubestatic.node.static_pods
""",
    "include_tasks": """
  tasks:
    - include_tasks: pods.yml
""",
}


@pytest.mark.parametrize("way", ROLE_WAYS)
def test_later_serial_batch_stays_untouched(project: Project, way: str) -> None:
    """The first batch loses one of its two hosts, so that Ansible itself goes on with the second batch."""
    (project.node("master1") / "fail").touch()
    project.write("pods.yml", "- include_role:\n    name: kubestatic.node.static_pods\n")
    run = project.play(
        """
- hosts: masters
  gather_facts: false
  serial: 2
  vars:
    static_pods_throttle: 0
    static_pods_manifest_dir: "{{ node_dir }}"
    static_pods_pods:
      - content: text
"""
        + ROLE_WAYS[way].lstrip("\n")
    )
    assert run.one("master2")["changed"], run.text
    assert_untouched(project, run, "master3", failed="master1")


def test_loop_goes_on_where_it_failed_and_nowhere_else(project: Project) -> None:
    """Neither does a master's own mark stop its next items, nor do these, when they succeed, take the mark away."""
    (project.node("master1") / "fail-b").touch()
    run = project.play(
        """
        - hosts: masters
          gather_facts: false
          tasks:
            - kubestatic.node.static_pod:
                name: "{{ item }}"
                manifest_dir: "{{ node_dir }}"
              loop: [a, b, c]
              throttle: 1
        """
    )
    assert [call["name"] for call in project.calls("master1")] == ["a", "b", "c"], run.text
    assert [item.get("msg") for item in run.one("master1")["results"]] == [None, "told to fail", None]
    assert project.calls("master2") == project.calls("master3") == []
    for item in run.one("master2")["results"]:
        assert "failed on master1 before" in item["msg"]


def test_retry_that_succeeds_takes_the_mark_away(project: Project) -> None:
    (project.node("master1") / "fail-once").touch()
    run = project.play(
        ALONE + "      retries: 2\n      delay: 0\n      register: done\n      until: done is succeeded\n"
    )
    assert run.rc == 0, run.text
    assert [len(project.calls(host)) for host in ("master1", "master2", "master3")] == [2, 1, 1]


def test_delegated_loop_stops_at_the_failed_node(project: Project) -> None:
    """With delegate_to the node is the delegate, not the host that the play runs for."""
    (project.node("master2") / "fail").touch()
    run = project.play(
        """
        - hosts: master1
          gather_facts: false
          tasks:
            - kubestatic.node.static_pod:
                content: text
                manifest_dir: "{{ hostvars[item].node_dir }}"
              delegate_to: "{{ item }}"
              loop: "{{ groups.masters }}"
        """
    )
    assert [len(project.calls(host)) for host in ("master1", "master2", "master3")] == [1, 1, 0], run.text
    assert "Nothing was touched on master3, because this task failed on master2" in run.text


def test_check_mode_looks_at_every_node(project: Project) -> None:
    for host in ("master1", "master2"):
        (project.node(host) / "fail").touch()
    run = project.play(ALONE, "--check")
    assert [len(project.calls(host)) for host in ("master1", "master2", "master3")] == [1, 1, 1], run.text


def test_unreachable_counts_as_failed(project: Project) -> None:
    """Port 1 refuses at once."""
    run = project.play(
        ALONE.replace(
            "hosts: masters",
            "hosts: masters\n  vars:\n    ansible_connection: "
            "\"{{ 'ssh' if number == 1 else 'local' }}\"\n    ansible_host: 127.0.0.1\n    ansible_port: 1",
        )
    )
    assert run.one("master1")["outcome"] == "unreachable", run.text
    assert_untouched(project, run, "master2", failed="master1")
    assert_untouched(project, run, "master3", failed="master1")


def test_timeout_of_the_task_counts_as_failed(project: Project) -> None:
    (project.node("master1") / "hang").touch()
    run = project.play(ALONE + "      timeout: 8\n")
    assert run.one("master1")["outcome"] == "failed" and len(project.calls("master1")) == 1, run.text
    assert_untouched(project, run, "master2", failed="master1")


def test_template_that_fails_counts_as_failed(project: Project) -> None:
    project.write("templates/pod.j2", "{{ 'x' if number == 1 else nowhere }}\n")
    run = project.play(ALONE.replace("content: text", "template: pod.j2"))
    assert run.one("master1")["changed"], run.text
    assert "'nowhere' is undefined" in run.one("master2")["msg"]
    assert project.calls("master2") == []
    assert_untouched(project, run, "master3", failed="master2")


PAIR = """
- kubestatic.node.static_pod:
    name: a
    manifest_dir: "{{ node_dir }}"
  throttle: 1
- kubestatic.node.static_pod:
    name: b
    manifest_dir: "{{ node_dir }}"
  throttle: 1
"""


@pytest.mark.parametrize("statement", ["include_tasks", "import_tasks"])
def test_mark_is_of_one_task(project: Project, statement: str) -> None:
    (project.node("master1") / "fail-a").touch()
    project.write("pair.yml", PAIR)
    run = project.play(
        f"""
        - hosts: masters
          gather_facts: false
          ignore_errors: true
          tasks:
            - {statement}: pair.yml
        """
    )
    names = {host: [call["name"] for call in project.calls(host)] for host in ("master1", "master2", "master3")}
    assert names == {"master1": ["a", "b"], "master2": ["b"], "master3": ["b"]}, run.text


def test_ad_hoc(project: Project) -> None:
    (project.node("master1") / "fail").touch()
    run = project.run(
        "ansible.cli.adhoc",
        "masters",
        "--forks=1",
        "--module-name=kubestatic.node.static_pod",
        "--args=content=text manifest_dir={{node_dir}}",
    )
    assert [len(project.calls(host)) for host in ("master1", "master2", "master3")] == [1, 0, 0], run.text


def test_async_is_refused(project: Project) -> None:
    run = project.play(ALONE + "      async: 60\n      poll: 1\n")
    assert "does not support async" in run.one("master1")["msg"]
    assert project.calls("master1") == []

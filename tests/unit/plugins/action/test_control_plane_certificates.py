# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates made on the controller, and brought to the masters: real ansible-playbook runs."""

from __future__ import annotations

import fcntl
import json
import os
import pathlib
import stat
import typing as t

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible.plugins.connection import local as ansible_local
from ansible_collections.kubestatic.node.plugins.action import control_plane_certificates as action
from ansible_collections.kubestatic.node.plugins.module_utils._control_plane_files import (
    OF_ONE_MASTER,
    SHARED,
    node_path,
)
from ansible_collections.kubestatic.node.plugins.modules import (
    control_plane_certificates,
    control_plane_info,
)
from ansible_collections.kubestatic.node.tests.unit.plugins.action.conftest import HOSTS
from ansible_collections.kubestatic.node.tests.unit.plugins.modules.test_documentation import (
    documentation,
    require_same,
    require_shape,
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
    - kubestatic.node.control_plane_certificates: "{{ usual | combine(more) }}"
      vars:
        usual:
          directory: certs
          key_algorithm: ECDSA-P256
          masters:
            - {name: master1, address: 192.0.2.11, held: "{{ hostvars.master1.info.held }}"}
            - {name: master2, address: 192.0.2.12, held: "{{ hostvars.master2.info.held }}"}
            - {name: master3, address: 192.0.2.13, held: "{{ hostvars.master3.info.held }}"}
      run_once: true
      become: true
      register: made
    - kubestatic.node.node_files:
        files: "{{ made.files[inventory_hostname] }}"
"""
# What a run with -vvv may not show: the beginnings of the lines in keys, in PEM and in kubeconfigs.
KEYS = ("MHcCAQEE", "LS0tLS1CRUdJTiBFQyBQUklWQVRF", "PRIVATE KEY")


def play(project: Project, *args: str, **options: t.Any) -> Run:
    env = {name: options.pop(name) for name in list(options) if name.startswith("ANSIBLE_")}
    return project.play(PLAY, "-e", yaml.safe_dump({"more": options}, default_flow_style=True).strip(), *args, **env)


def made(run: Run) -> dict[str, t.Any]:
    return run.results["master1"][1]


def files(project: Project) -> dict[str, str]:
    above = project.path / "certs"
    return {str(path.relative_to(above)): path.read_text() for path in above.rglob("*") if path.is_file()}


def test_three_masters_get_everything_and_a_second_run_changes_nothing(project: Project) -> None:
    run = play(project, "--diff", "-vvv")
    assert run.rc == 0, run.text
    first = files(project)
    assert sorted(first) == sorted([*SHARED, *(f"masters/{m}/{name}" for m in HOSTS for name in OF_ONE_MASTER)])
    for host in HOSTS:
        [call] = project.calls(host)
        assert [file["path"] for file in call["files"]] == [node_path(name) for name in (*SHARED, *OF_ONE_MASTER)]
        assert {file["mode"] for file in call["files"]} == {"0600"}
        assert (project.node(host) / "pki/ca.key").read_text() == first["pki/ca.key"]
        assert (project.node(host) / "admin.conf").read_text() == first[f"masters/{host}/admin.conf"]
    assert not any(one in run.text for one in KEYS)
    assert first["pki/encryption.key"].strip() not in run.text
    again = play(project, "--diff")
    assert again.rc == 0 and files(project) == first
    assert (made(again)["changed"], made(again)["actions"]) == (False, [])
    assert made(again)["certificates"] == made(run)["certificates"]


def test_modes(project: Project) -> None:
    play(project)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (project.path / "certs").rglob("*") if path.is_file()}
    assert modes == {0o600}
    directories = [project.path / "certs", *(path for path in (project.path / "certs").rglob("*") if path.is_dir())]
    assert {stat.S_IMODE(path.stat().st_mode) for path in directories} == {0o700}
    (project.path / "certs/pki/sa.key").chmod(0o644)
    run = play(project)
    assert made(run)["actions"] == ["changed pki/sa.key (others could use it, with mode 0644)"]
    assert stat.S_IMODE((project.path / "certs/pki/sa.key").stat().st_mode) == 0o600


def test_check_mode_makes_nothing_that_stays_and_still_knows_all_files(project: Project) -> None:
    run = play(project, "--check", "--diff")
    assert run.rc == 0, run.text
    assert not (project.path / "certs").exists()
    assert list((project.path / "tmp").iterdir()) == []
    assert made(run)["actions"][0] == "would make pki/ca.key and pki/ca.crt (there was none)"
    [call] = project.calls("master2")
    assert len(call["files"]) == len(SHARED) + len(OF_ONE_MASTER)
    assert "+common_name: kube-apiserver" in run.text and not any(one in run.text for one in KEYS)


def test_a_colleague_with_an_empty_directory_gets_what_the_masters_hold(project: Project) -> None:
    play(project)
    before = files(project)
    (project.path / "certs").rename(project.path / "gone")
    run = play(project)
    assert files(project) == {
        **before,
        **{path: text for path, text in files(project).items() if "pki/kubelet." in path},
    }
    assert all(one.startswith("took ") or "pki/kubelet." in one for one in made(run)["actions"])
    assert list((project.path / "tmp").iterdir()) == [], "no copy outlives the run"


def test_a_cluster_that_is_not_this_one_is_left_alone(project: Project) -> None:
    play(project)
    (project.path / "certs").rename(project.path / "gone")
    for path in (*project.node("master1").iterdir(), *project.node("master3").iterdir()):
        if path.name != "calls":
            path.rename(project.path / f"away-{path.parent.name}-{path.name}")
    other = play(
        project,
        "--limit",
        "master1",
        masters=[{"name": "m", "address": "192.0.2.9", "new": True}],
    )
    assert made(other)["changed"], other.text
    run = play(project)
    assert run.rc == 2 and not run.results["master1"][1]["changed"]
    assert "are two different CAs, and all masters of a cluster need the same" in made(run)["msg"]
    assert (made(run)["files"], made(run)["certificates"], made(run)["actions"]) == ({}, [], [])


def vaulted(text: str) -> str:
    data: bytes = VaultLib([("default", VaultSecret(b"open sesame"))]).encrypt(text)
    return data.decode()


def test_vaulted_files_are_read_and_stay_vaulted(project: Project) -> None:
    play(project)
    plain = files(project)
    (project.path / "password").write_text("open sesame")
    secrets = ["pki/ca.key", "masters/master1/pki/apiserver.key", "masters/master1/admin.conf"]
    for name in secrets:
        (project.path / "certs" / name).write_text(vaulted(plain[name]))
    password = ("--vault-password-file", "password")
    run = play(project, *password)
    assert not made(run)["changed"], run.text
    assert (project.node("master1") / "pki/ca.key").read_text() == plain["pki/ca.key"]
    run = play(project, *password, control_plane_endpoint="api.example.org")
    assert "changed masters/master1/admin.conf" in " ".join(made(run)["actions"])
    now = files(project)
    assert all(now[name].startswith("$ANSIBLE_VAULT;") for name in secrets), "one that was replaced is vaulted again"
    assert now["pki/ca.key"] != plain["pki/ca.key"] and not now["masters/master2/admin.conf"].startswith("$ANSIBLE")
    assert not made(play(project, *password, control_plane_endpoint="api.example.org"))["changed"]
    without = play(project)
    assert without.rc == 2 and "certs/pki/ca.key cannot be read: " in made(without)["msg"]


def test_a_file_is_vaulted_again_with_the_password_that_it_had(project: Project) -> None:
    play(project)
    secrets = {"dev": VaultSecret(b"open"), "prod": VaultSecret(b"sesame")}
    for name, secret in secrets.items():
        (project.path / f"{name}.password").write_bytes(secret.bytes)
    # One has the ID in its first line, the other has none.
    label = {"master1": "prod", "master2": None}
    for host, vault_id in label.items():
        path = project.path / f"certs/masters/{host}/admin.conf"
        path.write_bytes(VaultLib().encrypt(path.read_text(), secret=secrets["prod"], vault_id=vault_id))
    ids = [word for name in secrets for word in ("--vault-id", f"{name}@{name}.password")]
    run = play(project, *ids, control_plane_endpoint="api.example.org")
    assert "changed masters/master2/admin.conf" in " ".join(made(run)["actions"]), run.text
    for host in label:
        text = (project.path / f"certs/masters/{host}/admin.conf").read_text()
        assert text.startswith("$ANSIBLE_VAULT;1.2;AES256;prod\n")
        assert b"api.example.org" in VaultLib([("prod", secrets["prod"])]).decrypt(text)


def test_the_diff_tells_a_key_that_stays_from_a_new_one(project: Project) -> None:
    play(project)
    diff = made(play(project, "--diff", control_plane_endpoint="api.example.org"))["diff"]
    told = {one["after_header"].partition("/certs/")[2]: one["after"].splitlines()[-1] for one in diff}
    assert told["masters/master1/admin.conf"] == "key: old, not shown"
    assert told["masters/master1/pki/apiserver.key"] == "key: new, not shown"
    (project.path / "certs/masters/master1/admin.conf").unlink()
    (project.node("master1") / "admin.conf").unlink()
    diff = made(play(project, "--diff", control_plane_endpoint="api.example.org"))["diff"]
    assert [one["after"].splitlines()[-1] for one in diff] == ["key: new, not shown"]


BAD: list[tuple[dict[str, t.Any], str]] = [
    ({"masters": []}, "masters: is empty"),
    ({"renew_before": 365}, "renew_before: 365 days are not between 0 and the 365 of validity"),
    ({"renew_before": -1}, "renew_before: -1 days are not between"),
    ({"validity": 0}, "validity: 0 is no number of days; give at least 1 and at most 36500"),
    ({"validity": 10000000}, "validity: 10000000 is no number of days; give at least 1 and at most 36500"),
    ({"ca_validity": 10000000}, "ca_validity: 10000000 is no number of days; give at least 1 and at most 36500"),
    ({"directory": "odd"}, "odd/pki/ca.key: cannot be looked at: Not a directory; mend what lies above it"),
    ({"directory": "linked"}, "linked/pki/ca.key: is a symbolic link; put the file itself there"),
    ({"directory": "piped"}, "piped/pki/ca.key: is no regular file; put the file itself there"),
    ({"directory": "site.yml"}, "site.yml is a file; name a directory"),
    ({"key_algorithm": "DSA"}, "value of key_algorithm must be one of: RSA-2048, ECDSA-P256, got: DSA"),
    ({"master": 1}, "Unsupported parameters for"),
    (
        {"masters": [{"name": "m", "address": "192.0.2.1", "held": "/tmp"}]},
        "masters: what was gathered from m is not in /tmp; run",
    ),
    (
        {"masters": [{"name": "m", "address": "192.0.2.1", "held": "/nowhere"}]},
        "masters: what was gathered from m is not in /nowhere; run control_plane_info in the same run",
    ),
]


def test_bad_input_is_named(project: Project) -> None:
    project.write("odd/pki", "a file")
    for name in ("linked", "piped"):
        (project.path / name / "pki").mkdir(parents=True)
    (project.path / "linked/pki/ca.key").symlink_to("/dev/null")
    os.mkfifo(project.path / "piped/pki/ca.key")
    usual = {"directory": "certs", "masters": [{"name": "m", "address": "192.0.2.1"}]}
    tasks = [
        {"kubestatic.node.control_plane_certificates": {**usual, **options}, "ignore_errors": True}
        for options, _message in BAD
    ]
    run = project.play(yaml.safe_dump([{"hosts": "master1", "gather_facts": False, "tasks": tasks}]))
    told = [result.get("msg", "") for result in run.results["master1"]]
    assert len(told) == len(BAD) and all(message in one for one, (_options, message) in zip(told, BAD, strict=True)), (
        told
    )
    assert not [path for path in (project.path / "certs").rglob("*") if path.is_file()]


def test_what_a_module_says_that_is_no_result_is_not_shown(project: Project) -> None:
    """Ansible shows what it cannot read as a result, and here keys would be in it."""
    (project.node("master1") / "nonsense").write_text("MHcCAQEE and more")
    run = play(project)
    assert run.rc == 2 and run.results["master1"][0]["outcome"] == "failed"
    assert "MHcCAQEE" not in run.text and "MHcCAQEE" not in str(run.results)
    assert files(project) == {}, "a master that was not heard is not one that holds nothing"


def test_a_master_that_was_not_heard_does_not_pass_for_an_empty_one(project: Project) -> None:
    """Also where failures are ignored, and where an earlier task of the same run has heard it."""
    gather = "    - kubestatic.node.control_plane_info:\n      register: info\n"
    assert gather in PLAY
    again = (
        "    - ansible.builtin.copy: {dest: '{{ node_dir }}/nonsense', content: no result}\n"
        + gather.replace("register: info", "register: later")
        + "      ignore_errors: true\n"
    )
    run = project.play(PLAY.replace(gather, gather + again), "-e", '{"more": {}}')
    assert [one.get("held") for one in run.results["master1"][1:2]] == [None], run.text
    assert "what was gathered from master1 is not in " in run.results["master1"][2]["msg"]
    assert not [path for path in (project.path / "certs").rglob("*") if path.is_file()]


ANSWERS: list[tuple[dict[str, t.Any], str]] = [
    ({"changed": False}, "master1: the module's answer does not say what this node holds"),
    ({"changed": False, "texts": [], "held": "/x"}, "master1: the module's answer does not say what this node holds"),
    ({"failed": True, "msg": "no", "texts": {"pki/ca.key": "a secret"}, "held": "/x"}, "no"),
]


@pytest.mark.parametrize(("answer", "message"), ANSWERS)
def test_what_is_no_answer_is_not_kept(project: Project, answer: dict[str, t.Any], message: str) -> None:
    (project.node("master1") / "answer").write_text(json.dumps(answer))
    run = play(project)
    result = run.results["master1"][0]
    assert (run.rc, result["msg"], "held" in result, "texts" in result) == (2, message, False, False), run.text
    assert files(project) == {}


def test_a_node_writes_no_file_of_its_choice_on_the_controller(project: Project) -> None:
    bad = {str(project.path / "absolute"): "evil", "../../../dots": "evil", "pki/more": "evil", "pki/sa.pub": ["evil"]}
    answer = {"changed": False, "held_files": [], "held": str(project.path), "texts": bad}
    (project.node("master1") / "answer").write_text(json.dumps(answer))
    copies = "    - ansible.builtin.command: find {{ info.held }} -type f\n      delegate_to: localhost\n      run_once: true\n"
    run = project.play(PLAY.partition("    - kubestatic.node.control_plane_certificates:")[0] + copies, "-v")
    assert run.rc == 0, run.text
    assert [line for line in run.text.splitlines() if "/kubestatic-held/" in line and ".complete" in line], run.text
    assert not [path for path in project.path.rglob("*") if path.name in ("absolute", "dots", "more", "sa.pub")]
    for name in bad:
        assert f"kubestatic-held/master1/{name}" not in run.text


TELLING = """

class Connection(Local):
    def exec_command(self, *args, **more):
        done = super().exec_command(*args, **more)
        if not self._play_context.no_log:
            display.vvv(str(done))
        return done
"""


def test_a_connection_that_shows_what_comes_back_does_not_show_keys(project: Project) -> None:
    """As that over ssh does with -vvv, unless it is told not to."""
    source = pathlib.Path(ansible_local.__file__).read_text()
    for old, new in (
        ("name: local", "name: telling"),
        ("class Connection(", "class Local("),
        ("r(Connection,", "r(Local,"),
    ):
        source = source.replace(old, new)
    project.write("connection_plugins/telling.py", source + TELLING)
    play(project)
    log = project.path / "ansible.log"
    first = PLAY.partition("    - kubestatic.node.control_plane_certificates:")[0]
    shown = first + "    - ansible.builtin.command: echo as-ever\n"
    run = project.play(shown, "-vvv", "-e", "ansible_connection=telling", ANSIBLE_LOG_PATH=str(log))
    assert run.rc == 0 and run.results["master1"][0]["held_files"], run.text
    for text in (run.text, log.read_text()):
        assert not any(one in text for one in KEYS)
        assert "(0, b" in text, "other tasks are shown as ever"


def test_two_runs_at_once_are_refused(project: Project) -> None:
    (project.path / "certs").mkdir()
    handle = os.open(project.path / "certs", os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        run = play(project)
    finally:
        os.close(handle)
    assert "is changing certificates here; let it finish and run again" in made(run)["msg"]


# ---- documentation


def test_options_are_those_of_the_code() -> None:
    require_same(documentation(control_plane_certificates)["options"], action.ARGUMENT_SPEC, path="")


def test_return_values_are_those_that_are_documented(project: Project) -> None:
    run = play(project)
    for module, result in (
        (control_plane_certificates, made(run)),
        (control_plane_info, run.results["master1"][0]),
    ):
        words = yaml.safe_load(module.RETURN)
        assert set(result) - {
            "changed",
            "outcome",
            "failed",
            "invocation",
            "_ansible_no_log",
            "diff",
            "warnings",
        } == set(words)
        # The facts of a real node are looked at with the module.
        for name in set(words) - {"facts"}:
            one = words[name]
            require_shape(
                one["sample"] if name != "files" else one["sample"]["master1"],
                result[name] if name != "files" else result[name]["master1"],
                path=name,
            )
    assert pathlib.Path(run.results["master1"][0]["held"]).name == "master1"

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kubelet's unit and process, from answers that systemctl, journalctl and kubelets of 1.34 and 1.37 gave."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _kubelet_process, _kubelet_service
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_service import KubeletService
from ansible_collections.kubestatic.node.plugins.module_utils._store import Store

RECORDINGS = pathlib.Path(__file__).parent / "recordings"
JOURNAL: dict[str, list[str]] = json.loads((RECORDINGS / "journal.json").read_text(encoding="utf-8"))

RUNNING = "MainPID=92\nLoadState=loaded\nActiveState=active\nSubState=running\n"
MISSING = "MainPID=0\nLoadState=not-found\nActiveState=inactive\nSubState=dead\n"
STOPPED = "MainPID=0\nLoadState=loaded\nActiveState=inactive\nSubState=dead\n"
RESTARTING = "MainPID=0\nLoadState=loaded\nActiveState=activating\nSubState=auto-restart\n"

if t.TYPE_CHECKING:
    Answer = tuple[int, str, str]


class Commands:
    """Answers commands by the longest known beginning of their words, and remembers what was asked."""

    def __init__(self, answers: dict[str, t.Any]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def __call__(self, args: t.Sequence[str]) -> Answer:
        command = " ".join(args)
        self.asked.append(command)
        known = max((start for start in self.answers if command.startswith(start)), key=len)
        answer = self.answers[known]
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        return t.cast("Answer", answer)


def service(store: Store, answers: dict[str, t.Any]) -> tuple[KubeletService, Commands]:
    commands = Commands(answers)
    return KubeletService(commands, store=store), commands


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Store:
    return Store(str(tmp_path / "store"))


def test_the_process_is_the_units_main_process(store: Store) -> None:
    kubelet, commands = service(store, {"systemctl show": (0, RUNNING, "")})
    assert kubelet.main_pid() == 92
    (asked,) = commands.asked
    assert asked.startswith("systemctl show kubelet.service --property=LoadState,ActiveState,SubState,")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((0, MISSING, ""), "no kubelet is installed here: systemd knows no kubelet.service; install it first"),
        ((0, STOPPED, ""), "the kubelet does not run (kubelet.service is inactive, dead); start it first"),
        ((0, RESTARTING, ""), "the kubelet does not run (kubelet.service is activating, auto-restart); start it first"),
        (
            (1, "", "Failed to connect to bus: No such file or directory\n"),
            "systemctl cannot tell the state of kubelet",
        ),
        ((127, "", "systemctl: No such file or directory"), "this node has no systemctl"),
    ],
    ids=["not installed", "stopped", "restarting", "no bus", "no systemd"],
)
def test_where_no_kubelet_runs_the_reason_is_told(store: Store, answer: t.Any, message: str) -> None:
    kubelet, _commands = service(store, {"systemctl show": answer})
    with pytest.raises(KubestaticError) as failure:
        kubelet.main_pid()
    assert message in str(failure.value)
    assert "\n" not in str(failure.value)


def test_a_kubelet_that_a_killed_run_left_stopped_is_started(store: Store) -> None:
    store.kubelet_stopped_for = "/m"
    kubelet, commands = service(store, {"systemctl show": (0, STOPPED, ""), "systemctl start": (0, "", "")})
    assert kubelet.start_after_cut()
    assert commands.asked[-1] == "systemctl start kubelet.service"
    assert store.kubelet_stopped_for == ""


def test_a_kubelet_that_somebody_else_started_since_is_left_alone(store: Store) -> None:
    store.kubelet_stopped_for = "/m"
    kubelet, commands = service(store, {"systemctl show": (0, RUNNING, "")})
    assert not kubelet.start_after_cut()
    assert len(commands.asked) == 1
    assert store.kubelet_stopped_for == ""


@pytest.mark.parametrize(
    ("holder", "why"), [("", "its orderly stop"), ("/m", "an earlier run .* the next run starts it")]
)
def test_a_look_starts_no_kubelet(store: Store, holder: str, why: str) -> None:
    store.kubelet_stopped_for = holder
    kubelet, commands = service(store, {"systemctl show": (0, STOPPED, "")})
    with pytest.raises(KubestaticError, match=why):
        kubelet.running()
    assert not [command for command in commands.asked if "start" in command.split()]
    assert store.kubelet_stopped_for == holder


def test_stopping_is_noted_before_it_is_done(store: Store) -> None:
    noted: list[str] = []

    def run(args: t.Sequence[str]) -> Answer:
        noted.append(Store(store.path).kubelet_stopped_for)
        return 0, "", ""

    kubelet = KubeletService(run, store=store)
    kubelet.stop(holder="/m")
    kubelet.start()
    assert noted == ["/m", "/m"], "a run that is killed between the two must leave the note for the next one"
    assert store.kubelet_stopped_for == ""


@pytest.mark.parametrize("verb", ["stop", "start"])
def test_a_unit_that_does_not_obey_is_an_error(store: Store, verb: str) -> None:
    kubelet, _commands = service(store, {f"systemctl {verb}": (1, "", "Unit kubelet.service is masked.\n")})
    with pytest.raises(
        KubestaticError,
        match=rf"^systemctl {verb} kubelet.service failed: Unit kubelet.service is masked\.; see journalctl",
    ):
        getattr(kubelet, verb)(**({"holder": "/m"} if verb == "stop" else {}))


def test_a_start_that_failed_is_tried_again_by_the_next_run(store: Store) -> None:
    kubelet, _commands = service(store, {"systemctl stop": (0, "", ""), "systemctl start": (1, "", "no")})
    kubelet.stop(holder="/m")
    with pytest.raises(KubestaticError):
        kubelet.start()
    assert store.kubelet_stopped_for == "/m"


# ---- the running process: a real one


@contextlib.contextmanager
def process(*arguments: str, cwd: str) -> t.Iterator[int]:
    """A process with this command line that lives until its standard input is closed."""
    command = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=cwd) as child:
        assert child.stdout is not None
        child.stdout.readline()
        yield child.pid


def test_command_line_directory_and_version_come_from_the_process(store: Store, tmp_path: pathlib.Path) -> None:
    with process("--config=/a b", "--node-labels=", "\u00fc", cwd=str(tmp_path)) as pid:
        kubelet, commands = service(
            store,
            {
                "systemctl show": (0, RUNNING.replace("92", str(pid)), ""),
                f"/proc/{pid}/exe --version": (0, "Kubernetes v1.34.4\n", ""),
            },
        )
        found = kubelet.running()
        again = kubelet.running()
    assert found == again
    assert found.pid == pid
    assert found.argv[3:] == ("--config=/a b", "--node-labels=", "\u00fc")
    assert found.cwd == os.path.realpath(str(tmp_path))
    assert (found.version, found.minor) == ("1.34.4", 34)
    assert len(commands.asked) == 2, "the second look needs no command"


def test_another_process_with_the_same_id_is_another_kubelet(store: Store, tmp_path: pathlib.Path) -> None:
    with process(cwd=str(tmp_path)) as pid:
        store.kubelet = {"pid": pid, "process": "an earlier boot 17", "version": "1.28.0"}
        answers = {"systemctl show": (0, RUNNING.replace("92", str(pid)), ""), "/proc": (0, "Kubernetes v1.34.4\n", "")}
        kubelet, _commands = service(store, answers)
        assert kubelet.running().version == "1.34.4"


def test_a_kubelet_that_was_restarted_is_found_anew(store: Store, tmp_path: pathlib.Path) -> None:
    with process(cwd=str(tmp_path)) as old:
        answers = {"systemctl show": (0, RUNNING.replace("92", str(old)), ""), "/proc": (0, "Kubernetes v1.34.4\n", "")}
        kubelet, commands = service(store, answers)
        assert kubelet.running().pid == old
    with process(cwd=str(tmp_path)) as new:
        commands.answers["systemctl show"] = (0, RUNNING.replace("92", str(new)), "")
        assert kubelet.running().pid == new


def test_a_process_that_ends_meanwhile_is_no_traceback(store: Store, tmp_path: pathlib.Path) -> None:
    with process(cwd=str(tmp_path)) as pid:
        pass
    gone = (127, "", "No such file or directory")
    kubelet, _commands = service(store, {"systemctl show": (0, RUNNING.replace("92", str(pid)), ""), "/proc": gone})
    with pytest.raises(KubestaticError, match=rf"^the kubelet \(process {pid}\) ended while it was looked at"):
        kubelet.running()
    assert not _kubelet_process.is_alive(pid)
    assert _kubelet_process.is_alive(os.getpid())


@pytest.mark.parametrize(
    ("answer", "version"),
    [
        ((0, "Kubernetes v1.37.2\n", ""), "1.37.2"),
        ((0, "Kubernetes v1.30.1+k3s1\n", ""), "1.30.1+k3s1"),
        ((0, "Kubernetes v1.38.0-alpha.1\n", ""), "1.38.0-alpha.1"),
    ],
)
def test_versions(store: Store, tmp_path: pathlib.Path, answer: Answer, version: str) -> None:
    with process(cwd=str(tmp_path)) as pid:
        kubelet, _commands = service(
            store, {"systemctl show": (0, RUNNING.replace("92", str(pid)), ""), f"/proc/{pid}/exe": answer}
        )
        assert kubelet.running().version == version


@pytest.mark.parametrize(
    "answer", [(1, "", "exec format error"), (0, "no version\n", ""), (1, "no version, at least not v1.34.4", "")]
)
def test_a_kubelet_without_a_version_is_an_error(store: Store, tmp_path: pathlib.Path, answer: Answer) -> None:
    with process(cwd=str(tmp_path)) as pid:
        kubelet, _commands = service(
            store, {"systemctl show": (0, RUNNING.replace("92", str(pid)), ""), f"/proc/{pid}/exe": answer}
        )
        with pytest.raises(KubestaticError, match=r"/exe --version tells no version of a kubelet \((exec|no version)"):
            kubelet.running()


@pytest.mark.parametrize(("version", "minor"), [("1.28.15", 28), ("1.37.2", 37), ("1.38.0-alpha.1", 38)])
def test_minors(version: str, minor: int) -> None:
    assert _kubelet_process.minor_of(version) == minor


# ---- its log


def test_the_journal_is_asked_for_the_time_of_this_rollout(store: Store) -> None:
    kubelet, commands = service(store, {"journalctl": (0, "one\ntwo\n", "")})
    assert kubelet.journal(since=1795478197.9) == ["one", "two"]
    (asked,) = commands.asked
    assert "--since=@17954781" in asked
    assert "--unit=kubelet.service" in asked
    assert float(asked.split("--since=@")[1].split()[0]) <= 1795478197.9, "lines of the first second must not be lost"


def test_a_node_without_a_journal_has_no_lines(store: Store) -> None:
    kubelet, _commands = service(store, {"journalctl": (1, "", "No journal files were found.")})
    assert kubelet.journal(since=0.0) == []


BAD = "/etc/kubelet.d/bad.yaml"


@pytest.mark.parametrize(
    ("minor", "path", "pod", "phrases"),
    [
        ("1.34", BAD, "default/bad-node3", ["Unable to process watch event", "Could not process manifest file"]),
        ("1.34", "/etc/kubelet.d/web.yaml", "default/web-node3", []),
        ("1.34", "/etc/kubelet.d/crash.yaml", "kube-system/crash-node3", []),
        ("1.34", "/etc/kubelet.d/ba", "default/ba", []),
        ("1.37", "/etc/kubelet.d/pick.yaml", "default/pick-node1", ["Pod admission denied"]),
        ("1.37", "/etc/kubelet.d/pick.yaml", "default/pick-node", []),
        ("1.37", "/etc/kubelet.d/pick.yaml", "kube-system/pick-node1", []),
    ],
)
def test_refusals_name_this_manifest_or_this_pod(minor: str, path: str, pod: str, phrases: list[str]) -> None:
    found = _kubelet_service.refusals(JOURNAL[minor], path=path, pod=pod)
    assert len(found) == len(phrases)
    assert all(phrase in line for phrase, line in zip(phrases, found))


def test_a_broken_backup_beside_a_manifest_is_no_refusal_of_the_manifest() -> None:
    lines = [line.replace("bad.yaml", "web.yaml.bak") for line in JOURNAL["1.34"]]
    assert _kubelet_service.refusals(lines, path="/etc/kubelet.d/web.yaml", pod="default/web-node3") == []
    assert _kubelet_service.refusals(lines, path="/etc/kubelet.d/web.yaml.bak", pod="default/web-node3")


def test_errors_about_a_pod_leave_out_what_is_no_error() -> None:
    found = _kubelet_service.errors_about(JOURNAL["1.34"], path="/etc/kubelet.d/crash.yaml", pod="crash-node3")
    assert len(found) == 3
    assert all("CrashLoopBackOff" in line for line in found)
    assert _kubelet_service.errors_about(JOURNAL["1.34"], path="/etc/kubelet.d/web.yaml", pod="web-node3") == []

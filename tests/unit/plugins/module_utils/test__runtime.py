# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runtime's answers, recorded from crictl 1.36 and containerd on a node with real static pods.

The node ran ``web`` (a pod network, one container) and ``kube-system/crash`` (the host's network, an init container, one
container that ends with 3 again and again, one that stays).
"""

from __future__ import annotations

import json
import os
import pathlib
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _runtime
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._images import full_image_name
from ansible_collections.kubestatic.node.plugins.module_utils._runtime import Runtime, Snapshot

RECORDINGS = pathlib.Path(__file__).parent / "recordings"
ENDPOINT = "unix:///run/containerd/containerd.sock"
ANSWERS: dict[str, dict[str, t.Any]] = json.loads((RECORDINGS / "crictl_answers.json").read_text(encoding="utf-8"))

CRASH = "e928b33e74f53fe9ec78199ee91d9e33b625ad348c4d642e8d022a7f133fc3c9"
WEB = "549f3cf65fede83d2ebe5cd899b8469dc347a1bfbd71f7a98312fce3e109004d"


class Crictl:
    """Plays back recordings: file name or answer by subcommand. Remembers the command lines."""

    def __init__(self, **answers: str) -> None:
        self.answers = answers
        self.asked: list[list[str]] = []

    def __call__(self, args: t.Sequence[str], **_options: t.Any) -> tuple[int, str, str]:
        assert list(args[:5]) == ["/usr/bin/crictl", "--runtime-endpoint", ENDPOINT, "--image-endpoint", ENDPOINT]
        rest = list(args[5:])
        self.asked.append(rest)
        subcommand = next(word for word in rest if word in self.answers)
        name = self.answers[subcommand]
        if name.endswith(".json"):
            return 0, (RECORDINGS / name).read_text(encoding="utf-8"), ""
        answer = ANSWERS[name]
        return answer["rc"], answer["stdout"], answer["stderr"]


def runtime(**answers: str) -> tuple[Runtime, Crictl]:
    crictl = Crictl(**answers)
    return Runtime(crictl, crictl="/usr/bin/crictl", endpoint=ENDPOINT), crictl


@pytest.fixture(name="snapshot")
def _snapshot() -> Snapshot:
    asked, _crictl = runtime(pods="crictl_pods.json", ps="crictl_ps.json")
    return asked.snapshot()


def test_sandboxes(snapshot: Snapshot) -> None:
    (web,) = snapshot.sandboxes_of("default", "web-node3")
    assert web.id == WEB
    assert web.uid == "2045ebf18527af32765d6800fa9679bd"
    assert web.ready
    assert web.source == "file"
    assert web.created_at == pytest.approx(1795478197.091505064)
    assert [box.id for box in snapshot.sandboxes] == [CRASH, WEB]


@pytest.mark.parametrize(
    ("namespace", "pod"), [("default", "web"), ("default", "crash-node3"), ("kube-system", "web-node3"), ("", "")]
)
def test_a_pod_is_found_by_namespace_and_full_name_only(snapshot: Snapshot, namespace: str, pod: str) -> None:
    assert snapshot.sandboxes_of(namespace, pod) == []


def test_containers_of_a_sandbox_are_newest_first(snapshot: Snapshot) -> None:
    found = snapshot.containers_in(CRASH)
    assert [(one.name, one.attempt, one.state) for one in found] == [
        ("fails", 2, "running"),
        ("fails", 1, "exited"),
        ("stays", 0, "running"),
        ("first", 0, "exited"),
    ]
    assert {(one.pod, one.namespace) for one in found} == {("crash-node3", "kube-system")}


def test_running_containers_of_some_sandboxes(snapshot: Snapshot) -> None:
    assert [one.name for one in snapshot.running_in([WEB])] == ["web"]
    assert sorted(one.name for one in snapshot.running_in([WEB, CRASH])) == ["fails", "stays", "web"]
    assert snapshot.running_in([]) == []


def test_a_runtime_without_pods() -> None:
    """An idle runtime answers with empty lists, older crictl versions with null."""
    answers: list[dict[str, t.Any]] = [{}, {"items": None, "containers": None}, {"items": [], "containers": []}]
    for empty in answers:
        assert _runtime.parse_sandboxes(empty) == ()
        assert _runtime.parse_containers(empty) == ()
        assert _runtime.parse_images({"images": None}) == set()


def test_containers_that_no_kubelet_made_are_left_out() -> None:
    data = json.loads((RECORDINGS / "crictl_ps.json").read_text(encoding="utf-8"))
    del data["containers"][0]["labels"]
    data["containers"][1]["labels"] = {"someone": "else"}
    assert len(_runtime.parse_containers(data)) == len(data["containers"]) - 2


@pytest.mark.parametrize("state", ["SANDBOX_READY", "SANDBOX_NOTREADY"])
def test_a_sandbox_is_ready_or_not(state: str) -> None:
    data = json.loads((RECORDINGS / "crictl_pods.json").read_text(encoding="utf-8"))
    data["items"][0]["state"] = state
    del data["items"][0]["annotations"]
    sandbox = _runtime.parse_sandboxes(data)[0]
    assert sandbox.ready is (state == "SANDBOX_READY")
    assert sandbox.source == ""


def test_every_command_is_bounded_in_time() -> None:
    asked, crictl = runtime(pods="crictl_pods.json", ps="crictl_ps.json")
    asked.snapshot()
    assert crictl.asked == [
        ["--timeout", "10s", "pods", "-o", "json"],
        ["--timeout", "10s", "ps", "-a", "-o", "json"],
    ]


def test_stopping_waits_longer_than_the_grace_period() -> None:
    asked, crictl = runtime(stop="exec_true", stopp="exec_true")
    asked.stop("abc", grace_seconds=120)
    asked.stop_sandbox("def")
    assert crictl.asked == [
        ["--timeout", "150s", "stop", "--timeout", "120", "abc"],
        ["--timeout", "10s", "stopp", "def"],
    ]


def test_images_are_known_by_name_and_id() -> None:
    asked, _crictl = runtime(images="crictl_images.json")
    found = asked.images()
    assert {"docker.io/library/nginx:latest", "docker.io/library/busybox:latest", "registry.k8s.io/pause:3.10"} <= found
    assert "sha256:e83e7a0b10b10ddbbf5135abd016e1e190230646eec1534fa10b92753a8ab91b" in found
    assert "" not in found


def test_status_of_a_container() -> None:
    asked, _crictl = runtime(inspect="crictl_inspect_exited.json")
    status = asked.inspect("9a5c")
    assert (status["exitCode"], status["finishedAt"]) == (3, "2026-11-23T23:56:56.432499239Z")


@pytest.mark.parametrize(
    ("recording", "address"),
    [("crictl_inspectp_pod_network.json", "10.214.13.2"), ("crictl_inspectp_host_network.json", "")],
)
def test_address_of_a_pod(recording: str, address: str) -> None:
    asked, _crictl = runtime(inspectp=recording)
    assert asked.address("e928") == address


def test_both_streams_of_a_log_are_its_last_lines() -> None:
    asked, crictl = runtime(logs="logs")
    assert sorted(asked.last_lines("9a5c")) == ["to err", "to out"]
    assert crictl.asked == [["logs", "--tail=10", "9a5c"]]


def test_a_log_that_is_gone_has_no_lines() -> None:
    asked, _crictl = runtime(logs="logs_gone")
    assert asked.last_lines("0123456789") == []


@pytest.mark.parametrize(("answer", "passed"), [("exec_true", True), ("exec_false", False), ("exec_slow", False)])
def test_commands_in_a_container(answer: str, passed: bool) -> None:
    asked, crictl = runtime(exec=answer)
    assert asked.execute("9a5c", ["sh", "-c", "exit 0"], timeout=1) is passed
    assert crictl.asked == [["exec", "--sync", "--timeout", "1", "9a5c", "sh", "-c", "exit 0"]]


def test_a_dead_runtime_is_named_with_the_reason() -> None:
    asked, _crictl = runtime(pods="dead")
    with pytest.raises(KubestaticError) as failure:
        asked.snapshot()
    message = str(failure.value)
    assert message.startswith(
        f"the container runtime at {ENDPOINT} did not do 'crictl pods': validate service connection"
    )
    assert message.endswith('dial unix /run/none.sock: connect: no such file or directory"')
    assert "level=fatal" not in message
    assert "\\" not in message
    assert "\n" not in message


def test_an_image_that_cannot_be_pulled_is_told_in_one_line() -> None:
    asked, crictl = runtime(pull="pull")
    with pytest.raises(KubestaticError) as failure:
        asked.pull("registry.invalid/none:1")
    assert str(failure.value).endswith("lookup registry.invalid on 192.0.2.53:53: no such host")
    assert "\n" not in str(failure.value)
    # crictl 1.30 and older have no --pull-timeout, and no limit of their own for a pull.
    assert crictl.asked[0][-2:] == ["pull", "registry.invalid/none:1"]


def test_a_container_that_is_gone_has_no_status() -> None:
    asked, _crictl = runtime(inspect="inspect_gone")
    assert asked.inspect("0123456789") == {}


def test_records_are_removed_without_their_logs() -> None:
    asked: list[list[str]] = []

    def run(args: t.Sequence[str]) -> tuple[int, str, str]:
        asked.append(list(args))
        return 0, "", ""

    Runtime(run, crictl="/usr/bin/crictl", endpoint=ENDPOINT).remove(["a", "b"])
    assert asked[0][-4:] == ["rm", "--keep-logs", "a", "b"]


@pytest.mark.parametrize("out", ["", "no json", "{"])
def test_an_answer_that_is_no_json_is_an_error(out: str) -> None:
    asked = Runtime(lambda _args, **_options: (0, out, ""), crictl="/usr/bin/crictl", endpoint=ENDPOINT)
    with pytest.raises(KubestaticError, match=r"^crictl pods answered no JSON"):
        asked.snapshot()


def test_an_error_without_words_is_an_error() -> None:
    asked = Runtime(lambda _args, **_options: (1, "", ""), crictl="/usr/bin/crictl", endpoint=ENDPOINT)
    with pytest.raises(KubestaticError, match=r"did not do 'crictl pods': no answer$"):
        asked.snapshot()


# ---- what runtimes call an image (distribution/reference, ParseNormalizedNamed and TagNameOnly)


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("nginx:1.27", "docker.io/library/nginx:1.27"),
        ("bitnami/nginx", "docker.io/bitnami/nginx:latest"),
        ("docker.io/nginx", "docker.io/library/nginx:latest"),
        ("docker.io/library/nginx:1", "docker.io/library/nginx:1"),
        ("index.docker.io/nginx:1", "docker.io/library/nginx:1"),
        ("index.docker.io/bitnami/nginx", "docker.io/bitnami/nginx:latest"),
        ("registry.k8s.io/etcd:3.6.4-0", "registry.k8s.io/etcd:3.6.4-0"),
        ("registry.k8s.io/coredns/coredns", "registry.k8s.io/coredns/coredns:latest"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:5000/app", "localhost:5000/app:latest"),
        ("localhost:5000/app:2", "localhost:5000/app:2"),
        ("registry:5000/app", "registry:5000/app:latest"),
        ("nginx@sha256:" + "a" * 64, "docker.io/library/nginx@sha256:" + "a" * 64),
        ("registry.k8s.io/pause@sha256:" + "a" * 64, "registry.k8s.io/pause@sha256:" + "a" * 64),
        # A digest beats the tag beside it: the runtime stores and lists the digest alone.
        ("registry.k8s.io/pause:3.10@sha256:" + "a" * 64, "registry.k8s.io/pause@sha256:" + "a" * 64),
    ],
)
def test_full_image_names(image: str, name: str) -> None:
    assert full_image_name(image) == name


# ---- where crictl and the runtime are


def program(directory: pathlib.Path, *, mode: int = 0o755) -> str:
    directory.mkdir(parents=True)
    path = directory / "crictl"
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return str(path)


def test_crictl_in_path_comes_first(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = program(tmp_path / "usual")
    mine = program(tmp_path / "mine")
    monkeypatch.setattr(_runtime, "CRICTL_PATHS", (usual,))
    assert _runtime.find_crictl(os.pathsep.join([str(tmp_path / "none"), str(tmp_path / "mine")])) == mine
    assert _runtime.find_crictl("") == usual
    assert _runtime.find_crictl(str(tmp_path / "none")) == usual


def test_a_crictl_that_cannot_be_run_is_none(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "text", mode=0o644)
    (tmp_path / "directory" / "crictl").mkdir(parents=True)
    monkeypatch.setattr(_runtime, "CRICTL_PATHS", (str(tmp_path / "none"),))
    assert _runtime.find_crictl(str(tmp_path / "text")) == ""
    assert _runtime.find_crictl(str(tmp_path / "directory")) == ""


@pytest.mark.parametrize(
    ("configured", "endpoint"),
    [
        ("unix:///run/crio/crio.sock", "unix:///run/crio/crio.sock"),
        ("/run/crio/crio.sock", "unix:///run/crio/crio.sock"),
        ("npipe:////./pipe/containerd", "npipe:////./pipe/containerd"),
    ],
)
def test_the_kubelets_own_endpoint_comes_first(configured: str, endpoint: str) -> None:
    assert _runtime.find_endpoint(configured) == endpoint


def test_sockets_are_found(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    containerd, crio = str(tmp_path / "containerd.sock"), str(tmp_path / "crio.sock")
    monkeypatch.setattr(_runtime, "ENDPOINTS", (containerd, crio))
    assert _runtime.find_endpoint("") == f"unix://{containerd}", "the first one, so that the error names a path"
    pathlib.Path(crio).touch()
    assert _runtime.find_endpoint("") == f"unix://{crio}"
    pathlib.Path(containerd).touch()
    assert _runtime.find_endpoint("") == f"unix://{containerd}"


def test_containerd_and_crio_are_among_the_usual_sockets() -> None:
    assert "/run/containerd/containerd.sock" in _runtime.ENDPOINTS
    assert any(path.endswith("/crio/crio.sock") for path in _runtime.ENDPOINTS)

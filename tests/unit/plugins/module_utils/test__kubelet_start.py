# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stale or not: by digests of what the kubelet read, else by its command line, its environment and the times of files."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import time
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _kubelet_identity, _kubelet_process, _kubelet_start
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_process import Kubelet
from ansible_collections.kubestatic.node.plugins.module_utils._store import Store
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.kubelet_node import (
    CONFIG,
    DEBIAN,
    FRAGMENT,
    OWN,
    KubeletNode,
)

SETTINGS = "staticPodPath: /m\ncgroupDriver: systemd\nfeatureGates:\n  A: true\n  B: false\n"
EXEC = "/usr/bin/kubelet --config=ROOT/var/lib/kubelet/config.yaml $KUBELET_EXTRA_ARGS"
# Longer ago than any file of a test.
LONG_AGO = 0.0


@pytest.fixture(name="node")
def _node(tmp_path: pathlib.Path) -> KubeletNode:
    node = KubeletNode(tmp_path / "node")
    node.unit(EXEC, f"EnvironmentFile=-ROOT/{DEBIAN}")
    node.config(SETTINGS)
    node.write(DEBIAN, "KUBELET_EXTRA_ARGS=--v=2\n")
    return node


@pytest.fixture(name="store")
def _store(tmp_path: pathlib.Path) -> Store:
    return Store(str(tmp_path / "store"))


def kubelet(node: KubeletNode, *words: str, pid: int = 0) -> Kubelet:
    """This very process stands for a kubelet with these arguments, by default those of its unit."""
    argv = words or node.setup().unit.argv[1:]
    return Kubelet(pid or os.getpid(), ("/usr/bin/kubelet", *argv), "/", "1.34.4", 34)


@pytest.fixture(name="started")
def _started(monkeypatch: pytest.MonkeyPatch) -> t.Callable[[float], None]:
    """Says when this process was started as a kubelet."""

    def started(moment: float) -> None:
        monkeypatch.setattr(_kubelet_process, "started_at", lambda _pid: moment)

    started(time.time() + 3600)
    return started


def age(*paths: str, seconds: float = 7200) -> None:
    for path in paths:
        os.utime(path, (time.time() - seconds, time.time() - seconds))


# ---- by digest


def known_stale(node: KubeletNode, store: Store, *, needs_reload: bool = False) -> list[str]:
    """Why this process is stale, with what it was started with on record; paths below ROOT."""
    running = kubelet(node)
    note = _kubelet_start.known(running, store=store)
    found = _kubelet_start.stale(running, node.setup(), note=note, needs_reload=needs_reload)
    return [node.inside(reason) for reason in found]


def test_what_was_noted_is_known_and_holds_no_value(node: KubeletNode, store: Store) -> None:
    node.config("staticPodURLHeader:\n  Authorization: [Bearer abc]\n")
    node.write(DEBIAN, "KUBELET_EXTRA_ARGS=--v=2\nHTTPS_PROXY=http://user:abc@proxy\n")
    assert _kubelet_start.known(kubelet(node), store=store) is None
    _kubelet_start.remember(store, pid=os.getpid(), setup=node.setup())
    assert _kubelet_start.known(kubelet(node), store=Store(store.path)) is not None
    noted = pathlib.Path(store.path, "kubelet-start.json").read_text()
    assert "abc" not in noted and "proxy" not in noted
    assert known_stale(node, store) == []


def test_another_process_is_not_known(node: KubeletNode, store: Store) -> None:
    _kubelet_start.remember(store, pid=os.getpid(), setup=node.setup())
    assert _kubelet_start.known(kubelet(node, pid=os.getppid()), store=store) is None


def test_a_process_that_is_gone_is_noted_for_nobody(node: KubeletNode, store: Store) -> None:
    _kubelet_start.remember(store, pid=0, setup=node.setup())
    assert store.kubelet_start == {}


EQUAL: dict[str, t.Callable[[KubeletNode], t.Any]] = {
    "a comment in the configuration": lambda node: node.config("# why\n" + SETTINGS),
    "order of keys": lambda node: node.config(
        "featureGates:\n  B: false\n  A: true\ncgroupDriver: 'systemd'\nstaticPodPath: /m\n"
    ),
    "JSON": lambda node: node.write(CONFIG, json.dumps(node.setup().layers.configs[0].data)),
    "a comment in the environment": lambda node: node.write(DEBIAN, "# why\n\nKUBELET_EXTRA_ARGS='--v=2'\n"),
    "the same text again": lambda node: node.config(SETTINGS),
    "a comment and a description in the unit": lambda node: node.write(
        FRAGMENT, "# why\n[Unit]\nDescription=other\n" + node.read(FRAGMENT) + "[Install]\nWantedBy=other.target\n"
    ),
}


@pytest.mark.parametrize("change", EQUAL.values(), ids=EQUAL.keys())
def test_what_means_the_same_makes_no_kubelet_stale(
    node: KubeletNode, store: Store, change: t.Callable[[KubeletNode], t.Any]
) -> None:
    _kubelet_start.remember(store, pid=os.getpid(), setup=node.setup())
    change(node)
    # Nor do the times of the files count.
    assert known_stale(node, store, needs_reload=True) == []


OTHER: dict[str, tuple[t.Callable[[KubeletNode], t.Any], list[str]]] = {
    "another value": (
        lambda node: node.config(SETTINGS.replace("/m", "/n")),
        [f"staticPodPath in ROOT/{CONFIG}"],
    ),
    "a value deeper down": (
        lambda node: node.config(SETTINGS.replace("B: false", "B: true")),
        [f"featureGates in ROOT/{CONFIG}"],
    ),
    "another type": (lambda node: node.config(SETTINGS.replace("/m", "7")), [f"staticPodPath in ROOT/{CONFIG}"]),
    "a key more and one less": (
        lambda node: node.config("staticPodPath: /m\nmaxPods: 7\ncgroupDriver: systemd\n"),
        [f"featureGates in ROOT/{CONFIG}", f"maxPods in ROOT/{CONFIG}"],
    ),
    "a variable": (
        lambda node: node.write(DEBIAN, "KUBELET_EXTRA_ARGS=--v=3\n"),
        [f"KUBELET_EXTRA_ARGS in ROOT/{DEBIAN}"],
    ),
    "no environment file": (
        lambda node: os.unlink(node.path(DEBIAN)),
        [f"KUBELET_EXTRA_ARGS in ROOT/{DEBIAN}"],
    ),
    "a drop-in of the unit": (
        lambda node: node.write(OWN, "[Service]\nEnvironment=A=b\n"),
        [f"Environment in ROOT/{OWN}"],
    ),
    "a drop-in that only takes something back": (
        lambda node: node.write(OWN, "[Service]\nEnvironmentFile=\n"),
        # It takes the variable's file away, too.
        [f"KUBELET_EXTRA_ARGS in ROOT/{DEBIAN}", f"EnvironmentFile in ROOT/{OWN}"],
    ),
    "a second line of the same directive": (
        lambda node: node.unit(EXEC, f"EnvironmentFile=-ROOT/{DEBIAN}", "EnvironmentFile=-/none"),
        [f"EnvironmentFile in ROOT/{FRAGMENT}"],
    ),
}


@pytest.mark.parametrize(("change", "reasons"), OTHER.values(), ids=OTHER.keys())
def test_what_means_something_else_is_named_with_its_file(
    node: KubeletNode, store: Store, change: t.Callable[[KubeletNode], t.Any], reasons: list[str]
) -> None:
    _kubelet_start.remember(store, pid=os.getpid(), setup=node.setup())
    change(node)
    assert known_stale(node, store) == reasons


def test_each_line_of_a_directive_counts(node: KubeletNode, store: Store) -> None:
    node.unit(EXEC, "Environment=A=1", "Environment=B=1")
    _kubelet_start.remember(store, pid=os.getpid(), setup=node.setup())
    node.unit(EXEC, "Environment=A=2", "Environment=B=1")
    assert known_stale(node, store) == [f"Environment in ROOT/{FRAGMENT}"]


def test_only_the_section_of_the_service_counts(node: KubeletNode, store: Store) -> None:
    node.unit(EXEC)
    _kubelet_start.remember(store, pid=os.getpid(), setup=node.setup())
    node.write(OWN, "[Unit]\nAfter=containerd.service\n[Install]\nAlias=k.service\n")
    assert known_stale(node, store) == []


def test_drop_ins_of_the_configuration_count(node: KubeletNode, store: Store) -> None:
    node.unit(
        "/usr/bin/kubelet --config=ROOT/var/lib/kubelet/config.yaml --config-dir=ROOT/var/lib/kubelet/config.conf.d"
    )
    node.drop_in("10-a.conf", "maxPods: 5\n")
    _kubelet_start.remember(store, pid=os.getpid(), setup=node.setup())
    node.drop_in("20-b.conf", "maxPods: 6\n")
    assert known_stale(node, store) == ["maxPods in ROOT/var/lib/kubelet/config.conf.d/20-b.conf"]


def test_a_drop_in_that_says_nothing_changes_nothing(node: KubeletNode, store: Store) -> None:
    node.unit(
        "/usr/bin/kubelet --config=ROOT/var/lib/kubelet/config.yaml --config-dir=ROOT/var/lib/kubelet/config.conf.d"
    )
    node.drop_in("10-a.conf", "maxPods: 5\n")
    _kubelet_start.remember(store, pid=os.getpid(), setup=node.setup())
    node.drop_in("20-b.conf", "")
    assert known_stale(node, store) == []


def test_the_identity_of_the_running_kubelet_is_remembered(node: KubeletNode, store: Store) -> None:
    _kubelet_start.remember(store, pid=os.getpid(), setup=node.setup())
    before = _kubelet_identity.identity(node.setup().layers)
    node.config("staticPodPath: /elsewhere\n")
    note = _kubelet_start.known(kubelet(node), store=store)
    assert note is not None and note.identity == before
    assert before.manifest_dir == "/m"


@pytest.mark.parametrize(
    "other", [{"identity": ["/m", "node1", "systemd", "/", "", "more"]}, {"healthz": None}, {"healthz": ["127.0.0.1"]}]
)
def test_what_another_version_of_this_collection_noted_is_none(
    node: KubeletNode, store: Store, other: dict[str, t.Any]
) -> None:
    _kubelet_start.remember(store, pid=os.getpid(), setup=node.setup())
    assert _kubelet_start.known(kubelet(node), store=store) is not None
    store.kubelet_start = {**store.kubelet_start, **other}
    assert _kubelet_start.known(kubelet(node), store=store) is None


# ---- by the command line


def unknown_stale(node: KubeletNode, running: Kubelet, *, needs_reload: bool = False) -> list[str]:
    found = _kubelet_start.stale(running, node.setup(), note=None, needs_reload=needs_reload)
    return [node.inside(reason) for reason in found]


CONFIG_FLAG = "--config=ROOT/var/lib/kubelet/config.yaml"


@pytest.mark.parametrize(
    ("running", "extra", "reasons"),
    [
        ([CONFIG_FLAG, "--v=2"], "--v=3", [f"--v in ROOT/{DEBIAN}"]),
        ([CONFIG_FLAG, "--v=2"], "--v=2 --node-labels=a=b", [f"--node-labels in ROOT/{DEBIAN}"]),
        ([CONFIG_FLAG, "--v=2"], "", ["--v, which it was started with"]),
        ([CONFIG_FLAG, "--v", "2"], "--v 3", [f"--v in ROOT/{DEBIAN}"]),
        ([CONFIG_FLAG, "--manifest-url-header", "A:secret"], "", ["--manifest-url-header, which it was started with"] * 2),
        ([CONFIG_FLAG, "--v=2", "--a=b"], "--a=b --v=2", ["the order of its flags"]),
        ([CONFIG_FLAG, "--v=2"], "--v=2", []),
    ],
    ids=["changed", "added", "gone", "in two words", "secret", "order", "same"],
)  # fmt: skip
def test_flags_that_differ(
    node: KubeletNode,
    started: t.Callable[[float], None],
    monkeypatch: pytest.MonkeyPatch,
    running: list[str],
    extra: str,
    reasons: list[str],
) -> None:
    node.write(DEBIAN, f'KUBELET_EXTRA_ARGS="{extra}"\n')
    monkeypatch.setattr(_kubelet_start, "_different_environment", lambda _pid, _setup: [])
    found = unknown_stale(node, kubelet(node, *map(node.outside, running)))
    assert found == reasons
    assert "secret" not in "".join(found)


# ---- by the environment: of a real process


@contextlib.contextmanager
def process(environment: dict[str, str]) -> t.Iterator[int]:
    command = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **environment}
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        yield child.pid


@pytest.mark.parametrize(
    ("environment", "reasons"),
    [
        ({"KUBELET_EXTRA_ARGS": "--v=2", "HTTPS_PROXY": "http://p", "MORE": "x"}, []),
        ({"KUBELET_EXTRA_ARGS": "--v=2", "HTTPS_PROXY": "http://other"}, ["HTTPS_PROXY in its environment"]),
        ({"KUBELET_EXTRA_ARGS": "--v=2"}, ["HTTPS_PROXY in its environment"]),
    ],
    ids=["same", "another value", "missing"],
)
def test_variables_that_differ(
    node: KubeletNode,
    started: t.Callable[[float], None],
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    reasons: list[str],
) -> None:
    monkeypatch.delenv("HTTPS_PROXY", raising=False)
    node.write(DEBIAN, "KUBELET_EXTRA_ARGS=--v=2\nHTTPS_PROXY=http://p\n")
    with process(environment) as pid:
        assert unknown_stale(node, kubelet(node, pid=pid)) == reasons


# ---- by the times of its files


@pytest.fixture(name="same_environment")
def _same_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_kubelet_start, "_different_environment", lambda _pid, _setup: [])


CHANGED = f"ROOT/{CONFIG}, which was changed after the kubelet had started"


@pytest.mark.usefixtures("same_environment")
def test_a_configuration_that_is_older_than_the_kubelet_is_in_force(
    node: KubeletNode, started: t.Callable[[float], None]
) -> None:
    assert unknown_stale(node, kubelet(node)) == []


@pytest.mark.usefixtures("same_environment")
def test_a_configuration_that_is_newer_is_not(node: KubeletNode, started: t.Callable[[float], None]) -> None:
    started(time.time() - 3600)
    assert unknown_stale(node, kubelet(node)) == [CHANGED]


@pytest.mark.usefixtures("same_environment")
def test_a_file_that_was_moved_into_place_is_new_whatever_its_own_time_says(
    node: KubeletNode, started: t.Callable[[float], None]
) -> None:
    new = node.write("elsewhere/config.yaml", "never read")
    os.replace(new, node.path(CONFIG))
    node.config(SETTINGS)
    age(node.path(CONFIG))
    assert os.stat(node.path(CONFIG)).st_mtime < time.time() - 3600
    started(time.time() - 3600)
    assert unknown_stale(node, kubelet(node)) == [CHANGED]


@pytest.mark.usefixtures("same_environment")
def test_a_time_in_the_future_is_new(node: KubeletNode, started: t.Callable[[float], None]) -> None:
    age(node.path(CONFIG), seconds=-7200)
    assert unknown_stale(node, kubelet(node)) == [CHANGED]


@pytest.mark.usefixtures("same_environment")
def test_a_drop_in_that_is_gone_shows_in_its_directory(node: KubeletNode, started: t.Callable[[float], None]) -> None:
    node.unit(
        "/usr/bin/kubelet --config=ROOT/var/lib/kubelet/config.yaml --config-dir=ROOT/var/lib/kubelet/config.conf.d"
    )
    node.drop_in("10-a.conf", "maxPods: 5\n")
    node.drop_in("deep/20-b.conf", "maxPods: 6\n")
    directories = [node.path("var/lib/kubelet/config.conf.d"), node.path("var/lib/kubelet/config.conf.d/deep")]
    assert unknown_stale(node, kubelet(node)) == []
    for directory in directories:
        age(directory, seconds=-7200)
    assert unknown_stale(node, kubelet(node)) == [
        f"{node.inside(path)}, which was changed after the kubelet had started" for path in directories
    ]


@pytest.mark.usefixtures("same_environment")
def test_a_unit_counts_where_systemd_has_not_read_it_since(
    node: KubeletNode, started: t.Callable[[float], None]
) -> None:
    age(node.path(FRAGMENT), seconds=-7200)
    assert unknown_stale(node, kubelet(node)) == []
    assert unknown_stale(node, kubelet(node), needs_reload=True) == [
        f"ROOT/{FRAGMENT}, which was changed after the kubelet had started"
    ]


@pytest.mark.usefixtures("same_environment")
def test_what_is_gone_meanwhile_is_no_traceback(node: KubeletNode, started: t.Callable[[float], None]) -> None:
    setup = node.setup()
    os.unlink(node.path(CONFIG))
    started(LONG_AGO)
    assert _kubelet_start.stale(kubelet(node, *setup.unit.argv[1:]), setup, note=None, needs_reload=False) == []


def test_a_real_process_started_before_a_file_of_now(tmp_path: pathlib.Path) -> None:
    with process({}) as pid:
        begun = _kubelet_process.started_at(pid)
        # Clock ticks are hundredths of a second.
        assert time.time() - 5 < begun <= time.time() + 0.02
    assert _kubelet_process.started_at(pid) == 0.0

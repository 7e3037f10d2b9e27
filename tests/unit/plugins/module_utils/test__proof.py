# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a snapshot of the runtime says about one static pod."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _manifest, _proof, _runtime
from ansible_collections.kubestatic.node.plugins.module_utils._runtime import Container, Sandbox, Snapshot

RECORDINGS = pathlib.Path(__file__).parent / "recordings"
NAME = "web-node1"


def box(
    number: int, *, ready: bool = True, pod: str = NAME, namespace: str = "default", source: str = "file"
) -> Sandbox:
    return Sandbox(
        id=f"box{number}", pod=pod, namespace=namespace, uid="u", ready=ready, created_at=float(number), source=source
    )


def container(
    sandbox: int, name: str = "web", state: str = "running", *, attempt: int = 0, at: float | None = None
) -> Container:
    return Container(
        id=f"{name}{sandbox}.{attempt}",
        name=name,
        sandbox=f"box{sandbox}",
        pod=NAME,
        namespace="default",
        state=state,
        attempt=attempt,
        created_at=float(sandbox) + attempt if at is None else at,
        image="sha256:abc",
        grace=30,
    )


def pod(*containers: dict[str, t.Any], init: t.Sequence[dict[str, t.Any]] = (), **spec: t.Any) -> _manifest.Pod:
    given = [{"image": "nginx", **one} for one in containers or ({"name": "web"},)]
    data = {"containers": given, "initContainers": list(init), **spec}
    return _manifest.parse(json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": data}))


def look(*things: Sandbox | Container, before: t.AbstractSet[str] = frozenset()) -> _proof.Sight:
    snapshot = Snapshot(
        tuple(thing for thing in things if isinstance(thing, Sandbox)),
        tuple(thing for thing in things if isinstance(thing, Container)),
    )
    return _proof.look(snapshot, namespace="default", pod=NAME, before=before)


# Sandboxes and containers, the ids that were there before -> (the one that counts, the old ones)
SIGHTS: list[tuple[str, list[Sandbox | Container], set[str], str, list[str]]] = [
    ("nothing", [], set(), "", []),
    ("one", [box(1)], set(), "box1", []),
    ("one that was there before", [box(1)], {"box1"}, "", ["box1"]),
    ("a new one beside it", [box(1), box(2)], {"box1"}, "box2", ["box1"]),
    ("the old one has gone", [box(1, ready=False), box(2)], {"box1"}, "box2", []),
    ("the old one stops", [box(1, ready=False), container(1), box(2)], {"box1"}, "box2", ["box1"]),
    ("the newest counts", [box(1), box(3), box(2)], set(), "box3", ["box2", "box1"]),
    ("one that is not ready does not count", [box(1, ready=False)], set(), "", []),
    ("not ready, but with a container", [box(1, ready=False), container(1)], set(), "", ["box1"]),
    ("not ready, with an ended container", [box(1, ready=False), container(1, state="exited")], set(), "", []),
    ("another pod", [box(1, pod="web-node2")], set(), "", []),
    ("another namespace", [box(1, namespace="kube-system")], set(), "", []),
]


@pytest.mark.parametrize(
    ("things", "before", "new", "old"), [row[1:] for row in SIGHTS], ids=[row[0] for row in SIGHTS]
)
def test_which_sandbox_counts(things: list[Sandbox | Container], before: set[str], new: str, old: list[str]) -> None:
    sight = look(*things, before=before)
    assert (sight.sandbox.id if sight.sandbox else "") == new
    assert [one.id for one in sight.old] == old


def test_the_newest_container_of_each_name_counts() -> None:
    sight = look(box(1), container(1, state="exited"), container(1, attempt=1), container(1, "side"))
    assert {name: one.attempt for name, one in sight.containers.items()} == {"web": 1, "side": 0}


SIDECAR = {"name": "side", "image": "a", "restartPolicy": "Always"}
INIT = {"name": "first", "image": "a"}

UNFINISHED: list[tuple[str, _manifest.Pod, list[Sandbox | Container], set[str], list[str]]] = [
    ("nothing", pod(), [], set(), ["the kubelet has not started it yet"]),
    ("only the old one", pod(), [box(1), container(1)], {"box1"}, ["the old pod still runs"]),
    ("no container", pod(), [box(1)], set(), ["container web is not created yet"]),
    ("created", pod(), [box(1), container(1, state="created")], set(), ["container web is created"]),
    ("ended", pod(), [box(1), container(1, state="exited")], set(), ["container web is exited"]),
    ("runs", pod(), [box(1), container(1)], set(), []),
    (
        "runs beside the old one",
        pod(),
        [box(1), box(2), container(2)],
        {"box1"},
        ["an older copy of the pod still runs"],
    ),
    (
        "one of two",
        pod({"name": "web"}, {"name": "b"}),
        [box(1), container(1)],
        set(),
        ["container b is not created yet"],
    ),
    (
        "an init container runs",
        pod(init=[INIT]),
        [box(1), container(1, "first")],
        set(),
        ["container web is not created yet, init container first runs"],
    ),
    (
        "an init container has ended",
        pod(init=[INIT]),
        [box(1), container(1, "first", "exited"), container(1)],
        set(),
        [],
    ),
    ("a sidecar must run", pod(init=[SIDECAR]), [box(1), container(1)], set(), ["container side is not created yet"]),
    ("a sidecar runs", pod(init=[SIDECAR]), [box(1), container(1), container(1, "side")], set(), []),
    ("may end", pod(restartPolicy="OnFailure"), [box(1), container(1, state="exited")], set(), []),
    ("may end, never again", pod(restartPolicy="Never"), [box(1), container(1, state="exited")], set(), []),
    ("may end, but is not there", pod(restartPolicy="Never"), [box(1)], set(), ["container web is not created yet"]),
    ("restarted, newest runs", pod(), [box(1), container(1, state="exited"), container(1, attempt=1)], set(), []),
]


@pytest.mark.parametrize(
    ("wanted", "things", "before", "reasons"), [row[1:] for row in UNFINISHED], ids=[row[0] for row in UNFINISHED]
)
def test_why_a_pod_does_not_count_as_running(
    wanted: _manifest.Pod, things: list[Sandbox | Container], before: set[str], reasons: list[str]
) -> None:
    assert _proof.unfinished(wanted, look(*things, before=before)) == reasons


@pytest.mark.parametrize(
    ("wanted", "names"),
    [(pod(), ["web"]), (pod(init=[INIT, SIDECAR]), ["side", "web"]), (pod({"name": "a"}, {"name": "b"}), ["a", "b"])],
)
def test_containers_that_run_as_long_as_the_pod(wanted: _manifest.Pod, names: list[str]) -> None:
    assert [spec["name"] for spec in _proof.long_running(wanted)] == names


PROBED = {"name": "web", "readinessProbe": {"httpGet": {"port": 80}}}


@pytest.mark.parametrize(
    ("wanted", "asked", "seconds"),
    [
        (pod(), None, 5),
        (pod(PROBED), None, 0),
        (pod(PROBED, {"name": "b"}), None, 5),
        (pod(), 0, 0),
        (pod(PROBED), 30, 30),
        (pod({"name": "web", "livenessProbe": {"httpGet": {"port": 80}}}), None, 5),
    ],
)
def test_how_long_a_pod_must_run(wanted: _manifest.Pod, asked: int | None, seconds: int) -> None:
    assert _proof.settle_seconds(wanted, asked) == seconds


def test_undisturbed_since_the_last_start_of_a_long_running_container() -> None:
    wanted = pod({"name": "web"}, {"name": "b"}, init=[INIT])
    sight = look(box(1), container(1, at=5.0), container(1, "b", at=7.5), container(1, "first", at=9.0))
    assert _proof.undisturbed_since(wanted, sight) == 7.5
    assert _proof.undisturbed_since(wanted, look()) == 0.0


@pytest.mark.parametrize(
    ("state", "attempt", "first", "times"),
    [("running", 5, 0, 0), ("exited", 0, 0, 1), ("exited", 2, 0, 3), ("exited", 7, 7, 1), ("created", 2, 0, 0)],
)
def test_how_often_a_container_has_ended(state: str, attempt: int, first: int, times: int) -> None:
    assert _proof.exits(container(1, state=state, attempt=attempt), first_attempt=first) == times


# ---- reports, from recorded answers


@pytest.fixture(name="recorded")
def _recorded() -> Snapshot:
    def read(name: str) -> dict[str, t.Any]:
        return t.cast("dict[str, t.Any]", json.loads((RECORDINGS / name).read_text(encoding="utf-8")))

    return Snapshot(
        _runtime.parse_sandboxes(read("crictl_pods.json")), _runtime.parse_containers(read("crictl_ps.json"))
    )


def test_a_report(recorded: Snapshot) -> None:
    report = _proof.report(recorded, namespace="default", pod="web-node3", manifest=pod())
    assert report == {
        "name": "web-node3",
        "namespace": "default",
        "uid": "2045ebf18527af32765d6800fa9679bd",
        "phase": "Running",
        "source": "file",
        "containers": [
            {
                "name": "web",
                "state": "running",
                "started_at": "2026-11-23T23:56:37.310Z",
                "image": "nginx",
                "restarts": 0,
            }
        ],
    }


def test_a_report_of_a_pod_with_many_containers(recorded: Snapshot) -> None:
    report = _proof.report(recorded, namespace="kube-system", pod="crash-node3")
    assert [(one["name"], one["state"], one["restarts"]) for one in report["containers"]] == [
        ("first", "exited", 0),
        ("stays", "running", 0),
        ("fails", "running", 2),
    ]
    assert all(one["image"].startswith("sha256:") for one in report["containers"])


def test_a_report_of_a_pod_that_is_not_there(recorded: Snapshot) -> None:
    assert _proof.report(recorded, namespace="default", pod="none-node3") == {
        "name": "none-node3",
        "namespace": "default",
        "uid": "",
        "phase": "",
        "source": "",
        "containers": [],
    }


@pytest.mark.parametrize(
    ("things", "phase"),
    [
        ([], ""),
        ([box(1)], "Pending"),
        ([box(1), container(1, state="created")], "Pending"),
        ([box(1), container(1)], "Running"),
        ([box(1), container(1), container(1, "b", "exited")], "Running"),
        ([box(1, ready=False), container(1, state="exited")], "Stopped"),
        ([box(1, ready=False)], "Stopped"),
    ],
)
def test_phases(things: list[Sandbox | Container], phase: str) -> None:
    snapshot = Snapshot(
        tuple(thing for thing in things if isinstance(thing, Sandbox)),
        tuple(thing for thing in things if isinstance(thing, Container)),
    )
    assert _proof.report(snapshot, namespace="default", pod=NAME)["phase"] == phase


def test_static_pods_are_those_of_a_file_or_a_url() -> None:
    snapshot = Snapshot(
        (
            box(1, pod="b"),
            box(2, pod="a", source="http"),
            box(3, pod="c", source="api"),
            box(4, pod="d", source=""),
            box(5, pod="b"),
        ),
        (),
    )
    found = _proof.static_pods(snapshot, manifests={})
    assert [(one["name"], one["source"]) for one in found] == [("a", "http"), ("b", "file")]


# ---- times


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-23T23:56:37.310420691Z", 1795478197.310420691),
        ("2026-11-23T23:56:37Z", 1795478197.0),
        ("2026-11-24T00:56:37.31+01:00", 1795478197.31),
        ("2026-11-23T22:56:37.310420691-01:00", 1795478197.310420691),
        ("2026-11-24T00:56:37+01:00", 1795478197.0),
        ("", 0.0),
    ],
)
def test_times_of_the_runtime(text: str, seconds: float) -> None:
    assert _proof.unix_time(text) == pytest.approx(seconds, abs=1e-6)


def test_the_time_that_means_none_is_long_ago() -> None:
    """A running container has this finishedAt."""
    assert _proof.unix_time("0001-01-01T00:00:00Z") <= 0.0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1795478197.3104, "2026-11-23T23:56:37.310Z"),
        (1.0, "1970-01-01T00:00:01.000Z"),
    ],
)
def test_times_that_are_returned(seconds: float, text: str) -> None:
    assert _proof.timestamp(seconds) == text

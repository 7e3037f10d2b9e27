# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two manifests in, the fields that differ out: table of cases."""

from __future__ import annotations

import copy
import typing as t

import pytest
import yaml
from ansible_collections.kubestatic.node.plugins.module_utils import _manifest
from ansible_collections.kubestatic.node.plugins.module_utils._differences import Difference, differences
from ansible_collections.kubestatic.node.plugins.module_utils._manifest import Pod

C = "spec.containers[main]"
HIDDEN = "(not shown)"


def pod(metadata: dict[str, t.Any] | None = None, spec: dict[str, t.Any] | None = None, **container: t.Any) -> Pod:
    main = {"name": "main", "image": "nginx:1", **container}
    data = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", **(metadata or {})},
        "spec": {"containers": [main], **(spec or {})},
    }
    return _manifest.parse(yaml.safe_dump(data, sort_keys=False))


def env(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in pairs]


def containers(*names: str) -> dict[str, t.Any]:
    return {"containers": [{"name": name, "image": "nginx:1"} for name in names]}


def header(value: str) -> dict[str, t.Any]:
    return {"httpGet": {"port": 80, "httpHeaders": [{"name": "Authorization", "value": value}]}}


COMMAND = ["kube-apiserver", "--port=1", "--v=2"]
COPY = "kubectl.kubernetes.io/last-applied-configuration"

CASES: list[tuple[str, Pod, Pod, list[tuple[str, str | None, str | None]]]] = [
    ("nothing", pod(), pod(), []),
    ("a written-out default", pod(), pod(spec={"restartPolicy": "Always"}), []),
    ("a field", pod(), pod(image="nginx:2"), [(f"{C}.image", "nginx:1", "nginx:2")]),
    ("a new field", pod(), pod(spec={"hostNetwork": True}), [("spec.hostNetwork", None, "true")]),
    ("a field that goes", pod(tty=True), pod(), [(f"{C}.tty", "true", None)]),
    ("a number", pod(spec={"priority": 1}), pod(spec={"priority": 2}), [("spec.priority", "1", "2")]),
    ("an empty list", pod(), pod(args=[]), [(f"{C}.args", None, "[]")]),
    (
        "a default that comes along",
        pod(image="nginx"),
        pod(image="nginx:1"),
        [(f"{C}.image", "nginx", "nginx:1"), (f"{C}.imagePullPolicy", "Always", "IfNotPresent")],
    ),
    (
        "a key that needs brackets",
        pod({"labels": {"a/b": "1"}}),
        pod({"labels": {"a/b": "2"}}),
        [("metadata.labels[a/b]", "1", "2")],
    ),
    ("a flag", pod(command=COMMAND), pod(command=[*COMMAND[:2], "--v=4"]), [(f"{C}.command", "--v=2", "--v=4")]),
    (
        "a new flag in front",
        pod(command=COMMAND),
        pod(command=["kube-apiserver", "--new", *COMMAND[1:]]),
        [(f"{C}.command", None, "--new")],
    ),
    (
        "flags that change, come and go",
        pod(command=["x", "--a=1", "--b=1", "--c"]),
        pod(command=["x", "--d=1", "--b=2", "--a=2"]),
        [
            (f"{C}.command", "--a=1", "--a=2"),
            (f"{C}.command", "--b=1", "--b=2"),
            (f"{C}.command", "--c", None),
            (f"{C}.command", None, "--d=1"),
        ],
    ),
    (
        "a flag with its value in the next word",
        pod(args=["-v", "2", "x"]),
        pod(args=["-v", "4", "x"]),
        [(f"{C}.args", "-v 2", "-v 4")],
    ),
    (
        "one of two flags of a name",
        pod(args=["--a=1", "--a=2"]),
        pod(args=["--a=1", "--a=3"]),
        [(f"{C}.args", "--a=2", "--a=3")],
    ),
    ("a flag twice", pod(args=["-q"]), pod(args=["-q", "-q"]), [(f"{C}.args", None, "-q")]),
    ("a script", pod(command=["sh", "-c", "a"]), pod(command=["sh", "-c", "b"]), [(f"{C}.command", "-c a", "-c b")]),
    ("another program", pod(command=["a", "--x"]), pod(command=["b", "--x"]), [(f"{C}.command", "a", "b")]),
    ("order of flags", pod(args=["-a", "-b"]), pod(args=["-b", "-a"]), [(f"{C}.args", '["-a", "-b"]', '["-b", "-a"]')]),
    ("words joined", pod(args=["--v", "2"]), pod(args=["--v 2"]), [(f"{C}.args", '["--v", "2"]', '["--v 2"]')]),
    (
        "a new container in front",
        pod(spec=containers("main")),
        pod(spec=containers("first", "main")),
        [
            (
                "spec.containers[first]",
                None,
                (
                    '{"name": "first", "image": "nginx:1", "imagePullPolicy": "IfNotPresent", "terminationMessagePath":'
                    ' "/dev/termination-log", "terminationMessagePolicy": "File"}'
                ),
            )
        ],
    ),
    (
        "a container that goes, cut",
        pod(spec={"containers": [{"name": "a", "image": "a:1"}, {"name": "b", "image": "b:" + "1" * 300}]}),
        pod(spec={"containers": [{"name": "a", "image": "a:1"}]}),
        [("spec.containers[b]", '{"name": "b", "image": "b:' + "1" * 174 + "... (449 characters)", None)],
    ),
    (
        "a long value",
        pod(args=["a" * 200]),
        pod(args=["b" * 201]),
        [(f"{C}.args", "a" * 200, "b" * 200 + "... (201 characters)")],
    ),
    (
        "entries without name",
        pod(ports=[{"containerPort": 1}]),
        pod(ports=[{"containerPort": 2}]),
        [(f"{C}.ports[0].containerPort", "1", "2")],
    ),
    (
        "another entry without name",
        pod(ports=[{"containerPort": 1}]),
        pod(ports=[{"containerPort": 2}, {"containerPort": 1}]),
        [(f"{C}.ports", None, '{"containerPort": 2, "protocol": "TCP"}')],
    ),
    (
        "a volume mounted twice",
        pod(volumeMounts=[{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/b"}]),
        pod(volumeMounts=[{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/c"}]),
        [(f"{C}.volumeMounts[1].mountPath", "/b", "/c")],
    ),
    (
        "no mapping where one belongs",
        pod(livenessProbe="x"),
        pod(livenessProbe={}),
        [
            (
                f"{C}.livenessProbe",
                "x",
                '{"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}',
            )
        ],
    ),
    (
        "null and nothing",
        pod(resources={"limits": {"cpu": None}}),
        pod(resources={"limits": {}}),
        [(f"{C}.resources.limits", '{"cpu": null}', "{}"), (f"{C}.resources.requests", '{"cpu": null}', "{}")],
    ),
    # Secrets.
    (
        "a variable",
        pod(env=env(("A", "sesame"))),
        pod(env=env(("A", "lemon"))),
        [(f"{C}.env[A].value", HIDDEN, HIDDEN)],
    ),
    (
        "a new variable",
        pod(env=[]),
        pod(env=env(("A", "lemon"))),
        [(f"{C}.env[A]", None, '{"name": "A", "value": "(not shown)"}')],
    ),
    (
        "the first variable",
        pod(),
        pod(env=env(("A", "lemon"))),
        [(f"{C}.env", None, '[{"name": "A", "value": "(not shown)"}]')],
    ),
    (
        "a variable without value",
        pod(env=env(("A", ""))),
        pod(env=env(("A", "lemon"))),
        [(f"{C}.env[A].value", None, HIDDEN)],
    ),
    (
        "a header",
        pod(livenessProbe=header("sesame")),
        pod(livenessProbe=header("lemon")),
        [(f"{C}.livenessProbe.httpGet.httpHeaders[Authorization].value", HIDDEN, HIDDEN)],
    ),
    (
        "a copy of the manifest",
        pod({"annotations": {COPY: "sesame"}}),
        pod({"annotations": {COPY: "lemon"}}),
        [(f"metadata.annotations[{COPY}]", HIDDEN, HIDDEN)],
    ),
    (
        "attributes of a driver",
        pod(spec={"volumes": [{"name": "v", "csi": {"driver": "d", "volumeAttributes": {"key": "sesame"}}}]}),
        pod(spec={"volumes": [{"name": "v", "csi": {"driver": "d", "volumeAttributes": {"key": "lemon"}}}]}),
        [("spec.volumes[v].csi.volumeAttributes", HIDDEN, HIDDEN)],
    ),
    (
        "a token",
        pod(args=["--token=sesame"]),
        pod(args=["--token=lemon"]),
        [(f"{C}.args", f"--token={HIDDEN}", f"--token={HIDDEN}")],
    ),
    (
        "a token in the next word",
        pod(args=["--Token", "sesame"]),
        pod(args=["--Token", "lemon"]),
        [(f"{C}.args", f"--Token {HIDDEN}", f"--Token {HIDDEN}")],
    ),
    (
        "a token in a script",
        pod(args=["-c", "TOKEN=sesame\nx sesame"]),
        pod(args=["-c", "exit"]),
        [(f"{C}.args", f"-c TOKEN={HIDDEN}", "-c exit")],
    ),
    (
        "a password among words",
        pod(),
        pod(args=["--password", "lemon", "--v=2"]),
        [(f"{C}.args", None, f'["--password", "{HIDDEN}", "--v=2"]')],
    ),
    (
        "a file with tokens",
        pod(args=["--token-file=/a"]),
        pod(args=["--token-file=/b"]),
        [(f"{C}.args", "--token-file=/a", "--token-file=/b")],
    ),
    (
        "a URL",
        pod(args=["--u=http://me:sesame@h/"]),
        pod(args=["--u=http://me:lemon@g/"]),
        [(f"{C}.args", "--u=http://h/", "--u=http://g/")],
    ),
]


@pytest.mark.parametrize(("before", "after", "found"), [row[1:] for row in CASES], ids=[row[0] for row in CASES])
def test_differences(before: Pod, after: Pod, found: list[tuple[str, str | None, str | None]]) -> None:
    untouched = copy.deepcopy((before.data, after.data))
    assert differences(before, after) == [Difference(*row) for row in found]
    assert (before.data, after.data) == untouched


@pytest.mark.parametrize(("before", "after"), [row[1:3] for row in CASES], ids=[row[0] for row in CASES])
def test_there_are_differences_exactly_where_the_kubelet_sees_two_pods(before: Pod, after: Pod) -> None:
    for one, other in ((before, after), (after, before)):
        assert bool(differences(one, other)) is not one.same_as(other)


SECRETS = [row for row in CASES if HIDDEN in str(row[3])]


@pytest.mark.parametrize(("before", "after"), [row[1:3] for row in SECRETS], ids=[row[0] for row in SECRETS])
def test_secrets_are_never_shown(before: Pod, after: Pod) -> None:
    for one, other in ((before, after), (after, before)):
        shown = str(differences(one, other))
        assert "sesame" not in shown and "lemon" not in shown

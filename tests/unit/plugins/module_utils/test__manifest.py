# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the text of a manifest to a Pod: what no kubelet takes is refused, and which texts are one and the same pod."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _manifest
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError

POD = """\
apiVersion: v1
kind: Pod
metadata:
  name: web
spec:
  containers:
    - name: web
      image: nginx:1.27
"""

JSON = '{"kind": "Pod", "apiVersion": "v1", "spec": {"containers": [{"image": "nginx:1.27", "name": "web"}]}, "metadata": {"name": "web"}}'


@pytest.mark.parametrize("raw", [POD, POD.encode(), JSON, "\n\n  " + JSON, "---\n" + POD, "# comment\n---\n" + POD])
def test_a_pod(raw: str | bytes) -> None:
    pod = _manifest.parse(raw)
    assert pod.key == ("default", "web")
    assert pod.containers == [{"name": "web", "image": "nginx:1.27"}]
    assert pod.init_containers == []
    assert pod.text == (raw if isinstance(raw, str) else raw.decode())


@pytest.mark.parametrize(
    ("namespace", "key"),
    [("kube-system", ("kube-system", "web")), ("''", ("default", "web")), ("null", ("default", "web"))],
)
def test_namespaces(namespace: str, key: tuple[str, str]) -> None:
    assert _manifest.parse(POD.replace("name: web\nspec", f"name: web\n  namespace: {namespace}\nspec")).key == key


REFUSED: list[tuple[str, str | bytes, str]] = [
    ("empty", "", "the manifest is empty; it must hold one v1 Pod"),
    ("blank", " \n\t\n", "the manifest is empty; it must hold one v1 Pod"),
    ("only a comment", "# later\n", "it must hold one v1 Pod|the manifest must hold one v1 Pod, found nothing"),
    ("empty first document", "---\n---\n" + POD, "must hold one v1 Pod, found nothing"),
    ("list", "- a\n", "must hold one v1 Pod, found a list"),
    ("text", "hello", "must hold one v1 Pod, found the string 'hello'"),
    ("number", "8080", "must hold one v1 Pod, found the number 8080"),
    ("YAML syntax", "kind: [Pod", r"^YAML syntax error in line \d+, column \d+: "),
    ("tab", "kind:\n\tPod", "line 2"),
    ("JSON syntax", '{"kind": "Pod",', "line 1"),
    ("no kind", "apiVersion: v1\n", "^kind missing; a manifest starts with apiVersion: v1 and kind: Pod"),
    ("no apiVersion", "kind: Pod\n", "^apiVersion missing"),
    ("neither", "metadata: {name: a}\n", "^apiVersion and kind missing"),
    ("List", "apiVersion: v1\nkind: List\nitems: []\n", "found v1 List; a list is only read from staticPodURL"),
    (
        "PodList",
        "apiVersion: v1\nkind: PodList\nitems: []\n",
        "found v1 PodList; a list is only read from staticPodURL",
    ),
    ("Deployment", "apiVersion: apps/v1\nkind: Deployment\n", "found apps/v1 Deployment; a kubelet runs Pods only"),
    ("Service", "apiVersion: v1\nkind: Service\n", "found v1 Service; a kubelet runs Pods only"),
    ("wrong version", "apiVersion: v2\nkind: Pod\n", "expected one v1 Pod, found v2 Pod"),
    ("kind in lower case", "apiVersion: v1\nkind: pod\n", "expected one v1 Pod, found v1 pod"),
    ("kind is a list", "apiVersion: v1\nkind: [Pod]\n", "expected one v1 Pod"),
    ("no metadata", "apiVersion: v1\nkind: Pod\n", r"^metadata\.name is missing"),
    ("metadata is text", "apiVersion: v1\nkind: Pod\nmetadata: x\n", r"^metadata\.name is missing"),
    ("no name", "apiVersion: v1\nkind: Pod\nmetadata: {}\n", r"^metadata\.name is missing"),
    ("empty name", "apiVersion: v1\nkind: Pod\nmetadata: {name: ''}\n", r"^metadata\.name is missing"),
    (
        "name is a number",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: 8080}\n",
        "name must be a string, found the number 8080; quote it",
    ),
    (
        "name is zero",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: 0}\n",
        "name must be a string, found the number 0; quote it",
    ),
    (
        "namespace is false",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: n}\n",
        r"^metadata\.namespace must be a string, found the boolean false; quote it",
    ),
    (
        "name is a boolean",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: y}\n",
        "name must be a string, found the boolean true",
    ),
    (
        "name is false",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: n}\n",
        "name must be a string, found the boolean false",
    ),
    (
        "namespace is a number",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: 1}\n",
        r"^metadata\.namespace must be a string, found the number 1; quote it",
    ),
    ("not UTF-8", POD.encode() + b"# \xff\n", r"the manifest is not UTF-8 \(byte 10\d\); save it as UTF-8"),
    ("UTF-16", POD.encode("utf-16"), r"the manifest is not UTF-8 \(byte 0\)"),
    ("lone surrogate", POD + "# \udcff\n", "the manifest is not UTF-8"),
    (
        "too long",
        POD.encode() + b"#" * _manifest.MAX_BYTES,
        r"bytes and the kubelet refuses more than 10485760 \(10 MiB\)",
    ),
]


@pytest.mark.parametrize(("raw", "message"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_no_kubelet_takes(raw: str | bytes, message: str) -> None:
    with pytest.raises(KubestaticError, match=message) as failure:
        _manifest.parse(raw)
    assert "\n" not in str(failure.value), "one sentence"


def test_the_longest_manifest_that_fits() -> None:
    raw = POD.encode()
    longest = raw + b"#" * (_manifest.MAX_BYTES - len(raw))
    assert _manifest.parse(longest).name == "web"
    with pytest.raises(KubestaticError, match=r"^the manifest has 10485761 bytes"):
        _manifest.parse(longest + b"#")


def test_length_counts_in_bytes() -> None:
    text = POD + "#" + "\u00fc" * (_manifest.MAX_BYTES // 2)
    with pytest.raises(KubestaticError, match="10 MiB"):
        _manifest.parse(text)


def test_a_second_document_and_duplicate_keys_are_left_to_the_rules() -> None:
    pod = _manifest.parse(POD + "---\n" + POD)
    assert pod.document.has_more_documents
    assert _manifest.parse(POD + "spec: {}\n").document.duplicate_keys


# ---- are two texts the same pod to the kubelet?

SAME: list[tuple[str, str]] = [
    ("the same text", POD),
    ("a comment", "# hello\n" + POD),
    ("another order, JSON", JSON),
    ("a default that is written out", POD + "  restartPolicy: Always\n"),
    ("a default of a container", POD + "      imagePullPolicy: IfNotPresent\n"),
    ("null", POD + "  nodeName: null\n"),
    ("quotes", POD.replace("nginx:1.27", "'nginx:1.27'")),
]
OTHER: list[tuple[str, str]] = [
    ("a label", POD.replace("  name: web\nspec", "  name: web\n  labels: {a: b}\nspec")),
    ("an annotation", POD.replace("  name: web\nspec", "  name: web\n  annotations: {a: b}\nspec")),
    ("an image", POD.replace("1.27", "1.28")),
    ("not the default", POD + "  restartPolicy: Never\n"),
    ("an argument", POD + "      args: [a]\n"),
    # applyDefaults takes the hash before it fills in the namespace (pkg/kubelet/config/common.go).
    ("the default namespace", POD.replace("  name: web\nspec", "  name: web\n  namespace: default\nspec")),
    # The hash is over a dump that tells nil from an empty slice (pkg/util/hash).
    ("an empty list", POD + "  volumes: []\n"),
    ("another pull policy", POD + "      imagePullPolicy: Always\n"),
    ("the grace period", POD + "  terminationGracePeriodSeconds: 1\n"),
]


@pytest.mark.parametrize("text", [row[1] for row in SAME], ids=[row[0] for row in SAME])
def test_one_and_the_same_pod(text: str) -> None:
    one, other = _manifest.parse(POD), _manifest.parse(text)
    assert one.same_as(other)
    assert other.same_as(one)


@pytest.mark.parametrize("text", [row[1] for row in OTHER], ids=[row[0] for row in OTHER])
def test_another_pod(text: str) -> None:
    one, other = _manifest.parse(POD), _manifest.parse(text)
    assert not one.same_as(other)
    assert not other.same_as(one)


def test_the_order_of_arguments_and_variables_counts() -> None:
    one = _manifest.parse(POD + "      args: [a, b]\n")
    assert not one.same_as(_manifest.parse(POD + "      args: [b, a]\n"))


# ---- small things


@pytest.mark.parametrize(
    ("spec", "seconds"),
    [
        ({}, 30),
        ({"terminationGracePeriodSeconds": 120}, 120),
        ({"terminationGracePeriodSeconds": 0}, 1),
        ({"terminationGracePeriodSeconds": -5}, 1),
        ({"terminationGracePeriodSeconds": None}, 30),
        ({"terminationGracePeriodSeconds": "5"}, 30),
        ({"terminationGracePeriodSeconds": True}, 30),
    ],
)
def test_grace_periods(spec: dict[str, t.Any], seconds: int) -> None:
    assert _manifest.grace_seconds(spec) == seconds


def test_a_pod_tells_its_grace_period() -> None:
    assert _manifest.parse(POD + "  terminationGracePeriodSeconds: 7\n").grace_seconds == 7


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "nothing"),
        (True, "the boolean true"),
        (0, "the number 0"),
        (1.5, "the number 1.5"),
        ("a", "the string 'a'"),
        ("a" * 61, "a string"),
        ([], "a list"),
        ({}, "a mapping"),
    ],
)
def test_values_in_words(value: t.Any, words: str) -> None:
    assert _manifest.describe(value) == words


@pytest.mark.parametrize(
    ("text", "containers"),
    [("spec: text", []), ("spec: {containers: text}", []), ("spec: {containers: [a, {name: b}]}", [{"name": "b"}])],
)
def test_walks_survive_manifests_of_any_quality(text: str, containers: list[t.Any]) -> None:
    assert _manifest.parse(f"apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\n{text}\n").containers == containers


@pytest.mark.parametrize(
    ("namespace", "key"), [(None, ("default", "web")), ("", ("default", "web")), ("a", ("a", "web"))]
)
def test_identity_of_a_pod_that_is_given_by_name(namespace: str | None, key: tuple[str, str]) -> None:
    assert _manifest.identity(name="web", namespace=namespace) == key

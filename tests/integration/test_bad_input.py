# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad manifests: one sentence that says what, where and what to do; the directory and the running pod stay as they are.

All of them meet one pod, so what needs an empty node is in test_bad_calls.py.
"""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from conftest import Node, pod

GOOD = """\
apiVersion: v1
kind: Pod
metadata:
  name: web
spec:
  containers:
    - name: main
      image: busybox
      imagePullPolicy: IfNotPresent
"""


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


def volume(source: str) -> str:
    return GOOD + f"  volumes: [{{name: data, {source}}}]\n"


# (options of static_pod, words that the one sentence must contain)
BAD: dict[str, tuple[dict[str, t.Any], list[str]]] = {
    "empty": ({"content": " \n"}, ["empty", "one v1 Pod"]),
    "yaml syntax": ({"content": changed("  name: web", "  name: [web")}, ["YAML syntax error", "line"]),
    "two documents": ({"content": GOOD + "---\n" + GOOD}, ["more than one YAML document", "one file per Pod"]),
    "duplicate keys": ({"content": GOOD + "      image: nginx\n"}, ["spec.containers[0].image", "twice"]),
    "List": ({"content": "apiVersion: v1\nkind: List\nitems: []\n"}, ["kind", "v1 List", "manifest of its own"]),
    "PodList": ({"content": "apiVersion: v1\nkind: PodList\nitems: []\n"}, ["kind", "v1 PodList"]),
    "Deployment": (
        {"content": "apiVersion: apps/v1\nkind: Deployment\n"},
        ["kind", "apps/v1 Deployment", "API server"],
    ),
    "no name": ({"content": changed("  name: web", "  labels: {}")}, ["metadata.name is missing"]),
    "no DNS subdomain": ({"content": changed("name: web", "name: Web_1")}, ["metadata.name", "no DNS subdomain"]),
    "too long with suffix": (
        {"content": changed("name: web", f"name: {'a' * 250}")},
        ["metadata.name", "-node", "253 are allowed"],
    ),
    "number for string": (
        {"content": GOOD + "      env: [{name: PORT, value: 8080}]\n"},
        ["spec.containers[0].env[0].value", "8080", "quote"],
    ),
    "boolean for string": (
        {"content": GOOD + "      env: [{name: YES, value: y}]\n"},
        ["spec.containers[0].env[0].value", "boolean", "quote"],
    ),
    "unknown field": (
        {"content": changed("imagePullPolicy", "imagePullPolcy")},
        ["spec.containers[0].imagePullPolcy", "imagePullPolicy"],
    ),
    "fixed uid": ({"content": changed("  name: web", "  name: web\n  uid: abc")}, ["metadata.uid", "remove it"]),
    "secret": ({"content": volume("secret: {secretName: x}")}, ["spec.volumes[0].secret", "Secret", "hostPath"]),
    "configmap": ({"content": volume("configMap: {name: x}")}, ["spec.volumes[0].configMap", "ConfigMap"]),
    "claim": ({"content": volume("persistentVolumeClaim: {claimName: x}")}, ["persistentVolumeClaim"]),
    "service account": ({"content": GOOD + "  serviceAccountName: x\n"}, ["spec.serviceAccountName", "ServiceAccount"]),
    "over 10 MiB": ({"src": "huge.yaml"}, ["10 MiB", "smaller"]),
    "not UTF-8": ({"src": "latin1.yaml"}, ["UTF-8", "latin1.yaml"]),
    "undefined variable": ({"template": "undefined.yaml.j2"}, ["undefined.yaml.j2", "no_such_variable"]),
    "missing template": ({"template": "nowhere.yaml.j2"}, ["nowhere.yaml.j2"]),
    "no image": (
        {"content": changed("image: busybox", "image: registry.invalid/nothing:1")},
        ["registry.invalid/nothing:1", "cannot be pulled"],
    ),
    "image that must be there": (
        {"content": changed("image: busybox", "image: nothing:1").replace("IfNotPresent", "Never")},
        ["nothing:1", "Never"],
    ),
    "no source": ({"name": "web"}, ["exactly one of content, definition, src, template"]),
    "two sources": ({"content": GOOD, "definition": {}}, ["content", "definition"]),
    "another name": ({"content": GOOD, "name": "other"}, ["name", "other", "web"]),
    "another file": ({"content": GOOD, "filename": "other.yaml"}, ["filename", "other.yaml", "web.yaml"]),
    "dot-file": ({"content": changed("name: web", "name: new"), "filename": ".new.yaml"}, ["filename", "dot"]),
}


@pytest.fixture(scope="module")
def running_node(own_node: Node) -> t.Iterator[Node]:
    """A node on which the pod `web` runs already."""
    assert own_node.module("static_pod", definition=pod("web"))["changed"]
    yield own_node
    own_node.clean()


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("sources")
    (directory / "huge.yaml").write_text(GOOD + "# " + "x" * (10 * 1024 * 1024))
    (directory / "latin1.yaml").write_bytes(GOOD.encode() + "# f\xfcr\n".encode("latin-1"))
    (directory / "undefined.yaml.j2").write_text(GOOD.replace("web", "{{ no_such_variable }}"))
    return directory


@pytest.mark.parametrize("case", BAD)
def test_bad_manifest_is_refused_and_nothing_touched(case: str, running_node: Node, sources: Path) -> None:
    node, (options, words) = running_node, BAD[case]
    options = {key: str(sources / value) if key in ("src", "template") else value for key, value in options.items()}
    before = node.files(), node.sandboxes("web")
    result = node.module("static_pod", **options)
    assert result["failed"]
    assert not result.get("changed")
    for word in words:
        assert word in result["msg"], result["msg"]
    assert "\n" not in result["msg"].strip()
    assert "Traceback" not in result["msg"]
    assert (node.files(), node.sandboxes("web")) == before


def test_prune_all_with_nothing_listed_is_refused(running_node: Node) -> None:
    result = running_node.module("static_pods", pods=[], prune="all")
    assert result["failed"]
    assert "every static pod" in result["msg"]
    assert len(running_node.sandboxes("web")) == 1

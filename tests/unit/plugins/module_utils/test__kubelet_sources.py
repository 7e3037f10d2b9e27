# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a kubelet takes pods from: a directory, a URL and an API server that are there, and some that are not."""

from __future__ import annotations

import contextlib
import http.server
import json
import pathlib
import socket
import threading
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _kubelet_sources
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_sources import Source
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.kubelet_node import CONFIG, KubeletNode

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web"},
    "spec": {"containers": [{"name": "web", "image": "registry.example/web:1"}]},
}
KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: here
contexts:
  - {name: other, context: {cluster: far, user: me}}
  - {name: here, context: {cluster: near, user: me}}
clusters:
  - {name: far, cluster: {server: "http://192.0.2.1:6443"}}
  - {name: near, cluster: {server: "SERVER"}}
"""
NONE = Source("", False, "")


@pytest.fixture
def node(tmp_path: pathlib.Path) -> KubeletNode:
    node = KubeletNode(tmp_path)
    node.config("")
    return node


def look(node: KubeletNode, *flags: str) -> dict[str, Source]:
    node.unit(" ".join(["/usr/bin/kubelet", f"--config=ROOT/{CONFIG}", *flags]))
    found = _kubelet_sources.look(node.setup(), node_name="node1")
    return {
        name: source._replace(location=node.inside(source.location), trouble=node.inside(source.trouble))
        for name, source in found.items()
    }


@contextlib.contextmanager
def served(status: int) -> t.Iterator[str]:
    """The URL of a server that answers everything with this status and a pod."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(POD).encode())

        def log_message(self, format: str, *args: t.Any) -> None:  # noqa: A002
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture
def dead() -> t.Iterator[str]:
    """A URL at which nobody listens, nor any other test meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def test_a_kubelet_without_sources(node: KubeletNode) -> None:
    assert look(node) == {"file": NONE, "http": NONE, "api": NONE}


def test_a_directory(node: KubeletNode) -> None:
    node.config("staticPodPath: ROOT/manifests\n")
    assert look(node)["file"] == Source("ROOT/manifests", False, "there is no such directory")
    (node.root / "manifests").mkdir()
    assert look(node)["file"] == Source("ROOT/manifests", True, "")


def test_a_url(node: KubeletNode, dead: str) -> None:
    with served(200) as url:
        node.config(f"staticPodURL: {url.replace('//', '//me:secret@')}/pods\n")
        assert look(node)["http"] == Source(f"{url}/pods", True, "")
    with served(404) as url:
        found = look(node, f"--manifest-url={url}/pods")["http"]
        assert not found.answers and "answers 404" in found.trouble
    assert not look(node, f"--manifest-url={dead}/pods")["http"].answers


@pytest.mark.parametrize(("status", "answers"), [(200, True), (401, True), (403, True), (500, False)])
def test_an_api_server_that_answers(node: KubeletNode, status: int, answers: bool) -> None:
    with served(status) as url:
        node.write("kubelet.conf", KUBECONFIG.replace("SERVER", url))
        found = look(node, "--kubeconfig=ROOT/kubelet.conf")["api"]
        assert (found.location, found.answers, bool(found.trouble)) == (url, answers, not answers)


def test_an_api_server_that_does_not_answer(node: KubeletNode, dead: str) -> None:
    node.write("kubelet.conf", KUBECONFIG.replace("SERVER", dead))
    found = look(node, "--kubeconfig=ROOT/kubelet.conf")["api"]
    assert found == Source(dead, False, f"{dead} does not answer: Connection refused")


def test_a_kubelet_that_has_not_joined_yet(node: KubeletNode) -> None:
    flags = ("--bootstrap-kubeconfig=ROOT/bootstrap.conf", "--kubeconfig=ROOT/kubelet.conf")
    assert look(node, *flags)["api"] == Source("ROOT/kubelet.conf", False, "ROOT/kubelet.conf is missing")
    with served(401) as url:
        node.write("bootstrap.conf", KUBECONFIG.replace("SERVER", url))
        assert look(node, *flags)["api"] == Source(url, True, "")


@pytest.mark.parametrize("text", ["{}", "[]", "current-context: a\nclusters: []\ncontexts: []\n"])
def test_a_kubeconfig_that_names_no_server(node: KubeletNode, text: str) -> None:
    node.write("kubelet.conf", text)
    found = look(node, "--kubeconfig=ROOT/kubelet.conf")["api"]
    assert found == Source("ROOT/kubelet.conf", False, "ROOT/kubelet.conf names no server for its current-context")

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A staticPodURL is asked over real HTTP before a kubelet depends on it."""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import threading
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _manifest, _pod_url
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web"},
    "spec": {"containers": [{"name": "web", "image": "registry.example/web:1"}]},
}
ITEM = {name: POD[name] for name in ("metadata", "spec")}


class Server:
    """Serves one answer, and remembers who asked."""

    def __init__(self) -> None:
        self.status, self.body = 200, json.dumps(POD).encode()
        self.location = ""
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.paths.append(self.path)
                server.headers.append(dict(self.headers.items()))
                self.send_response(server.status)
                if server.location and self.path != server.location:
                    self.send_header("Location", server.location)
                self.send_header("Content-Length", str(len(server.body)))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(server.body)
                if self.path == server.location:
                    return
                if server.location:
                    server.status = 200

            def log_message(self, format: str, *args: t.Any) -> None:  # noqa: A002
                pass

        self.httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.httpd.server_address[1]}"
        self.url = f"http://{self.address}/pods"


@pytest.fixture
def server() -> t.Iterator[Server]:
    found = Server()
    thread = threading.Thread(target=found.httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    found.httpd.shutdown()
    thread.join()
    found.httpd.server_close()


def ask(url: str, *, environment: dict[str, str] | None = None, **headers: list[str]) -> int:
    return _pod_url.require_pods(url, headers=headers, node_name="node1", minor=34, environment=environment or {})


def refusal(url: str, **options: t.Any) -> str:
    with pytest.raises(KubestaticError) as caught:
        ask(url, **options)
    return str(caught.value)


@pytest.fixture
def closed_port() -> t.Iterator[int]:
    """A port on which nobody listens, nor any other test meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture
def raw_url() -> t.Iterator[str]:
    """Something that listens and talks no HTTP."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def talk() -> None:
            connection, _address = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")

        thread = threading.Thread(target=talk)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        thread.join()


# ---- pods


@pytest.mark.parametrize(
    ("document", "count"),
    [
        (POD, 1),
        ({"apiVersion": "v1", "kind": "PodList", "items": [ITEM, {**POD, "metadata": {"name": "b"}}]}, 2),
        ({"apiVersion": "v1", "kind": "List", "items": [POD]}, 1),
    ],
)
def test_pods_are_counted(server: Server, document: dict[str, t.Any], count: int) -> None:
    server.body = json.dumps(document).encode()
    assert ask(server.url) == count
    assert server.paths == ["/pods"]


def test_yaml_is_taken_as_well(server: Server) -> None:
    server.body = b"apiVersion: v1\nkind: Pod\nmetadata: {name: w\xc3\xa4b}\n"
    assert "w\u00e4b" in refusal(server.url)
    server.body = b"apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: a, image: b}]}\n"
    assert ask(server.url) == 1


@pytest.mark.parametrize("items", [[], None])
def test_no_pod_at_all(server: Server, items: list[t.Any] | None) -> None:
    server.body = json.dumps({"apiVersion": "v1", "kind": "PodList", "items": items}).encode()
    expected = f"staticPodURL: {server.url} answers with no pod at all; have it serve one, or set it later"
    assert refusal(server.url) == expected


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>\n<body>It works!",
        b"{",
        b"\xff\xfe\x00",
        b"[]",
        b"a: [",
        b'{"apiVersion": "apps/v1", "kind": "Deployment"}',
        b'{"kind": "PodList", "items": 5}',
        b'{"kind": "PodList", "items": {"a": 1}}',
        b'{"kind": "PodList", "items": ["web"]}',
        b'{"kind": "PodList", "items": [{"kind": "Service"}]}',
    ],
)
def test_something_else_than_pods(server: Server, body: bytes) -> None:
    server.body = body
    found = refusal(server.url)
    assert found.startswith(f"staticPodURL: {server.url} answers with something else than pods: ")
    assert found.endswith("; mend what it serves, as the kubelet would hold back all deletions on this node")


def test_a_pod_that_the_kubelet_refuses(server: Server) -> None:
    server.body = json.dumps({**POD, "spec": {}}).encode()
    found = refusal(server.url)
    assert found.startswith(f"staticPodURL: {server.url}: kubelet 1.34 refuses pod web: spec.containers: ")


# ---- answers


@pytest.mark.parametrize("status", [204, 404, 401, 500])
def test_only_200_is_taken(server: Server, status: int) -> None:
    server.status = status
    if status == 204:
        server.body = b""
    expected = f"staticPodURL: {server.url} answers {status}, and the kubelet takes only 200; have it answer first"
    assert refusal(server.url) == expected


def test_a_redirection_is_followed(server: Server) -> None:
    server.status, server.location = 302, "/other"
    assert ask(server.url) == 1
    assert server.paths == ["/pods", "/other"]


def test_more_than_the_kubelet_reads(server: Server) -> None:
    server.body = b" " * (_manifest.MAX_BYTES + 1)
    assert refusal(server.url) == f"staticPodURL: {server.url} answers with more than the 10 MiB that the kubelet takes"


HOLDS = "; a URL that was never reached holds back all deletions of the kubelet, so have it answer first"


def test_nobody_answers(closed_port: int) -> None:
    url = f"http://127.0.0.1:{closed_port}/"
    found = refusal(f"http://user:secret@127.0.0.1:{closed_port}/")
    assert found == f"staticPodURL: {url} does not answer this node: [Errno 111] Connection refused{HOLDS}"


def test_who_answers_talks_no_http(raw_url: str) -> None:
    assert refusal(raw_url) == f"staticPodURL: {raw_url} does not answer this node: SSH-2.0-OpenSSH_9.6\r\n{HOLDS}"


def test_nobody_answers_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pod_url, "_TIMEOUT_SECONDS", 0.05)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        assert refusal(url) == f"staticPodURL: {url} does not answer this node: timed out{HOLDS}"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("//user:secret@x/", "unknown url type: '//x/'"),
        ("file:///etc/passwd", "the kubelet takes no file URL"),
        ("http:///pods", "no host given"),
        ("http://user:secret@x:port/", "nonnumeric port: 'port'"),
    ],
)
def test_what_is_no_url(url: str, why: str) -> None:
    found = refusal(url)
    assert f"does not answer this node: {why}{HOLDS}" in found
    assert "secret" not in found


# ---- headers and proxies


def test_headers_are_sent(server: Server) -> None:
    assert ask(server.url, Authorization=["Bearer secret"], Accept=["a", "b"], Name=["\u00e4\u20ac"]) == 1
    (sent,) = server.headers
    assert (sent["Authorization"], sent["Accept"]) == ("Bearer secret", "a, b")
    assert sent["Name"].encode("latin-1").decode() == "\u00e4\u20ac"


def test_a_user_in_the_url_is_sent_as_the_kubelet_does(server: Server) -> None:
    url = server.url.replace("//", "//user:p%40ss@")
    assert ask(url) == 1
    assert ask(url, Authorization=["Bearer secret"]) == 1
    # base64 of user:p@ss
    assert [sent["Authorization"] for sent in server.headers] == ["Basic dXNlcjpwQHNz", "Bearer secret"]
    server.status = 404
    assert refusal(url).startswith(f"staticPodURL: {server.url} answers 404")


@pytest.mark.parametrize(
    ("name", "value"), [("A", "secret\n"), ("A", "sec\rret"), ("A", "secret\0"), ("A B", "secret")]
)
def test_a_header_that_cannot_be_sent_is_not_shown(server: Server, name: str, value: str) -> None:
    expected = f"static_pod_url_headers.{name}: has a character that HTTP does not take; remove it"
    assert refusal(server.url, **{name: [value]}) == expected
    assert server.paths == []


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY"])
def test_the_kubelets_proxy_is_asked(server: Server, name: str) -> None:
    environment = {name: f"http://{server.address}"}
    assert ask("http://pods.example/all", environment=environment) == 1
    assert server.paths == ["http://pods.example/all"]


def test_the_kubelet_asks_its_own_node_without_a_proxy(server: Server, closed_port: int) -> None:
    proxy = {"http_proxy": f"http://127.0.0.1:{closed_port}"}
    assert ask(server.url, environment=proxy) == 1


PROXY = {"http": "http://proxy", "https": "http://secure"}


@pytest.mark.parametrize(
    ("host", "without", "direct"),
    [
        ("pods.example", "", False),
        ("pods.example", "other.example, example", True),
        ("pods.example", ".example", True),
        ("example", ".example", False),
        ("PODS.example:80", "pods.Example", True),
        ("pods.example:80", "pods.example:80", True),
        ("pods.example:81", "pods.example:80", False),
        ("badexample", "example", False),
        ("pods.example", "*", True),
        ("10.0.0.7", "10.0.0.0/24", True),
        ("10.0.1.7:80", "10.0.0.0/24,10.0.1.7", True),
        ("10.0.1.7", "10.0.0.0/24", False),
        ("[fd00::7]:80", "fd00::/8", True),
        ("localhost:80", "", True),
        ("127.3.2.1", "", True),
        ("[::1]", "", True),
    ],
)
def test_which_hosts_are_asked_directly(host: str, without: str, direct: bool) -> None:
    environment = {"http_proxy": "http://proxy", "HTTPS_PROXY": "http://secure", "no_proxy": without}
    assert _pod_url._proxies(host, environment) == ({} if direct else PROXY)

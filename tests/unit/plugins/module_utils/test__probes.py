# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pod's probes against real servers on the loopback interface, and exec probes through a runtime's answers."""

from __future__ import annotations

import contextlib
import datetime
import http.server
import pathlib
import socket
import ssl
import threading
import time
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _probes
from ansible_collections.kubestatic.node.plugins.module_utils._runtime import Runtime

HOST = "127.0.0.1"


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers with the status that the path names, as /200; notes the requests in the server."""

    def do_GET(self) -> None:
        self.server.requests.append((self.path, dict(self.headers)))  # type: ignore[attr-defined]
        word = self.path.strip("/").split("/")[0].split("?")[0]
        if word == "slow":
            time.sleep(2)
        if word == "garbage":
            self.wfile.write(b"this is not HTTP\r\n\r\n")
            return
        self.send_response(int(word) if word.isdigit() else 200)
        if word == "302":
            self.send_header("Location", self.path.partition("to=")[2])
        self.end_headers()

    def log_message(self, *_args: t.Any) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        super().__init__((HOST, 0), Handler)
        self.requests: list[tuple[str, dict[str, str]]] = []
        if context:
            self.socket = context.wrap_socket(self.socket, server_side=True)

    @contextlib.contextmanager
    def serving(self) -> t.Iterator[Server]:
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield self
        finally:
            self.shutdown()
            self.server_close()


@pytest.fixture(scope="module")
def web() -> t.Iterator[Server]:
    with Server().serving() as server:
        yield server


def self_signed(*, name: str) -> bytes:
    """A key and its certificate for this name, in PEM."""
    pytest.importorskip("cryptography", reason="cryptography is not in this environment (a node's Python has none)")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(pem, pkcs8, serialization.NoEncryption()) + certificate.public_bytes(pem)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Server]:
    """A server with a certificate that nobody has signed and whose name fits nothing."""
    path: pathlib.Path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(self_signed(name="elsewhere"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(path))
    with Server(context).serving() as server:
        yield server


def no_runtime(*_args: t.Any, **_options: t.Any) -> tuple[int, str, str]:
    raise AssertionError("only exec probes need the runtime")


def passes(
    probe: dict[str, t.Any], *, host: str = HOST, spec: dict[str, t.Any] | None = None, run: t.Any = no_runtime
) -> bool:
    runtime = Runtime(run, crictl="/usr/bin/crictl", endpoint="unix:///x")
    return _probes.passes(probe, spec=spec or {}, container="abc", host=host, runtime=runtime)


# ---- HTTP: anything from 200 to 399 is success (pkg/probe/http)


@pytest.mark.parametrize(
    ("path", "passed"),
    [
        ("/200", True),
        ("200", True),
        ("/204", True),
        ("/302", True),
        ("/302?to=http://elsewhere.invalid/", True),
        ("/302?to=/200", True),
        ("/302?to=/500", False),
        ("/302?to=/302?to=/200", True),
        ("/200/a b/\u00fc?c=d e", True),
        ("/399", True),
        ("/400", False),
        ("/404", False),
        ("/500", False),
        ("/503", False),
        ("/garbage", False),
        (None, True),
        ("/200?a=b&c", True),
    ],
)
def test_http(web: Server, path: str | None, passed: bool) -> None:
    assert passes({"httpGet": {"path": path, "port": web.server_port}}) is passed


def test_redirects_without_end_do_not_pass(web: Server) -> None:
    loop = "/302?to=" * 12 + "/200"
    assert not passes({"httpGet": {"path": loop, "port": web.server_port}})


def test_https_does_not_ask_who_answers(tls: Server) -> None:
    assert passes({"httpGet": {"path": "/200", "port": tls.server_port, "scheme": "HTTPS"}, "timeoutSeconds": 5})
    assert not passes({"httpGet": {"path": "/500", "port": tls.server_port, "scheme": "HTTPS"}, "timeoutSeconds": 5})


def test_http_to_a_tls_server_fails(tls: Server) -> None:
    assert not passes({"httpGet": {"path": "/200", "port": tls.server_port}})


def test_https_to_a_plain_server_fails(web: Server) -> None:
    assert not passes({"httpGet": {"path": "/200", "port": web.server_port, "scheme": "HTTPS"}})


def test_ports_by_name(web: Server) -> None:
    spec = {
        "ports": [
            {"containerPort": 1},
            {"name": "other", "containerPort": 1},
            {"name": "web", "containerPort": web.server_port},
        ]
    }
    assert passes({"httpGet": {"path": "/200", "port": "web"}}, spec=spec)
    assert not passes({"httpGet": {"path": "/200", "port": "other"}}, spec=spec)
    assert not passes({"httpGet": {"path": "/200", "port": "none"}}, spec=spec)


def test_headers_and_host(web: Server) -> None:
    web.requests.clear()
    headers = [{"name": "Host", "value": "example.org"}, {"name": "X-A", "value": "b"}, {"name": "X-Empty"}]
    assert passes(
        {"httpGet": {"path": "/200", "host": HOST, "port": web.server_port, "httpHeaders": headers}}, host="192.0.2.1"
    )
    ((path, sent),) = web.requests
    assert path == "/200"
    assert (sent["Host"], sent["X-A"], sent["X-Empty"]) == ("example.org", "b", "")


def test_a_prober_tells_who_it_is(web: Server) -> None:
    """Applications tell the kubelet's requests by their agent; the kubelet sends kube-probe/1.x."""
    web.requests.clear()
    assert passes({"httpGet": {"path": "/200", "port": web.server_port}})
    assert web.requests[0][1].get("User-Agent", "").startswith("kube-probe/")


def test_a_slow_answer_fails_at_the_probes_timeout(web: Server) -> None:
    began = time.monotonic()
    assert not passes({"httpGet": {"path": "/slow", "port": web.server_port}, "timeoutSeconds": 1})
    assert 0.9 < time.monotonic() - began < 2.5


@pytest.mark.parametrize("kind", ["httpGet", "tcpSocket", "grpc"])
def test_nobody_listens(kind: str) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        assert not passes({kind: {"port": taken.getsockname()[1]}})


def test_a_proxy_in_the_environment_is_not_asked(web: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://{HOST}:9")
    assert passes({"httpGet": {"path": "/200", "port": web.server_port}})


# ---- TCP


def test_tcp() -> None:
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
        assert passes({"tcpSocket": {"port": port}})
        assert passes({"tcpSocket": {"port": "p"}}, spec={"ports": [{"name": "p", "containerPort": port}]})
        assert passes({"tcpSocket": {"port": port, "host": HOST}}, host="192.0.2.1")


def test_tcp_over_ipv6() -> None:
    if not socket.has_ipv6:
        pytest.skip("this Python has no IPv6")
    try:
        server = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError as exc:
        pytest.skip(f"this machine has no IPv6 loopback address: {exc}")
    with server:
        assert passes({"tcpSocket": {"port": server.getsockname()[1]}}, host="::1")


@pytest.mark.parametrize("port", ["none", None, "", 70000, -1, [], {}])
def test_ports_that_are_none(port: t.Any) -> None:
    assert passes({"tcpSocket": {"port": port}}) is False
    assert passes({"httpGet": {"port": port}}) is False


# ---- exec: through the runtime


@pytest.mark.parametrize(("code", "passed"), [(0, True), (1, False), (127, False)])
def test_exec(code: int, passed: bool) -> None:
    asked: list[list[str]] = []

    def run(args: t.Sequence[str], **_options: t.Any) -> tuple[int, str, str]:
        asked.append(list(args))
        return code, "", ""

    assert passes({"exec": {"command": ["sh", "-c", "a b"]}, "timeoutSeconds": 7}, run=run) is passed
    assert asked[0][-6:] == ["--timeout", "7", "abc", "sh", "-c", "a b"]


def test_exec_waits_a_second_by_default() -> None:
    asked: list[list[str]] = []

    def run(args: t.Sequence[str], **_options: t.Any) -> tuple[int, str, str]:
        asked.append(list(args))
        return 0, "", ""

    passes({"exec": {"command": ["true"]}}, run=run)
    assert asked[0][asked[0].index("--timeout") + 1] == "1"


# ---- gRPC: the health service of the real library


@pytest.fixture(scope="module")
def health() -> t.Iterator[int]:
    grpc = pytest.importorskip("grpc", reason="grpcio is not in this environment (its wheels need Python 3.9 or newer)")
    from concurrent import futures

    from grpc_health.v1 import health, health_pb2, health_pb2_grpc

    servicer = health.HealthServicer()
    states = health_pb2.HealthCheckResponse
    for service, state in (
        ("", states.SERVING),
        ("good", states.SERVING),
        ("bad", states.NOT_SERVING),
        ("n" * 200, states.SERVING),
    ):
        servicer.set(service, state)
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port(f"{HOST}:0")
    server.start()
    yield port
    server.stop(None)


@pytest.mark.parametrize(
    ("service", "passed"),
    [(None, True), ("", True), ("good", True), ("bad", False), ("unknown", False), ("n" * 200, True)],
    ids=["none", "empty", "serving", "not serving", "unknown", "long name"],
)
def test_grpc(health: int, service: str | None, passed: bool) -> None:
    assert passes({"grpc": {"port": health, "service": service}, "timeoutSeconds": 5}) is passed


def test_grpc_again_and_again(health: int) -> None:
    assert all(passes({"grpc": {"port": health}, "timeoutSeconds": 5}) for dummy in range(20))


def test_grpc_to_a_web_server_fails(web: Server) -> None:
    assert not passes({"grpc": {"port": web.server_port}})


@pytest.mark.parametrize("silent", [True, False])
def test_grpc_to_a_server_that_says_nothing_ends_in_time(silent: bool) -> None:
    with socket.create_server((HOST, 0)) as server:

        def answer() -> None:
            connection, _address = server.accept()
            # One byte now and then keeps a timeout per read from ever ending.
            with connection, contextlib.suppress(OSError):
                for _turn in range(60):
                    if not silent:
                        connection.sendall(b"\0")
                    time.sleep(0.1)

        threading.Thread(target=answer, daemon=True).start()
        began = time.monotonic()
        assert not passes({"grpc": {"port": server.getsockname()[1]}, "timeoutSeconds": 1})
        assert time.monotonic() - began < 2.5, "a try must not take longer than timeoutSeconds"


# ---- small things


def test_a_probe_without_a_handler_passes() -> None:
    assert passes({})


@pytest.mark.parametrize(
    ("probe", "words"),
    [
        ({"httpGet": {"port": 8080, "path": "/healthz"}}, "httpGet :8080/healthz"),
        ({"httpGet": {"port": "web", "host": "a"}}, "httpGet a:web"),
        ({"tcpSocket": {"port": 1}}, "tcpSocket :1"),
        ({"grpc": {"port": 1}}, "grpc :1"),
        ({"exec": {"command": ["sh", "-c", "true"]}}, "exec sh -c true"),
        ({"exec": None}, "exec "),
    ],
)
def test_probes_in_words(probe: dict[str, t.Any], words: str) -> None:
    assert _probes.describe(probe) == words


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        (["127.0.1.1", "192.0.2.7"], "192.0.2.7"),
        (["192.0.2.7", "192.0.2.8"], "192.0.2.7"),
        (["::1", "2001:db8::1"], "2001:db8::1"),
        (["2001:db8::1", "192.0.2.7"], "192.0.2.7"),
        (["fe80::1%eth0", "169.254.1.1", "2001:db8::1"], "2001:db8::1"),
    ],
)
def test_the_nodes_own_address(monkeypatch: pytest.MonkeyPatch, addresses: list[str], expected: str) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, 0)) for address in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: found)
    assert _probes.host_of_node("node1", node_ip="") == expected


@pytest.mark.parametrize(
    ("node_ip", "expected"), [("192.0.2.9", "192.0.2.9"), ("0.0.0.0", "192.0.2.7"), ("::", "192.0.2.7")]
)
def test_the_address_that_the_kubelet_was_given(monkeypatch: pytest.MonkeyPatch, node_ip: str, expected: str) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("192.0.2.7", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: found)
    assert _probes.host_of_node("node1", node_ip=node_ip) == expected


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["test", "$(A)"], ["test", "1"]),
        (["$(A)$(B)$(NONE)"], ["1x y$(NONE)"]),
        (["$$(A)", "$A", "$(", "$HOME"], ["$(A)", "$A", "$(", "$HOME"]),
        (["$(FROM)", 7], ["", "7"]),
    ],
)
def test_a_command_is_expanded_as_the_kubelet_does(command: list[t.Any], words: list[str]) -> None:
    env = [{"name": "A", "value": "1"}, {"name": "B", "value": "x y"}, {"name": "FROM", "valueFrom": {"fieldRef": {}}}]
    assert _probes.expanded(command, spec={"env": env}) == words


@pytest.mark.parametrize("found", [[], ["127.0.1.1"]])
def test_a_name_that_tells_no_address_leaves_it_to_the_routing_table(
    monkeypatch: pytest.MonkeyPatch, found: list[str]
) -> None:
    def getaddrinfo(*_args: t.Any, **_options: t.Any) -> list[t.Any]:
        if not found:
            raise socket.gaierror(-2, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, 0)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    address = _probes.host_of_node("node1", node_ip="")
    assert socket.inet_aton(address)

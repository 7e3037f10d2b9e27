# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An HTTPS server that plays back what a real kube-apiserver 1.37.2 answered to the same requests."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import pathlib
import ssl
import tempfile
import threading
import typing as t

RECORDED: dict[str, t.Any] = json.loads((pathlib.Path(__file__).parent / "recordings" / "api_server.json").read_text())
PEMS: dict[str, str] = RECORDED["pems"]
# In `ssl` since Python 3.10. The CA that everybody has is an intermediate one.
PARTIAL_CHAIN = 0x80000

# Method, path, status and text.
Exchange = t.Tuple[str, str, int, str]


class Request(t.NamedTuple):
    """What arrived. ``user`` is the common name of the client's certificate, empty where it showed none."""

    method: str
    path: str
    headers: dict[str, str]
    body: t.Any
    user: str


class ApiServer:
    """``left`` are the exchanges to come, in their order. Status 0 is a connection that breaks."""

    def __init__(self, exchanges: t.Sequence[Exchange], *, retry_after: str = "") -> None:
        self.left = list(exchanges)
        self.requests: list[Request] = []
        self.connections = 0
        self.retry_after = retry_after
        self.url = ""

    @contextlib.contextmanager
    def running(self) -> t.Iterator[ApiServer]:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        server.daemon_threads = True
        with tempfile.TemporaryDirectory() as name:
            for pem in ("server", "server_key", "authority"):
                (pathlib.Path(name) / pem).write_text(PEMS[pem])
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(f"{name}/server", f"{name}/server_key")
            context.load_verify_locations(f"{name}/authority")
        context.verify_mode = ssl.CERT_OPTIONAL
        context.verify_flags |= PARTIAL_CHAIN
        server.socket = context.wrap_socket(server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                api.connections += 1

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                certificate = t.cast("ssl.SSLSocket", self.connection).getpeercert() or {}
                names = [dict(one)["commonName"] for one in certificate.get("subject", ()) if "commonName" in dict(one)]  # type: ignore[arg-type]
                api.requests.append(
                    Request(
                        self.command,
                        self.path,
                        dict(self.headers),
                        json.loads(body) if body else None,
                        str(names[0]) if names else "",
                    )
                )
                method, path, status, text = (
                    api.left.pop(0) if api.left else (self.command, self.path, 418, "nothing left")
                )
                if (method, path) != (self.command, self.path):
                    status, text = 418, f"expected {method} {path}"
                if not status:
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("Content-Length", str(len(text.encode())))
                if api.retry_after:
                    self.send_header("Retry-After", api.retry_after)
                self.end_headers()
                self.wfile.write(text.encode())

            do_GET = do_PATCH = _answer  # noqa: N815

            def log_message(self, format: str, *args: t.Any) -> None:  # noqa: A002
                pass

        return Handler


def recorded(name: str) -> list[Exchange]:
    return [t.cast("Exchange", tuple(exchange)) for exchange in RECORDED["answers"][name]]


def kubeconfig(url: str, *, user: t.Mapping[str, str] | None = None, cluster: t.Mapping[str, str] | None = None) -> str:
    """JSON is YAML. By default with the client's certificate embedded, as kubeadm does."""
    if user is None:
        user = {"client-certificate-data": encoded("client"), "client-key-data": encoded("client_key")}
    data = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "c",
                "cluster": {"server": url, **(cluster or {"certificate-authority-data": encoded("authority")})},
            }
        ],
        "users": [{"name": "other", "user": {}}, {"name": "kubernetes-super-admin", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "kubernetes-super-admin"}}],
        "current-context": "x",
    }
    return json.dumps(data)


def encoded(pem: str) -> str:
    return base64.b64encode(PEMS[pem].encode()).decode()

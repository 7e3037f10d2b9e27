# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An etcd cluster on loopback that speaks the gateway's language over TLS, and API servers. It answers as etcd 3.6 and 3.7 do."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import http.server
import ipaddress
import json
import pathlib
import ssl
import threading
import typing as t

import pytest

pytest.importorskip("cryptography", reason="this environment has no cryptography, with which the certificates are made")

from ansible_collections.kubestatic.node.plugins.module_utils._https import Tls
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Answer = t.Tuple[int, t.Dict[str, t.Any]]

# What etcd 3.6.5 and 3.7.0 were seen to answer.
NOT_FOUND = (404, {"code": 5, "message": "etcdserver: member not found"})
NOT_A_LEARNER = (400, {"code": 9, "message": "etcdserver: can only promote a learner member"})
NOT_IN_SYNC = (
    400,
    {"code": 9, "message": "etcdserver: can only promote a learner member which is in sync with leader"},
)
TOO_MANY_LEARNERS: Answer = (400, {"code": 9, "message": "etcdserver: too many learner members in cluster"})
BAD_URLS = (400, {"code": 3, "message": "etcdserver: given member URLs are invalid"})
ASKED_A_LEARNER = (400, {"code": 9, "message": "etcdserver: rpc not supported for learner"})
UNHEALTHY = (503, {"code": 14, "message": "etcdserver: unhealthy cluster"})
TIMED_OUT = (503, {"code": 14, "message": "etcdserver: request timed out"})
HEALTHY = (200, {"health": "true", "reason": ""})
NO_LEADER = (503, {"health": "false", "reason": "RAFT NO LEADER"})
PEER_EXISTS: Answer = (400, {"code": 9, "message": "etcdserver: Peer URLs already exists"})


def certificates(directory: pathlib.Path, *, host: str = "127.0.0.1") -> Tls:
    """Make a CA, and one certificate for servers at this address and for clients alike."""
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca = _certificate("ca", ca_key, ca_key, x509.BasicConstraints(ca=True, path_length=None))
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))])
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    texts = {
        "ca.crt": ca.public_bytes(encoding),
        "both.crt": _certificate("both", key, ca_key, name).public_bytes(encoding),
        "both.key": key.private_bytes(encoding, form, serialization.NoEncryption()),
    }
    directory.mkdir(exist_ok=True)
    for file, text in texts.items():
        (directory / file).write_bytes(text)
    return Tls(*(str(directory / file) for file in texts))


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    extension: x509.ExtensionType,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca")]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(extension, critical=False)
        .sign(signer, hashes.SHA256())
    )


class Server:
    """Answers with what `answer` makes of path and body; where that is None, the connection is cut without one."""

    def __init__(self, tls: Tls, answer: t.Callable[[str, dict[str, t.Any]], Answer | None]) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer({})

            def do_POST(self) -> None:
                self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def _answer(self, body: dict[str, t.Any]) -> None:
                found = answer(self.path, body)
                if found is None:
                    self.close_connection = True
                    return
                self.send_response(found[0])
                self.end_headers()
                self.wfile.write(json.dumps(found[1]).encode())

            def log_message(self, format: str, *args: t.Any) -> None:  # noqa: A002
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.handle_error = lambda *_args: None  # type: ignore[method-assign]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls.cert_file, tls.key_file)
        context.load_verify_locations(tls.ca_file)
        context.verify_mode = ssl.CERT_REQUIRED
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"https://127.0.0.1:{self._server.server_address[1]}"
        self.runs = True
        # A test that fails must not wait for one that it has not stopped.
        serve = self._server.serve_forever
        self._thread = threading.Thread(target=serve, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        if self.runs:
            self.runs = False
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()


@dataclasses.dataclass
class Peer:
    """One member, as it is listed. ``health`` is what it says of itself, where that differs from the cluster's."""

    id: int
    name: str
    peer_url: str
    server: Server | None = None
    is_learner: bool = False
    health: Answer | None = None

    @property
    def runs(self) -> bool:
        return self.server is not None and self.server.runs

    @property
    def url(self) -> str:
        assert self.server is not None
        return self.server.url

    def listed(self) -> dict[str, t.Any]:
        data: dict[str, t.Any] = {"ID": str(self.id), "name": self.name, "peerURLs": [self.peer_url]}
        data["clientURLs"] = [self.server.url] if self.server else []
        data["isLearner"] = self.is_learner
        return {key: value for key, value in data.items() if value}


class Cluster:
    """Members node1, node2... with peer URLs https://192.0.2.11:2380 and so on.

    ``refusals``: verb -> answers that are given before the change is made. ``lost``: verbs that are carried out, and
    whose answer is lost. ``asked``: the requests, as path and body.
    """

    def __init__(self, tls: Tls, size: int = 3) -> None:
        self.tls = tls
        self.peers: list[Peer] = []
        self.refusals: dict[str, list[Answer]] = {}
        self.lost: set[str] = set()
        self.asked: list[tuple[str, dict[str, t.Any]]] = []
        self._serial = 0xA000000000000000
        for number in range(1, size + 1):
            self.start(self.join(f"https://192.0.2.1{number}:2380", is_learner=False), f"node{number}")

    def join(self, peer_url: str, *, is_learner: bool) -> Peer:
        self._serial += 1
        self.peers.append(Peer(self._serial, "", peer_url, is_learner=is_learner))
        return self.peers[-1]

    def start(self, peer: Peer, name: str) -> None:
        peer.name = name
        peer.server = Server(self.tls, lambda path, body: self._answer(peer, path, body))

    def peer(self, name: str) -> Peer:
        return next(peer for peer in self.peers if peer.name == name)

    def urls(self, *names: str) -> list[str]:
        return [self.peer(name).url for name in names]

    def stop(self, *names: str) -> None:
        for peer in self.peers:
            if peer.server is not None and (not names or peer.name in names):
                peer.server.stop()

    @property
    def has_quorum(self) -> bool:
        voting = [peer for peer in self.peers if not peer.is_learner]
        return 2 * sum(peer.runs for peer in voting) > len(voting)

    def changes(self) -> list[str]:
        """Verbs of the requests that may change something."""
        verbs = [path.rpartition("/")[2] for path, _body in self.asked if path.startswith("/v3/cluster/member/")]
        return [verb for verb in verbs if verb != "list"]

    def _answer(self, peer: Peer, path: str, body: dict[str, t.Any]) -> Answer | None:
        self.asked.append((path, body))
        if path.startswith("/health"):
            return peer.health or (HEALTHY if self.has_quorum else NO_LEADER)
        if path == "/v3/maintenance/status":
            return 200, {"header": {"cluster_id": "1", "member_id": str(peer.id), "raft_term": "2"}, "version": "3.7.0"}
        verb = path.rpartition("/")[2]
        if peer.is_learner:
            return ASKED_A_LEARNER
        if verb == "list":
            return self._listed() if self.has_quorum or not body["linearizable"] else TIMED_OUT
        if self.refusals.get(verb):
            return self.refusals[verb].pop(0)
        refused = self._change(verb, body)
        return None if verb in self.lost else refused or self._listed()

    def _listed(self) -> Answer:
        return 200, {"header": {"cluster_id": "1", "raft_term": "2"}, "members": [peer.listed() for peer in self.peers]}

    def _change(self, verb: str, body: dict[str, t.Any]) -> Answer | None:
        if verb == "add":
            if any(peer.peer_url in body["peerURLs"] for peer in self.peers):
                return PEER_EXISTS
            if any(peer.is_learner for peer in self.peers):
                return TOO_MANY_LEARNERS
            if not body["peerURLs"][0].startswith("https://"):
                return BAD_URLS
            self.join(body["peerURLs"][0], is_learner=body.get("isLearner", False))
            return None
        peer = next((peer for peer in self.peers if str(peer.id) == body["ID"]), None)
        if peer is None:
            return NOT_FOUND
        if verb == "remove":
            self.peers.remove(peer)
        elif not peer.is_learner:
            return NOT_A_LEARNER
        elif not peer.runs:
            return NOT_IN_SYNC
        else:
            peer.is_learner = False
        return None


@contextlib.contextmanager
def cluster(directory: pathlib.Path, size: int = 3) -> t.Iterator[Cluster]:
    found = Cluster(certificates(directory / "pki"), size)
    everyone = found.peers[:]
    try:
        yield found
    finally:
        for peer in {id(peer): peer for peer in [*everyone, *found.peers]}.values():
            if peer.server is not None:
                peer.server.stop()

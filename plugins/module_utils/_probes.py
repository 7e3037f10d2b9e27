# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""A pod's own probes, run from the node: readiness is not in the CRI.

One call is one try, as the kubelet's prober makes it (pkg/probe, pkg/kubelet/prober). Nothing here waits longer than the
probe's own timeoutSeconds.
"""

from __future__ import annotations

import contextlib
import errno
import re
import signal
import socket
import struct
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils._manifest import mapping, mappings
from ansible_collections.kubestatic.node.plugins.module_utils._runtime import Runtime

_DEFAULT_TIMEOUT_SECONDS = 1

# Servers and proxies tell probes from users by the prefix (pkg/probe/http/request.go).
_USER_AGENT = "kube-probe/kubestatic"

# Loopback and link-local addresses.
_NOT_OF_A_NODE = ("127.", "169.254.", "::1", "fe80:")

_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 10
# What stays as it is in a path, which may have a query.
_URL_CHARACTERS = "%/?#[]@!$&'()*+,;=:~"


def host_of_node(node_name: str, *, node_ip: str) -> str:
    """The node's own address, which a probe of a hostNetwork pod asks where it names no host.

    The kubelet takes --node-ip, else the address that the node's name resolves to, IPv4 first, else that of the default
    route (nodestatus.NodeAddress).
    """
    if node_ip.strip("0.:"):
        return node_ip
    try:
        candidates = [str(item[4][0]) for item in socket.getaddrinfo(node_name, None)]
    except OSError:
        candidates = []
    for address in sorted(candidates, key=lambda address: ":" in address):
        if not address.startswith(_NOT_OF_A_NODE):
            return address
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # A UDP connect sends nothing; it asks the routing table. 192.0.2.1 is a documentation address.
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def passes(probe: dict[str, t.Any], *, spec: dict[str, t.Any], container: str, host: str, runtime: Runtime) -> bool:
    """One try of a probe of the container with this spec and CRI id; `host` is the pod's address."""
    timeout = probe.get("timeoutSeconds") or _DEFAULT_TIMEOUT_SECONDS
    if probe.get("exec") is not None:
        command = expanded(mapping(probe["exec"]).get("command") or [], spec=spec)
        return runtime.execute(container, command, timeout=timeout)
    try:
        with _within(timeout):
            return _ask(probe, spec=spec, host=host, timeout=timeout)
    except (OSError, ValueError):
        return False


def expanded(command: t.Iterable[t.Any], *, spec: dict[str, t.Any]) -> list[str]:
    """A command with $(NAME) replaced by the container's own variables; $$ is a dollar (third_party/forked/golang/expansion).

    As in the kubelet's prober, only variables that are written out count (ExpandContainerCommandOnlyStatic).
    """
    values = {str(variable.get("name")): str(variable.get("value") or "") for variable in mappings(spec.get("env"))}

    def replaced(found: re.Match[str]) -> str:
        return "$" if found.group(0) == "$$" else values.get(found.group(1), found.group(0))

    return [re.sub(r"\$\$|\$\(([^)]*)\)", replaced, str(part)) for part in command]


def describe(probe: dict[str, t.Any]) -> str:
    """A probe in few words for messages: `httpGet :8080/healthz`."""
    for kind in ("httpGet", "tcpSocket", "grpc"):
        if probe.get(kind) is not None:
            action = mapping(probe[kind])
            return f"{kind} {action.get('host') or ''}:{action.get('port')}{action.get('path') or ''}"
    return "exec " + " ".join(str(part) for part in mapping(probe.get("exec")).get("command") or [])


def _ask(probe: dict[str, t.Any], *, spec: dict[str, t.Any], host: str, timeout: float) -> bool:
    if probe.get("httpGet") is not None:
        return _http(mapping(probe["httpGet"]), spec=spec, host=host, timeout=timeout)
    if probe.get("tcpSocket") is not None:
        action = mapping(probe["tcpSocket"])
        with socket.create_connection((action.get("host") or host, _port(action.get("port"), spec)), timeout=timeout):
            return True
    if probe.get("grpc") is not None:
        action = mapping(probe["grpc"])
        return _grpc(host, _port(action.get("port"), spec), service=action.get("service") or "", timeout=timeout)
    return True


@contextlib.contextmanager
def _within(seconds: float) -> t.Iterator[None]:
    """One deadline for a whole try: a socket's own timeout begins anew with each byte that a slow server sends."""

    def end(_signal: int, _frame: t.Any) -> t.NoReturn:
        # With an errno: SocketIO.readinto of Python 3.8 and 3.9 looks at it.
        raise TimeoutError(errno.ETIMEDOUT, "the probe's timeoutSeconds are over")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _port(port: t.Any, spec: dict[str, t.Any]) -> int:
    """A port by number or by the name that one of the container's ports has."""
    for declared in mappings(spec.get("ports")):
        if isinstance(port, str) and declared.get("name") == port:
            port = declared.get("containerPort")
    if isinstance(port, (int, str)):
        return int(port)
    raise ValueError("no port")


def _http(action: dict[str, t.Any], *, spec: dict[str, t.Any], host: str, timeout: float) -> bool:
    """GET, with redirects followed on the same host; one to another host passes (pkg/probe/http, RedirectChecker)."""
    import urllib.parse

    host = str(action.get("host") or host)
    scheme = str(action.get("scheme") or "HTTP").lower()
    path = urllib.parse.quote(str(action.get("path") or "").lstrip("/"), safe=_URL_CHARACTERS)
    url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{_port(action.get('port'), spec)}/{path}"
    headers = {"User-Agent": _USER_AGENT, "Accept": "*/*"}
    headers.update(
        {str(item.get("name")): str(item.get("value") or "") for item in mappings(action.get("httpHeaders"))}
    )
    for _hop in range(_MOST_REDIRECTS):
        status, location = _get(url, headers=headers, timeout=timeout)
        target = urllib.parse.urljoin(url, location)
        same_host = urllib.parse.urlsplit(target).hostname == urllib.parse.urlsplit(url).hostname
        if status not in _REDIRECTS or not location or not same_host:
            return 200 <= status < 400
        url = target
    return False


def _get(url: str, *, headers: dict[str, str], timeout: float) -> tuple[int, str]:
    """Status and Location of one answer; 0 where it is no HTTP."""
    import http.client
    import ssl
    import urllib.parse

    parts = urllib.parse.urlsplit(url)
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        # The kubelet's prober does not verify either (pkg/probe/http): the probe's subject is readiness, not identity.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=timeout, context=context)
    else:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
    try:
        connection.request("GET", f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}", headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Location") or ""
    except http.client.HTTPException:
        return 0, ""
    finally:
        connection.close()


def _grpc(host: str, port: int, *, service: str, timeout: float) -> bool:
    """grpc.health.v1.Health/Check over HTTP/2 without TLS: one request, and the frames until its answer (RFC 9113, 7541).

    The standard library has no HTTP/2; the request has a fixed form and of the answer only the DATA frame counts.
    """
    name = service.encode()
    message = b"\x0a" + _varint(len(name)) + name if name else b""
    with socket.create_connection((host, port), timeout=timeout) as connection:
        connection.sendall(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
            + _frame(_SETTINGS, 0, 0, b"")
            + _frame(_HEADERS, _END_HEADERS, 1, _grpc_headers(f"{host}:{port}"))
            + _frame(_DATA, _END_STREAM, 1, b"\x00" + struct.pack(">I", len(message)) + message)
        )
        stream = connection.makefile("rb")
        while True:
            head = stream.read(9)
            if len(head) < 9:
                return False
            length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
            payload = stream.read(length)
            if kind == _SETTINGS and not flags & _ACK:
                connection.sendall(_frame(_SETTINGS, _ACK, 0, b""))
            elif kind == _DATA and length:
                # HealthCheckResponse.status = 1 (SERVING) behind the five bytes of the gRPC prefix.
                return payload[5:] == b"\x08\x01"
            elif kind in (_RST_STREAM, _GOAWAY) or (kind == _HEADERS and flags & _END_STREAM):
                return False


_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _GOAWAY = 0, 1, 3, 4, 7
_END_STREAM, _ACK, _END_HEADERS = 0x1, 0x1, 0x4


def _varint(number: int) -> bytes:
    """Protocol Buffers' length: seven bits a byte, the lowest first."""
    low = number & 0x7F
    return bytes([low]) if number < 0x80 else bytes([low | 0x80]) + _varint(number >> 7)


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def _grpc_headers(authority: str) -> bytes:
    """:method POST, :scheme http, :path, :authority, content-type, te; literals without indexing or Huffman."""

    def text(value: str) -> bytes:
        return bytes([len(value)]) + value.encode()

    return (
        b"\x83\x86\x04"
        + text("/grpc.health.v1.Health/Check")
        + b"\x01"
        + text(authority)
        + b"\x0f\x10"
        + text("application/grpc")
        + b"\x00"
        + text("te")
        + text("trailers")
    )

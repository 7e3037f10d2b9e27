# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""HTTPS to servers that prove who they are, several side by side."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import typing as t
import urllib.parse
from concurrent import futures

from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError

TIMEOUT_SECONDS = 5.0
# In `ssl` since Python 3.10: a CA is trusted though the one above it is not there, as Go does.
_PARTIAL_CHAIN = 0x80000

_Item = t.TypeVar("_Item")
_Answer = t.TypeVar("_Answer")


class Tls(t.NamedTuple):
    """Paths of PEM files. Without ``cert_file`` nobody is told who asks."""

    ca_file: str
    cert_file: str = ""
    key_file: str = ""

    def context(self) -> ssl.SSLContext:
        """Servers are believed whose certificate is the CA's and for their address. Raises KubestaticError."""
        for path in filter(None, self):
            try:
                with open(path, "rb"):
                    pass
            except OSError as exc:
                raise KubestaticError(f"cannot read {path}: {exc.strerror}") from None
        try:
            context = trusting(cafile=self.ca_file)
            if self.cert_file:
                context.load_cert_chain(self.cert_file, self.key_file)
        except ssl.SSLError as exc:
            raise KubestaticError(f"{', '.join(filter(None, self))} are no CA, certificate and key: {exc}") from None
        return context


def trusting(*, cafile: str | None = None, cadata: str | None = None) -> ssl.SSLContext:
    """As ssl.create_default_context, but believes what programs in Go would."""
    context = ssl.create_default_context(cafile=cafile, cadata=cadata)
    # Go asks less of a CA's extensions than Python 3.13 and later do.
    context.verify_flags = (context.verify_flags | _PARTIAL_CHAIN) & ~ssl.VERIFY_X509_STRICT
    return context


def ask(
    url: str, path: str, *, context: ssl.SSLContext, body: t.Any = None, timeout: float = TIMEOUT_SECONDS
) -> tuple[int, str]:
    """Status and text of the answer; `body` is posted as JSON. Raises KubestaticError, where nothing answers in time."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" or not parts.netloc:
        raise KubestaticError(f"{url} is no URL of the form https://ADDRESS:PORT")
    try:
        connection = http.client.HTTPSConnection(parts.netloc, timeout=timeout, context=context)
        try:
            connection.request(*(("GET", path) if body is None else ("POST", path, json.dumps(body))))
            answer = connection.getresponse()
            return answer.status, answer.read().decode("utf-8", "replace").strip()
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException) as exc:
        why = getattr(exc, "verify_message", "") or getattr(exc, "strerror", None) or str(exc)
        raise KubestaticError(f"{url} does not answer: {why}") from None


def side_by_side(function: t.Callable[[_Item], _Answer], items: t.Sequence[_Item]) -> list[_Answer | KubestaticError]:
    """What `function` returns for each, or the KubestaticError that it raised."""

    def one(item: _Item) -> _Answer | KubestaticError:
        try:
            return function(item)
        except KubestaticError as exc:
            return exc

    with futures.ThreadPoolExecutor(max_workers=max(len(items), 1)) as pool:
        return list(pool.map(one, items))


def is_own(url: str) -> bool:
    """Whether the host of a URL is an address of this node: what is sent there comes from the same address."""
    try:
        found = socket.getaddrinfo(urllib.parse.urlsplit(url).hostname, 9, type=socket.SOCK_DGRAM)
    except (OSError, ValueError):
        return False
    return any(_is_own_address(family, address) for family, _kind, _protocol, _name, address in found)


def _is_own_address(family: int, address: tuple[t.Any, ...]) -> bool:
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(address)
        except OSError:
            return False
        return bool(probe.getsockname()[0] == address[0])

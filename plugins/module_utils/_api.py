# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""Requests to an API server over one connection, and what to do about the answers that are none.

What an API server is not able to do at the moment is tried again until the time of the call is over. Keys are never
written to a disk: what Python's ssl takes from files only, it gets from memory.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import ssl
import time
import typing as t
import urllib.parse

from ansible_collections.kubestatic.node.plugins.module_utils import _https
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError

if t.TYPE_CHECKING:
    from ansible_collections.kubestatic.node.plugins.module_utils._kubeconfig import Access

_PAUSE_SECONDS = 0.3
# Longer than an admission webhook may take (30 s).
_MOST_SECONDS = 35
# Busy, starting, ending, or without etcd.
_TRY_AGAIN = (429, 500, 502, 503, 504)
# What cannot be decoded, merged or converted is an internal error to the server (apimachinery's util/managedfields).
_FOR_GOOD = "failed to "
_ADVICE = "look at that API server and its etcd"
_NOT_SHOWN = "(not shown, as it may hold some of the Secret)"


class Answer(t.NamedTuple):
    """``data`` is the JSON object, ``message`` is what went wrong, in the words of the API server."""

    status: int
    data: dict[str, t.Any]
    message: str

    @property
    def may_change(self) -> bool:
        return self.status in _TRY_AGAIN and not self.message.startswith(_FOR_GOOD)


class Resource(t.NamedTuple):
    """How objects of a kind are called in paths. ``base`` is the path of their group and version."""

    base: str
    plural: str
    is_namespaced: bool

    def path(self, namespace: str, name: str) -> str:
        within = f"/namespaces/{_quoted(namespace)}" if self.is_namespaced else ""
        return f"{self.base}{within}/{self.plural}/{_quoted(name)}"


class Api:
    """One API server, asked by one user. All methods raise KubestaticError, and none has a key or an object in it.

    `server` is a URL, empty for the one of the kubeconfig. `wait_timeout` are the seconds that all of a call may wait.
    """

    def __init__(self, access: Access, *, server: str, wait_timeout: int) -> None:
        self.server = server or access.server
        self._access = access
        self._wait_timeout = wait_timeout
        self._deadline = time.monotonic() + wait_timeout
        self._kinds: dict[str, dict[str, Resource]] = {}
        self._headers = {"Accept": "application/json", "User-Agent": "kubestatic"}
        if access.token:
            self._headers["Authorization"] = f"Bearer {access.token}"
        self._base, self._connection = self._connect()

    def wait_until_ready(self) -> None:
        """Return once the API server is ready. Who is to be let in is let in to look at that only once RBAC is up."""
        while True:
            answer = self.request("GET", "/readyz")
            if answer.status == http.client.OK:
                return
            if answer.status != http.client.FORBIDDEN:
                raise self.refused(answer, "the API server's /readyz")
            self.pause(f"{self.server}: {answer.message}")

    def get(self, path: str, *, what: str) -> dict[str, t.Any] | None:
        """The object there; None where there is none. `what` names it in an error."""
        answer = self.request("GET", path)
        if answer.status == http.client.NOT_FOUND:
            return None
        if answer.status != http.client.OK:
            raise self.refused(answer, what)
        return answer.data

    def resource(self, api_version: str, kind: str, *, what: str) -> Resource:
        """What the API server calls objects of this kind."""
        if api_version not in self._kinds:
            base = f"/{'apis' if '/' in api_version else 'api'}/{urllib.parse.quote(api_version)}"
            found = self.get(base, what=what) or {}
            self._kinds[api_version] = {
                one["kind"]: Resource(base, one["name"], one["namespaced"])
                for one in found.get("resources") or ()
                if "/" not in one["name"]
            }
        if kind not in self._kinds[api_version]:
            raise KubestaticError(
                f"{what}: the API server knows no kind {kind} in {api_version}; mend apiVersion or kind, or put the"
                " CustomResourceDefinition in before it"
            )
        return self._kinds[api_version][kind]

    def request(
        self, method: str, path: str, body: bytes = b"", content_type: str = "", *, is_secret: bool = False
    ) -> Answer:
        """What the API server says, whatever it is, once it is more than that it cannot at the moment.

        `is_secret`: its words are not to be shown, as they may repeat what was sent.
        """
        while True:
            try:
                answer, delay = self._once(method, path, body, content_type)
            except ssl.SSLCertVerificationError as exc:
                raise KubestaticError(
                    f"{self.server} is not trusted by {self._access.path}: {exc.verify_message.rstrip('.')}; name the API"
                    " server as its certificate does in the option server, or a kubeconfig with its CA"
                ) from None
            except (OSError, http.client.HTTPException, ValueError) as exc:
                self._connection.close()
                self.pause(f"{self.server}: {getattr(exc, 'strerror', None) or str(exc) or type(exc).__name__}")
                continue
            may_change = answer.may_change
            if is_secret:
                answer = answer._replace(message=_NOT_SHOWN)
            if not may_change:
                return answer
            self.pause(f"{self.server} answers {answer.status}: {answer.message}", seconds=delay)

    def pause(self, trouble: str, *, advice: str = _ADVICE, seconds: float = 0) -> None:
        """Wait before the next try. Where there is no time left for one, the trouble and the advice are an error."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise KubestaticError(
                f"{trouble}, and that for {self._wait_timeout} seconds; {advice}, or raise wait_timeout"
            )
        time.sleep(min(max(seconds, _PAUSE_SECONDS), left))

    def refused(self, answer: Answer, what: str) -> KubestaticError:
        """The error for an answer that will not change."""
        who = f"user {self._access.user} of {self._access.path}"
        if answer.status == http.client.UNAUTHORIZED:
            return KubestaticError(
                f"{what}: {self.server} does not know the {who}: {answer.message}; its certificate may have expired, or be"
                " another cluster's, so name a good one in the option kubeconfig"
            )
        if answer.status == http.client.FORBIDDEN:
            return KubestaticError(
                f"{what}: the {who} may not do this: {answer.message}; name an administrator's in the option kubeconfig"
            )
        advice = "have that first" if answer.status == http.client.NOT_FOUND else "mend its definition"
        return KubestaticError(f"{what}: the API server refuses it with {answer.status}: {answer.message}; {advice}")

    def _once(self, method: str, path: str, body: bytes, content_type: str) -> tuple[Answer, float]:
        headers = {**self._headers, **({"Content-Type": content_type} if content_type else {})}
        self._connection.request(method, self._base + path, body or None, headers)
        response = self._connection.getresponse()
        text = response.read().decode("utf-8", "replace")
        delay = response.getheader("Retry-After") or ""
        return _answer(response.status, text), float(delay) if delay.isdigit() else 0

    def _connect(self) -> tuple[str, http.client.HTTPSConnection]:
        with contextlib.suppress(ValueError):
            parts = urllib.parse.urlsplit(self.server)
            if parts.scheme == "https" and parts.hostname:
                seconds = min(_MOST_SECONDS, max(1, self._wait_timeout))
                return parts.path.rstrip("/"), http.client.HTTPSConnection(
                    parts.hostname, parts.port or 443, timeout=seconds, context=_context(self._access)
                )
        raise KubestaticError(
            f"{self.server!r} is no API server's URL; give one such as https://192.0.2.11:6443 in server"
        )


def _context(access: Access) -> ssl.SSLContext:
    try:
        context = _https.trusting(cadata=access.authority or None)
        if access.certificate or access.key:
            with _in_memory(access.certificate) as certificate, _in_memory(access.key) as key:
                # A key with a passphrase would ask for it on the terminal.
                context.load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, ValueError):
        raise KubestaticError(
            f"{access.path}: holds no good CA, or no good certificate and key for its user {access.user}; name a good one in"
            " the option kubeconfig"
        ) from None
    if not (access.certificate or access.token):
        raise KubestaticError(
            f"{access.path}: has neither a client certificate nor a token for its user {access.user}; name one that does"
        )
    return context


@contextlib.contextmanager
def _in_memory(text: str) -> t.Iterator[str]:
    """A path at which the text can be read, on no disk."""
    with os.fdopen(os.memfd_create("kubestatic"), "wb") as file:
        file.write(text.encode())
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}"


def _answer(status: int, text: str) -> Answer:
    data: t.Any = None
    with contextlib.suppress(ValueError):
        data = json.loads(text)
    if isinstance(data, dict):
        return Answer(status, data, " ".join(str(data.get("message") or "").split()))
    # A probe names what has failed in lines of their own.
    failed = [line for line in text.splitlines() if line.startswith("[-]")]
    return Answer(status, {}, ", ".join(failed) or " ".join(text.split())[:200])


def _quoted(name: str) -> str:
    return urllib.parse.quote(name, safe="")

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTPS with servers on loopback: who is believed, and what is said of one that is not."""

from __future__ import annotations

import pathlib
import socket
import ssl
import time
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _https
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._https import Tls
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.api_server import PEMS, ApiServer
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.etcd_gateway import (
    HEALTHY,
    Server,
    certificates,
)


@pytest.fixture(name="tls")
def _tls(tmp_path: pathlib.Path) -> Tls:
    return certificates(tmp_path / "pki")


@pytest.fixture(name="server")
def _server(tls: Tls) -> t.Iterator[Server]:
    server = Server(tls, lambda path, body: HEALTHY if path == "/health" else (418, {"body": body}))
    yield server
    server.stop()


def refused(url: str, tls: Tls, **options: t.Any) -> str:
    with pytest.raises(KubestaticError) as caught:
        _https.ask(url, "/", context=tls.context(), **options)
    return str(caught.value)


def test_ask(server: Server, tls: Tls) -> None:
    context = tls.context()
    assert _https.ask(server.url, "/health", context=context) == (200, '{"health": "true", "reason": ""}')
    assert _https.ask(server.url, "/", context=context, body={"a": 1}) == (418, '{"body": {"a": 1}}')


def test_only_the_ca_is_believed(server: Server, tls: Tls, tmp_path: pathlib.Path) -> None:
    other = certificates(tmp_path / "other")
    message = refused(server.url, Tls(other.ca_file, tls.cert_file, tls.key_file))
    assert message.startswith(f"{server.url} does not answer: ") and "certificate" in message, message


def test_only_the_address_is_believed_that_is_asked(tmp_path: pathlib.Path) -> None:
    elsewhere = certificates(tmp_path / "elsewhere", host="192.0.2.1")
    server = Server(elsewhere, lambda _path, _body: HEALTHY)
    message = refused(server.url, elsewhere)
    server.stop()
    assert message.startswith(f"{server.url} does not answer: IP address mismatch"), message


def test_a_server_wants_a_client(server: Server, tls: Tls) -> None:
    assert refused(server.url, Tls(tls.ca_file)).startswith(f"{server.url} does not answer: ")


def test_nobody_listens(server: Server, tls: Tls) -> None:
    server.stop()
    assert refused(server.url, tls) == f"{server.url} does not answer: Connection refused"


def test_nobody_answers_in_time(tls: Tls) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        assert "timed out" in refused(url, tls, timeout=0.05)
        assert time.monotonic() - began < _https.TIMEOUT_SECONDS


def test_an_answer_that_breaks_off(tls: Tls) -> None:
    server = Server(tls, lambda _path, _body: None)
    message = refused(server.url, tls)
    server.stop()
    assert message == f"{server.url} does not answer: Remote end closed connection without response"


@pytest.mark.parametrize("url", ["http://127.0.0.1:2379", "127.0.0.1:2379", "https://", ""])
def test_no_url(url: str, tls: Tls) -> None:
    assert refused(url, tls) == f"{url} is no URL of the form https://ADDRESS:PORT"
    assert refused("https://127.0.0.1:port", tls).startswith("https://127.0.0.1:port does not answer: ")


def test_files_that_are_not_there(tls: Tls) -> None:
    for missing in (
        tls._replace(ca_file="/no/ca"),
        tls._replace(cert_file="/no/crt"),
        tls._replace(key_file="/no/key"),
    ):
        path = next(path for path in missing if path.startswith("/no/"))
        with pytest.raises(KubestaticError, match=f"^cannot read {path}: No such file or directory$"):
            missing.context()


def test_files_that_are_something_else(tls: Tls, tmp_path: pathlib.Path) -> None:
    other = certificates(tmp_path / "other")
    for wrong in (tls._replace(ca_file=tls.key_file), tls._replace(key_file=other.key_file)):
        with pytest.raises(KubestaticError, match="are no CA, certificate and key: "):
            wrong.context()


def test_certificates_as_go_makes_them_will_do(tls: Tls) -> None:
    assert not tls.context().verify_flags & ssl.VERIFY_X509_STRICT
    assert tls.context().check_hostname


def test_an_intermediate_ca_will_do_without_the_one_above_it(tmp_path: pathlib.Path) -> None:
    (tmp_path / "ca.crt").write_text(PEMS["authority"])
    with ApiServer([("GET", "/healthz", 200, "ok")]).running() as server:
        context = Tls(f"{tmp_path}/ca.crt").context()
        assert _https.ask(server.url, "/healthz", context=context) == (200, "ok")


def test_side_by_side() -> None:
    def answer(number: int) -> int:
        if number == 2:
            raise KubestaticError("two")
        return number * 10

    first, second, third = _https.side_by_side(answer, [1, 2, 3])
    assert (first, str(second), third) == (10, "two", 30)
    assert isinstance(second, KubestaticError)
    assert _https.side_by_side(answer, []) == []


@pytest.mark.parametrize(
    ("url", "own"),
    [
        ("https://127.0.0.1:2379", True),
        ("https://localhost:2379", True),
        ("https://192.0.2.1:2379", False),
        ("https://no-such-host.invalid:2379", False),
        ("https://[nonsense", False),
    ],
)
def test_is_own(url: str, own: bool) -> None:
    assert _https.is_own(url) is own

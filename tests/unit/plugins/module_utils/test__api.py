# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests to an API server over real TLS: who is trusted, who asks, and what is tried again."""

from __future__ import annotations

import json
import os
import pathlib
import ssl
import time
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _api, _kubeconfig
from ansible_collections.kubestatic.node.plugins.module_utils._api import Api
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.api_server import (
    PEMS,
    ApiServer,
    Exchange,
    encoded,
    kubeconfig,
    recorded,
)

READY: Exchange = ("GET", "/readyz", 200, "ok")
OBJECT: Exchange = ("GET", "/x", 200, '{"a": 1}')


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_api, "_PAUSE_SECONDS", 0.001)


def api(path: pathlib.Path, text: str, *, server: str = "", wait_timeout: int = 20) -> Api:
    path = path / "admin.conf"
    path.write_text(text)
    return Api(_kubeconfig.read(str(path)), server=server, wait_timeout=wait_timeout)


def status(code: int, message: str) -> str:
    return json.dumps({"kind": "Status", "status": "Failure", "message": message, "code": code})


def test_who_asks_is_the_one_of_the_kubeconfig(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths: list[str] = []
    load = ssl.SSLContext.load_cert_chain

    def spy(self: ssl.SSLContext, *args: t.Any, **options: t.Any) -> None:
        paths.extend(args)
        load(self, *args, **options)

    with ApiServer([OBJECT, OBJECT]).running() as server:
        monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", spy)
        asked = api(tmp_path, kubeconfig(server.url))
        assert asked.get("/x", what="it") == asked.get("/x", what="it") == {"a": 1}
    assert [one.user for one in server.requests] == ["kubernetes-super-admin"] * 2
    assert server.connections == 1
    # The key was never in a file, and is nowhere now.
    assert len(paths) == 2 and all(path.startswith("/proc/self/fd/") for path in paths)
    assert not any("memfd" in os.readlink(path) for path in paths if os.path.lexists(path))
    assert [path.name for path in tmp_path.iterdir()] == ["admin.conf"]


def test_files_and_tokens_of_a_kubeconfig_are_used(tmp_path: pathlib.Path) -> None:
    for name in ("client", "client_key", "authority"):
        (tmp_path / name).write_text(PEMS[name])
    (tmp_path / "token").write_text("let-me-in\n")
    files = {"client-certificate": str(tmp_path / "client"), "client-key": "client_key", "tokenFile": "token"}
    with ApiServer([OBJECT] * 2).running() as server:
        text = kubeconfig("https://192.0.2.1", user=files, cluster={"certificate-authority": "authority"})
        api(tmp_path, text, server=f"{server.url}/").get("/x", what="it")
        api(tmp_path, kubeconfig(server.url, user={"token": "let-me-in"})).get("/x", what="it")
    assert [one.user for one in server.requests] == ["kubernetes-super-admin", ""]
    assert {one.headers["Authorization"] for one in server.requests} == {"Bearer let-me-in"}


def test_the_path_of_a_server_goes_before_all_paths(tmp_path: pathlib.Path) -> None:
    with ApiServer([("GET", "/k8s/one/x", 200, "{}")]).running() as server:
        assert api(tmp_path, kubeconfig(f"{server.url}/k8s/one/")).get("/x", what="it") == {}


def test_python_asks_no_more_of_a_ca_than_go_does(tmp_path: pathlib.Path) -> None:
    asked = api(tmp_path, kubeconfig("https://192.0.2.1"))
    flags = asked._connection._context.verify_flags  # type: ignore[attr-defined]
    assert not flags & ssl.VERIFY_X509_STRICT


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [\n", "admin.conf: is no kubeconfig with a current context; name a good one in the option kubeconfig"),
        ("[]", "admin.conf: is no kubeconfig with a current context"),
        ('{"current-context": "x", "contexts": []}', "admin.conf: is no kubeconfig with a current context"),
        (
            kubeconfig("http://x"),
            "'http://x' is no API server's URL; give one such as https://192.0.2.11:6443 in server",
        ),
        (kubeconfig("https://"), "'https://' is no API server's URL"),
        (kubeconfig("https://x:y"), "'https://x:y' is no API server's URL"),
        (
            kubeconfig("https://x", user={}),
            "admin.conf: has neither a client certificate nor a token for its user kubernetes-super-admin; name one",
        ),
        (
            kubeconfig("https://x", user={"client-certificate-data": encoded("client")}),
            "admin.conf: holds no good CA, or no good certificate and key for its user kubernetes-super-admin; name a",
        ),
        (
            kubeconfig("https://x", user={"client-certificate-data": encoded("client"), "client-key-data": "c2VjcmV0"}),
            "admin.conf: holds no good CA, or no good certificate and key",
        ),
        (kubeconfig("https://x", cluster={"certificate-authority-data": "c2VjcmV0"}), "admin.conf: holds no good CA"),
        (kubeconfig("https://x", cluster={"certificate-authority-data": "!"}), "admin.conf: is no kubeconfig"),
        (
            kubeconfig("https://x", user={"client-key": "none.key"}),
            "none.key, which ROOT/admin.conf names, cannot be read: No such file or directory; name a good kubeconfig",
        ),
    ],
)
def test_bad_kubeconfigs_are_told_without_what_is_in_them(tmp_path: pathlib.Path, text: str, message: str) -> None:
    with pytest.raises(KubestaticError) as caught:
        api(tmp_path, text)
    assert message.replace("ROOT", str(tmp_path)) in str(caught.value)
    assert "c2VjcmV0" not in str(caught.value) and "secret" not in str(caught.value)


def test_a_missing_kubeconfig_is_told(tmp_path: pathlib.Path) -> None:
    with pytest.raises(KubestaticError, match="none cannot be read: No such file or directory; name a good kubeconfig"):
        _kubeconfig.read(str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("host", "authority", "message"),
    [
        ("localhost", "authority", "certificate is not valid for 'localhost'; name the API server as its certificate"),
        ("127.0.0.1", "other_authority", "unable to get local issuer certificate; name the API server as its"),
    ],
)
def test_a_server_that_is_not_trusted_is_told_at_once(
    tmp_path: pathlib.Path, host: str, authority: str, message: str
) -> None:
    with ApiServer([]).running() as server:
        asked = api(
            tmp_path,
            kubeconfig(
                server.url.replace("127.0.0.1", host), cluster={"certificate-authority-data": encoded(authority)}
            ),
        )
        with pytest.raises(KubestaticError) as caught:
            asked.get("/x", what="it")
    assert f"is not trusted by {tmp_path}/admin.conf: " in str(caught.value) and message in str(caught.value)
    assert server.requests == []


def test_a_starting_api_server_is_waited_for(tmp_path: pathlib.Path) -> None:
    exchanges = [one for one in recorded("made") if one[1] == "/readyz"]
    assert [one[2] for one in exchanges] == [500, 500, 200]
    forbidden = ("GET", "/readyz", 403, status(403, "forbidden"))
    with ApiServer([forbidden, *exchanges]).running() as server:
        api(tmp_path, kubeconfig(server.url)).wait_until_ready()
    assert server.left == []


@pytest.mark.parametrize("trouble", [429, 500, 502, 503, 504, 0])
def test_what_passes_is_tried_again(tmp_path: pathlib.Path, trouble: int) -> None:
    with ApiServer([("GET", "/x", trouble, status(trouble, "etcdserver: leader changed")), OBJECT]).running() as server:
        assert api(tmp_path, kubeconfig(server.url)).get("/x", what="it") == {"a": 1}
    assert (len(server.requests), server.connections) == (2, 1 if trouble else 2)


def test_the_server_says_how_long_to_wait(tmp_path: pathlib.Path) -> None:
    with ApiServer([("GET", "/x", 429, "busy"), OBJECT], retry_after="1").running() as server:
        asked = api(tmp_path, kubeconfig(server.url))
        begin = time.monotonic()
        asked.get("/x", what="it")
        assert time.monotonic() - begin >= 1


@pytest.mark.parametrize(
    ("exchange", "message"),
    [
        (
            recorded("made")[0],
            "answers 500: [-]etcd-readiness failed: reason withheld, [-]informer-sync failed: reason withheld,",
        ),
        (
            ("GET", "/readyz", 503, status(503, "the server is\ncurrently unable")),
            "answers 503: the server is currently",
        ),
        (
            ("GET", "/readyz", 502, "<html>\nBad Gateway"),
            "answers 502: <html> Bad Gateway, and that for 0 seconds; look",
        ),
        (
            ("GET", "/readyz", 403, status(403, "forbidden")),
            ": forbidden, and that for 0 seconds; look at that API server",
        ),
        (("GET", "/readyz", 0, ""), ": Remote end closed connection without response, and that for 0 seconds; look at"),
    ],
)
def test_the_last_trouble_is_told(tmp_path: pathlib.Path, exchange: Exchange, message: str) -> None:
    with ApiServer([exchange]).running() as server:
        with pytest.raises(KubestaticError) as caught:
            api(tmp_path, kubeconfig(server.url), wait_timeout=0).wait_until_ready()
        assert str(caught.value).startswith(server.url)
    assert message in str(caught.value) and str(caught.value).endswith(
        "; look at that API server and its etcd, or raise wait_timeout"
    )


def test_nobody_there_is_told_when_the_time_is_over(tmp_path: pathlib.Path) -> None:
    begin = time.monotonic()
    with pytest.raises(KubestaticError, match=r"https://127.0.0.1:1: Connection refused, and that for 1 seconds; look"):
        api(tmp_path, kubeconfig("https://127.0.0.1:1"), wait_timeout=1).wait_until_ready()
    assert 1 <= time.monotonic() - begin < 5


def test_an_answer_that_will_not_change_is_no_readiness(tmp_path: pathlib.Path) -> None:
    with ApiServer(recorded("unauthorized")).running() as server:
        with pytest.raises(KubestaticError) as caught:
            api(tmp_path, kubeconfig(server.url)).wait_until_ready()
        assert str(caught.value) == (
            f"the API server's /readyz: {server.url} does not know the user kubernetes-super-admin of"
            f" {tmp_path}/admin.conf: Unauthorized; its certificate may have expired, or be another cluster's, so name a"
            " good one in the option kubeconfig"
        )

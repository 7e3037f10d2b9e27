# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""Asking a staticPodURL before a kubelet depends on it.

A URL that never answers with pods holds back all deletions of that kubelet, of every source, and an empty answer removes
all pods of the URL (pkg/kubelet/config/http.go, HandlePodCleanups in pkg/kubelet/kubelet_pods.go).
"""

from __future__ import annotations

import contextlib
import re
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _manifest, _rules, _yaml, _yaml_dump
from ansible_collections.kubestatic.node.plugins.module_utils._errors import REFUSED, KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_settings import without_user

# As the kubelet's own client.
_TIMEOUT_SECONDS = 10

_LISTS = ("PodList", "List")

# What net/http refuses to send (golang.org/x/net/http/httpguts).
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_UNSENDABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def require_pods(
    url: str, *, headers: t.Mapping[str, t.Sequence[str]], node_name: str, minor: int, environment: t.Mapping[str, str]
) -> int:
    """Ask for the document as this kubelet would, and return how many pods are in it.

    `environment` is the kubelet's, for its proxies. Raises KubestaticError for anything but a 200 with pods that it takes.
    """
    shown = without_user(url)
    text = _fetch(url, headers=headers, environment=environment, shown=shown)
    try:
        data = _yaml.load(text).data
        pods = _pods(data, text)
    except KubestaticError as exc:
        raise KubestaticError(
            f"staticPodURL: {shown} answers with something else than pods: {exc}; mend what it serves, as the kubelet would"
            " hold back all deletions on this node"
        ) from None
    if not pods:
        raise KubestaticError(f"staticPodURL: {shown} answers with no pod at all; have it serve one, or set it later")
    for pod in pods:
        findings = _rules.findings(pod, node_name=node_name, minor=minor)
        refused = [finding for finding in findings if finding.level == REFUSED]
        if refused:
            raise KubestaticError(f"staticPodURL: {shown}: kubelet 1.{minor} refuses pod {pod.name}: {refused[0]}")
    return len(pods)


def _fetch(url: str, *, headers: t.Mapping[str, t.Sequence[str]], environment: t.Mapping[str, str], shown: str) -> str:
    import http.client
    import urllib.error
    import urllib.request

    try:
        # Go writes UTF-8 where http.client takes Latin-1.
        sent = {name: ", ".join(values).encode().decode("latin-1") for name, values in _sendable(headers).items()}
        request = urllib.request.Request(shown, headers={**_credentials(url), **sent})
        if request.type not in ("http", "https"):
            raise ValueError(f"the kubelet takes no {request.type} URL")
        handler = urllib.request.ProxyHandler(_proxies(request.host or "", environment))
        with urllib.request.build_opener(handler).open(request, timeout=_TIMEOUT_SECONDS) as answer:
            status, body = answer.status, bytes(answer.read(_manifest.MAX_BYTES + 1))
    except urllib.error.HTTPError as exc:
        status, body = exc.code, b""
    except (OSError, ValueError, http.client.HTTPException) as exc:
        why = getattr(exc, "reason", None) or exc
        raise KubestaticError(
            f"staticPodURL: {shown} does not answer this node: {why}; a URL that was never reached holds back all deletions"
            " of the kubelet, so have it answer first"
        ) from None
    if status != 200:
        raise KubestaticError(
            f"staticPodURL: {shown} answers {status}, and the kubelet takes only 200; have it answer first"
        )
    if len(body) > _manifest.MAX_BYTES:
        raise KubestaticError(f"staticPodURL: {shown} answers with more than the 10 MiB that the kubelet takes")
    return body.decode("utf-8", "replace")


def _credentials(url: str) -> dict[str, str]:
    """What Go makes of a user and a password in a URL."""
    import base64
    import urllib.parse

    parts = urllib.parse.urlsplit(url)
    if parts.username is None:
        return {}
    pair = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def _sendable(headers: t.Mapping[str, t.Sequence[str]]) -> t.Mapping[str, t.Sequence[str]]:
    """Headers that Go sends, too. What http.client says of others would show their values."""
    for name, values in headers.items():
        if not _HEADER_NAME.fullmatch(name) or any(_UNSENDABLE.search(value) for value in values):
            raise KubestaticError(f"static_pod_url_headers.{name}: has a character that HTTP does not take; remove it")
    return headers


def _proxies(host: str, environment: t.Mapping[str, str]) -> dict[str, str]:
    """Scheme -> proxy, as Go chooses it for this host, with its port or without (golang.org/x/net/http/httpproxy)."""
    told = {
        scheme: environment.get(f"{scheme.upper()}_PROXY") or environment.get(f"{scheme}_proxy") or ""
        for scheme in ("http", "https", "no")
    }
    exceptions = [one.strip().lower() for one in told.pop("no").split(",")]
    direct = any(_is_meant(host.lower(), one) for one in ("localhost", "127.0.0.0/8", "::1", *exceptions))
    return {scheme: proxy for scheme, proxy in told.items() if proxy and not direct}


def _is_meant(host: str, exception: str) -> bool:
    """An entry of NO_PROXY: an address, a network, a host with its port or without, or a domain."""
    import ipaddress
    import urllib.parse

    name = urllib.parse.urlsplit(f"//{host}").hostname or ""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(name) in ipaddress.ip_network(exception, strict=False)
    return exception in ("*", name, host) or (bool(exception) and name.endswith(f".{exception.lstrip('.')}"))


def _pods(data: t.Any, text: str) -> list[_manifest.Pod]:
    if isinstance(data, dict) and data.get("kind") in _LISTS:
        items = data.get("items") or []
        if not isinstance(items, list):
            raise KubestaticError("items must be a list")
        return [_manifest.parse(_yaml_dump.dump(_as_pod(item), as_json=True)) for item in items]
    return [_manifest.parse(text)]


def _as_pod(item: t.Any) -> t.Any:
    """The items of a PodList need not say what they are."""
    return {"apiVersion": "v1", "kind": "Pod", **item} if isinstance(item, dict) else item

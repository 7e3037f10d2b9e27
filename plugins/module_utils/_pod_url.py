# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""Asking a staticPodURL before a kubelet depends on it.

A URL that never answers with pods holds back all deletions of that kubelet, of every source, and an empty answer removes
all pods of the URL (pkg/kubelet/config/http.go, HandlePodCleanups in pkg/kubelet/kubelet_pods.go).
"""

from __future__ import annotations

import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _manifest, _rules, _yaml
from ansible_collections.kubestatic.node.plugins.module_utils._errors import REFUSED, KubestaticError

# As the kubelet's own client.
_TIMEOUT_SECONDS = 10

_LISTS = ("PodList", "List")


def require_pods(
    url: str, *, headers: t.Mapping[str, t.Sequence[str]], node_name: str, minor: int, environment: t.Mapping[str, str]
) -> int:
    """Ask for the document as this kubelet would, and return how many pods are in it.

    `environment` is the kubelet's, for its proxies. Raises KubestaticError for anything but a 200 with pods that it takes.
    """
    shown = _without_user(url)
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
    import urllib.error
    import urllib.request

    proxies = {
        scheme: environment.get(f"{scheme}_proxy") or environment.get(f"{scheme.upper()}_PROXY") or ""
        for scheme in ("http", "https")
    }
    handler = urllib.request.ProxyHandler({scheme: proxy for scheme, proxy in proxies.items() if proxy})
    request = urllib.request.Request(url, headers={name: ", ".join(values) for name, values in headers.items()})
    try:
        with urllib.request.build_opener(handler).open(request, timeout=_TIMEOUT_SECONDS) as answer:
            status, body = answer.status, bytes(answer.read(_manifest.MAX_BYTES + 1))
    except urllib.error.HTTPError as exc:
        status, body = exc.code, b""
    except (OSError, ValueError) as exc:
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


def _pods(data: t.Any, text: str) -> list[_manifest.Pod]:
    if isinstance(data, dict) and data.get("kind") in _LISTS:
        items = data.get("items") or []
        return [_manifest.parse(_yaml.dump(_as_pod(item), as_json=True)) for item in items]
    return [_manifest.parse(text)]


def _as_pod(item: t.Any) -> t.Any:
    """The items of a PodList need not say what they are."""
    return {"apiVersion": "v1", "kind": "Pod", **item} if isinstance(item, dict) else item


def _without_user(url: str) -> str:
    import re

    return re.sub("//[^/@]*@", "//", url)

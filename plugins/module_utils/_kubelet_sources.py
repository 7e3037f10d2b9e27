# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""Where a kubelet takes pods from, and whether each of these sources answers now.

A kubelet deletes no pod before each of them has answered once since its start (``sourcesReady``, pkg/kubelet/kubelet.go).
It tells nobody whether they have; whether they would is what can be seen from outside.
"""

from __future__ import annotations

import os
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _kubelet_identity, _kubelet_layers, _yaml
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_settings import without_user
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_setup import Setup
from ansible_collections.kubestatic.node.plugins.module_utils._node_files import Tree

_TIMEOUT_SECONDS = 5


class Source(t.NamedTuple):
    """One source. ``location`` is a directory or a URL, empty for a source that the kubelet does not have.

    ``trouble`` is why it does not answer.
    """

    location: str
    answers: bool
    trouble: str


_NONE = Source("", False, "")


def look(setup: Setup, *, node_name: str) -> dict[str, Source]:
    """All three sources of a kubelet with this setup by their names: ``file``, ``http`` and ``api``."""
    return {"file": _file(setup), "http": _http(setup, node_name=node_name), "api": _api(setup)}


def _file(setup: Setup) -> Source:
    path = _kubelet_identity.manifest_dir(setup.layers)
    if not path:
        return _NONE
    is_there = os.path.isdir(path)
    return Source(path, is_there, "" if is_there else "there is no such directory")


def _http(setup: Setup, *, node_name: str) -> Source:
    url, headers = _kubelet_layers.pod_url(setup.layers)
    if not url:
        return _NONE
    from ansible_collections.kubestatic.node.plugins.module_utils import _pod_url

    environment = setup.unit.environment
    try:
        _pod_url.require_pods(url, headers=headers, node_name=node_name, minor=setup.minor, environment=environment)
    except KubestaticError as exc:
        return Source(without_user(url), False, str(exc))
    return Source(without_user(url), True, "")


def _api(setup: Setup) -> Source:
    uses = (setup.layers.flag(name) for name in ("kubeconfig", "bootstrap-kubeconfig"))
    paths = [os.path.join("/", use.value) for use in uses if use and use.value]
    if not paths:
        return _NONE
    # The second one is used until the first is there.
    path = next(filter(os.path.exists, paths), paths[0])
    try:
        server = _server(path)
    except KubestaticError as exc:
        return Source(path, False, str(exc))
    trouble = _ask(server)
    return Source(server, not trouble, trouble)


def _server(path: str) -> str:
    """The API server's URL in a kubeconfig. Raises KubestaticError."""
    text = Tree().text(path)
    if text is None:
        raise KubestaticError(f"{path} is missing")
    config: t.Any = _yaml.load(text).data
    try:
        contexts = {one["name"]: one["context"]["cluster"] for one in config["contexts"]}
        clusters = {one["name"]: one["cluster"]["server"] for one in config["clusters"]}
        return str(clusters[contexts[config["current-context"]]])
    except (KeyError, TypeError):
        raise KubestaticError(f"{path} names no server for its current-context") from None


def _ask(server: str) -> str:
    """Why the API server does not answer, empty where it does, if only that it does not know who asks."""
    import http.client
    import ssl
    import urllib.parse

    parts = urllib.parse.urlsplit(server)
    # Nothing secret is sent, and nothing of the answer is used.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connection = http.client.HTTPConnection(parts.netloc, timeout=_TIMEOUT_SECONDS)
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(parts.netloc, timeout=_TIMEOUT_SECONDS, context=context)
    try:
        connection.request("GET", "/readyz")
        status = connection.getresponse().status
    except (OSError, ValueError, http.client.HTTPException) as exc:
        return f"{server} does not answer: {getattr(exc, 'strerror', None) or exc}"
    finally:
        connection.close()
    return f"{server}/readyz answers {status}" if status >= http.client.INTERNAL_SERVER_ERROR else ""

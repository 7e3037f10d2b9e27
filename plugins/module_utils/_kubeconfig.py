# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""What a kubeconfig says in its current context, and how a program gets in with it.

Keys are those of k8s.io/client-go/tools/clientcmd/api/v1/types.go.
"""

from __future__ import annotations

import base64
import binascii
import os
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError

_Entry = t.Dict[str, t.Any]


class Access(t.NamedTuple):
    """How to get in. ``server`` is a URL; PEM texts and a token, each empty where there is none; ``user`` is a name."""

    path: str
    server: str
    authority: str
    certificate: str
    key: str
    token: str
    user: str


def current(data: t.Any) -> tuple[_Entry, _Entry, str]:
    """The cluster, the user, and the user's name, of the current context. Raises ValueError where one is not there."""
    try:
        context = _named(data["contexts"], data["current-context"])["context"]
        cluster = _named(data["clusters"], context["cluster"])["cluster"]
        return cluster, _named(data["users"], context["user"])["user"], context["user"]
    except (KeyError, TypeError, AttributeError, StopIteration):
        raise ValueError("no kubeconfig with a current context") from None


def embedded(entry: _Entry, name: str) -> str:
    """The text in ``NAME-data``, empty where there is none. Raises ValueError that does not hold it."""
    try:
        return base64.b64decode(entry.get(f"{name}-data") or "", validate=True).decode()
    except (AttributeError, binascii.Error, TypeError, UnicodeError):
        raise ValueError(f"{name}-data is no text in base64") from None


def read(path: str) -> Access:
    """Read a kubeconfig of this node, and the files that it names. Raises KubestaticError, never with what is in them."""
    text = _text(path, path)
    try:
        cluster, user, name = current(_loaded(text))
        return Access(
            path=path,
            server=str(cluster.get("server") or ""),
            authority=_pem(cluster, "certificate-authority", path),
            certificate=_pem(user, "client-certificate", path),
            key=_pem(user, "client-key", path),
            token=str(user.get("token") or _file(user, "tokenFile", path)).strip(),
            user=str(name),
        )
    except (AttributeError, ValueError):
        raise KubestaticError(
            f"{path}: is no kubeconfig with a current context; name a good one in the option kubeconfig"
        ) from None


def _loaded(text: str) -> t.Any:
    """Raises ValueError: what is wrong with the text would be told with a piece of it."""
    from ansible_collections.kubestatic.node.plugins.module_utils import _yaml

    try:
        return _yaml.load(text).data
    except KubestaticError:
        raise ValueError("no YAML") from None


def _named(items: t.Iterable[_Entry], name: str) -> _Entry:
    return next(item for item in items if item["name"] == name)


def _pem(entry: _Entry, name: str, path: str) -> str:
    return embedded(entry, name) or _file(entry, name, path)


def _file(entry: _Entry, name: str, path: str) -> str:
    """What is in the file that the kubeconfig names, from its own directory where that is relative; empty for none."""
    given = entry.get(name)
    return _text(os.path.join(os.path.dirname(path), given), path) if given else ""


def _text(path: str, kubeconfig: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeError) as exc:
        of = "" if path == kubeconfig else f", which {kubeconfig} names,"
        raise KubestaticError(
            f"{path}{of} cannot be read: {getattr(exc, 'strerror', None) or 'it is no text'}; name a good kubeconfig in the"
            " option kubeconfig, and set become: true where it is root's"
        ) from None

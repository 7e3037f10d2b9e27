# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""Kubeconfigs with a client certificate in them, as cmd/kubeadm/app/util/kubeconfig/kubeconfig.go makes them."""

from __future__ import annotations

import base64
import typing as t

import yaml
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._kubeconfig import current, embedded

_CLUSTER = "kubernetes"

_TEMPLATE = """\
apiVersion: v1
kind: Config
clusters:
- cluster:
    certificate-authority-data: {authority}
    server: {server}
  name: {cluster}
contexts:
- context:
    cluster: {cluster}
    user: {user}
  name: {user}@{cluster}
current-context: {user}@{cluster}
users:
- name: {user}
  user:
    client-certificate-data: {certificate}
    client-key-data: {key}
"""


class Kubeconfig(t.NamedTuple):
    """What is of use in a kubeconfig's current context; PEM texts, empty where they are not embedded."""

    server: str
    authority: str
    certificate: str
    key: str


def parse(text: str, *, where: str) -> Kubeconfig:
    """Read a kubeconfig. Raises KubestaticError that names ``where``, and never what is there."""
    try:
        cluster, user, _name = current(yaml.safe_load(text))
        return Kubeconfig(
            server=str(cluster.get("server", "")),
            authority=embedded(cluster, "certificate-authority"),
            certificate=embedded(user, "client-certificate"),
            key=embedded(user, "client-key"),
        )
    except (yaml.YAMLError, AttributeError, ValueError):
        raise KubestaticError(
            f"{where}: is no kubeconfig with a current context; put the right one there, or remove it to have it made again"
        ) from None


def render(config: Kubeconfig, *, user: str) -> str:
    return _TEMPLATE.format(
        cluster=_CLUSTER,
        user=user,
        server=config.server,
        authority=_encoded(config.authority),
        certificate=_encoded(config.certificate),
        key=_encoded(config.key),
    )


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()

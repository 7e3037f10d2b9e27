# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""What a running kubelet says that it is configured with, where it lets itself be asked.

Its server answers /configz to whom it trusts: to everybody on a node with anonymous requests and AlwaysAllow, else to the
client certificate of the API server, which masters of kubeadm have, and for which it asks that API server.
"""

from __future__ import annotations

import json
import os
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _kubelet_layers, _kubelet_service, _schema
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_layers import Key, Layers
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_settings import without_user

# kubeadm's (cmd/kubeadm/app/constants/constants.go).
_CLIENT = ("/etc/kubernetes/pki/apiserver-kubelet-client.crt", "/etc/kubernetes/pki/apiserver-kubelet-client.key")

# pkg/kubelet/apis/config/v1beta1/defaults.go and pkg/cluster/ports/ports.go.
_PORT = 10250
_TIMEOUT_SECONDS = 2

# Types that have one spelling only: a duration of 60s comes back as 1m0s.
_PLAIN = ("b", "s", "i32", "i64", "u32")


def contradiction(layers: Layers, wanted: t.Mapping[Key, t.Any]) -> str:
    """Which of the wanted settings the kubelet says to have otherwise; empty for none, or where it does not answer."""
    running = _ask(layers) if wanted else None
    for key, value in wanted.items() if running is not None else ():
        given, told = _kubelet_layers.lookup(running or {}, key)
        # A zero value stands for the default (SetDefaults_KubeletConfiguration).
        if value and given and _is_plain(key, minor=layers.minor) and told not in (value, _full(layers, value)):
            return without_user(f"its /configz says {'.'.join(key)}: {told!r}, not {value!r}")
    return ""


def _full(layers: Layers, value: t.Any) -> t.Any:
    """A relative path in the configuration file as the kubelet completes it (KubeletConfigurationPathRefs)."""
    return (
        os.path.normpath(os.path.join(os.path.dirname(layers.config_file), value)) if isinstance(value, str) else value
    )


def _ask(layers: Layers) -> dict[str, t.Any] | None:
    import http.client
    import ssl

    address = _kubelet_service.local_address(str(layers.value(("address",), "")))
    port = layers.value(("port",), _PORT)
    # The certificate that the kubelet shows is mostly its own. Nothing secret is sent, and the answer is only compared.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        if all(os.path.exists(path) for path in _CLIENT):
            context.load_cert_chain(*_CLIENT)
        connection = http.client.HTTPSConnection(address, int(port), timeout=_TIMEOUT_SECONDS, context=context)
        connection.request("GET", "/configz")
        answer = connection.getresponse()
        data = json.loads(answer.read()) if answer.status == http.client.OK else {}
    except (OSError, ValueError, http.client.HTTPException):
        return None
    found = data.get("kubeletconfig") if isinstance(data, dict) else None
    return found if isinstance(found, dict) else None


def _is_plain(key: Key, *, minor: int) -> bool:
    kind = _kubelet_layers.KIND
    minor = min(max(minor, _schema.MINORS[0]), _schema.MINORS[-1])
    for name in key:
        kind = kind.lstrip("*")
        if kind.startswith("{}"):
            kind = kind[2:]
        else:
            kind = _schema.fields(kind, minor).get(name, "") if kind[:1].isupper() else ""
    kind = kind.lstrip("*")
    return kind in _PLAIN or kind.startswith("s=")

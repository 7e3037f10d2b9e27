# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""A control plane's pods and the files of its trust, by their names, and where those lie on a master.

Names of files are relative to /etc/kubernetes, and all names are kubeadm's (cmd/kubeadm/app/constants/constants.go). The key for encryption at
rest and the kubelet's serving certificate are ours, as kubeadm makes neither.
"""

from __future__ import annotations

NAMESPACE = "kube-system"
COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")

# Signers: name -> common name (phases/certs/certlist.go).
AUTHORITIES = {"ca": "kubernetes", "etcd/ca": "etcd-ca", "front-proxy-ca": "front-proxy-ca"}

SERVICE_ACCOUNT_KEY = "pki/sa.key"
SERVICE_ACCOUNT_PUBLIC_KEY = "pki/sa.pub"
ENCRYPTION_KEY = "pki/encryption.key"

# The same on all masters. A key stands before its certificate: that is the order in which they are written.
SHARED = (
    *(f"pki/{name}.{kind}" for name in AUTHORITIES for kind in ("key", "crt")),
    SERVICE_ACCOUNT_KEY,
    SERVICE_ACCOUNT_PUBLIC_KEY,
    ENCRYPTION_KEY,
)

# The serving certificate of a master's kubelet.
KUBELET_PAIR = "pki/kubelet"

# Certificates with their keys, and kubeconfigs, that each master has for itself.
PAIRS = (
    "pki/apiserver",
    "pki/apiserver-kubelet-client",
    "pki/apiserver-etcd-client",
    "pki/front-proxy-client",
    "pki/etcd/server",
    "pki/etcd/peer",
    "pki/etcd/healthcheck-client",
    KUBELET_PAIR,
)
KUBECONFIGS = ("admin.conf", "super-admin.conf", "kubelet.conf", "controller-manager.conf", "scheduler.conf")

OF_ONE_MASTER = (*(f"{name}.{kind}" for name in PAIRS for kind in ("key", "crt")), *KUBECONFIGS)

_DIRECTORY = "/etc/kubernetes"
# Where a kubelet without tlsCertFile looks for its serving certificate before it signs one for itself
# (cmd/kubelet/app/server.go, InitializeTLS).
_KUBELET = {f"{KUBELET_PAIR}.{kind}": f"/var/lib/kubelet/pki/kubelet.{kind}" for kind in ("key", "crt")}


def node_path(name: str) -> str:
    """Where this file lies on a master."""
    return _KUBELET.get(name, f"{_DIRECTORY}/{name}")

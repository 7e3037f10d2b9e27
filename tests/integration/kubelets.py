# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of kubelet_config do to a node's kubelet, and how they look at it."""

from __future__ import annotations

import contextlib
import json
import typing as t

from conftest import MANIFESTS, Node, wait_for

CONFIG = "/var/lib/kubelet/config.yaml"
FLAGS = "/etc/default/kubelet"
UNIT_DIRECTORY = "/etc/systemd/system/kubelet.service.d"
DROP_INS = "/var/lib/kubelet/config.conf.d"
STORE = "/var/lib/kubestatic"
HEAD = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"

# Everything that a test here may change on the node, and what a run may leave in the store about it.
_KEPT = (CONFIG, FLAGS)
_MADE = (
    *(UNIT_DIRECTORY, DROP_INS, "/etc/kubelet2.d", "/etc/sysconfig/kubelet", "/run/systemd/system/kubelet.service.d"),
    # The half of a change that was cut off.
    *("/.".join(path.rsplit("/", 1)) + ".kubestatic-new" for path in _KEPT),
)

# A unit that reads no environment, so that flags need a drop-in of the unit, and with it a reload.
PLAIN_UNIT = f"[Service]\nEnvironmentFile=\nExecStart=\nExecStart=/usr/bin/kubelet --config={CONFIG}\n"


@contextlib.contextmanager
def kept(node: Node) -> t.Iterator[Node]:
    """A node whose kubelet is as it was once the test is over, whatever the test did."""
    node.sh("mkdir -p /run/kept && cp -p " + " ".join(_KEPT) + " /run/kept/")
    began = files(node)
    yield node
    if files(node) != began or not healthy(node) or open_change(node):
        node.sh(
            f"rm -rf {' '.join(_MADE)} {STORE}/kubelet-change.json; cp -p /run/kept/config.yaml {CONFIG};"
            f" cp -p /run/kept/kubelet {FLAGS}; mkdir -p {MANIFESTS}; systemctl daemon-reload; systemctl reset-failed kubelet;"
            " systemctl restart kubelet",
        )
        wait_for(lambda: healthy(node), "the old kubelet is well again")


def files(node: Node) -> str:
    """Names, modes, owners, where links point to, and the checksums of what is in them."""
    paths = " ".join((*_KEPT, *_MADE))
    found = f"find {paths} -printf '%p %M %U %G %l\\n'; find {paths} -type f -exec sha256sum {{}} +"
    return str(node.sh(f"{{ {found}; }} 2>/dev/null | sort"))


def write(node: Node, path: str, text: str) -> None:
    node.sh(f"mkdir -p $(dirname {path}) && cat > {path}", stdin=text)


def healthy(node: Node) -> bool:
    return bool(node.sh("curl -s -m 2 http://127.0.0.1:10248/healthz", check=False) == "ok")


def start_with_unit(node: Node, name: str, unit: str) -> None:
    """Have the kubelet run with this drop-in of its unit."""
    write(node, f"{UNIT_DIRECTORY}/{name}", unit)
    node.sh("systemctl daemon-reload && systemctl restart kubelet")
    wait_for(lambda: healthy(node), "the kubelet is well")


def pid(node: Node) -> str:
    return str(node.sh("pgrep -x kubelet || echo 0")).strip()


def open_change(node: Node) -> dict[str, t.Any]:
    """What the store knows of a change on which the kubelet is not proven; empty for none."""
    change: dict[str, t.Any] = json.loads(node.sh(f"cat {STORE}/kubelet-change.json 2>/dev/null || echo '{{}}'"))
    return change


def containers(node: Node) -> list[str]:
    return sorted(item["id"] for item in node.crictl("ps")["containers"] or [])


def configure(node: Node, *extra: str, **options: t.Any) -> dict[str, t.Any]:
    result: dict[str, t.Any] = node.module("kubelet_config", *extra, **{"settle": 1, **options})
    return result

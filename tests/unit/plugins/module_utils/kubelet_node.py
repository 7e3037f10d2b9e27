# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a kubelet below a directory, in the layouts in which packages, kubeadm and people leave them."""

from __future__ import annotations

import os
import pathlib
import textwrap
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _kubelet_flag_edit, _kubelet_setup
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_setup import Setup
from ansible_collections.kubestatic.node.plugins.module_utils._node_files import Tree

UNIT = "kubelet.service"
FRAGMENT = "usr/lib/systemd/system/kubelet.service"
DROP_INS = "etc/systemd/system/kubelet.service.d"
OWN = f"{DROP_INS}/90-kubestatic.conf"
CONFIG = "var/lib/kubelet/config.yaml"
CONF_D = "var/lib/kubelet/config.conf.d"
DEBIAN, RHEL = "etc/default/kubelet", "etc/sysconfig/kubelet"
KUBEADM = "usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf"
KUBEADM_FLAGS = "var/lib/kubelet/kubeadm-flags.env"

HEAD = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"
CONFIG_TEXT = f"""\
# Written by hand, for this node.
{HEAD}
cgroupDriver: systemd  # as containerd has it
staticPodPath: /etc/kubernetes/manifests
featureGates:
  A: true  # needs B
  B: false
x-ours: [1, 2]
"""

_WITH_ARGS = """\
[Unit]
Description=kubelet

[Service]
EnvironmentFile=-ROOT/{file}
ExecStart=/usr/bin/kubelet --config=ROOT/var/lib/kubelet/config.yaml $KUBELET_EXTRA_ARGS
Restart=always

[Install]
WantedBy=multi-user.target
"""

# kubernetes/release, cmd/krel/templates/latest/kubeadm/10-kubeadm.conf
_KUBEADM = """\
# Note: This dropin only works with kubeadm and kubelet v1.11+
[Service]
Environment="KUBELET_KUBECONFIG_ARGS=--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf"
Environment="KUBELET_CONFIG_ARGS=--config=ROOT/var/lib/kubelet/config.yaml"
# This is a file that "kubeadm init" and "kubeadm join" generates at runtime
EnvironmentFile=-ROOT/var/lib/kubelet/kubeadm-flags.env
EnvironmentFile=-ROOT/etc/default/kubelet
ExecStart=
ExecStart=/usr/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS
"""

LAYOUTS: dict[str, dict[str, str]] = {
    "debian": {FRAGMENT: _WITH_ARGS.format(file=DEBIAN), CONFIG: CONFIG_TEXT},
    "rhel": {FRAGMENT: _WITH_ARGS.format(file=RHEL), RHEL: "KUBELET_EXTRA_ARGS=\n", CONFIG: CONFIG_TEXT},
    "kubeadm": {
        FRAGMENT: "[Service]\nExecStart=/usr/bin/kubelet\nRestart=always\n",
        KUBEADM: _KUBEADM,
        KUBEADM_FLAGS: 'KUBELET_KUBEADM_ARGS="--container-runtime-endpoint=unix:///run/crio.sock --v=2"\n',
        CONFIG: CONFIG_TEXT,
    },
    "bare": {FRAGMENT: "[Service]\nExecStart=/usr/bin/kubelet\n"},
    "literal": {
        FRAGMENT: "[Service]\nExecStart=/usr/bin/kubelet \\\n  --config=ROOT/var/lib/kubelet/config.yaml \\\n  --v=2 \\\n"
        "  --pod-manifest-path=/etc/kubelet.d\n",
        CONFIG: CONFIG_TEXT,
    },
}


class KubeletNode:
    """Files below `root`. In texts and results ROOT stands for it."""

    def __init__(self, root: pathlib.Path, layout: str = "") -> None:
        # Links in the way to it would be resolved in what the rooms give back.
        self.root = root.resolve()
        self.minor = 34
        for name, text in LAYOUTS.get(layout, {}).items():
            self.write(name, text)

    def path(self, name: str) -> str:
        return str(self.root / name)

    def write(self, name: str, text: str) -> str:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(textwrap.dedent(text).replace("ROOT", str(self.root)).encode())
        return str(path)

    def read(self, name: str) -> str:
        return self.inside((self.root / name).read_bytes().decode())

    def inside(self, text: str) -> str:
        return text.replace(str(self.root), "ROOT")

    def outside(self, text: str) -> str:
        return text.replace("ROOT", str(self.root))

    @property
    def unit_files(self) -> tuple[str, ...]:
        """What systemd would say: the fragment, then the drop-ins of all directories by name."""
        directories = [self.root / KUBEADM, self.root / OWN]
        found = [path for one in directories for path in one.parent.glob("*.conf")]
        return (self.path(FRAGMENT), *map(str, sorted(found, key=lambda path: path.name)))

    def setup(self, tree: Tree | None = None) -> Setup:
        return _kubelet_setup.read(
            UNIT, self.path(DROP_INS), files=self.unit_files, minor=self.minor, tree=tree or Tree()
        )

    def argv(self, setup: Setup | None = None) -> list[str]:
        """The command line, without the program."""
        return [self.inside(word) for word in (setup or self.setup()).unit.argv[1:]]

    def planned(self, setup: Setup) -> dict[str, str | None]:
        """The files that the setup would change, by their names below the root."""
        found = {}
        for path, text in setup.tree.planned.items():
            if text != Tree().text(path):
                found[os.path.relpath(path, str(self.root))] = None if text is None else self.inside(text)
        return found

    def carry_out(self, setup: Setup) -> None:
        """Write what is planned."""
        for name, text in self.planned(setup).items():
            if text is None:
                (self.root / name).unlink()
            else:
                self.write(name, text)

    def config(self, settings: str) -> str:
        """A configuration file with these settings."""
        return self.write(CONFIG, HEAD + textwrap.dedent(settings))

    def drop_in(self, name: str, settings: str) -> str:
        return self.write(f"{CONF_D}/{name}", HEAD + textwrap.dedent(settings))

    def unit(self, exec_start: str, *lines: str) -> str:
        """A unit with this command line."""
        return self.write(FRAGMENT, "\n".join(["[Service]", *lines, f"ExecStart={exec_start}", ""]))


def with_usual_files(node: KubeletNode, monkeypatch: pytest.MonkeyPatch) -> KubeletNode:
    """The same node, whose environment files count as those of packages."""
    monkeypatch.setattr(_kubelet_flag_edit, "_ADMINISTRATORS", (node.path(DEBIAN), node.path(RHEL)))
    return node


def with_layout(node: KubeletNode, layout: str, files: dict[str, str] | None = None) -> KubeletNode:
    for name, text in {**LAYOUTS[layout], **(files or {})}.items():
        node.write(name, text)
    return node


def as_given(node: KubeletNode, given: t.Sequence[t.Any]) -> list[tuple[t.Any, str, str, int, str]]:
    """Given values with paths below ROOT."""
    return [(one.value, one.layer, node.inside(one.path), one.line, one.flag) for one in given]

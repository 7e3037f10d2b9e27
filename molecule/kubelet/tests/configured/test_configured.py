# SPDX-FileCopyrightText: kubestatic.node contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""After two runs of the role: each setting is in its layer, and no container has noticed."""

from __future__ import annotations

from typing import Any

import pytest

HEAD = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"
FILES = {
    "node1": {"/var/lib/kubelet/config.yaml": "maxPods: 77\n"},
    "node2": {
        "/var/lib/kubelet/config.conf.d/90-kubestatic.conf": HEAD + "maxPods: 77\n",
        "/etc/sysconfig/kubelet": (
            "# Extra arguments of the administrator\nKUBELET_EXTRA_ARGS=--config-dir=/var/lib/kubelet/config.conf.d\n"
        ),
    },
    "node3": {
        "/etc/default/kubelet": "KUBELET_EXTRA_ARGS=--max-pods=77\n",
        "/var/lib/kubelet/kubeadm-flags.env": (
            'KUBELET_KUBEADM_ARGS="--max-pods=55 --node-labels=kubeadm.example/role=master"\n'
        ),
    },
}


def test_each_file_says_what_it_should(node: Any) -> None:
    for path, text in FILES[node.name].items():
        assert node.host.file(path).content_string.endswith(text), path


def test_comments_and_other_keys_stay(node: Any) -> None:
    text = node.host.file("/var/lib/kubelet/config.yaml").content_string
    assert "# The nodes share the host's kernel" in text and "failSwapOn: false" in text


@pytest.mark.parametrize(
    ("name", "word"), [("node2", "--config-dir=/var/lib/kubelet/config.conf.d"), ("node3", "--max-pods=77")]
)
def test_the_process_was_started_with_it(node: Any, name: str, word: str) -> None:
    if node.name == name:
        assert node.host.check_output("tr '\\0' '\\n' < /proc/$(pidof kubelet)/cmdline").splitlines()[-1] == word


def test_the_unit_runs_and_is_enabled(node: Any) -> None:
    service = node.host.service("kubelet")
    assert service.is_running and service.is_enabled


def test_no_container_was_restarted(node: Any) -> None:
    assert node.pods() == ["witness"]
    assert node.restarts("witness") == 0

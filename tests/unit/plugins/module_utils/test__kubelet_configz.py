# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a kubelet says of itself against what is wanted: only what has one spelling is compared."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _kubelet_configz
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_layers import Key, Layers

LAYERS = Layers(minor=37, flags=(), config_file="/etc/kubelet/config.yaml", config_dir="", configs=(), problems=())
TOLD = {
    "maxPods": 110,
    "shutdownGracePeriod": "1m0s",
    "cgroupDriver": "systemd",
    "staticPodPath": "/etc/kubelet/manifests",
    "staticPodURL": "http://me:secret@x/",
    "featureGates": {"A": True},
    "evictionHard": {"memory.available": "100Mi"},
    "authentication": {"anonymous": {"enabled": False}},
}


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        (("maxPods",), 110, ""),
        (("maxPods",), 77, "its /configz says maxPods: 110, not 77"),
        (("maxPods",), 0, ""),
        (("maxPods",), None, ""),
        (("shutdownGracePeriod",), "60s", ""),
        (("cgroupDriver",), "cgroupfs", "its /configz says cgroupDriver: 'systemd', not 'cgroupfs'"),
        (("featureGates", "A"), True, ""),
        (("featureGates", "B"), True, ""),
        (
            ("authentication", "anonymous", "enabled"),
            True,
            "its /configz says authentication.anonymous.enabled: False, not True",
        ),
        (("evictionHard", "memory.available"), "100Mi", ""),
        (("unheardOf",), 1, ""),
        # Relative to the configuration file.
        (("staticPodPath",), "manifests", ""),
        (
            ("staticPodPath",),
            "/manifests",
            "its /configz says staticPodPath: '/etc/kubelet/manifests', not '/manifests'",
        ),
        (
            ("staticPodURL",),
            "http://me:other@x/",
            "its /configz says staticPodURL: 'http://x/', not 'http://x/'",
        ),
    ],
)
def test_what_contradicts(monkeypatch: pytest.MonkeyPatch, key: Key, value: t.Any, expected: str) -> None:
    monkeypatch.setattr(_kubelet_configz, "_ask", lambda _layers: TOLD)
    assert _kubelet_configz.contradiction(LAYERS, {key: value}) == expected


def test_a_kubelet_that_does_not_answer_contradicts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_kubelet_configz, "_PORT", 1)
    assert _kubelet_configz.contradiction(LAYERS, {("maxPods",): 1}) == ""

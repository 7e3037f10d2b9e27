# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How settings and flags are shown: with layer, file and line, and headers never."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _kubelet_report, _kubelet_shown
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_secrets import without_secrets
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.kubelet_node import (
    CONF_D,
    CONFIG,
    FRAGMENT,
    HEAD,
    KubeletNode,
)

HEADERS = "staticPodURLHeader:\n  Authorization: [Bearer secret]  # ours\n"


@pytest.fixture
def node(tmp_path: pathlib.Path) -> KubeletNode:
    node = KubeletNode(tmp_path)
    node.unit(
        f"/usr/bin/kubelet --config=ROOT/{CONFIG} --config-dir=ROOT/{CONF_D} --v=2 --no-such=1"
        " --pod-infra-container-image=pause"
    )
    node.config(f"staticPodPath: /a\nreadOnlyPort: 5\n{HEADERS}")
    node.drop_in("1.conf", "readOnlyPort: null\n")
    return node


SETTINGS: list[tuple[str, t.Any, str, str, int]] = [
    ("staticPodPath", "/a", "file", f"ROOT/{CONFIG}", 3),
    ("readOnlyPort", None, "drop_in", f"ROOT/{CONF_D}/1.conf", 3),
    ("logging.verbosity", "2", "flag", f"ROOT/{FRAGMENT}", 2),
    ("clusterDomain", None, "default", "", 0),
    ("staticPodURLHeader", "hidden", "file", f"ROOT/{CONFIG}", 5),
    ("staticPodURLHeader.Authorization", "hidden", "file", f"ROOT/{CONFIG}", 6),
    ("staticPodURLHeader.Other", None, "default", "", 0),
]


@pytest.mark.parametrize(("key", "value", "layer", "path", "line"), SETTINGS)
def test_a_setting_is_shown_with_its_layer(
    node: KubeletNode, key: str, value: t.Any, layer: str, path: str, line: int
) -> None:
    found = _kubelet_shown.setting(node.setup().layers, tuple(key.split(".")))
    expected = {"value": value, "layer": layer, "file": node.outside(path), "line": line}
    assert found == expected


def test_a_flag_is_shown_with_its_place(node: KubeletNode) -> None:
    layers = node.setup().layers
    assert _kubelet_shown.flag(layers, "v") == {
        "value": "2",
        "layer": "flag",
        "file": node.path(FRAGMENT),
        "line": 2,
    }
    assert _kubelet_shown.flag(layers, "node-ip") == {"value": None, "layer": "default", "file": "", "line": 0}


def test_a_password_within_a_url_is_not_shown(node: KubeletNode) -> None:
    flag = "--manifest-url=https://me:p@ss@pods.example:8443/a@b"
    node.unit(f"/usr/bin/kubelet --config=ROOT/{CONFIG} {flag}")
    node.config("staticPodURL: https://me:p@ss@pods.example/\nclusterDomain: a//b@c\n")
    setup = node.setup()
    shown = [
        _kubelet_report.shown_words(setup.unit.argv),
        _kubelet_shown.setting(setup.layers, ("staticPodURL",)),
        _kubelet_shown.flag(setup.layers, "manifest-url"),
        [_kubelet_report._flag(use, minor=34) for use in setup.layers.flags],
        without_secrets(f"# {flag}\n{node.read(CONFIG)}"),
    ]
    assert "p@ss" not in str(shown) and "ss@" not in str(shown)
    assert "https://pods.example:8443/a@b" in str(shown[0]) and "https://pods.example:8443/a@b" in str(shown[1])


def test_what_is_told_of_a_flag(node: KubeletNode) -> None:
    told = {use.name: _kubelet_report._flag(use, minor=34) for use in node.setup().layers.flags}
    place = {"file": node.path(FRAGMENT), "line": 2}
    assert told["v"] == {
        "name": "v",
        "value": "2",
        "setting": "logging.verbosity",
        "deprecated": False,
        "removed_in": "",
        **place,
    }
    assert told["pod-infra-container-image"]["removed_in"] == "1.35"
    assert told["no-such"] == {
        "name": "no-such",
        "value": "1",
        "setting": "",
        "deprecated": False,
        "removed_in": "",
        **place,
    }


@pytest.mark.parametrize(
    "words", ["--manifest-url-header=A:secret", "--manifest-url-header A:secret", "--manifest_url_header=A:secret"]
)
def test_a_header_on_the_command_line_is_hidden(node: KubeletNode, words: str) -> None:
    node.unit(f"/usr/bin/kubelet {words} --v=2")
    layers = node.setup().layers
    use = layers.flag("manifest-url-header")
    assert use and use.value == "A:secret"
    assert _kubelet_shown.flag(layers, "manifest-url-header")["value"] == "hidden"
    assert _kubelet_report._flag(use, minor=34)["value"] == "hidden"
    assert _kubelet_shown.setting(layers, ("staticPodURLHeader",))["value"] == "hidden"
    assert _kubelet_shown.setting(layers, ("staticPodURLHeader", "A"))["value"] == "hidden"
    shown = " ".join(_kubelet_report.shown_words(node.setup().unit.argv))
    assert shown == f"/usr/bin/kubelet {words} --v=2".replace("A:secret", "hidden")


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ([], []),
        (["--manifest-url=http://x", "-v", "x=y"], ["--manifest-url=http://x", "-v", "x=y"]),
        (["--manifest-url-header"], ["--manifest-url-header"]),
        (["--manifest-url-header", "A:b=c", "--v=2"], ["--manifest-url-header", "hidden", "--v=2"]),
        (["--manifest-url-header", "--manifest-url-header", "A:b"], ["--manifest-url-header", "hidden", "A:b"]),
        (["--manifest-url-header=A:b c"], ["--manifest-url-header=hidden"]),
    ],
)
def test_only_headers_are_hidden(words: list[str], shown: list[str]) -> None:
    assert _kubelet_report.shown_words(words) == shown


# ---- files


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        (f"{HEAD}readOnlyPort: 5\n", f"{HEAD}readOnlyPort: 5\n"),
        (
            f"{HEAD}{HEADERS}readOnlyPort: 5\n",
            f"{HEAD}staticPodURLHeader:\n  Authorization:  # ours\n  - hidden\nreadOnlyPort: 5\n",
        ),
        (f"{HEAD}staticPodURLHeader: {{}}\n", f"{HEAD}staticPodURLHeader: {{}}\n"),
        # A comment may hold what once was in force.
        (f"{HEAD}# staticPodURLHeader\n", "(not shown, as it holds a secret)\n"),
        (f"{HEAD}{HEADERS}x: [\n", "(not shown, as it holds a secret)\n"),
        ("A=--manifest-url-header=B:secret\n", "A=--manifest-url-header=hidden\n"),
        ("A='--v=2 --manifest-url-header B:secret'\n", "A='--v=2 --manifest-url-header hidden\n"),
        ("A=--manifest-url-header='B:secret c' --v=2\n", "A=--manifest-url-header=hidden\n"),
    ],
)
def test_headers_in_a_file_are_hidden(text: str, shown: str) -> None:
    assert without_secrets(text) == shown

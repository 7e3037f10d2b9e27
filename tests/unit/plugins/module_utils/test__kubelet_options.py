# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Option values to a wish, and what a kubelet would not take refused by name."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _kubelet_options
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_wish import Wish

NOTHING: dict[str, t.Any] = {
    "settings": None,
    "static_pod_url_headers": None,
    "flags": None,
    "layer": "auto",
    "migrate": False,
    "config_file": None,
    "drop_in_file": None,
    "flags_file": None,
}


def wish(**parameters: t.Any) -> Wish:
    return _kubelet_options.wish({**NOTHING, **parameters})


def test_nothing_is_asked_for() -> None:
    assert wish() == Wish({}, {})


def test_all_options_are_taken_over() -> None:
    found = wish(
        settings={"readOnlyPort": 5, "staticPodPath": None},
        flags={"v": "2"},
        layer="drop_in",
        migrate=True,
        config_file="/config",
        drop_in_file="/drop-in",
        flags_file="/flags",
    )
    assert found == Wish(
        {"readOnlyPort": 5, "staticPodPath": None}, {"v": "2"}, "drop_in", True, "/config", "/drop-in", "/flags"
    )


def test_headers_may_be_taken_away() -> None:
    assert wish(flags={"manifest-url-header": None}).flags == {"manifest-url-header": None}
    assert wish(settings={"staticPodURLHeader": None}).settings == {"staticPodURLHeader": None}


def test_flags_are_named_and_written_as_the_kubelet_does() -> None:
    flags = {
        "--v": 2,
        "node_ip": "1.2.3.4",
        "fail-swap-on": False,
        "cluster-dns": ["a", "b"],
        "root-dir": None,
        "eviction-hard": {"memory.available": "100Mi", "nodefs.available": "10%"},
        "system-reserved": {"cpu": 1, "memory": "1Gi"},
    }
    assert wish(flags=flags).flags == {
        "v": "2",
        "node-ip": "1.2.3.4",
        "fail-swap-on": "false",
        "cluster-dns": "a,b",
        "root-dir": None,
        "eviction-hard": "memory.available<100Mi,nodefs.available<10%",
        "system-reserved": "cpu=1,memory=1Gi",
    }


def test_headers_are_lists_of_texts() -> None:
    settings = {"readOnlyPort": 5}
    found = wish(settings=settings, static_pod_url_headers={"A": "secret", "B": ["c", "d"], "E": None})
    assert found.settings == {"readOnlyPort": 5, "staticPodURLHeader": {"A": ["secret"], "B": ["c", "d"], "E": None}}
    assert settings == {"readOnlyPort": 5}


@pytest.mark.parametrize("value", [5, True, ["a", 5], {"a": "b"}])
def test_headers_that_are_no_texts_are_refused(value: t.Any) -> None:
    with pytest.raises(KubestaticError) as caught:
        wish(static_pod_url_headers={"Authorization": value})
    assert str(caught.value) == (
        "static_pod_url_headers.Authorization: must be a text or a list of texts; put quotes around it"
    )


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"settings": {"apiVersion": "v1"}}, "settings.apiVersion: every file has it already; leave it out"),
        ({"settings": {"kind": "x"}}, "settings.kind: every file has it already; leave it out"),
        (
            {"settings": {"staticPodURLHeader": {"A": ["secret"]}}},
            "settings.staticPodURLHeader: may hold a secret, which settings would show; use static_pod_url_headers",
        ),
        (
            {"flags": {"--manifest_url_header": "A:secret"}},
            "flags.manifest-url-header: may hold a secret, which flags would show; use static_pod_url_headers",
        ),
        ({"flags": {"config": "/a"}}, "flags.config: is where the settings go; use config_file"),
        ({"flags": {"config_dir": None}}, "flags.config-dir: is where drop-ins go; use layer: drop_in"),
    ],
)
def test_what_another_option_is_there_for(parameters: dict[str, t.Any], message: str) -> None:
    with pytest.raises(KubestaticError) as caught:
        wish(**parameters)
    assert str(caught.value) == message


# ---- what this kubelet knows


KNOWN: list[tuple[dict[str, t.Any], int, str]] = [
    # parameters, minor, message (empty for none)
    ({}, 34, ""),
    ({"settings": {"staticPodPath": "/a", "featureGates": {"A": True}}, "flags": {"v": "2"}}, 34, ""),
    ({"settings": {"staticPodPath": None}, "static_pod_url_headers": {"A": "b"}}, 34, ""),
    (
        {"settings": {"staticPodPaht": "/a"}},
        34,
        'settings.staticPodPaht: not a field that kubelet 1.34 knows; did you mean "staticPodPath"?',
    ),
    (
        {"settings": {"readOnlyPort": "many"}},
        34,
        "settings.readOnlyPort: must be an integer, found the string 'many'",
    ),
    ({"settings": {"readOnlyPort": "many"}}, 99, "settings.readOnlyPort: must be an integer, found the string 'many'"),
    (
        {"settings": {"failCgroupV1": True}},
        30,
        "settings.failCgroupV1: not a field that kubelet 1.30 knows; it exists from 1.31 on",
    ),
    (
        {"flags": {"pod-infra-container-image": "pause"}},
        36,
        (
            "flags.pod-infra-container-image: not a flag of kubelet 1.36; it was removed in 1.35; a kubelet does not start with"
            " a flag that it does not know"
        ),
    ),
    (
        {"flags": {"pod-manifest-paht": "/a"}},
        34,
        (
            'flags.pod-manifest-paht: not a flag of kubelet 1.34; did you mean "pod-manifest-path"?; a kubelet does not start'
            " with a flag that it does not know"
        ),
    ),
    # To remove what a kubelet does not know is what mends it.
    ({"flags": {"pod-infra-container-image": None}}, 36, ""),
]


@pytest.mark.parametrize(("parameters", "minor", "message"), KNOWN)
def test_what_a_kubelet_does_not_know_is_refused(parameters: dict[str, t.Any], minor: int, message: str) -> None:
    if not message:
        assert _kubelet_options.require_known(wish(**parameters), minor=minor) == []
        return
    with pytest.raises(KubestaticError) as caught:
        _kubelet_options.require_known(wish(**parameters), minor=minor)
    assert str(caught.value) == message


def test_of_a_newer_kubelet_it_is_only_warned() -> None:
    newer = _kubelet_options.require_known(
        wish(settings={"keyOfTomorrow": 1}, flags={"flag-of-tomorrow": "1", "v": "2"}), minor=99
    )
    assert [text.partition(": ")[0] for text in newer] == ["settings.keyOfTomorrow", "flags.flag-of-tomorrow"]

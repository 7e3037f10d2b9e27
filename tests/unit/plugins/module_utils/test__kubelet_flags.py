# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of flags and what is read out of it."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _flags_data, _kubelet_flags, _schema
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_flags import Flag


def kind_of(key: str, *, minor: int) -> str | None:
    """The type that the field table has for a dotted key of KubeletConfiguration."""
    kind: str | None = "KubeletConfiguration"
    for part in key.split("."):
        kind = _schema.fields(kind.lstrip("*"), minor).get(part) if kind else None
    return kind.lstrip("*") if kind else None


def test_the_table_covers_what_is_supported() -> None:
    assert _kubelet_flags.MINORS == _schema.MINORS
    assert len(_flags_data.FLAGS) < 10_000
    assert all(len(_kubelet_flags.flags(minor)) > 120 for minor in _kubelet_flags.MINORS)


@pytest.mark.parametrize("minor", _kubelet_flags.MINORS)
def test_keys_are_fields_of_the_same_minor_and_type(minor: int) -> None:
    for flag in _kubelet_flags.flags(minor).values():
        if flag.key:
            kind = kind_of(flag.key, minor=minor)
            assert kind is not None, flag
            assert flag.boolean is (kind == "b"), (flag, kind)
            assert flag.plural is (kind[:2] in ("[]", "{}")), (flag, kind)


@pytest.mark.parametrize("minor", _kubelet_flags.MINORS)
def test_most_keys_have_a_flag_and_none_has_two(minor: int) -> None:
    keys = [flag.key for flag in _kubelet_flags.flags(minor).values() if flag.key]
    assert len(keys) > 95
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(
    "flag",
    [
        Flag("pod-manifest-path", "staticPodPath", boolean=False, deprecated=True, plural=False),
        Flag("anonymous-auth", "authentication.anonymous.enabled", boolean=True, deprecated=True, plural=False),
        Flag("client-ca-file", "authentication.x509.clientCAFile", boolean=False, deprecated=True, plural=False),
        Flag("resolv-conf", "resolvConf", boolean=False, deprecated=True, plural=False),
        Flag("sync-frequency", "syncFrequency", boolean=False, deprecated=True, plural=False),
        Flag("eviction-hard", "evictionHard", boolean=False, deprecated=True, plural=True),
        Flag("log-flush-frequency", "logging.flushFrequency", boolean=False, deprecated=False, plural=False),
        Flag("v", "logging.verbosity", boolean=False, deprecated=False, plural=False),
        Flag("vmodule", "logging.vmodule", boolean=False, deprecated=False, plural=True),
        Flag("seccomp-default", "seccompDefault", boolean=True, deprecated=False, plural=False),
        Flag("node-ip", "", boolean=False, deprecated=False, plural=False),
        Flag("node-labels", "", boolean=False, deprecated=False, plural=True),
        Flag("housekeeping-interval", "", boolean=False, deprecated=False, plural=False),
        Flag("version", "", boolean=True, deprecated=False, plural=False),
        Flag("help", "", boolean=True, deprecated=False, plural=False),
    ],
)
@pytest.mark.parametrize("minor", [1, *_kubelet_flags.MINORS, 99])
def test_flags(flag: Flag, minor: int) -> None:
    assert _kubelet_flags.flags(minor)[flag.name] == flag


@pytest.mark.parametrize(
    ("name", "since", "until"),
    [
        ("fail-cgroupv1", 31, 37),
        ("log-text-split-stream", 30, 37),
        ("azure-container-registry-config", 28, 29),
        ("keep-terminated-pod-volumes", 28, 30),
        ("iptables-drop-bit", 28, 30),
        ("register-schedulable", 28, 33),
        ("cloud-config", 28, 33),
        ("pod-infra-container-image", 28, 34),
        ("enable-load-reader", 28, 36),
        ("windows-service", 99, 99),
        ("log_cadvisor_usage", 99, 99),
    ],
)
def test_flags_come_and_go(name: str, since: int, until: int) -> None:
    for minor in _kubelet_flags.MINORS:
        assert (name in _kubelet_flags.flags(minor)) is (since <= minor <= until), minor


def test_a_flag_that_is_deprecated_no_more() -> None:
    deprecated = {minor: _kubelet_flags.flags(minor)["cloud-provider"].deprecated for minor in (28, 29, 37)}
    assert deprecated == {28: True, 29: False, 37: False}


def test_what_a_caller_does_to_the_flags_stays_with_it() -> None:
    _kubelet_flags.flags(34).clear()
    assert _kubelet_flags.flags(34)


@pytest.mark.parametrize(
    ("key", "minor", "names"),
    [
        ("staticPodPath", 34, ["pod-manifest-path"]),
        (["staticPodPath"], 34, ["pod-manifest-path"]),
        ("authentication.x509.clientCAFile", 34, ["client-ca-file"]),
        (("authentication", "x509", "clientCAFile"), 34, ["client-ca-file"]),
        (("evictionHard", "memory.available"), 34, ["eviction-hard"]),
        ("featureGates.A", 34, ["feature-gates"]),
        ("failCgroupV1", 30, []),
        ("failCgroupV1", 31, ["fail-cgroupv1"]),
        ("authentication", 34, []),
        ("staticPodPath.a", 34, []),
        ("evictionHardness", 34, []),
        ("staticpodpath", 34, []),
        ("memorySwap.swapBehavior", 34, []),
        ("", 34, []),
        ([], 34, []),
    ],
)
def test_flag_of(key: t.Sequence[str] | str, minor: int, names: list[str]) -> None:
    assert _kubelet_flags.flag_of(key, minor) == names


@pytest.mark.parametrize(
    ("name", "minor", "why"),
    [
        ("pod-infra-container-image", 37, "not a flag of kubelet 1.37; it was removed in 1.35"),
        ("pod_infra_container_image", 35, "not a flag of kubelet 1.35; it was removed in 1.35"),
        ("enable-load-reader", 99, "not a flag of kubelet 1.37; it was removed in 1.37"),
        ("fail-cgroupv1", 30, "not a flag of kubelet 1.30; it exists from 1.31 on"),
        ("fail-cgroupv1", 1, "not a flag of kubelet 1.28; it exists from 1.31 on"),
        ("nodeip", 37, 'not a flag of kubelet 1.37; did you mean "node-ip"?'),
        ("nodeIP", 37, 'not a flag of kubelet 1.37; did you mean "node-ip"?'),
        ("node-lables", 37, 'not a flag of kubelet 1.37; did you mean "node-labels"?'),
        ("staticPodPath", 37, 'not a flag of kubelet 1.37; did you mean "pod-manifest-path"?'),
        ("static-pod-path", 37, 'not a flag of kubelet 1.37; did you mean "pod-manifest-path"?'),
        ("cgroupDriver", 37, 'not a flag of kubelet 1.37; did you mean "cgroup-driver"?'),
        ("network-plugin", 37, "not a flag of kubelet 1.37; remove it or correct its name"),
        ("", 37, "not a flag of kubelet 1.37; remove it or correct its name"),
    ],
)
def test_why_unknown(name: str, minor: int, why: str) -> None:
    assert _kubelet_flags.why_unknown(name, minor=minor) == why


@pytest.mark.parametrize(
    ("name", "minor", "removed"),
    [
        ("pod-infra-container-image", 28, 35),
        ("pod_infra_container_image", 34, 35),
        ("pod-infra-container-image", 35, None),
        ("cloud-provider", 28, None),
        ("iptables-drop-bit", 1, 31),
        ("container-hints", 30, 37),
        ("fail-cgroupv1", 28, None),
        ("node-ip", 37, None),
        ("node-ip", 99, None),
        ("qwertz", 34, None),
    ],
)
def test_removed_later(name: str, minor: int, removed: int | None) -> None:
    assert _kubelet_flags.removed_later(name, minor=minor) == removed

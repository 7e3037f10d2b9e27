# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wanted settings and flags to changed files, each in its layer; what another layer would shadow is refused."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _kubelet_edit
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_setup import Setup
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_wish import Wish
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.kubelet_node import (
    CONF_D,
    CONFIG,
    CONFIG_TEXT,
    DEBIAN,
    DROP_INS,
    FRAGMENT,
    HEAD,
    KUBEADM,
    KUBEADM_FLAGS,
    OWN,
    RHEL,
    KubeletNode,
    with_layout,
    with_usual_files,
)

OWN_CONF = f"{CONF_D}/90-kubestatic.conf"
DIR_FLAG = f"--config-dir=ROOT/{CONF_D}"


@pytest.fixture
def node(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> KubeletNode:
    return with_usual_files(KubeletNode(tmp_path), monkeypatch)


def with_drop_ins(node: KubeletNode, **drop_ins: str) -> KubeletNode:
    """Debian with --config-dir in force."""
    with_layout(node, "debian", {DEBIAN: f'KUBELET_EXTRA_ARGS="{DIR_FLAG}"\n'})
    node.drop_in("00-first.conf", "")
    for name, settings in drop_ins.items():
        node.drop_in(f"{name}.conf", f"{settings}\n")
    return node


def plan(
    node: KubeletNode,
    settings: dict[str, t.Any] | None = None,
    flags: dict[str, str | None] | None = None,
    **options: t.Any,
) -> Setup:
    options = {name: node.outside(value) if isinstance(value, str) else value for name, value in options.items()}
    return _kubelet_edit.planned(node.setup(), Wish(settings or {}, flags or {}, **options))


def changes(
    node: KubeletNode,
    settings: dict[str, t.Any] | None = None,
    flags: dict[str, str | None] | None = None,
    **options: t.Any,
) -> dict[str, str | None]:
    """What is planned, after a look that the same wish plans nothing once that is done."""
    new = plan(node, settings, flags, **options)
    found = node.planned(new)
    node.carry_out(new)
    assert node.planned(plan(node, settings, flags, **options)) == {}
    assert node.argv() == node.argv(new)
    return found


def refusal(
    node: KubeletNode,
    settings: dict[str, t.Any] | None = None,
    flags: dict[str, str | None] | None = None,
    **options: t.Any,
) -> str:
    with pytest.raises(KubestaticError) as caught:
        plan(node, settings, flags, **options)
    return node.inside(str(caught.value))


# ---- the file


@pytest.mark.parametrize("layout", ["debian", "rhel", "kubeadm", "literal"])
def test_a_setting_goes_into_the_file_that_the_kubelet_reads(node: KubeletNode, layout: str) -> None:
    with_layout(node, layout)
    settings = {
        "readOnlyPort": 10255,
        "cgroupDriver": "cgroupfs",
        "featureGates": {"A": False, "C": True},
        "staticPodURL": None,
    }
    assert changes(node, settings) == {
        CONFIG: f"""\
# Written by hand, for this node.
{HEAD}
cgroupDriver: cgroupfs  # as containerd has it
staticPodPath: /etc/kubernetes/manifests
featureGates:
  A: false  # needs B
  B: false
  C: true
x-ours: [1, 2]
readOnlyPort: 10255
"""
    }


def test_a_null_removes(node: KubeletNode) -> None:
    with_layout(node, "debian")
    assert changes(node, {"cgroupDriver": None, "featureGates": {"A": None}}) == {
        CONFIG: f"""\
# Written by hand, for this node.
{HEAD}
staticPodPath: /etc/kubernetes/manifests
featureGates:
  B: false
x-ours: [1, 2]
"""
    }


def test_what_is_so_already_changes_nothing(node: KubeletNode) -> None:
    with_layout(node, "debian")
    setup = node.setup()
    wish = Wish({"cgroupDriver": "systemd", "featureGates": {"B": False}, "readOnlyPort": None}, {"v": None})
    assert _kubelet_edit.planned(setup, wish) is setup
    assert _kubelet_edit.planned(setup, wish._replace(layer="file")) is setup
    assert _kubelet_edit.planned(setup, Wish({}, {})) is setup


def test_the_same_text_in_another_type_is_another_value(node: KubeletNode) -> None:
    with_layout(node, "debian", {CONFIG: f"{HEAD}readOnlyPort: '1'\n"})
    assert changes(node, {"readOnlyPort": 1}) == {CONFIG: f"{HEAD}readOnlyPort: 1\n"}


def test_the_config_file_may_be_named_as_the_kubelet_knows_it(node: KubeletNode) -> None:
    with_layout(node, "debian")
    (node.root / "link").symlink_to(node.root / "var")
    assert list(changes(node, {"readOnlyPort": 1}, config_file="ROOT/link/lib/kubelet/config.yaml")) == [CONFIG]
    assert refusal(node, {"readOnlyPort": 2}, config_file="ROOT/other.yaml") == (
        f"config_file: the kubelet is started with --config=ROOT/{CONFIG} and does not read ROOT/other.yaml; leave"
        " config_file out"
    )


def test_a_config_file_that_is_missing_is_made_where_it_is_named(node: KubeletNode) -> None:
    with_layout(node, "debian")
    (node.root / CONFIG).unlink()
    assert refusal(node, {"readOnlyPort": 1}).startswith(f"ROOT/{CONFIG}: the kubelet's configuration is missing")
    made = changes(node, {"readOnlyPort": 1}, config_file=f"ROOT/{CONFIG}")
    assert made == {CONFIG: f"{HEAD}readOnlyPort: 1\n"}
    node.write(CONFIG, "{")
    found = refusal(node, {"readOnlyPort": 1}, config_file=f"ROOT/{CONFIG}")
    assert found.startswith(f"ROOT/{CONFIG}: the kubelet's configuration is not readable YAML")


def test_a_config_file_that_is_a_link_stays_one(node: KubeletNode) -> None:
    with_layout(node, "debian")
    (node.root / CONFIG).rename(node.root / "real.yaml")
    (node.root / CONFIG).symlink_to(node.root / "real.yaml")
    assert list(changes(node, {"readOnlyPort": 1})) == ["real.yaml"]


def test_a_text_that_cannot_be_edited_is_named(node: KubeletNode) -> None:
    with_layout(node, "debian", {CONFIG: f"{HEAD}featureGates: &g {{A: true}}\nx: *g\n"})
    found = refusal(node, {"featureGates": {"A": False}})
    assert found.startswith(f"ROOT/{CONFIG}: line 3: featureGates.A cannot be set within this text: ")


# ---- drop-ins


def test_the_first_drop_in_brings_the_flag_for_its_directory(node: KubeletNode) -> None:
    with_layout(node, "debian")
    assert changes(node, {"readOnlyPort": 5}, layer="drop_in") == {
        OWN_CONF: f"{HEAD}readOnlyPort: 5\n",
        DEBIAN: f"KUBELET_EXTRA_ARGS={DIR_FLAG}\n",
    }


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({}, OWN_CONF),
        ({"layer": "drop_in"}, OWN_CONF),
        ({"drop_in_file": "50-ours.conf"}, f"{CONF_D}/50-ours.conf"),
        ({"drop_in_file": f"ROOT/{CONF_D}/50-ours.conf"}, f"{CONF_D}/50-ours.conf"),
        ({"drop_in_file": "below/50-ours.conf"}, f"{CONF_D}/below/50-ours.conf"),
        ({"layer": "file"}, CONFIG),
    ],
)
def test_where_drop_ins_are_in_force_a_setting_goes_into_one(
    node: KubeletNode, options: dict[str, t.Any], path: str
) -> None:
    with_drop_ins(node)
    text = f"{CONFIG_TEXT}readOnlyPort: 5\n" if path == CONFIG else f"{HEAD}readOnlyPort: 5\n"
    assert changes(node, {"readOnlyPort": 5}, **options) == {path: text}


def test_the_first_drop_in_may_have_a_name_of_its_own(node: KubeletNode) -> None:
    with_layout(node, "debian")
    found = changes(node, {"readOnlyPort": 5}, drop_in_file="below/50-ours.conf")
    assert found == {
        f"{CONF_D}/below/50-ours.conf": f"{HEAD}readOnlyPort: 5\n",
        DEBIAN: f"KUBELET_EXTRA_ARGS={DIR_FLAG}\n",
    }


def test_a_drop_in_keeps_what_else_is_in_it(node: KubeletNode) -> None:
    with_drop_ins(node)
    node.write(OWN_CONF, f"# ours\n{HEAD}x: 1 # x\nreadOnlyPort: 5\n")
    assert changes(node, {"readOnlyPort": 6}) == {OWN_CONF: f"# ours\n{HEAD}x: 1 # x\nreadOnlyPort: 6\n"}
    assert changes(node, {"readOnlyPort": None}) == {OWN_CONF: f"# ours\n{HEAD}x: 1 # x\n"}


def test_auto_asks_what_is_in_force_and_a_layer_what_it_says_itself(node: KubeletNode) -> None:
    with_drop_ins(node, a="readOnlyPort: 5")
    assert changes(node, {"readOnlyPort": 5, "cgroupDriver": "systemd"}) == {}
    assert changes(node, {"cgroupDriver": "systemd"}, layer="drop_in") == {OWN_CONF: f"{HEAD}cgroupDriver: systemd\n"}


def test_a_null_in_a_drop_in_counts_as_removed_and_can_go_itself(node: KubeletNode) -> None:
    with_drop_ins(node, z="readOnlyPort: null")
    assert changes(node, {"readOnlyPort": None}) == {}
    assert changes(node, {"readOnlyPort": None}, layer="drop_in", drop_in_file="z.conf") == {f"{CONF_D}/z.conf": HEAD}


def test_a_later_drop_in_shadows(node: KubeletNode) -> None:
    with_drop_ins(node, **{"95-late": "readOnlyPort: 5"})
    expected = f"settings.readOnlyPort: ROOT/{CONF_D}/95-late.conf line 3 overrides it; change it there"
    assert refusal(node, {"readOnlyPort": 6}) == expected
    assert refusal(node, {"readOnlyPort": 6}, layer="file") == expected
    assert refusal(node, {"readOnlyPort": 6}, layer="file", migrate=True) == expected


def test_what_the_file_says_is_removed_there_and_not_by_a_drop_in(node: KubeletNode) -> None:
    with_drop_ins(node)
    expected = (
        f"settings.cgroupDriver: ROOT/{CONFIG} line 5 still gives it a value; remove it there, or set layer: file"
    )
    assert refusal(node, {"cgroupDriver": None}, layer="drop_in") == expected
    found = changes(node, {"cgroupDriver": None, "readOnlyPort": 5})
    assert list(found) == [CONFIG, OWN_CONF]
    assert "cgroupDriver" not in str(found[CONFIG]) and found[OWN_CONF] == f"{HEAD}readOnlyPort: 5\n"


def test_what_a_drop_in_of_others_says_is_not_removed(node: KubeletNode) -> None:
    with_drop_ins(node, **{"10-site": "readOnlyPort: 5"})
    expected = (
        f"settings.readOnlyPort: ROOT/{CONF_D}/10-site.conf line 3 still gives it a value; remove it there, or set layer:"
        " drop_in"
    )
    assert refusal(node, {"readOnlyPort": None}) == expected


def test_an_empty_mapping_adds_nothing(node: KubeletNode) -> None:
    with_layout(node, "rhel")
    assert changes(node, {"featureGates": {}}) == {}


def test_resolv_conf_in_a_drop_in(node: KubeletNode) -> None:
    with_drop_ins(node)
    node.minor = 31
    assert refusal(node, {"resolvConf": "/x"}).startswith(
        "settings.resolvConf: kubelet 1.31 does not take it from a drop-in"
    )
    assert list(changes(node, {"resolvConf": "/x"}, layer="file")) == [CONFIG]
    node.minor = 32
    assert list(changes(node, {"resolvConf": "/y"}, layer="drop_in")) == [OWN_CONF]


def test_a_configuration_that_is_not_there_yet(node: KubeletNode) -> None:
    """Before kubeadm init flags may be set, and the file is kubeadm's to write."""
    with_layout(node, "kubeadm")
    (node.root / CONFIG).unlink()
    assert list(changes(node, flags={"node-ip": "10.0.0.1"})) == [DEBIAN]
    assert "the kubelet's configuration is missing" in refusal(node, {"maxPods": 5})


def test_a_list_that_another_flag_adds_to(node: KubeletNode) -> None:
    with_layout(node, "kubeadm", {KUBEADM_FLAGS: 'KUBELET_KUBEADM_ARGS="--cluster-dns=10.96.0.10"\n'})
    assert refusal(node, flags={"cluster-dns": "169.254.20.10"}) == (
        f"flags.cluster-dns: --cluster-dns in ROOT/{KUBEADM_FLAGS} line 1 gives 10.96.0.10, too, and the kubelet takes both;"
        " remove it there"
    )


@pytest.mark.parametrize(
    ("drop_in_file", "message"),
    [
        ("ours.yaml", f"the kubelet reads only names that end in .conf, not ROOT/{CONF_D}/ours.yaml; rename it"),
        ("ROOT/ours.conf", f"ROOT/ours.conf is not below --config-dir=ROOT/{CONF_D}, so the kubelet does not read it"),
        (
            f"ROOT/{CONF_D}-old/ours.conf",
            f"ROOT/{CONF_D}-old/ours.conf is not below --config-dir=ROOT/{CONF_D}, so the kubelet does not read it",
        ),
        (
            "../ours.conf",
            f"ROOT/{CONF_D}/../ours.conf is not below --config-dir=ROOT/{CONF_D}, so the kubelet does not read it",
        ),
    ],
)
def test_a_name_that_the_kubelet_does_not_read(node: KubeletNode, drop_in_file: str, message: str) -> None:
    with_drop_ins(node)
    assert refusal(node, {"readOnlyPort": 5}, drop_in_file=drop_in_file) == f"drop_in_file: {message}"


def test_a_directory_of_drop_ins_that_is_a_link(node: KubeletNode) -> None:
    with_drop_ins(node)
    (node.root / CONF_D).rename(node.root / "real.d")
    (node.root / CONF_D).symlink_to(node.root / "real.d")
    assert refusal(node, {"readOnlyPort": 5}) == (
        f"ROOT/{CONF_D}: is a symbolic link, through which the kubelet does not look for drop-ins; give --config-dir the"
        " directory itself"
    )
    assert list(changes(node, {"readOnlyPort": 5}, layer="file")) == [CONFIG]


def test_an_old_kubelet_merges_no_drop_ins(node: KubeletNode) -> None:
    with_layout(node, "debian")
    node.minor = 29
    assert refusal(node, {"readOnlyPort": 5}, layer="drop_in") == (
        "layer: kubelet 1.29 reads no drop-ins without being told to in its environment, and merges them otherwise than"
        " later ones; use layer: file (drop-ins from 1.30 on)"
    )
    node.minor = 30
    assert OWN_CONF in changes(node, {"readOnlyPort": 5}, layer="drop_in")


def test_no_drop_ins_without_a_file(node: KubeletNode) -> None:
    with_layout(node, "bare")
    assert refusal(node, {"readOnlyPort": 5}, layer="drop_in") == (
        "layer: kubelet.service starts the kubelet without --config, and drop-ins alone leave everything else at the"
        " defaults of a kubelet that has only flags; give it a configuration file first, see config_file"
    )


def test_a_directory_that_the_kubelet_does_not_get(node: KubeletNode) -> None:
    # Nothing takes the variable of our own drop-in any more.
    with_layout(
        node, "literal", {f"{DROP_INS}/95.conf": f"[Service]\nExecStart=\nExecStart=/k --config=ROOT/{CONFIG}\n"}
    )
    expected = (
        "settings.readOnlyPort: the kubelet would not read it from that layer; leave layer out, or set another one"
    )
    assert refusal(node, {"readOnlyPort": 5}, layer="drop_in") == expected


# ---- a kubelet with flags only

LEGACY = {
    "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
    "authorization": {"mode": "AlwaysAllow"},
    "readOnlyPort": 10255,
}
FLIPS = (
    "kubelet.service starts the kubelet without --config, and its first configuration file would refuse anonymous"
    " requests, ask the API server about every other one and close port 10255; set the same by flags, or "
)
ALL_KEYS = "authentication.anonymous.enabled, authentication.webhook.enabled, authorization.mode, readOnlyPort"


@pytest.mark.parametrize(
    ("settings", "config_file", "say"),
    [
        ({"maxPods": 5}, "", f"set config_file and say in settings what you want of these: {ALL_KEYS}"),
        ({"maxPods": 5}, "ROOT/new.yaml", f"say in settings what you want of these: {ALL_KEYS}"),
        ({**LEGACY, "readOnlyPort": None}, "", "set config_file"),
        (
            {"authorization": {"mode": "Webhook"}, "readOnlyPort": 0},
            "ROOT/new.yaml",
            "say in settings what you want of these: authentication.anonymous.enabled, authentication.webhook.enabled",
        ),
    ],
)
def test_a_first_file_that_would_flip_defaults_is_refused(
    node: KubeletNode, settings: dict[str, t.Any], config_file: str, say: str
) -> None:
    with_layout(node, "bare")
    assert refusal(node, settings, config_file=config_file) == FLIPS + say


def test_a_first_file_is_written_when_told_what_becomes_of_the_defaults(node: KubeletNode) -> None:
    with_layout(node, "bare")
    found = changes(node, {**LEGACY, "staticPodPath": "/etc/kubelet.d"}, config_file=f"ROOT/{CONFIG}")
    assert list(found) == [CONFIG, OWN]
    assert str(found[OWN]).endswith(
        f'Environment="KUBESTATIC_ARGS=--config=ROOT/{CONFIG}"\nExecStart=\nExecStart=/usr/bin/kubelet $KUBESTATIC_ARGS\n'
    )
    assert str(found[CONFIG]).startswith(HEAD)
    layers = node.setup().layers
    assert [one.value for one in layers.given(("authentication", "anonymous", "enabled"))] == [True]
    assert [one.value for one in layers.given(("staticPodPath",))] == ["/etc/kubelet.d"]


def test_a_file_that_waits_for_the_kubelet_is_kept(node: KubeletNode) -> None:
    with_layout(node, "bare", {CONFIG: f"# ours\n{HEAD}maxPods: 5\n"})
    found = changes(node, LEGACY, config_file=f"ROOT/{CONFIG}")
    assert str(found[CONFIG]).startswith(f"# ours\n{HEAD}maxPods: 5\nauthentication:\n")
    with_layout(node, "bare", {CONFIG: ""})
    (node.root / OWN).unlink()
    found = changes(node, LEGACY, config_file=f"ROOT/{CONFIG}")
    assert str(found[CONFIG]).startswith(HEAD)


def test_flags_of_a_kubelet_with_flags_only(node: KubeletNode) -> None:
    with_layout(node, "bare")
    assert list(changes(node, flags={"pod-manifest-path": "/etc/kubelet.d"})) == [OWN]
    # The flag is the setting, so nothing is left to do.
    assert changes(node, {"staticPodPath": "/etc/kubelet.d", "failSwapOn": None}) == {}


# ---- flags that shadow


def test_a_flag_shadows_a_setting(node: KubeletNode) -> None:
    with_layout(node, "literal")
    assert changes(node, {"staticPodPath": "/etc/kubelet.d"}) == {}
    where = f"--pod-manifest-path in ROOT/{FRAGMENT} line 2"
    for settings in ({"staticPodPath": "/other"}, {"staticPodPath": None}):
        assert refusal(node, settings) == (
            f"settings.staticPodPath: {where} overrides it; remove that flag, or set migrate: true to have it removed"
            " and the setting written"
        )
    assert refusal(node, {"staticPodPath": "/other"}, migrate=True) == (
        f"--pod-manifest-path stands in ROOT/{FRAGMENT} line 2, in the unit itself, which this collection does not edit; set"
        " ExecStart= without it in a drop-in of yours (systemctl edit kubelet.service)"
    )


def test_a_flag_is_moved_into_the_file(node: KubeletNode) -> None:
    with_layout(
        node,
        "kubeadm",
        {
            DEBIAN: 'KUBELET_EXTRA_ARGS="--pod-manifest-path=/a --node-ip=1.2.3.4"\n',
            KUBEADM_FLAGS: 'KUBELET_KUBEADM_ARGS="--pod-manifest-path=/b --v=2"\n',
        },
    )
    found = changes(node, {"staticPodPath": "/c"}, migrate=True)
    assert found == {
        DEBIAN: 'KUBELET_EXTRA_ARGS="--node-ip=1.2.3.4"\n',
        KUBEADM_FLAGS: 'KUBELET_KUBEADM_ARGS="--v=2"\n',
        CONFIG: CONFIG_TEXT.replace("/etc/kubernetes/manifests", "/c"),
    }


def test_a_flag_with_the_same_value_is_moved_as_well(node: KubeletNode) -> None:
    with_layout(node, "rhel", {RHEL: "KUBELET_EXTRA_ARGS=--read-only-port=5\n"})
    assert changes(node, {"readOnlyPort": 5}) == {}
    assert changes(node, {"readOnlyPort": 5}, migrate=True) == {
        RHEL: "KUBELET_EXTRA_ARGS=\n",
        CONFIG: f"{CONFIG_TEXT}readOnlyPort: 5\n",
    }


def test_a_flag_is_moved_away(node: KubeletNode) -> None:
    with_layout(node, "rhel", {RHEL: "KUBELET_EXTRA_ARGS=--pod-manifest-path=/a\n"})
    assert changes(node, {"staticPodPath": None}, migrate=True) == {
        RHEL: "KUBELET_EXTRA_ARGS=\n",
        CONFIG: CONFIG_TEXT.replace("staticPodPath: /etc/kubernetes/manifests\n", ""),
    }


def test_a_flag_that_is_the_only_one_goes_and_nothing_is_written(node: KubeletNode) -> None:
    with_layout(node, "rhel", {RHEL: f'KUBELET_EXTRA_ARGS="{DIR_FLAG} --read-only-port=5"\n'})
    node.drop_in("00-first.conf", "")
    assert changes(node, {"readOnlyPort": None}, migrate=True) == {RHEL: f'KUBELET_EXTRA_ARGS="{DIR_FLAG}"\n'}


def test_a_flag_goes_whose_value_the_file_has_already(node: KubeletNode) -> None:
    with_layout(node, "rhel", {RHEL: "KUBELET_EXTRA_ARGS=--pod-manifest-path=/a\n"})
    settings = {"staticPodPath": "/etc/kubernetes/manifests"}
    assert changes(node, settings, migrate=True) == {RHEL: "KUBELET_EXTRA_ARGS=\n"}


def test_a_flag_is_moved_into_a_drop_in(node: KubeletNode) -> None:
    with_layout(node, "rhel", {RHEL: f'KUBELET_EXTRA_ARGS="{DIR_FLAG} --read-only-port=5"\n'})
    node.drop_in("00-first.conf", "")
    assert changes(node, {"readOnlyPort": 6}, migrate=True) == {
        RHEL: f'KUBELET_EXTRA_ARGS="{DIR_FLAG}"\n',
        OWN_CONF: f"{HEAD}readOnlyPort: 6\n",
    }


def test_feature_gates_that_a_flag_names_shadow_one_by_one(node: KubeletNode) -> None:
    with_layout(node, "rhel", {RHEL: "KUBELET_EXTRA_ARGS=--feature-gates=A=true,C=true\n"})
    assert changes(node, {"featureGates": {"A": True, "B": False}}) == {}
    assert refusal(node, {"featureGates": {"A": False}}) == (
        f"settings.featureGates.A: --feature-gates in ROOT/{RHEL} line 1 overrides it; remove that flag, or set migrate:"
        " true to have it removed and the setting written"
    )
    assert list(changes(node, {"featureGates": {"B": True}})) == [CONFIG]


def test_all_that_a_flag_says_is_moved(node: KubeletNode) -> None:
    flags = (
        "--feature-gates=A=true,C=true --feature-gates=D=false"
        " --system-reserved=cpu=1,memory=1Gi --manifest-url-header=A:b,C:d"
    )
    with_layout(node, "rhel", {RHEL: f'KUBELET_EXTRA_ARGS="{flags}"\n', CONFIG: HEAD})
    settings = {
        "featureGates": {"A": False, "B": None},
        "systemReserved": {"cpu": "2"},
        "staticPodURLHeader": {"C": ["e"]},
    }
    changes(node, settings, migrate=True)
    assert node.argv() == [f"--config=ROOT/{CONFIG}"]
    (config,) = node.setup().layers.configs
    assert {key: value for key, value in config.data.items() if key not in ("apiVersion", "kind")} == {
        "featureGates": {"A": False, "C": True, "D": False},
        "systemReserved": {"cpu": "2", "memory": "1Gi"},
        "staticPodURLHeader": {"A": ["b"], "C": ["e"]},
    }


def test_a_flag_with_a_colon_in_its_value_is_no_map(node: KubeletNode) -> None:
    with_layout(node, "kubeadm")
    assert changes(node, {"containerRuntimeEndpoint": "unix:///run/b.sock"}, migrate=True) == {
        KUBEADM_FLAGS: 'KUBELET_KUBEADM_ARGS="--v=2"\n',
        CONFIG: f"{CONFIG_TEXT}containerRuntimeEndpoint: unix:///run/b.sock\n",
    }


def test_what_is_to_go_is_not_moved(node: KubeletNode) -> None:
    with_layout(node, "rhel", {RHEL: "KUBELET_EXTRA_ARGS=--feature-gates=A=true,C=true\n", CONFIG: HEAD})
    assert changes(node, {"featureGates": {"A": None}}, migrate=True) == {
        RHEL: "KUBELET_EXTRA_ARGS=\n",
        CONFIG: f"{HEAD}featureGates:\n  C: true\n",
    }


# ---- flags


def test_flags_and_settings_in_one_wish(node: KubeletNode) -> None:
    with_layout(node, "kubeadm")
    found = changes(node, {"staticPodPath": "/a"}, {"v": None, "node-ip": "1.2.3.4"})
    assert found == {
        DEBIAN: "KUBELET_EXTRA_ARGS=--node-ip=1.2.3.4\n",
        KUBEADM_FLAGS: 'KUBELET_KUBEADM_ARGS="--container-runtime-endpoint=unix:///run/crio.sock"\n',
        CONFIG: CONFIG_TEXT.replace("/etc/kubernetes/manifests", "/a"),
    }


def test_a_flag_in_the_file_that_was_asked_for(node: KubeletNode) -> None:
    with_layout(node, "kubeadm", {DEBIAN: "KUBELET_EXTRA_ARGS=--v=2\n"})
    assert list(changes(node, flags={"v": "4"}, flags_file=f"ROOT/{DEBIAN}")) == [DEBIAN]
    # The other file is read first, so that its variable is lost.
    assert refusal(node, flags={"v": "6"}, flags_file=f"ROOT/{KUBEADM_FLAGS}") == (
        f"flags.v: --v in ROOT/{DEBIAN} line 1 stands later on the command line and wins; change it there"
    )
    assert refusal(node, flags={"node-ip": "1.2.3.4"}, flags_file=f"ROOT/{KUBEADM_FLAGS}") == (
        "flags.node-ip: would not reach the kubelet, as something later than this collection's file sets the same variable"
        f" or ExecStart= (ROOT/{KUBEADM} line 9) does not use it; set the flag there"
    )


def test_the_flag_that_comes_with_a_first_file_goes_into_the_file_that_was_asked_for(node: KubeletNode) -> None:
    with_layout(node, "kubeadm")
    found = changes(node, {"readOnlyPort": 5}, layer="drop_in", flags_file=f"ROOT/{KUBEADM_FLAGS}")
    assert list(found) == [OWN_CONF, KUBEADM_FLAGS]
    (node.root / KUBEADM).unlink()
    lines = [f"EnvironmentFile=-ROOT/{name}" for name in (KUBEADM_FLAGS, DEBIAN)]
    node.unit("/usr/bin/kubelet $KUBELET_EXTRA_ARGS", *lines)
    node.write(KUBEADM_FLAGS, "")
    found = changes(node, LEGACY, config_file="ROOT/new.yaml", flags_file=f"ROOT/{KUBEADM_FLAGS}")
    assert list(found) == ["new.yaml", KUBEADM_FLAGS]


def test_a_later_flag_of_the_unit_wins(node: KubeletNode) -> None:
    node.unit("/usr/bin/kubelet $KUBELET_EXTRA_ARGS --v=2", f"EnvironmentFile=-ROOT/{DEBIAN}")
    assert refusal(node, flags={"v": "4"}) == (
        f"flags.v: --v in ROOT/{FRAGMENT} line 3 stands later on the command line and wins; change it there"
    )
    assert changes(node, flags={"v": "2"}) == {}


def test_a_flag_that_a_later_drop_in_of_the_unit_loses(node: KubeletNode) -> None:
    with_layout(node, "bare", {f"{DROP_INS}/95.conf": "[Service]\nExecStart=\nExecStart=/k\n"})
    assert refusal(node, flags={"v": "4"}) == (
        "flags.v: would not reach the kubelet, as something later than this collection's file sets the same variable or"
        f" ExecStart= (ROOT/{DROP_INS}/95.conf line 3) does not use it; set the flag there"
    )

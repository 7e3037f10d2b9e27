# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A kubelet's next start, and flags set and removed where the administrator's flags are."""

from __future__ import annotations

import pathlib

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_flag_edit import with_flag
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_setup import Setup
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.kubelet_node import (
    CONFIG,
    DEBIAN,
    DROP_INS,
    FRAGMENT,
    HEAD,
    KUBEADM,
    KUBEADM_FLAGS,
    LAYOUTS,
    OWN,
    RHEL,
    UNIT,
    KubeletNode,
    with_layout,
    with_usual_files,
)

CONFIG_FLAG = f"--config=ROOT/{CONFIG}"


@pytest.fixture
def node(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> KubeletNode:
    return with_usual_files(KubeletNode(tmp_path), monkeypatch)


def refusal(node: KubeletNode, setup: Setup, name: str, value: str | None, flags_file: str = "") -> str:
    with pytest.raises(KubestaticError) as caught:
        with_flag(setup, name, value, flags_file=flags_file)
    return node.inside(str(caught.value))


OWN_HEAD = "# Written by kubestatic.node.kubelet_config, which changes it, too.\n[Service]\n"


def own(args: str, start: str) -> str:
    return f'{OWN_HEAD}Environment="KUBESTATIC_ARGS={args}"\nExecStart=\nExecStart={start} $KUBESTATIC_ARGS\n'


# What a new flag --v=7 changes: layout, files beside it, file, its text
NEW_FLAGS: list[tuple[str, str, dict[str, str], str, str]] = [
    ("debian, no file yet", "debian", {}, DEBIAN, "KUBELET_EXTRA_ARGS=--v=7\n"),
    (
        "debian, a file with other things",
        "debian",
        {DEBIAN: '# ours\nOTHER=1\nKUBELET_EXTRA_ARGS="--node-ip=10.0.0.1" \n'},
        DEBIAN,
        '# ours\nOTHER=1\nKUBELET_EXTRA_ARGS="--node-ip=10.0.0.1 --v=7"\n',
    ),
    ("rhel", "rhel", {}, RHEL, "KUBELET_EXTRA_ARGS=--v=7\n"),
    ("another value", "debian", {DEBIAN: "KUBELET_EXTRA_ARGS=--v=2\n"}, DEBIAN, "KUBELET_EXTRA_ARGS=--v=7\n"),
    ("kubeadm", "kubeadm", {}, DEBIAN, "KUBELET_EXTRA_ARGS=--v=7\n"),
    ("bare", "bare", {}, OWN, own("--v=7", "/usr/bin/kubelet")),
    (
        "literal",
        "literal",
        {},
        OWN,
        own("--v=7", f"/usr/bin/kubelet    {CONFIG_FLAG}    --v=2    --pod-manifest-path=/etc/kubelet.d"),
    ),
    (
        "kubeadm, where another environment file gives the variable",
        "kubeadm",
        {
            KUBEADM_FLAGS: "KUBELET_KUBEADM_ARGS=\nKUBELET_EXTRA_ARGS=--node-ip=1.2.3.4\n",
        },
        KUBEADM_FLAGS,
        'KUBELET_KUBEADM_ARGS=\nKUBELET_EXTRA_ARGS="--node-ip=1.2.3.4 --v=7"\n',
    ),
    (
        "the unit itself gives the variable, and the file would win over it",
        "debian",
        {f"{DROP_INS}/10.conf": "[Service]\nEnvironment=KUBELET_EXTRA_ARGS=--node-ip=1.2.3.4\n"},
        DEBIAN,
        'KUBELET_EXTRA_ARGS="--node-ip=1.2.3.4 --v=7"\n',
    ),
    (
        "the file gives the variable twice, and the last one counts",
        "rhel",
        {RHEL: "KUBELET_EXTRA_ARGS=--v=1\nKUBELET_EXTRA_ARGS=--node-ip=1.2.3.4\n"},
        RHEL,
        'KUBELET_EXTRA_ARGS=--v=1\nKUBELET_EXTRA_ARGS="--node-ip=1.2.3.4 --v=7"\n',
    ),
    (
        "the file of the administrator's is not the last one",
        "bare",
        {
            FRAGMENT: f"[Service]\nEnvironmentFile=-ROOT/{DEBIAN}\nEnvironmentFile=-ROOT/other\n"
            "ExecStart=/usr/bin/kubelet $KUBELET_EXTRA_ARGS\n"
        },
        DEBIAN,
        "KUBELET_EXTRA_ARGS=--v=7\n",
    ),
    (
        "a unit that reads no file of the administrator's",
        "bare",
        {FRAGMENT: "[Service]\nExecStart=/usr/bin/kubelet $KUBELET_EXTRA_ARGS\n"},
        OWN,
        f'{OWN_HEAD}Environment="KUBELET_EXTRA_ARGS=--v=7"\n',
    ),
    (
        "a unit in which the variable is one word",
        "bare",
        {FRAGMENT: "[Service]\nExecStart=/usr/bin/kubelet ${KUBELET_EXTRA_ARGS}\n"},
        OWN,
        own("--v=7", "/usr/bin/kubelet ${KUBELET_EXTRA_ARGS}"),
    ),
]


@pytest.mark.parametrize(
    ("layout", "files", "path", "text"), [row[1:] for row in NEW_FLAGS], ids=[row[0] for row in NEW_FLAGS]
)
def test_a_flag_is_set_where_the_unit_looks(
    node: KubeletNode, layout: str, files: dict[str, str], path: str, text: str
) -> None:
    with_layout(node, layout, files)
    before = node.argv()
    new = with_flag(node.setup(), "v", "7")
    assert node.planned(new) == {path: text}
    expected = [word for word in before if word != "--v=2" or layout in ("literal", "kubeadm")]
    assert [word for word in node.argv(new) if word] == [*(word for word in expected if word), "--v=7"]
    # As systemd and the next run read it.
    node.carry_out(new)
    assert node.argv() == node.argv(new)
    again = node.setup()
    assert with_flag(again, "v", "7") is again


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "value",
    [
        "50%",
        "%H",
        "a b",
        "a  b",
        'say "x"',
        "it's",
        "\"'",
        "a\\b",
        "$HOME",
        "${HOME}",
        "a=b,c=d",
        "",
        "memory.available<10%",
        "x#y",
        "a\nb",
        "a\r\tb",
        "\u00e4",
    ],
)
def test_any_value_reaches_the_kubelet_in_one_piece(node: KubeletNode, layout: str, value: str) -> None:
    with_layout(node, layout)
    new = with_flag(with_flag(node.setup(), "node-labels", value), "root-dir", "/x y")
    assert new.unit.argv[-2:] == (f"--node-labels={value}", "--root-dir=/x y")
    node.carry_out(new)
    again = node.setup()
    assert again.unit.argv == new.unit.argv
    assert with_flag(with_flag(again, "node-labels", value), "root-dir", "/x y") is again
    # A third flag, and the first one gone, leave the others as they are.
    more = with_flag(with_flag(again, "v", "7"), "root-dir", None)
    assert more.unit.argv[-2:] == (f"--node-labels={value}", "--v=7")


def test_a_flag_that_is_there_in_another_way_is_left(node: KubeletNode) -> None:
    with_layout(node, "rhel", {RHEL: 'KUBELET_EXTRA_ARGS="--node_ip 1.2.3.4 --fail-swap-on"\n'})
    setup = node.setup()
    assert with_flag(setup, "node-ip", "1.2.3.4") is setup
    assert with_flag(setup, "fail-swap-on", "true") is setup
    new = with_flag(setup, "node-ip", "4.3.2.1")
    assert node.planned(new) == {RHEL: 'KUBELET_EXTRA_ARGS="--node-ip=4.3.2.1 --fail-swap-on"\n'}


def test_a_negative_number_behind_a_flag_is_its_value(node: KubeletNode) -> None:
    with_layout(node, "rhel", {RHEL: 'KUBELET_EXTRA_ARGS="--oom-score-adj -999 --v=2"\n'})
    new = with_flag(node.setup(), "oom-score-adj", "-998")
    assert node.planned(new) == {RHEL: 'KUBELET_EXTRA_ARGS="--oom-score-adj=-998 --v=2"\n'}
    assert node.planned(with_flag(new, "oom-score-adj", None)) == {RHEL: 'KUBELET_EXTRA_ARGS="--v=2"\n'}


def test_the_last_environment_file_that_gives_the_variable_is_used(node: KubeletNode) -> None:
    lines = ["EnvironmentFile=-ROOT/one", f"EnvironmentFile=-ROOT/{DEBIAN}", "EnvironmentFile=-ROOT/two"]
    node.unit("/usr/bin/kubelet $KUBELET_EXTRA_ARGS", *lines)
    node.write("one", "KUBELET_EXTRA_ARGS=\n")
    assert list(node.planned(with_flag(node.setup(), "v", "7"))) == ["one"]
    node.write("two", "KUBELET_EXTRA_ARGS=\n")
    assert list(node.planned(with_flag(node.setup(), "v", "7"))) == ["two"]


def test_a_file_that_is_asked_for_must_be_read(node: KubeletNode) -> None:
    with_layout(node, "kubeadm")
    new = with_flag(node.setup(), "v", "7", flags_file=node.path(f"etc//default/{pathlib.Path(DEBIAN).name}"))
    assert list(node.planned(new)) == [DEBIAN]
    new = with_flag(node.setup(), "v", "7", flags_file=node.path(KUBEADM_FLAGS))
    assert node.planned(new) == {
        KUBEADM_FLAGS: f"{LAYOUTS['kubeadm'][KUBEADM_FLAGS]}KUBELET_EXTRA_ARGS=--v=7\n",
    }
    message = (
        "flags_file: kubelet.service does not read KUBELET_EXTRA_ARGS from ROOT/{file}; leave flags_file out, then the"
        " flags go where the unit looks"
    )
    assert refusal(node, node.setup(), "v", "7", node.path("elsewhere")) == message.format(file="elsewhere")
    with_layout(node, "bare", {FRAGMENT: f"[Service]\nEnvironmentFile=-ROOT/{DEBIAN}\nExecStart=/usr/bin/kubelet\n"})
    (node.root / KUBEADM).unlink()
    assert refusal(node, node.setup(), "v", "7", node.path(DEBIAN)) == message.format(file=DEBIAN)


# ---- removal


def test_a_flag_is_removed_from_wherever_it_stands(node: KubeletNode) -> None:
    with_layout(node, "kubeadm", {DEBIAN: '# ours\nKUBELET_EXTRA_ARGS="--v=4 --node-ip=1.2.3.4 --v 5"\n'})
    new = with_flag(node.setup(), "v", None)
    assert node.planned(new) == {
        DEBIAN: '# ours\nKUBELET_EXTRA_ARGS="--node-ip=1.2.3.4"\n',
        KUBEADM_FLAGS: 'KUBELET_KUBEADM_ARGS="--container-runtime-endpoint=unix:///run/crio.sock"\n',
    }
    assert new.layers.flag("v") is None
    assert with_flag(new, "v", None) is new


def test_a_flag_is_removed_from_the_drop_in_of_our_own(node: KubeletNode) -> None:
    with_layout(node, "bare")
    node.carry_out(with_flag(with_flag(node.setup(), "v", "7"), "node-ip", "1.2.3.4"))
    assert node.read(OWN) == own("--v=7 --node-ip=1.2.3.4", "/usr/bin/kubelet")
    new = with_flag(node.setup(), "v", None)
    assert node.planned(new) == {OWN: own("--node-ip=1.2.3.4", "/usr/bin/kubelet")}
    new = with_flag(new, "node-ip", None)
    assert node.planned(new) == {OWN: own("", "/usr/bin/kubelet")}
    assert new.unit.argv == ("/usr/bin/kubelet",)


@pytest.mark.parametrize(
    ("layout", "name", "where", "what"),
    [
        ("literal", "v", f"ROOT/{FRAGMENT} line 2", "ExecStart="),
        ("kubeadm", "config", f"ROOT/{KUBEADM} line 4", "Environment="),
        ("kubeadm", "kubeconfig", f"ROOT/{KUBEADM} line 3", "Environment="),
    ],
)
def test_a_flag_of_the_unit_itself_is_not_removed(
    node: KubeletNode, layout: str, name: str, where: str, what: str
) -> None:
    with_layout(node, layout)
    assert refusal(node, node.setup(), name, None) == (
        f"--{name} stands in {where}, in the unit itself, which this collection does not edit; set {what} without it in a"
        " drop-in of yours (systemctl edit kubelet.service)"
    )


def test_a_flag_of_the_unit_is_not_removed_from_its_copy_in_our_drop_in(node: KubeletNode) -> None:
    with_layout(node, "literal")
    node.carry_out(with_flag(node.setup(), "root-dir", "/x"))
    assert refusal(node, node.setup(), "v", None).startswith(f"--v stands in ROOT/{OWN} line 5, in the unit itself")


def test_a_flag_whose_value_alone_is_a_variable_is_not_removed(node: KubeletNode) -> None:
    node.unit("/usr/bin/kubelet --node-ip=${IP}", "EnvironmentFile=ROOT/ip")
    node.write("ip", "\nIP=1.2.3.4\n")
    expected = "--node-ip cannot be removed from ROOT/ip line 2; remove it by hand"
    assert refusal(node, node.setup(), "node-ip", None) == expected


def test_nothing_is_removed_where_nothing_is(node: KubeletNode) -> None:
    setup = with_layout(node, "debian").setup()
    assert with_flag(setup, "v", None) is setup


# ---- files


def test_a_new_drop_in_counts_by_its_name(node: KubeletNode) -> None:
    with_layout(node, "kubeadm")
    for name, position in (("05-early.conf", 1), ("50-late.conf", 2)):
        path = node.path(f"{DROP_INS}/{name}")
        new = node.setup().with_file(path, "[Service]\nEnvironment=A=1\n")
        assert new.files.index(path) == position
        assert new.unit.environment["A"] == "1"
        assert new.with_file(path, "[Service]\n").files == new.files


def test_a_file_elsewhere_is_no_drop_in(node: KubeletNode) -> None:
    with_layout(node, "debian")
    new = node.setup().with_file(node.path(CONFIG), f"{HEAD}readOnlyPort: 5\n")
    assert new.files == node.setup().files
    assert [one.value for one in new.layers.given(("readOnlyPort",))] == [5]


def test_a_drop_in_behind_a_link_is_no_second_one(node: KubeletNode) -> None:
    with_layout(node, "bare")
    node.write("elsewhere.conf", "[Service]\nEnvironment=A=1\n")
    (node.root / DROP_INS).mkdir(parents=True)
    (node.root / DROP_INS / "10.conf").symlink_to(node.root / "elsewhere.conf")
    new = node.setup().with_file(node.path(f"{DROP_INS}/10.conf"), "[Service]\nEnvironment=A=2\n")
    assert new.files == node.setup().files
    assert new.unit.environment == {"A": "2"}
    assert list(node.planned(new)) == ["elsewhere.conf"]


def test_a_setup_knows_the_node(node: KubeletNode) -> None:
    with_layout(node, "debian")
    setup = node.setup()
    assert (setup.name, setup.unit_directory, setup.minor) == (UNIT, node.path(DROP_INS), 34)
    assert setup.layers.config_file == node.path(CONFIG)

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kubelet's unit: command lines and where their words come from, in the layouts that people have."""

from __future__ import annotations

import pathlib

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _kubelet_unit
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_unit import Directive, Unit
from ansible_collections.kubestatic.node.plugins.module_utils._node_files import Tree
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.kubelet_node import (
    DEBIAN,
    DROP_INS,
    FRAGMENT,
    KUBEADM,
    KUBEADM_FLAGS,
    RHEL,
    UNIT,
    KubeletNode,
)


@pytest.fixture
def node(tmp_path: pathlib.Path) -> KubeletNode:
    return KubeletNode(tmp_path)


def unit(node: KubeletNode, *, name: str = UNIT) -> Unit:
    return _kubelet_unit.read(node.unit_files, name=name, tree=Tree())


def words(node: KubeletNode) -> list[tuple[str, str, int, str]]:
    return [(node.inside(word.text), node.inside(word.path), word.line, word.variable) for word in unit(node).words]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[Service]\nA=b\n", [("Service", "A", "b", 2)]),
        ("[Service]\r\nA = b \r\n[Install]\r\nC=\r\n", [("Service", "A", "b", 2), ("Install", "C", "", 4)]),
        ("# A=0\n; A=1\n  # A=2\n[Service]\n\n  A=b=c d\n", [("Service", "A", "b=c d", 6)]),
        ("[Service]\nA=b \\\n  c\\\nd\nE=f\n", [("Service", "A", "b    c d", 2), ("Service", "E", "f", 5)]),
        ("[Service]\nA=b \\\n# no\n  ; no \\\nc\n", [("Service", "A", "b  c", 2)]),
        ("[Service]\n# no \\\nA=b\n", [("Service", "A", "b", 3)]),
        ("[Service]\nA=b \\\n\nC=d\n", [("Service", "A", "b", 2), ("Service", "C", "d", 4)]),
        ("[Service]\nA=b \\", [("Service", "A", "b", 2)]),
        ("[Service]\nA=b \\\n", [("Service", "A", "b", 2)]),
        ("[Service]\nA=b\\\\\nC=d\n", [("Service", "A", r"b\\", 2), ("Service", "C", "d", 3)]),
        ("[Service]\nA=b\\\\\\\nC=d\n", [("Service", "A", r"b\\ C=d", 2)]),
        ("[Service]\nA=b\x0cc\u2028d\x85\nE=f\n", [("Service", "A", "b\x0cc\u2028d", 2), ("Service", "E", "f", 3)]),
        ("A=b\n[Service] \nno assignment\n=c\n1=d\n", [("", "A", "b", 1)]),
        (" [Service]\rA=b\rC=d\r", [("Service", "A", "b", 2), ("Service", "C", "d", 3)]),
        ("", []),
    ],
)
def test_a_unit_file_is_read_as_systemd_reads_it(text: str, found: list[tuple[str, str, str, int]]) -> None:
    assert _kubelet_unit.directives(text) == [Directive(*one) for one in found]


CONFIG_FLAG = "--config=ROOT/var/lib/kubelet/config.yaml"
LITERAL = [
    ("/usr/bin/kubelet", f"ROOT/{FRAGMENT}", 2, ""),
    (CONFIG_FLAG, f"ROOT/{FRAGMENT}", 2, ""),
    ("--v=2", f"ROOT/{FRAGMENT}", 2, ""),
    ("--pod-manifest-path=/etc/kubelet.d", f"ROOT/{FRAGMENT}", 2, ""),
]


@pytest.mark.parametrize(
    ("layout", "files", "found"),
    [
        ("bare", {}, [("/usr/bin/kubelet", f"ROOT/{FRAGMENT}", 2, "")]),
        ("literal", {}, LITERAL),
        (
            "debian",
            {},
            [("/usr/bin/kubelet", f"ROOT/{FRAGMENT}", 6, ""), (CONFIG_FLAG, f"ROOT/{FRAGMENT}", 6, "")],
        ),
        (
            "rhel",
            {RHEL: "# ours\n\nKUBELET_EXTRA_ARGS='--v=4 --node-ip=10.0.0.1'\n"},
            [
                ("/usr/bin/kubelet", f"ROOT/{FRAGMENT}", 6, ""),
                (CONFIG_FLAG, f"ROOT/{FRAGMENT}", 6, ""),
                ("--v=4", f"ROOT/{RHEL}", 3, "KUBELET_EXTRA_ARGS"),
                ("--node-ip=10.0.0.1", f"ROOT/{RHEL}", 3, "KUBELET_EXTRA_ARGS"),
            ],
        ),
        (
            "kubeadm",
            {DEBIAN: "KUBELET_EXTRA_ARGS=--v=4"},
            [
                ("/usr/bin/kubelet", f"ROOT/{KUBEADM}", 9, ""),
                (
                    "--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf",
                    f"ROOT/{KUBEADM}",
                    3,
                    "KUBELET_KUBECONFIG_ARGS",
                ),
                ("--kubeconfig=/etc/kubernetes/kubelet.conf", f"ROOT/{KUBEADM}", 3, "KUBELET_KUBECONFIG_ARGS"),
                (CONFIG_FLAG, f"ROOT/{KUBEADM}", 4, "KUBELET_CONFIG_ARGS"),
                (
                    "--container-runtime-endpoint=unix:///run/crio.sock",
                    f"ROOT/{KUBEADM_FLAGS}",
                    1,
                    "KUBELET_KUBEADM_ARGS",
                ),
                ("--v=2", f"ROOT/{KUBEADM_FLAGS}", 1, "KUBELET_KUBEADM_ARGS"),
                ("--v=4", f"ROOT/{DEBIAN}", 1, "KUBELET_EXTRA_ARGS"),
            ],
        ),
    ],
)
def test_words_know_where_they_stand(
    tmp_path: pathlib.Path, layout: str, files: dict[str, str], found: list[tuple[str, str, int, str]]
) -> None:
    node = KubeletNode(tmp_path, layout)
    for name, text in files.items():
        node.write(name, text)
    assert words(node) == found


def test_what_a_layout_reads_and_names(tmp_path: pathlib.Path) -> None:
    node = KubeletNode(tmp_path, "kubeadm")
    found = unit(node)
    assert [node.inside(path) for path in found.files] == [f"ROOT/{FRAGMENT}", f"ROOT/{KUBEADM}"]
    assert [(node.inside(one.path), one.optional) for one in found.environment_files] == [
        (f"ROOT/{KUBEADM_FLAGS}", True),
        (f"ROOT/{DEBIAN}", True),
    ]
    assert found.references == (
        "KUBELET_KUBECONFIG_ARGS",
        "KUBELET_CONFIG_ARGS",
        "KUBELET_KUBEADM_ARGS",
        "KUBELET_EXTRA_ARGS",
    )
    assert found.exec_start[-1] == "$KUBELET_EXTRA_ARGS"
    assert found.exec_start_text.startswith("/usr/bin/kubelet $KUBELET_KUBECONFIG_ARGS ")
    assert found.argv[0] == "/usr/bin/kubelet"


def test_an_environment_file_wins_over_environment_and_the_last_one_over_all(node: KubeletNode) -> None:
    node.write("one", "A=file1\nB=file1\n")
    node.write("two", "A=first\nA=file2\n")
    node.unit(
        "/k $A $B $C",
        "EnvironmentFile=ROOT/one",
        "EnvironmentFile=ROOT//two",
        'Environment="A=unit" B=unit "C=unit 2"',
        "Environment=noassignment",
    )
    assert words(node)[1:] == [
        ("file2", "ROOT/two", 2, "A"),
        ("file1", "ROOT/one", 2, "B"),
        ("unit", f"ROOT/{FRAGMENT}", 4, "C"),
        ("2", f"ROOT/{FRAGMENT}", 4, "C"),
    ]
    assert unit(node).environment == {"A": "file2", "B": "file1", "C": "unit 2"}


def test_an_empty_assignment_takes_back_what_stood_before(node: KubeletNode) -> None:
    node.write("one", "A=1\n")
    node.unit("/old", "EnvironmentFile=ROOT/one", "Environment=B=1")
    node.write(f"{DROP_INS}/10.conf", "[Service]\nExecStart=\nEnvironment=\nEnvironmentFile=\nExecStart=/k $A $B\n")
    found = unit(node)
    assert found.argv == ("/k",)
    assert found.environment_files == ()
    assert found.environment == {}


def test_what_other_sections_say_is_not_meant(node: KubeletNode) -> None:
    node.unit("/k")
    node.write(f"{DROP_INS}/10.conf", "[Unit]\nExecStart=/other\n[Install]\nEnvironment=A=1\n")
    assert unit(node).argv == ("/k",)
    assert unit(node).environment == {}


def test_a_unit_without_a_command_is_refused(node: KubeletNode) -> None:
    node.unit("")
    node.write(f"{DROP_INS}/10.conf", "[Service]\nRestart=always\n")
    expected = (
        f"{UNIT} has no ExecStart=; systemd cannot start it, mend the unit in ROOT/{FRAGMENT}, ROOT/{DROP_INS}/10.conf"
    )
    with pytest.raises(KubestaticError) as caught:
        unit(node)
    assert node.inside(str(caught.value)) == expected


def test_a_unit_file_that_is_gone_says_nothing(node: KubeletNode) -> None:
    node.unit("/k")
    assert _kubelet_unit.read([*node.unit_files, node.path("none.conf")], name=UNIT, tree=Tree()).argv == ("/k",)


def test_an_environment_file_that_must_be_there(node: KubeletNode) -> None:
    node.unit("/k $A", "EnvironmentFile=ROOT/none")
    with pytest.raises(KubestaticError, match=r"/none is missing, and kubelet\.service does not start without it"):
        unit(node)
    node.unit("/k $A", "EnvironmentFile=-ROOT/none")
    assert unit(node).argv == ("/k",)


def test_environment_files_by_a_wildcard(node: KubeletNode) -> None:
    node.unit("/k $A $B", "EnvironmentFile=-ROOT/env.d/*.env")
    assert unit(node).argv == ("/k",)
    node.write("env.d/20.env", "A=--v=2\n")
    node.write("env.d/10.env", "A=--v=1\nB=--b\n")
    node.write("env.d/30.txt", "A=--v=3\n")
    assert unit(node).argv == ("/k", "--v=2", "--b")
    assert [node.inside(file.path) for file in unit(node).environment_files] == [
        "ROOT/env.d/10.env",
        "ROOT/env.d/20.env",
    ]


def test_files_of_a_unit_that_systemd_has_not_read_yet(node: KubeletNode, monkeypatch: pytest.MonkeyPatch) -> None:
    directories = [node.path(name) for name in ("etc", "run", "usr/lib", "lib")]
    monkeypatch.setattr(_kubelet_unit, "_UNIT_DIRECTORIES", tuple(directories))
    for name in (UNIT, f"{UNIT}.d/10-a.conf", f"{UNIT}.d/30-c.conf"):
        node.write(f"usr/lib/{name}", "")
    (node.root / "lib").symlink_to("usr/lib")
    known = [node.path(f"lib/{name}") for name in (UNIT, f"{UNIT}.d/10-a.conf", f"{UNIT}.d/30-c.conf")]

    def found() -> list[str]:
        return [node.inside(path) for path in _kubelet_unit.files_on_disk(UNIT, known)]

    assert found() == [node.inside(path) for path in known], "systemd's spelling stays"
    node.write(f"etc/{UNIT}.d/20-b.conf", "")
    node.write(f"run/{UNIT}.d/30-c.conf", "")
    node.write(f"etc/{UNIT}.d/40-d.conf.bak", "")
    (node.root / f"usr/lib/{UNIT}.d/10-a.conf").unlink()
    drop_ins = [f"ROOT/etc/{UNIT}.d/20-b.conf", f"ROOT/run/{UNIT}.d/30-c.conf"]
    assert found() == [f"ROOT/lib/{UNIT}", *drop_ins]
    node.write(f"etc/{UNIT}", "")
    assert found() == [f"ROOT/etc/{UNIT}", *drop_ins]


def test_a_planned_file_counts(node: KubeletNode) -> None:
    node.unit("/k $A", "EnvironmentFile=ROOT/new")
    tree = Tree().with_file(node.path("new"), "A=--v=7\n")
    assert _kubelet_unit.read(node.unit_files, name=UNIT, tree=tree).argv == ("/k", "--v=7")


@pytest.mark.parametrize(
    ("exec_start", "variable", "references"),
    [
        ("/k $A", "A", ("A",)),
        # A variable in braces is one word at most, so no place for flags.
        ("/k ${A}", "A", ()),
        ("/k --v=${A}", "A", ()),
        ("/k --v=$A", "", ()),
        ("/k $$A", "", ()),
        ("/k $${A}", "", ()),
        ("/k $B", "", ("B",)),
        ("/k ${B}", "", ()),
    ],
)
def test_which_variable_a_word_comes_from(
    node: KubeletNode, exec_start: str, variable: str, references: tuple[str, ...]
) -> None:
    node.unit(exec_start, "Environment=A=1")
    assert [word[3] for word in words(node)[1:]] == ([variable] if exec_start != "/k $B" else [])
    assert unit(node).references == references


@pytest.mark.parametrize(
    ("text", "argument"),
    [
        ("50%%", "50%"),
        ("%%H", "%H"),
        ("%n", "kubelet@blue.service"),
        ("%N", "kubelet@blue"),
        ("%p-%i", "kubelet-blue"),
        ("%H", "node1.example.com"),
        ("%l", "node1"),
        ("%Q", "%Q"),
        ("%", "%"),
    ],
)
def test_specifiers_are_put_in(node: KubeletNode, monkeypatch: pytest.MonkeyPatch, text: str, argument: str) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "node1.example.com")
    node.write(f"env-{argument}", "B=x%%\n")
    node.unit(f"/k --a={text} $A $B", f'Environment="A={text}"', f"EnvironmentFile=ROOT/env-{text}")
    # What stands in an environment file is no part of the unit.
    assert unit(node, name="kubelet@blue.service").argv == ("/k", f"--a={argument}", argument, "x%%")

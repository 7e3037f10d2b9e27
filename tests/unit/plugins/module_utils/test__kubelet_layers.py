# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every setting with the layer, file and line that gives it: flag over drop-in over file."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import (
    _kubelet_layers,
    _kubelet_mistakes,
    _kubelet_settings,
)
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_layers import Given, Layers
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_unit import Word
from ansible_collections.kubestatic.node.plugins.module_utils._node_files import Tree
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.kubelet_node import (
    CONF_D,
    CONFIG,
    HEAD,
    KubeletNode,
    as_given,
)

UNIT_PATH = "/unit"
CONFIG_FLAG, DIR_FLAG = f"--config=ROOT/{CONFIG}", f"--config-dir=ROOT/{CONF_D}"
BOTH = (CONFIG_FLAG, DIR_FLAG)
FILE_PATH = f"ROOT/{CONFIG}"


@pytest.fixture
def node(tmp_path: pathlib.Path) -> KubeletNode:
    return KubeletNode(tmp_path)


def layers(node: KubeletNode, *flags: str, tree: Tree | None = None) -> Layers:
    """The layers of a command line; its words stand in lines 1, 2, ... of the unit."""
    words = [Word(node.outside(text), UNIT_PATH, line) for line, text in enumerate(("/usr/bin/kubelet", *flags))]
    return _kubelet_layers.read(words, minor=node.minor, tree=tree or Tree())


def given(node: KubeletNode, key: str, *flags: str) -> list[tuple[t.Any, str, str, int, str]]:
    return as_given(node, layers(node, *flags).given(tuple(key.split("."))))


def problem(node: KubeletNode, *flags: str) -> str:
    """Why the kubelet does not start with its files, which it cannot be restarted into either."""
    found = layers(node, *flags)
    with pytest.raises(KubestaticError) as caught:
        _kubelet_mistakes.require_startable(found)
    assert list(found.problems) == [str(caught.value)]
    return node.inside(str(caught.value))


# ---- precedence


def test_a_flag_beats_drop_ins_and_they_beat_the_file(node: KubeletNode) -> None:
    node.config("staticPodPath: /file\n")
    node.drop_in("10.conf", "staticPodPath: /ten\n")
    node.drop_in("9.conf", "\nstaticPodPath: /nine\n")
    assert given(node, "staticPodPath", *BOTH, "--pod-manifest-path=/flag1", "--pod_manifest_path", "/flag2") == [
        ("/flag2", "flag", UNIT_PATH, 4, "pod-manifest-path"),
        ("/nine", "drop_in", f"ROOT/{CONF_D}/9.conf", 4, ""),
        ("/ten", "drop_in", f"ROOT/{CONF_D}/10.conf", 3, ""),
        ("/file", "file", FILE_PATH, 3, ""),
    ]


NULLS: list[tuple[str, str, str, list[t.Any]]] = [
    # file, drop-in, key, values from the strongest layer on
    ("staticPodPath: /file", "staticPodPath: null", "staticPodPath", [None, "/file"]),
    ("staticPodPath: null", "readOnlyPort: 1", "staticPodPath", []),
    ("staticPodPath: ''", "readOnlyPort: 1", "staticPodPath", [""]),
    ("authorization: {mode: Webhook}", "authorization: null", "authorization.mode", [None, "Webhook"]),
    ("authorization: {mode: Webhook}", "authorization: {}", "authorization.mode", ["Webhook"]),
    ("authorization: {mode: Webhook}", "authorization: {mode: null}", "authorization.mode", [None, "Webhook"]),
    ("authorization: null", "readOnlyPort: 1", "authorization.mode", []),
    ("clusterDNS: [a]", "clusterDNS: [b]", "clusterDNS", [["b"], ["a"]]),
    ("featureGates: {A: true}", "featureGates: {B: true}", "featureGates.A", [True]),
]


@pytest.mark.parametrize(("file", "drop_in", "key", "values"), NULLS)
def test_a_drop_in_is_a_merge_patch(node: KubeletNode, file: str, drop_in: str, key: str, values: list[t.Any]) -> None:
    node.config(f"{file}\n")
    node.drop_in("1.conf", f"{drop_in}\n")
    assert [one[0] for one in given(node, key, *BOTH)] == values


PARTS: list[tuple[list[str], str, list[t.Any]]] = [
    # Feature gates are merged one by one: a flag says nothing of those that it does not name.
    (["--feature-gates=B=true"], "featureGates.A", ["file"]),
    (["--feature-gates=A=false, B=true"], "featureGates.A", ["false", "file"]),
    (["--feature-gates=A=false,B=true"], "featureGates.B", ["true"]),
    (["--feature-gates=A=false", "--feature-gates=B=true"], "featureGates.A", ["false", "file"]),
    (["--feature-gates=A=false", "--feature-gates=A=true"], "featureGates.A", ["true", "file"]),
    (["--feature-gates=A=false"], "featureGates", ["A=false", {"A": "file"}]),
    # Any other map is replaced as a whole.
    (["--eviction-hard=nodefs.available<1%,memory.available<5Mi"], "evictionHard.m", [None, "file"]),
    (["--eviction-hard=nodefs.available<1%, m<5Mi"], "evictionHard.m", ["5Mi", "file"]),
    (["--system-reserved=cpu=1,memory=1Gi"], "systemReserved.memory", ["1Gi"]),
    (["--manifest-url-header=A:b=c,D:e"], "staticPodURLHeader.A", ["b=c"]),
    (["--cluster-dns=a,b"], "clusterDNS", ["a,b"]),
    # Lists and maps add up over all uses of the flag.
    (["--cluster-dns=a", "--cluster-dns=b"], "clusterDNS", ["a,b"]),
    (["--system-reserved=cpu=1", "--system-reserved=memory=1Gi"], "systemReserved.cpu", ["1"]),
    (["--max-pods=1", "--max-pods=2"], "maxPods", ["2"]),
]


@pytest.mark.parametrize(("flags", "key", "values"), PARTS)
def test_a_flag_that_is_a_map_gives_its_parts(
    node: KubeletNode, flags: list[str], key: str, values: list[t.Any]
) -> None:
    node.config("featureGates: {A: file}\nevictionHard: {m: file}\n")
    assert [one[0] for one in given(node, key, CONFIG_FLAG, *flags)] == values


def test_a_key_with_a_dot_is_one_part(node: KubeletNode) -> None:
    found = layers(node, "--eviction-hard=memory.available<5Mi")
    assert [one.value for one in found.given(("evictionHard", "memory.available"))] == ["5Mi"]


@pytest.mark.parametrize(
    ("flags", "uses"),
    [
        (["--v=2", "--config_x", "a"], [("v", "2"), ("config-x", "a")]),
        (["--v", "2"], [("v", "2")]),
        (["--fail-swap-on", "--v=2"], [("fail-swap-on", "true"), ("v", "2")]),
        (["--fail-swap-on", "false"], [("fail-swap-on", "true")]),
        (["--fail-swap-on=false"], [("fail-swap-on", "false")]),
        (["--no-such-flag", "--v=2"], [("no-such-flag", ""), ("v", "2")]),
        (["--oom-score-adj", "-999"], [("oom-score-adj", "-999")]),
        (["--node-labels="], [("node-labels", "")]),
        (["--node-labels=a=b,c=d"], [("node-labels", "a=b,c=d")]),
        (["-h", "word", "--", "--v=2"], [("v", "2")]),
        (["--v"], [("v", "")]),
    ],
)
def test_flags_are_read_as_pflag_reads_them(node: KubeletNode, flags: list[str], uses: list[tuple[str, str]]) -> None:
    assert [(use.name, use.value) for use in layers(node, *flags).flags] == uses


def test_the_last_use_of_a_flag_counts(node: KubeletNode) -> None:
    found = layers(node, "--v=2", "--v=4")
    use = found.flag("v")
    assert use and (use.value, use.word.line) == ("4", 2)
    assert found.flag("vmodule") is None


def test_all_keys_that_some_layer_gives(node: KubeletNode) -> None:
    node.config("staticPodPath: /a\nauthentication: {x509: {clientCAFile: /b}, webhook: {}}\n")
    node.drop_in("1.conf", "readOnlyPort: null\nstaticPodPath: /c\n")
    found = layers(node, *BOTH, "--v=2", "--fail-swap-on", "--anonymous-auth=false", "--no-such=1")
    assert found.keys() == [
        ("staticPodPath",),
        ("authentication", "x509", "clientCAFile"),
        ("authentication", "webhook"),
        ("readOnlyPort",),
        ("logging", "verbosity"),
        ("failSwapOn",),
        ("authentication", "anonymous", "enabled"),
    ]


# ---- which files


def test_a_kubelet_with_flags_only_has_no_files(node: KubeletNode) -> None:
    found = layers(node, "--v=2")
    assert (found.config_file, found.config_dir, found.configs) == ("", "", ())
    assert layers(node, "--config=", "--config-dir=").configs == ()


def test_relative_paths_begin_at_the_root(node: KubeletNode) -> None:
    path = node.config("readOnlyPort: 1\n")
    node.drop_in("1.conf", "readOnlyPort: 2\n")
    found = layers(node, f"--config={path[1:]}", f"--config-dir={node.path(CONF_D)[1:]}")
    assert (found.config_file, found.config_dir) == (path, node.path(CONF_D))
    assert [one.value for one in found.given(("readOnlyPort",))] == [2, 1]


def drop_ins(node: KubeletNode, tree: Tree | None = None) -> list[str]:
    found = _kubelet_settings.drop_ins(
        node.path(CONF_D), names=(tree or Tree()).names, is_directory=(tree or Tree()).is_directory
    )
    return [node.inside(path).partition(f"{CONF_D}/")[2] for path in found]


def test_which_drop_ins_are_read_and_in_which_order(node: KubeletNode) -> None:
    for name in ("20.conf", "100.conf", ".hidden.conf", "15/z.conf", "15/a.conf", "no.yaml", "no.conf~", "noconf"):
        node.drop_in(name, "")
    node.write("elsewhere/in.conf", HEAD)
    (node.root / CONF_D / "link.conf").symlink_to(node.root / "elsewhere/in.conf")
    (node.root / CONF_D / "linked").symlink_to(node.root / "elsewhere")
    # A kubelet tries to read this one as a file, and does not start.
    (node.root / CONF_D / "linked.conf").symlink_to(node.root / "elsewhere")
    assert drop_ins(node) == [
        ".hidden.conf",
        "100.conf",
        "15/a.conf",
        "15/z.conf",
        "20.conf",
        "link.conf",
        "linked.conf",
    ]
    tree = Tree().with_file(node.path(f"{CONF_D}/20.conf"), None).with_file(node.path(f"{CONF_D}/17/b.conf"), HEAD)
    assert drop_ins(node, tree) == [
        ".hidden.conf",
        "100.conf",
        "15/a.conf",
        "15/z.conf",
        "17/b.conf",
        "link.conf",
        "linked.conf",
    ]


def test_a_directory_that_is_a_link_has_no_drop_ins(node: KubeletNode) -> None:
    node.write("real.d/1.conf", HEAD)
    (node.root / CONF_D).parent.mkdir(parents=True)
    (node.root / CONF_D).symlink_to(node.root / "real.d")
    assert drop_ins(node) == []


# ---- what would keep a kubelet from starting


KIND_MESSAGE = (
    "the kubelet does not start with it, as it does not say apiVersion: kubelet.config.k8s.io/v1beta1 and kind:"
    " KubeletConfiguration; mend or remove it"
)
REFUSED: list[tuple[str, str]] = [
    ("a: [", "the kubelet's configuration is not readable YAML: "),
    (f"{HEAD}a: 1\na: 2\n", "a (line 4) stands there twice, and {effect}; remove one"),
    ("", KIND_MESSAGE),
    ("[]", KIND_MESSAGE),
    ("kind: KubeletConfiguration\n", KIND_MESSAGE),
    ("apiVersion: kubelet.config.k8s.io/v1beta1\n", KIND_MESSAGE),
    (HEAD.replace("v1beta1", "v1"), KIND_MESSAGE),
    (HEAD.replace("KubeletConfiguration", "Pod"), KIND_MESSAGE),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_a_file_that_a_kubelet_does_not_start_with(node: KubeletNode, text: str, message: str) -> None:
    node.write(CONFIG, text)
    expected = message.format(effect="the kubelet takes one of them")
    assert problem(node, CONFIG_FLAG).startswith(f"{FILE_PATH}: {expected}")
    node.config("")
    node.write(f"{CONF_D}/1.conf", text)
    expected = message.format(effect="the kubelet does not start with such a drop-in")
    assert problem(node, *BOTH).startswith(f"ROOT/{CONF_D}/1.conf: {expected}")


def test_a_file_that_is_missing(node: KubeletNode) -> None:
    expected = f"{FILE_PATH}: the kubelet's configuration is missing, and it does not start without it; put it there"
    assert problem(node, CONFIG_FLAG).startswith(expected)


def test_a_file_that_cannot_be_read(node: KubeletNode) -> None:
    (node.root / CONFIG).mkdir(parents=True)
    assert problem(node, CONFIG_FLAG) == f"{FILE_PATH}: cannot be read: Is a directory"


def test_a_directory_of_drop_ins_that_is_missing(node: KubeletNode) -> None:
    node.config("")
    assert problem(node, *BOTH).startswith(f"ROOT/{CONF_D}: the directory of --config-dir is missing")
    tree = Tree().with_file(node.path(f"{CONF_D}/1.conf"), HEAD)
    assert not layers(node, *BOTH, tree=tree).problems


def test_json_is_read_as_well(node: KubeletNode) -> None:
    node.write(
        CONFIG, '{"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration", "readOnlyPort": 5}'
    )
    assert [one[:2] for one in given(node, "readOnlyPort", CONFIG_FLAG)] == [(5, "file")]


# ---- mistakes


def test_mistakes_in_files_and_flags_are_told_with_their_effect(node: KubeletNode) -> None:
    node.config("staticPodPaht: /a\n")
    node.drop_in("1.conf", "readOnlyPort: many\n")
    found = layers(node, *BOTH, "--no-such-flag=1", "--v=2")
    assert [node.inside(str(one)) for one in _kubelet_mistakes.mistakes(found)] == [
        f'{FILE_PATH}: staticPodPaht: not a field that kubelet 1.34 knows; did you mean "staticPodPath"?; the kubelet ignores it',
        f"ROOT/{CONF_D}/1.conf: readOnlyPort: must be an integer, found the string 'many'; the kubelet does not start with it",
        (
            f"{UNIT_PATH} line 3: --no-such-flag is not a flag of kubelet 1.34; remove it or correct its name;"
            " the kubelet does not start with it"
        ),
    ]


def test_a_kubelet_is_not_restarted_into_a_mistake(node: KubeletNode) -> None:
    node.config("staticPodPaht: /a\n")
    _kubelet_mistakes.require_startable(layers(node, CONFIG_FLAG))
    flag = "--pod-infra-container-image=pause"
    _kubelet_mistakes.require_startable(layers(node, CONFIG_FLAG, flag))
    node.minor = 36
    with pytest.raises(KubestaticError) as caught:
        _kubelet_mistakes.require_startable(layers(node, CONFIG_FLAG, flag))
    assert str(caught.value) == (
        "the kubelet cannot be restarted: /unit line 2: --pod-infra-container-image is not a flag of kubelet 1.36; it was"
        " removed in 1.35; the kubelet does not start with it; mend that first"
    )
    # A kubelet that is newer than the tables may know more.
    node.minor = 38
    _kubelet_mistakes.require_startable(layers(node, CONFIG_FLAG, "--flag-of-tomorrow=1"))


# ---- values


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (Given("/a", "flag", "/unit", 3, "pod-manifest-path"), "--pod-manifest-path in /unit line 3"),
        (Given("/a", "file", "/config", 3), "/config line 3"),
        (Given("/a", "file", "/config", 0), "/config"),
    ],
)
def test_where_a_value_stands_as_text(given: Given, text: str) -> None:
    assert str(given) == text


def from_file(value: t.Any) -> Given:
    return Given(value, "file", "/config", 1)


def from_flag(value: str | None) -> Given:
    return Given(value, "flag", "/unit", 1, "x")


@pytest.mark.parametrize(
    ("wanted", "given", "same"),
    [
        (None, None, True),
        (1, None, False),
        (None, from_file(None), True),
        (1, from_file(None), False),
        (1, from_file(1), True),
        (1, from_file(2), False),
        (1, from_file(True), False),
        (1, from_file("1"), False),
        (None, from_file(1), False),
        (["a"], from_file(["a"]), True),
        ({}, from_file({}), True),
        ("/a", from_flag("/a"), True),
        ("/a", from_flag("/b"), False),
        ("", from_flag(""), True),
        (1, from_flag("1"), True),
        (None, from_flag("1"), False),
        (None, from_flag("None"), False),
        (None, from_flag(None), True),
        (True, from_flag("true"), True),
        (True, from_flag("T"), True),
        (True, from_flag("TRUE"), True),
        (False, from_flag("False"), True),
        (False, from_flag("true"), False),
        (["a", "b"], from_flag("a,b"), True),
        ({}, from_file({"a": 1}), True),
        ({}, None, False),
        ({}, from_file(1), False),
    ],
)
def test_a_value_that_is_wanted_is_the_one_that_is_given(wanted: t.Any, given: Given | None, same: bool) -> None:
    assert _kubelet_layers.same(wanted, given) is same


def test_the_pod_url_and_its_headers(node: KubeletNode) -> None:
    assert _kubelet_layers.pod_url(layers(node)) == ("", {})
    node.config("staticPodURL: http://file/\nstaticPodURLHeader: {A: [a], B: [b]}\n")
    assert _kubelet_layers.pod_url(layers(node, CONFIG_FLAG)) == ("http://file/", {"A": ["a"], "B": ["b"]})
    node.drop_in("10.conf", "staticPodURLHeader: {B: [c, d], C: [e]}\n")
    assert _kubelet_layers.pod_url(layers(node, *BOTH))[1] == {"A": ["a"], "B": ["c", "d"], "C": ["e"]}
    node.drop_in("20.conf", "staticPodURLHeader: {A: null}\n")
    assert _kubelet_layers.pod_url(layers(node, *BOTH))[1] == {"B": ["c", "d"], "C": ["e"]}
    node.drop_in("30.conf", "staticPodURLHeader: null\n")
    assert _kubelet_layers.pod_url(layers(node, *BOTH))[1] == {}


def test_headers_of_a_flag_count_alone(node: KubeletNode) -> None:
    node.config("staticPodURLHeader: {A: [a]}\n")
    flags = ("--manifest-url=http://flag/", "--manifest-url-header=B: x:y,B:z", "--manifest_url_header", "C:w")
    assert _kubelet_layers.pod_url(layers(node, CONFIG_FLAG, *flags)) == (
        "http://flag/",
        {"B": ["x:y", "z"], "C": ["w"]},
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (False, "false"),
        (1, "1"),
        ("a b", "a b"),
        (["a", 1, True], "a,1,true"),
        ({"A": True, "B": "c"}, "A=true,B=c"),
    ],
)
def test_a_value_as_a_flag(value: t.Any, text: str) -> None:
    assert _kubelet_layers.as_flag(value) == text


def test_parts_of_a_flag() -> None:
    found = _kubelet_layers.flag_parts("A = true , memory.available<5Mi,H:v=w, none ,E=")
    assert found == {"A": "true", "memory.available": "5Mi", "H": "v=w", "E": ""}


def test_leaves_are_what_is_no_mapping() -> None:
    data = {"a": {"b": 1, "c": {"d": [1]}}, "e": {}, "f": None}
    assert dict(_kubelet_layers.leaves(data)) == {("a", "b"): 1, ("a", "c", "d"): [1], ("e",): {}, ("f",): None}


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("a", (True, {"b": 1})),
        ("a.b", (True, 1)),
        ("a.c", (False, None)),
        ("a.b.c", (True, None)),
        ("x", (False, None)),
        ("n", (True, None)),
        ("n.x", (True, None)),
    ],
)
def test_looking_up_a_key(key: str, found: tuple[bool, t.Any]) -> None:
    assert _kubelet_layers.lookup({"a": {"b": 1}, "n": None}, tuple(key.split("."))) == found

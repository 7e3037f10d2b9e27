# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A YAML or JSON text after a few of its keys were changed: what has to differ does, and nothing else."""

from __future__ import annotations

import json
import random
import re
import typing as t

import pytest
import yaml
from ansible_collections.kubestatic.node.plugins.module_utils import _yaml
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._yaml_edit import merge, merged
from ansible_collections.kubestatic.node.plugins.module_utils._yaml_places import line_of

KUBEADM = """\
apiVersion: kubelet.config.k8s.io/v1beta1
authentication:
  anonymous:
    enabled: false
  webhook:
    cacheTTL: 0s
    enabled: true
cgroupDriver: systemd
clusterDNS:
- 10.96.0.10
clusterDomain: cluster.local
containerRuntimeEndpoint: ""
kind: KubeletConfiguration
memorySwap: {}
staticPodPath: /etc/kubernetes/manifests
"""

Case = t.Tuple[str, t.Dict[str, t.Any], str]


def cases(**table: Case) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("text", "patch", "expected"), list(table.values()), ids=list(table))


@cases(
    value_keeps_comment=("a: 1  # why\nb: 2\n", {"a": 3}, "a: 3  # why\nb: 2\n"),
    wide_gap=("a:    1\nbcd:  2\n", {"a": 3}, "a:    3\nbcd:  2\n"),
    tab_in_gap=("a:\t1\t# why\n", {"a": 3}, "a:\t3\t# why\n"),
    space_before_colon=("a : 1\n", {"a": 3}, "a : 3\n"),
    equal_value_keeps_spelling=(
        "a: 'x'  # c\nb: 0x10\nc: on\n",
        {"a": "x", "b": 16, "c": True, "d": 1},
        "a: 'x'  # c\nb: 0x10\nc: on\nd: 1\n",
    ),
    true_is_not_one=("a: 1\n", {"a": True}, "a: true\n"),
    text_that_reads_otherwise=("a: x\n", {"a": "on"}, 'a: "on"\n'),
    text_like_a_number=("a: x\n", {"a": "010"}, 'a: "010"\n'),
    text_like_a_date=("a: x\n", {"a": "2026-01-01"}, "a: '2026-01-01'\n"),
    quoted_key=("\"a\": 1\n'b c': 2\n", {"a": 3, "b c": 4}, "\"a\": 3\n'b c': 4\n"),
    key_that_reads_otherwise=("on: 1\n12: x\n", {"true": 2, "12": "y"}, 'on: 2\n12: "y"\n'),
    new_key_that_reads_otherwise=("a: 1\n", {"y": 2}, 'a: 1\n"y": 2\n'),
    nested=("a:\n    b:\n        c: 1\n    d: 2\n", {"a": {"b": {"c": 3}}}, "a:\n    b:\n        c: 3\n    d: 2\n"),
    null=("a:\nb:  # why\nc: 1\n", {"a": 1, "b": 2}, "a: 1\nb: 2  # why\nc: 1\n"),
    null_to_mapping=("a:  # why\n  # more\nb: 1\n", {"a": {"x": 1}}, "a:  # why\n  x: 1\n  # more\nb: 1\n"),
    null_in_words=("a: null\nb: ~ # c\n", {"a": 1, "b": "x"}, "a: 1\nb: x # c\n"),
    scalar_to_list=("a: 1  # why\nb: 2\n", {"a": [1, {"x": 2}]}, "a:  # why\n- 1\n- x: 2\nb: 2\n"),
    scalar_to_empty=("a: 1 # c\nb: 1\n", {"a": [], "b": {}}, "a: [] # c\nb: {}\n"),
    list_at_its_column=("a:\n- 1  # one\n- 2\n# end\nb: 1\n", {"a": [3]}, "a:\n- 3\n# end\nb: 1\n"),
    list_further_in=("a:\n    - 1\n    - 2\nb: 1\n", {"a": [3, 4]}, "a:\n    - 3\n    - 4\nb: 1\n"),
    list_with_comments=("a:  # x\n  # y\n\n  - 1\n  # z\nb: 1\n", {"a": [3]}, "a:  # x\n  # y\n\n  - 3\n  # z\nb: 1\n"),
    list_to_scalar=("a:  # x\n  # y\n- 1\nb: 1\n", {"a": "v"}, "a: v  # x\n  # y\nb: 1\n"),
    list_of_mappings=("a:\n- b: 1\n  c:\n  - 2\nd: 1\n", {"a": [{"b": 2}], "d": 2}, "a:\n- b: 2\nd: 2\n"),
    list_of_mappings_stays=("a:\n- b: 1 # c\n-\nd: 1\n", {"d": 2}, "a:\n- b: 1 # c\n-\nd: 2\n"),
    mapping_to_scalar=("a:  # x\n  b: 1\n\n# y\nc: 1\n", {"a": 1}, "a: 1  # x\n\n# y\nc: 1\n"),
    empty_mapping_to_block=("a: {}  # x\nb: 1\n", {"a": {"c": "d"}}, "a:  # x\n  c: d\nb: 1\n"),
    empty_list_to_block=("a: []\n", {"a": ["x", "y"]}, 'a:\n- x\n- "y"\n'),
    literal=("a: |\n  x\n  # no comment\n\n# c\nb: 1\n", {"a": "v"}, "a: v\n\n# c\nb: 1\n"),
    literal_with_comment=("a: |-  # why\n  x\nb: 1\n", {"a": "v"}, "a: v  # why\nb: 1\n"),
    literal_to_lines=("a: |  # why\n  x\nb: 1\n", {"a": "y\nz\n"}, 'a: "y\\nz\\n"  # why\nb: 1\n'),
    literal_that_keeps=("a: |+\n  x\n\nb: 1\n", {"a": "v"}, "a: v\nb: 1\n"),
    scalar_to_lines=("a: 1\nb: 1\n", {"a": "y\n\nz"}, 'a: "y\\n\\nz"\nb: 1\n'),
    folded_stays=("a: >-\n  x\n  y\n\n  z\nb: 1\n", {"b": 2}, "a: >-\n  x\n  y\n\n  z\nb: 2\n"),
    text_over_lines=("a: x\n  y\nb: 'x\n  y'  # c\n", {"a": 1, "b": 2}, "a: 1\nb: 2  # c\n"),
    value_on_next_line=("a:  # x\n  # y\n  1  # z\n", {"a": 2}, "a:  # x\n  # y\n  2  # z\n"),
    flow_list_over_lines=("a: [1,\n  2]  # c\nb: 1\n", {"a": [3]}, "a:  # c\n- 3\nb: 1\n"),
    tagged=(
        "a: !!str 1  # c\nb: !!map\n  c: 1\n",
        {"a": "x", "b": {"c": 2, "d": 3}},
        "a: x  # c\nb: !!map\n  c: 2\n  d: 3\n",
    ),
    non_ascii=("ä: 😀\nb: é # ü\n", {"b": "ñ\u3042", "ß": 1}, "ä: 😀\nb: ñ\u3042 # ü\nß: 1\n"),
    no_end_of_line=("a: 1\nb: 2", {"b": 3}, "a: 1\nb: 3"),
    no_end_of_line_and_lines=("a: 1\nb: 2", {"b": [3]}, "a: 1\nb:\n- 3\n"),
    other_documents_stay=("a: 1\n---\na: 1\n", {"a": 2, "b": 3}, "a: 2\nb: 3\n---\na: 1\n"),
    alias_replaced=("a: &x {b: 1}\nc: *x\n", {"c": 1}, "a: &x {b: 1}\nc: 1\n"),
    past_a_merge_key=(
        "a: &x\n  b: 1\nc:\n  <<: *x\n  d: 1\n",
        {"c": {"b": 2}},
        "a: &x\n  b: 1\nc:\n  <<: *x\n  d: 1\n  b: 2\n",
    ),
    last_of_repeated_keys=("a: 1\na: 2\n", {"a": 3}, "a: 1\na: 3\n"),
    key_after_question_mark=("? a\n: 1\n? b\n: 2\n", {"b": 3}, "? a\n: 1\n? b\n: 3\n"),
    repeated_key_elsewhere=("a: 1\na: 2\nb: 1\n", {"b": 2}, "a: 1\na: 2\nb: 2\n"),
)
def test_values_are_replaced(text: str, patch: dict[str, t.Any], expected: str) -> None:
    assert merged(text, patch) == expected


@cases(
    at_the_end=("a: 1\n", {"b": 2}, "a: 1\nb: 2\n"),
    no_end_of_line=("a: 1", {"b": 2}, "a: 1\nb: 2\n"),
    no_end_of_line_after_comment=("a: 1 # c", {"b": 2}, "a: 1 # c\nb: 2\n"),
    before_comments_at_the_end=("a: 1\n\n# end\n", {"b": 2}, "a: 1\nb: 2\n\n# end\n"),
    after_comments_of_the_last=("a:\n  b: 1\n  # c: 2\n# end\n", {"d": 2}, "a:\n  b: 1\n  # c: 2\nd: 2\n# end\n"),
    nested_before_its_comments=("a:\n  b: 1\n  # c: 2\n", {"a": {"d": 2}}, "a:\n  b: 1\n  d: 2\n  # c: 2\n"),
    in_the_middle=("a:\n   b: 1\n\nc: 1\n", {"a": {"d": {"e": []}}}, "a:\n   b: 1\n   d:\n     e: []\n\nc: 1\n"),
    list_and_mapping=(
        "a: 1\n",
        {"b": [{"c": 1, "d": 2}], "e": {"f": {"g": None, "h": 1}}},
        "a: 1\nb:\n- c: 1\n  d: 2\ne:\n  f:\n    h: 1\n",
    ),
    after_a_list=("a:\n- 1\n-\n", {"b": 2}, "a:\n- 1\n-\nb: 2\n"),
    after_null=("a:  # c\n", {"b": 2}, "a:  # c\nb: 2\n"),
    after_a_literal=("a: |\n  x\n\n# c\n", {"b": 2}, "a: |\n  x\nb: 2\n\n# c\n"),
    after_a_literal_that_keeps=("a: |+\n  x\n\n# c\n", {"b": 2}, "a: |+\n  x\n\nb: 2\n# c\n"),
    after_flow_over_lines=("a: {b: 1,\n  c: 2}  # c\n", {"d": 1}, "a: {b: 1,\n  c: 2}  # c\nd: 1\n"),
    after_an_alias=("a: &x 1\nb: *x\n", {"c": 1}, "a: &x 1\nb: *x\nc: 1\n"),
    indented_root=("  a: 1\n  b:\n    c: 1\n", {"d": [1]}, "  a: 1\n  b:\n    c: 1\n  d:\n  - 1\n"),
    document_marks=("---\na: 1\n...\n", {"b": 2}, "---\na: 1\nb: 2\n...\n"),
    lines=("a:\n  b: 1\n", {"a": {"c": "x\n\ny\n"}}, 'a:\n  b: 1\n  c: "x\\n\\ny\\n"\n'),
    windows=(
        "a: 1\r\n# c\r\nb:\r\n- 1\r\n",
        {"a": 2, "b": [2, 3], "d": "v"},
        "a: 2\r\n# c\r\nb:\r\n- 2\r\n- 3\r\nd: v\r\n",
    ),
    mixed_line_ends=(
        "a: 1\r\nb: |+\r\n  x\r\n\r\nc:\n- 1\r\nd: 1\n",
        {"a": [1], "c": 2, "e": 3},
        "a:\r\n- 1\nb: |+\r\n  x\r\n\r\nc: 2\nd: 1\ne: 3\n",
    ),
    byte_order_mark=("\ufeffa: 1\n", {"a": 2, "b": 3}, "\ufeffa: 2\nb: 3\n"),
    empty=("", {"b": {"c": 1}}, "b:\n  c: 1\n"),
    empty_and_more_keys=("", {"b": 1, "c": 2}, "b: 1\nc: 2\n"),
    blank=("\n\n", {"b": 1}, "\n\nb: 1\n"),
    comments_only=("# c\n\n# d", {"b": 1}, "# c\n\n# d\nb: 1\n"),
    mark_only=("---", {"b": 1}, "---\nb: 1\n"),
    mark_and_comment=("--- # c\n# d\n...\n", {"b": 1}, "--- # c\n# d\nb: 1\n...\n"),
    empty_before_another=("---\n---\nx: 1\n", {"b": 1}, "---\nb: 1\n---\nx: 1\n"),
    empty_windows=("# c\r\n", {"a": 1, "b": 1}, "# c\r\na: 1\r\nb: 1\r\n"),
    empty_byte_order_mark=("\ufeff", {"a": 1}, "\ufeffa: 1\n"),
    written_null=("# c\nnull\n# d\n", {"a": 1, "b": 2}, "# c\na: 1\nb: 2\n# d\n"),
    written_null_after_mark=("--- ~\n", {"a": 1}, "--- \na: 1\n"),
    empty_flow=("# c\n{}\n", {"a": 1}, "# c\na: 1\n"),
)
def test_keys_are_added(text: str, patch: dict[str, t.Any], expected: str) -> None:
    assert merged(text, patch) == expected


@cases(
    first=("a: 1  # c\nb: 2\n", {"a": None}, "b: 2\n"),
    last=("a: 1\nb: 2\n", {"b": None}, "a: 1\n"),
    no_end_of_line=("a: 1\nb: 2", {"b": None}, "a: 1\n"),
    comment_above_stays=("a: 1\n# on b\nb: 2\n\nc: 3\n", {"b": None}, "a: 1\n# on b\n\nc: 3\n"),
    with_its_lines=("a:\n  b:\n  - c: 1\n    # d\n  - 2\n# e\nf: 1\n", {"a": None}, "# e\nf: 1\n"),
    list_at_its_column=("a:\n- 1\n- 2\nb: 1\n", {"a": None}, "b: 1\n"),
    literal=("a: |\n  x\n\nb: 1\n", {"a": None}, "\nb: 1\n"),
    null=("a:\nb: 1\n", {"a": None}, "b: 1\n"),
    not_there=("a: 1\n", {"b": None, "c": {"d": None}}, "a: 1\nc: {}\n"),
    nothing_to_do=("a: {b: 1}", {"b": None, "a": {"c": None}}, "a: {b: 1}"),
    only_nested=("a:  # x\n  # y\n  b: 1\n  # z\nc: 1\n", {"a": {"b": None}}, "a: {}  # x\n  # y\n  # z\nc: 1\n"),
    only_nested_and_another=("a:\n  b: 1\n", {"a": {"b": None, "c": 2}}, "a:\n  c: 2\n"),
    all_nested=("a:\n  b: 1\n  c: 2\n", {"a": {"b": None, "c": None}}, "a: {}\n"),
    all=("a: 1\nb: 2\n", {"a": None, "b": None}, "{}\n"),
    all_below_a_comment=("# x\n  a: 1\n# y\n", {"a": None}, "# x\n{}\n# y\n"),
    all_above_a_comment=("a: 1\n# y\n", {"a": None}, "---\n{}\n# y\n"),
    all_of_a_document=("---\na: 1\n...\n", {"a": None}, "---\n{}\n...\n"),
    all_windows=("a: 1\r\n\r\n# c\r\n", {"a": None}, "---\r\n{}\r\n\r\n# c\r\n"),
    empty=("# c\n", {"a": None}, "# c\n"),
    anchor_without_use=("a: &x 1\nb: 1\n", {"a": None}, "b: 1\n"),
    alias=("a: &x 1\nb: *x # c\nc: 1\n", {"b": None}, "a: &x 1\nc: 1\n"),
    merge_key_stays=("a: &x {b: 1}\nc:\n  <<: *x\n  d: 1\n", {"c": {"d": None}}, "a: &x {b: 1}\nc:\n  <<: *x\n"),
)
def test_keys_are_removed(text: str, patch: dict[str, t.Any], expected: str) -> None:
    assert merged(text, patch) == expected


@cases(
    value=("a: {b: 1, c: [x]}  # c\n", {"a": {"b": 2}}, "a: {b: 2, c: [x]}  # c\n"),
    null=("a: {b, c: , d: 1}\n", {"a": {"b": 1, "c": 2}}, "a: {b: 1, c: 2, d: 1}\n"),
    text=("a: {b: x}\n", {"a": {"b": "y"}}, 'a: {b: "y"}\n'),
    added=("a: {b: 1,}\n", {"a": {"c": [1], "y": {"d": None}}}, 'a: {b: 1, c: [1], "y": {},}\n'),
    added_in_quotes=("a: {'b': 1}\n", {"a": {"c": 2}}, "a: {'b': 1, \"c\": 2}\n"),
    added_on_a_line=("a: {\n  b: 1,  # x\n  c: 2  # y\n}\n", {"a": {"d": {"e": 1}}}, 'a: {\n  b: 1,  # x\n  c: 2,\n  d: {\n    "e": 1\n  }  # y\n}\n'),
    into_empty=("a: {b: {}}\n", {"a": {"b": {"c": 1}}}, 'a: {b: {"c": 1}}\n'),
    first_removed=("a: {b: 1, c: 2, d: 3}\n", {"a": {"b": None}}, "a: {c: 2, d: 3}\n"),
    last_removed=("a: {b: 1, c: 2,}\n", {"a": {"c": None}}, "a: {b: 1,}\n"),
    middle_removed=("{b: 1,\n c: 2,\n d: 3}".join(["--- ", "\n"]), {"c": None}, "--- {b: 1,\n d: 3}\n"),
    two_removed=("a: {b: 1, c: 2, d: 3}\n", {"a": {"c": None, "d": None}}, "a: {b: 1}\n"),
    only_removed=("a: { b: 1, }  # c\n", {"a": {"b": None}}, "a: {}  # c\n"),
    whole=("a: {b: 1}\nc: 1\n", {"a": 1}, "a: 1\nc: 1\n"),
)  # fmt: skip
def test_flow_mappings(text: str, patch: dict[str, t.Any], expected: str) -> None:
    assert merged(text, patch) == expected


PRETTY = '{\n  "a": 1.0,\n  "b": [1, 2],\n  "c": {\n    "d": "#"\n  }\n}\n'


@cases(
    value=(PRETTY, {"a": 2}, PRETTY.replace("1.0", "2")),
    integer_for_float=(PRETTY, {"a": 1}, PRETTY.replace("1.0", "1")),
    equal=(PRETTY, {"a": 1.0, "b": [1, 2]}, PRETTY),
    nested=(PRETTY, {"c": {"d": "on\u2028"}}, PRETTY.replace('"#"', '"on\\u2028"')),
    added=(PRETTY, {"é": True}, PRETTY[:-3] + ',\n  "é": true\n}\n'),
    added_lines=(PRETTY, {"c": {"e": {"f": [1]}}}, PRETTY.replace('"#"', '"#",\n    "e": {\n      "f": [\n        1\n      ]\n    }')),
    removed=(PRETTY, {"a": None}, PRETTY.replace('"a": 1.0,\n  ', "")),
    last_removed=(PRETTY, {"c": None}, '{\n  "a": 1.0,\n  "b": [1, 2]\n}\n'),
    only_removed=(PRETTY, {"c": {"d": None}}, PRETTY.replace('{\n    "d": "#"\n  }', "{}")),
    one_line=('{"a":1,"b":{}}', {"a": None, "b": {"c": 1}, "d": [1]}, '{"b": {"c": 1}, "d": [1]}'),
    empty=(" {}", {"a": {"b": 1}}, ' {"a": {"b": 1}}'),
    emptied=('{"a": 1}\n', {"a": None}, "{}\n"),
    tabs=('{\n\t"a":\t1\n}\n', {"a": 2, "b": 3}, '{\n\t"a": 2,\n\t"b": 3\n}\n'),
    escapes=('{"\\u0061": "\\ud83d\\ude00\\/", "b": 1}', {"a": "x", "b": 2}, '{"\\u0061": "x", "b": 2}'),
    windows=('{\r\n  "a": 1\r\n}\r\n', {"b": [2]}, '{\r\n  "a": 1,\r\n  "b": [\r\n    2\r\n  ]\r\n}\r\n'),
    long_number=('{"a": ' + "1" * 390 + ', "b": 1}', {"b": 2}, '{"a": ' + "1" * 390 + ', "b": 2}'),
    repeated_key=('{"a": 1, "a": 2}', {"a": 3}, '{"a": 1, "a": 3}'),
)  # fmt: skip
def test_json_stays_json(text: str, patch: dict[str, t.Any], expected: str) -> None:
    found = merged(text, patch)
    assert found == expected
    assert json.loads(found) == merge(json.loads(text), patch)


def test_a_kubelet_configuration_of_kubeadm() -> None:
    patch = {
        "authentication": {"anonymous": {"enabled": None}, "webhook": {"enabled": False}},
        "clusterDNS": ["10.96.0.10", "fd00::10"],
        "memorySwap": {"swapBehavior": "LimitedSwap"},
        "evictionHard": {"memory.available": "200Mi"},
        "kind": "KubeletConfiguration",
    }
    assert merged(KUBEADM, patch) == (
        KUBEADM.replace("    enabled: false\n", "")
        .replace("anonymous:", "anonymous: {}")
        .replace("enabled: true", "enabled: false")
        .replace("- 10.96.0.10\n", "- 10.96.0.10\n- fd00::10\n")
        .replace("memorySwap: {}", "memorySwap:\n  swapBehavior: LimitedSwap")
        + "evictionHard:\n  memory.available: 200Mi\n"
    )
    assert merged(KUBEADM, {}) == merged(KUBEADM, {"cgroupDriver": "systemd", "memorySwap": {}}) == KUBEADM


OTHERWISE = (
    "within this text: the file would not be read as wanted, as with anchors, repeated keys or an unusual layout"
)
ELSEWHERE = "within this text: it belongs to an alias or a merge key (<<); edit it by hand"


@pytest.mark.parametrize(
    ("text", "patch", "message"),
    [
        ("a:\n\tb: 1\n", {"a": 1}, "YAML syntax error in line 2, column 1: "),
        ("{a: 1}", {"a": 1}, "JSON syntax error in line 1, column 2: "),
        ("# c\n- a\n", {"a": 1}, "line 2: there are no keys to set here"),
        ("a", {"a": 1}, "line 1: there are no keys to set here"),
        ("a: &x\n  b: 1\nc: *x\n", {"a": {"b": 2}}, f"line 2: a.b cannot be set {OTHERWISE}"),
        ("a: &x 1\nc: *x\n", {"a": None}, f"line 1: a cannot be removed {OTHERWISE}"),
        ("a: &x\n  b: 1\nc: *x\n", {"c": {"b": 2}}, f"line 3: c.b cannot be set {ELSEWHERE}"),
        ("a: &x\n  b: {c: 1}\nd:\n  <<: *x\n", {"d": {"b": {"c": 2}}}, f"line 3: d.b.c cannot be set {ELSEWHERE}"),
        ("a: &x\n  b: 1\nd:\n  <<: *x\n", {"d": {"b": None}}, f"line 3: d.b cannot be removed {ELSEWHERE}"),
        ("a: 1\na: 2\nb: 1\n", {"a": None}, f"line 2: a cannot be removed {OTHERWISE}"),
        ("!!int 1: 1\n", {"1": 2}, f"line 1: [1] cannot be set {OTHERWISE}"),
        ("a: {\n  b: 1,  # x\n  c: 2\n}\n", {"a": {"c": None}}, "line 3: a.c cannot be removed within this text: a comment"),
        ("b: 1\na: |\n  x", {"c": 1}, f"line 1: c cannot be set {OTHERWISE}"),
        ("b: 1\nc: &x 1\na: *x\n", {"b": [1], "d": 1, "c": None}, f"line 2: c cannot be removed {OTHERWISE}"),
        ("a: 1\n", {"a": float("nan")}, "the number nan cannot be written"),
    ],
)  # fmt: skip
def test_what_cannot_be_changed(text: str, patch: dict[str, t.Any], message: str) -> None:
    with pytest.raises(KubestaticError) as caught:
        merged(text, patch)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "patch", "expected"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_does_what_rfc_7386_has_in_its_appendix(data: t.Any, patch: t.Any, expected: t.Any) -> None:
    before = json.dumps([data, patch])
    assert merge(data, patch) == expected
    assert json.dumps([data, patch]) == before


@pytest.mark.parametrize(
    ("text", "path", "line"),
    [
        (KUBEADM, ["authentication", "webhook"], 5),
        (KUBEADM, ["authentication", "webhook", "enabled"], 7),
        (KUBEADM, ["authentication", "x509"], None),
        (KUBEADM, ["clusterDNS", "x"], None),
        (KUBEADM, [], None),
        ("\ufeff# c\r\na: 1\r\n'b': 1\r\n", ["b"], 3),
        ("\ufeffa: 1\nb: 1\n", ["b"], 2),
        ("a: 1\na: 2\n", ["a"], 2),
        (PRETTY, ["c", "d"], 5),
        ("", ["a"], None),
        ("a: [", ["a"], None),
    ],
)
def test_line_of(text: str, path: list[str], line: int | None) -> None:
    assert line_of(text, path) == line


# ---- random texts and patches

SCALARS = [
    *(
        "1",
        "0x1f",
        "on",
        "no",
        "~",
        "",
        "x",
        '"y"',
        "'it''s'",
        "a b",
        "2026-01-01",
        "1.50",
        "é",
        "{}",
        "[]",
        "[1, {a: 2}]",
    ),
    *('"a\\tb"', "{a: 1, b: {c: 2}}", "!!str 12", "- -".replace(" ", "") + "x"),
]
VALUES: list[t.Any] = [
    *(
        1,
        0,
        -1.5,
        1e21,
        True,
        False,
        "x",
        "on",
        "1",
        "",
        "a: b",
        "a #b",
        "é\u2028",
        "it's",
        '"',
        "x\ny\n",
        " x",
        "\n\n",
        "😀",
    ),
    *([], [1, None, {"a": {}}], {}, {"a": None}, {"a": {"b": [], "c": None}}, {"b": "y"}, [["x"], []]),
]
KEYS = ["a", "b", "c", "on", "1", "k8s.io/x", "é", "a b"]


class Writer:
    """Writes random block YAML with a comment, each with its own number, wherever there can be one."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.comments = 0

    def comment(self) -> str:
        self.comments += 1
        return f"# comment {self.comments}."

    def aside(self) -> str:
        return self.dice.choice([" ", "   "]) + self.comment() if self.dice.random() < 0.3 else ""

    def between(self, indentation: str) -> list[str]:
        choices = [[], [], [], [""], [indentation + self.comment()], ["", indentation + self.comment()]]
        return self.dice.choice(choices)

    def mapping(self, indentation: str, depth: int) -> list[str]:
        lines: list[str] = []
        for key in self.dice.sample(KEYS, self.dice.randint(1, 4)):
            lines += self.between(indentation)
            lines += self.entry(indentation, self.dice.choice([key, f'"{key}"']), depth)
        return lines + self.between(indentation)

    def entry(self, indentation: str, key: str, depth: int) -> list[str]:
        start, kind = f"{indentation}{key}:", self.dice.random()
        further = indentation + " " * self.dice.randint(1, 4)
        if depth and kind < 0.35:
            return [start + self.aside(), *self.between(further), *self.mapping(further, depth - 1)]
        if depth and kind < 0.5:
            place = self.dice.choice([indentation, further])
            items = [f"{place}- {self.dice.choice(SCALARS)}{self.aside()}" for _item in range(self.dice.randint(1, 3))]
            return [start + self.aside(), *items]
        if kind < 0.65:
            header = self.dice.choice(["|", ">", "|-", "|+", ">+"])
            return [
                f"{start} {header}{self.aside()}",
                further + "text",
                "",
                further + "# text",
                *self.dice.choice([[], [""]]),
            ]
        return [f"{start} {self.dice.choice(SCALARS)}{self.aside()}"]

    def text(self) -> str:
        root = " " * self.dice.choice([0, 0, 0, 2])
        lines = [*self.dice.choice([[], ["---"]]), *self.mapping(root, 3), *self.dice.choice([[], ["..."]]), ""]
        return self.dice.choice(["\n", "\n", "\r\n"]).join(lines)


def random_patch(dice: random.Random, data: dict[str, t.Any]) -> dict[str, t.Any]:
    patch: dict[str, t.Any] = {}
    for key in dice.sample(sorted({*data, *dice.sample(KEYS, 2)}), dice.randint(1, 2)):
        value = data.get(key)
        if isinstance(value, dict) and dice.random() < 0.7:
            patch[key] = random_patch(dice, value)
        else:
            patch[key] = dice.choice([None, *VALUES]) if dice.random() < 0.8 else value
    return patch


def comments(text: str) -> list[str]:
    return re.findall(r"# comment \d+\.", text)


def comments_that_may_go(data: t.Any, patch: t.Any, text: str, path: tuple[str, ...] = ()) -> set[str]:
    """Those on the lines of removed keys and of replaced lists and mappings, found with nothing but the indentation."""
    gone: set[str] = set()
    for key, value in patch.items():
        found = data.get(key)
        if isinstance(found, dict) and found and isinstance(value, dict):
            gone |= comments_that_may_go(found, value, text, (*path, key))
        elif key in data and (value is None or value != found):
            lines = text.split("\n")
            first = (line_of(text, (*path, key)) or 0) - 1
            column = len(lines[first]) - len(lines[first].lstrip())
            last = first + 1
            while last < len(lines) and re.match(rf" {{{column + 1}}}|\s*$| {{{column}}}(- |#)", lines[last]):
                last += 1
            gone |= set(comments("\n".join(lines[first + (value is not None) : last])))
    return gone


# There blank lines or comments would become a part of the | or > text above the removed key.
REFUSED = (110, 236)


@pytest.mark.parametrize("seed", range(400))
def test_random_texts_keep_their_comments(seed: int) -> None:
    dice = random.Random(seed)
    text = Writer(dice).text()
    for _round in range(3):
        data = _yaml.load(text).data
        patch = random_patch(dice, data)
        try:
            found = merged(text, patch)
        except KubestaticError:
            assert seed in REFUSED, (text, patch)
            return
        document = _yaml.load(found)
        assert document.data == merge(data, patch), (text, patch)
        assert not document.duplicate_keys
        assert set(comments(text)) - set(comments(found)) <= comments_that_may_go(data, patch, text), (
            text,
            patch,
            found,
        )
        assert merged(found, patch) == found, "the second time there is nothing left to change"
        assert ("\r\n" in found) == ("\r\n" in text) and found.count("\r\n") in (0, found.count("\n"))
        if not document.data or document.is_json:
            return
        text = found


@pytest.mark.parametrize("seed", range(200))
def test_random_json_stays_json(seed: int) -> None:
    dice = random.Random(seed)
    data = _yaml.load(Writer(dice).text()).data
    text = json.dumps(data, indent=dice.choice([None, 2, 4, "\t"]), ensure_ascii=dice.random() < 0.5)
    patch = random_patch(dice, data)
    found = merged(text, patch)
    assert json.loads(found) == merge(data, patch), (text, patch)
    assert merged(found, patch) == found


@pytest.mark.parametrize("seed", range(50))
def test_without_libyaml_the_same_is_written(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    dice = random.Random(seed)
    text = Writer(dice).text()
    patch = random_patch(dice, _yaml.load(text).data)
    expected = comments(merged(text, patch))
    monkeypatch.setattr(yaml, "__with_libyaml__", False)
    found = merged(text, patch)
    assert _yaml.load(found).data == merge(_yaml.load(text).data, patch)
    assert comments(found) == expected

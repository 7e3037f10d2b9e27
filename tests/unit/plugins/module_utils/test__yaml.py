# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""YAML as the kubelet reads it. That these expectations are the kubelet's is what test__judge.py shows."""

from __future__ import annotations

import datetime
import json
import typing as t

import pytest
import yaml
from ansible_collections.kubestatic.node.plugins.module_utils import _yaml, _yaml_dump
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError

SCALARS: list[tuple[str, t.Any]] = [
    ("y", True),
    ("N", False),
    ("Yes", True),
    ("off", False),
    ("oN", "oN"),
    ("~", None),
    ("null", None),
    ("nULL", "nULL"),
    ("", None),
    ("2026-01-01", "2026-01-01"),
    ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
    ("12:30:45", "12:30:45"),
    ("0o17", 15),
    ("017", 15),
    ("08", 8),
    ("0x1f", 31),
    ("0X1F", 31),
    ("0b11", 3),
    ("-0b11", -3),
    ("0b12", "0b12"),
    ("1_000", 1000),
    ("_1", "_1"),
    ("+1", 1),
    ("1e3", 1000),
    ("1.5", 1.5),
    (".5", 0.5),
    (".5_0", 0.5),
    (".5__0", ".5__0"),
    ("._5", "._5"),
    (".5e1_0", 5000000000),
    (".5_", ".5_"),
    ("1_0.5", 10.5),
    ("1.0", 1),
    ("1e400", "1e400"),
    ("1e21", 1e21),
    ("18446744073709551615", 18446744073709551615),
    ("18446744073709551616", 18446744073709552000),
    ("-9223372036854775808", -9223372036854775808),
    ("0xfffffffffffffffff", "0xfffffffffffffffff"),
    ("=", "="),
    ("<<", "<<"),
    ("1.2.3", "1.2.3"),
    ("!!str 12", "12"),
    ("!!timestamp 2026-01-01", "2026-01-01"),
    ('!!int "12"', 12),
    ("!!float 1", 1),
    ("!!binary aGk=", "hi"),
    ("!mine 12", "12"),
    ("! 12", "12"),
    ('"y"', "y"),
    ("'12'", "12"),
]


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_scalars(text: str, value: t.Any) -> None:
    found = _yaml.load(f"a: {text}\n").data["a"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("1", "1"),
        ("true", "true"),
        ("n", "false"),
        ("2026-01-01", "2026-01-01"),
        ("1.5", "1.5"),
        ("1.0", "1"),
        ("1e6", "1e+06"),
        ("0.1", "0.1"),
        ("1234567.5", "1.2345675e+06"),
        ("0.00001", "1e-05"),
        ("1e300", ".inf"),
        (".nan", ".nan"),
        ('"<<"', "<<"),
    ],
)
def test_keys_become_strings(text: str, key: str) -> None:
    assert _yaml.load(f"{text}: 0\n").data == {key: 0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "YAML syntax error in line 2, column 1: "),
        ("a:\n  b: 1\n c: 2\n", "YAML syntax error in line 3, column 2: "),
        ("a:\n\tb: 1\n", "indent with spaces"),
        ("a: \x00", "the character U+0000 is not allowed"),
        ("a: *x", "line 1, column 4: the anchor 'x' is not defined before this place"),
        ("a: &x [*x]", "the anchor 'x' contains itself"),
        ("a: .inf", "line 1, column 4"),
        ("a: .nan", "cannot be said in JSON"),
        ("? [a]\n: b", "a mapping or list cannot be a key"),
        ("~: b", "null cannot be a key"),
        ("a: {<<: 1}", "`<<` takes a mapping"),
        ("a: !!int x", "'x' cannot be read as !!int"),
        ("a: !!timestamp 2026-x", "cannot be read as !!timestamp"),
        ("a: !!binary '*'", "not valid base64"),
        ("%YAML 1.2\n---\na: 1", "%YAML 1.2 is not read"),
        ("- " * 1000 + "a", "levels deep"),
        ("{", "JSON syntax error in line 1, column 2: "),
        ('{"a": NaN}', "NaN is not a JSON value"),
        ('{"a": 1e400}', "out of range"),
        ('{"a": 1} b', "extra data"),
        ('{"a": 1,}', "JSON syntax error in line 1, column "),
        ("{a: 1}", "JSON syntax error"),
        ('{"a":' * 100_000, "deep"),
        ('{"a":' * 200 + "1" + "}" * 200, "deep"),
    ],
)
def test_what_cannot_be_read(text: str, message: str) -> None:
    with pytest.raises(KubestaticError) as caught:
        _yaml.load(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_alias_bomb_is_an_error() -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))
    with pytest.raises(KubestaticError, match="aliases"):
        _yaml.load(bomb)


def test_merge_overwrites_what_is_above_and_yields_to_what_is_below() -> None:
    document = _yaml.load("base: &b {a: 1, c: 1}\nd: {a: 0, <<: *b, c: 2}\ne: {<<: [{a: 1}, {a: 2, f: 3}]}\n")
    assert document.data["d"] == {"a": 1, "c": 2}
    assert document.data["e"] == {"a": 1, "f": 3}
    assert document.duplicate_keys == ("d.a (line 2)",)


def test_an_anchor_can_be_set_again() -> None:
    assert _yaml.load("a: &x 1\nb: &x 2\nc: *x\n").data == {"a": 1, "b": 2, "c": 2}


def test_duplicate_keys_are_reported_and_the_last_wins() -> None:
    text = "spec:\n  containers:\n  - name: a\n    image: b\n    image: c\n  labels: {a.b/c: 1, a.b/c: 2}\n"
    document = _yaml.load(text)
    assert document.data["spec"]["containers"][0]["image"] == "c"
    assert document.duplicate_keys == ("spec.containers[0].image (line 5)", "spec.labels[a.b/c] (line 6)")


def test_duplicate_keys_in_json() -> None:
    document = _yaml.load('{"spec": {"list": [{"a": 1, "a": 2}]}}')
    assert document.data == {"spec": {"list": [{"a": 2}]}}
    assert document.duplicate_keys == ("spec.list[0].a",)
    assert document.is_json


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("a: 1\n", False),
        ("---\na: 1\n", False),
        ("# comment\n---\na: 1\n---\n", False),
        ("a: 1\n---\n# only a comment\n", False),
        ("a: 1\n...\n", False),
        ("a: 1\n---\nb: 2\n", True),
        ("a: 1\n---\n---\nb: 2\n", True),
        ("a: 1\n---\nb: [\n", True),
        ("a: 1\n---\n\tb\n", True),
        ("a: 1\n--- !!str\n", True),
    ],
)
def test_only_the_first_document_counts(text: str, more: bool) -> None:
    document = _yaml.load(text)
    assert document.data == {"a": 1}
    assert document.has_more_documents is more


@pytest.mark.parametrize(("text", "more"), [("", False), ("# a\n", False), ("---\n---\na: 1\n", True), ("~", False)])
def test_an_empty_first_document(text: str, more: bool) -> None:
    document = _yaml.load(text)
    assert document.data is None
    assert document.has_more_documents is more


def test_json_numbers_keep_their_kind() -> None:
    data = _yaml.load(' \n{"a": 1.0, "b": 1, "c": "\\ud800", "d": "\\ud83d\\ude00"}').data
    assert data == {"a": 1.0, "b": 1, "c": "\ufffd", "d": "\U0001f600"}
    assert isinstance(data["a"], float)  # Go refuses 1.0 in JSON for an integer field; in YAML it arrives as 1


DUMPED: list[t.Any] = [
    *(text for text, dummy in SCALARS),
    *(text for text, dummy in SCALARS if text and not text.startswith(("!", "'", '"'))),
    "",
    " ",
    "a\n",
    "a\nb",
    "a\n\nb\n\n",
    "\n",
    "\n  a\n b\n",
    "  a\nb\n",
    "trailing  \nspace\n",
    "tab\tinside\nlines\n",
    "a: b",
    "a #b",
    "- a",
    "%a",
    "@a",
    "`a",
    "---",
    "...",
    "--- a\n...\n",
    "x\r\ny",
    "\x85",
    "a\u2028b\nc",
    "\ufeff",
    "\x00\x07",
    "\U0001f600",
    "ä" * 300,
    "word " * 100,
    "#!/bin/sh\nset -e\nexec foo \\\n  --bar\n",
    0,
    -1,
    1 << 63,
    0.5,
    1e21,
    1e-9,
    1.0,
    True,
    None,
    [],
    {},
    [[], {}, [{"a": [1]}]],
]


@pytest.mark.parametrize("value", DUMPED, ids=repr)
@pytest.mark.parametrize("as_json", [True, False])
def test_what_is_written_is_read_back(value: t.Any, as_json: bool) -> None:
    for data in ({"key": value}, {"key": [value, {"key": value}]}, [value]):
        text = _yaml_dump.dump(data, as_json=as_json)
        assert text.endswith("\n")
        assert (json.loads(text) if as_json else yaml.safe_load(text)) == data
        if not (as_json and isinstance(data, list)):  # the kubelet reads a JSON list as YAML
            assert _yaml.load(text).data == data


@pytest.mark.parametrize("key", ["y", "1", "1e3", "12:30", "<<", "=", "~", "", "a b", "a: b", "k8s.io/x", "0o7"])
def test_keys_are_read_back(key: str) -> None:
    text = _yaml_dump.dump({key: 1}, as_json=False)
    assert _yaml.load(text).data == {key: 1} == yaml.safe_load(text)


def test_written_yaml_looks_as_people_write_it() -> None:
    data = {"spec": {"b": "8080", "a": ["x", "y"], "script": "one\ntwo\n", "on": False}}
    assert _yaml_dump.dump(data, as_json=False) == (
        'spec:\n  b: "8080"\n  a:\n  - x\n  - "y"\n  script: |\n    one\n    two\n  "on": false\n'
    )


def test_written_json() -> None:
    assert _yaml_dump.dump({"a": ["ä"]}, as_json=True) == '{\n  "a": [\n    "ä"\n  ]\n}\n'


def test_shared_parts_are_written_out() -> None:
    assert "*" not in _yaml_dump.dump(_yaml.load("a: &x {b: 1}\nc: *x\n").data, as_json=False)


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), datetime.date(2026, 1, 1), object(), {None: 1}, "\ud800"]
)
@pytest.mark.parametrize("as_json", [True, False])
def test_what_cannot_be_written(value: t.Any, as_json: bool) -> None:
    with pytest.raises(KubestaticError):
        _yaml_dump.dump({"a": value}, as_json=as_json)


def test_strings_of_other_types_are_plain_strings() -> None:
    class Tagged(str):
        pass

    assert _yaml_dump.dump({Tagged("a"): Tagged("b"), 1: (1, 2)}, as_json=False) == 'a: b\n"1":\n- 1\n- 2\n'


def test_without_libyaml_the_same_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"a: {text}\n" for text, dummy in SCALARS]
    texts += ["a: &x {b: 1}\nc: {<<: *x, d: [*x]}\n", "a: 1\n---\nb: 2\n", "- a\n- b: |\n    c\n"]
    fast = [_yaml.load(text) for text in texts]
    monkeypatch.setattr(yaml, "__with_libyaml__", False)
    assert [_yaml.load(text) for text in texts] == fast
    with pytest.raises(KubestaticError, match="line 2, column"):
        _yaml.load("a: b\n c: d\n")
    assert yaml.safe_load(_yaml_dump.dump({"a": "y\n"}, as_json=False)) == {"a": "y\n"}


def test_json_is_read_without_pyyaml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "yaml", None)
    assert _yaml.load(json.dumps({"a": 1})).data == {"a": 1}
    with pytest.raises(KubestaticError, match="python3-yaml"):
        _yaml.load("a: 1")

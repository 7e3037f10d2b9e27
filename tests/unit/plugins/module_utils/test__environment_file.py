# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Environment files and command lines as systemd reads them, and changes to one variable and to flags in it."""

from __future__ import annotations

import random
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _environment_edit, _environment_file
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_settings import parse_flags

# An environment file -> the variables that a service gets from it. The same in every systemd since 246 at least.
FILES: list[tuple[str, dict[str, str]]] = [
    ("", {}),
    ("\n \t\n", {}),
    ("A=1\nB=2\n", {"A": "1", "B": "2"}),
    ("A=1", {"A": "1"}),
    ("A=", {"A": ""}),
    ("A=\n", {"A": ""}),
    ("A=1\nB=2\nA=3\n", {"A": "3", "B": "2"}),
    ("A=1\nA=\n", {"A": ""}),
    # As kubeadm and the packages write them.
    ('KUBELET_KUBEADM_ARGS="--node-ip=10.0.0.1 --v=2"\n', {"KUBELET_KUBEADM_ARGS": "--node-ip=10.0.0.1 --v=2"}),
    ("KUBELET_EXTRA_ARGS=\n", {"KUBELET_EXTRA_ARGS": ""}),
    ("KUBELET_EXTRA_ARGS=--a=b --c=d\n", {"KUBELET_EXTRA_ARGS": "--a=b --c=d"}),
    ("KUBELET_EXTRA_ARGS=\"--node-labels=a=b --foo='x y'\"\n", {"KUBELET_EXTRA_ARGS": "--node-labels=a=b --foo='x y'"}),
    # Comments, and lines that are no assignment.
    ("# A=1\n; B=2\n  # C=3\nD=4\n", {"D": "4"}),
    ("#A='\nB=1\n", {"B": "1"}),
    ("A=1 # one\n", {"A": "1 # one"}),
    ('A="1" # one\n', {"A": "1# one"}),
    ("A=#1;2\n", {"A": "#1;2"}),
    ("A\nB=1\n", {"B": "1"}),
    ("just words\nB=1", {"B": "1"}),
    # Names.
    ("export A=1\nB=2\n", {"B": "2"}),
    ("1A=1\nA-B=2\nA.B=3\n=4\nÄ=5\n_a1=6\n", {"_a1": "6"}),
    ("\ufeffA=1\nB=2\n", {"B": "2"}),
    # White space around names and values.
    ("  A \t=\t 1 \t\n", {"A": "1"}),
    ("A=1  2\t3\n", {"A": "1  2\t3"}),
    ("A=\u00a01\u00a0\n", {"A": "\u00a01\u00a0"}),
    ("A=1\\ \n", {"A": "1 "}),
    ("A=1 \\  \n", {"A": "1  "}),
    ('A=" 1 " \n', {"A": " 1 "}),
    # Quotes: only those at the beginning, and those that follow them.
    ("A=x'y'\"z\"\n", {"A": "x'y'\"z\""}),
    ("A='x y' \"z\"\n", {"A": "x yz"}),
    ("A='x'y'z'\n", {"A": "xy'z'"}),
    ("A=\"x 'y' z\"\n", {"A": "x 'y' z"}),
    ("A='x \"y\" z'\n", {"A": 'x "y" z'}),
    ('A="x \\"y\\" z"\n', {"A": 'x "y" z'}),
    ("A=''\n", {"A": ""}),
    ('A="1\n2"\nB=3\n', {"A": "1\n2", "B": "3"}),
    ("A='1\n# 2'\nB=3\n", {"A": "1\n# 2", "B": "3"}),
    ('A="1\nB=2\n', {"A": "1\nB=2\n"}),
    ("A='1\nB=2", {"A": "1\nB=2"}),
    # Backslashes.
    ('A=x\\y\\\\z\\"\n', {"A": 'xy\\z"'}),
    ('A="\\a \\\\ \\$ \\` \\""\n', {"A": '\\a \\ $ ` "'}),
    ("A='\\a \\\\'\n", {"A": "\\a \\\\"}),
    ("A=\\'x\n", {"A": "'x"}),
    ("A=$B ${B} `b`\n", {"A": "$B ${B} `b`"}),
    ("A=x\\", {"A": "x"}),
    ('A="x\\', {"A": "x"}),
    # Lines that go on.
    ("A=1 \\\n  2\nB=3\n", {"A": "1   2", "B": "3"}),
    ("A=\\\n  1\n", {"A": "  1"}),
    ('A="1 \\\n2"\n', {"A": "1 2"}),
    ("A='1 \\\n2'\n", {"A": "1 \\\n2"}),
    ("A=1\\\n# 2\n", {"A": "1# 2"}),
    ('A="1"\\\n"2"\n', {"A": '1"2"'}),
    ("A=1\\\n\nB=2\n", {"A": "1", "B": "2"}),
    # Other line ends.
    ('A=1\r\nB="2"\r\n\r\n# C=3\r\nD=4\r\n', {"A": "1", "B": "2", "D": "4"}),
    ("A=1\rB=2\r", {"A": "1", "B": "2"}),
    ("A=1 \\\r\nB=2\n", {"A": "1 ", "B": "2"}),
    ('A="1\r\n2"\n', {"A": "1\r\n2"}),
    ("A=1\u20282\u00853\n", {"A": "1\u20282\u00853"}),
    ("A=Käse 日本 😀\n", {"A": "Käse 日本 😀"}),
]

# The value of a variable -> the words that $VARIABLE becomes.
VALUES: list[tuple[str, list[str]]] = [
    ("", []),
    (" \t\r\n", []),
    ("--a=b", ["--a=b"]),
    (" --a=b \t--c\n--d ", ["--a=b", "--c", "--d"]),
    ("--node-labels=a=b --foo='x y'", ["--node-labels=a=b", "--foo=x y"]),
    ("'--foo=x y' \"--bar=x y\"", ["--foo=x y", "--bar=x y"]),
    ("a'b c'd\"e f\"", ["ab cde f"]),
    ("''", [""]),
    ("a \"\" ''b", ["a", "", "b"]),
    ('"it\'s" \'say "x"\'', ["it's", 'say "x"']),
    ("a\\ b \\'c \\\\d", ["a b", "'c", "\\d"]),
    ("'a\\'b' \"a\\\"b\\c\"", ["a'b", 'a"bc']),
    ("\\x41\\n", ["x41n"]),
    ("'a b", ["a b"]),
    ("a \"b 'c", ["a", "b 'c"]),
    ("a\\", ["a"]),
    ("a \\", ["a", ""]),
    ("'a\\", ["a"]),
    ("a\\\nb", ["a\nb"]),
    ("$B ${B} $$ # ; a", ["$B", "${B}", "$$", "#", ";", "a"]),
    ("a\u00a0b\u2003c\x0bd\x0ce", ["a\u00a0b\u2003c\x0bd\x0ce"]),
    ("Käse 日本", ["Käse", "日本"]),
]

ENVIRONMENT = {"ARGS": "--a='x y' --b", "EMPTY": "", "ONE": "one", "DOLLAR": "$ONE ${ONE} $$"}

# Words of ExecStart= -> argv with ENVIRONMENT.
EXPANSIONS: list[tuple[list[str], list[str]]] = [
    (["k"], ["k"]),
    (["k", "$ARGS", "$ONE"], ["k", "--a=x y", "--b", "one"]),
    (["k", "${ARGS}", "x${ONE}y${ONE}"], ["k", "--a='x y' --b", "xoneyone"]),
    (["k", "$EMPTY", "${EMPTY}", "a${EMPTY}"], ["k", "", "a"]),
    (["k", "$UNSET", "${UNSET}", "a${UNSET}b"], ["k", "", "ab"]),
    (["k", "$DOLLAR", "${DOLLAR}"], ["k", "$ONE", "${ONE}", "$$", "$ONE ${ONE} $$"]),
    (["k", "$$ONE", "a$$b", "$$", "$${ONE}"], ["k", "$ONE", "a$b", "$", "${ONE}"]),
    (["k", "a$ONE", "$ONE$ONE", "$ONE/x", "$"], ["k", "a$ONE"]),
    (["k", "${ONE", "${ONE:-x}", "${}", "a$"], ["k", "${ONE", "${ONE:-x}", "", "a$"]),
    (["k", "${ONE:${ONE}", "$a${ONE}"], ["k", "${ONE:one"]),
]

# ExecStart= in a unit file -> its words.
EXEC_STARTS: list[tuple[str, list[str]]] = [
    ("", []),
    (
        "/usr/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_EXTRA_ARGS",
        ["/usr/bin/kubelet", "$KUBELET_KUBECONFIG_ARGS", "$KUBELET_EXTRA_ARGS"],
    ),
    (" /k  --a \t", ["/k", "--a"]),
    ("-/k a", ["/k", "a"]),
    ("+/k a", ["/k", "a"]),
    ("!!/k a", ["/k", "a"]),
    ("-+/k -a", ["/k", "-a"]),
    ("@/k name a", ["name", "a"]),
    ("-@/k name a", ["name", "a"]),
    (":/k $A ${B} c", ["/k", "$$A", "$${B}", "c"]),
    ('"/my k" a', ["/my k", "a"]),
    ('"-/my k" a', ["/my k", "a"]),
    ("/k 'a b' \"c d\" e'f g'", ["/k", "a b", "c d", "ef g"]),
    ("/k %i %% %H", ["/k", "%i", "%%", "%H"]),
    (r"/k a\sb \x41 \101 \u00e4 \U0001F600 \t \\ \"", ["/k", "a b", "A", "A", "ä", "😀", "\t", "\\", '"']),
    (r"/k \xc3\xa4 '\xc3'\xa4", ["/k", "ä", "ä"]),
    (r"/k \q \x4z \x00 \u0000 \777 \400", ["/k", r"\q", r"\x4z", r"\x00", r"\u0000", r"\777", r"\400"]),
    (r"/k \ud800 \U00110000", ["/k", r"\ud800", r"\U00110000"]),
    (r"/k '\x4'1", ["/k", r"\x41"]),
    ("/k a ; /l b", ["/k", "a"]),
    (r"/k a \; b;c ';'", ["/k", "a", ";", "b;c", ";"]),
    ("/k \\\n    --a \\\n--b", ["/k", "--a", "--b"]),
    ("/k \\\n# --a\n  ; --b\n  --c", ["/k", "--c"]),
    ("/k a \\\n# b", ["/k", "a"]),
    ("/k 'a \\\n  b'", ["/k", "a    b"]),
    ("/k a\\\\\\\n b", ["/k", "a\\", "b"]),
    ("/k a \\", ["/k", "a"]),
]

# Value, flags to set or remove -> value.
FLAGS: list[tuple[str, dict[str, str | None], str]] = [
    ("", {}, ""),
    ("  ", {"a": None}, "  "),
    ("", {"a": "1", "b": "2"}, "--a=1 --b=2"),
    ("  ", {"a": "1"}, "--a=1"),
    ("--a=1", {"b": "2"}, "--a=1 --b=2"),
    (" --a=1 ", {"b": "2"}, " --a=1 --b=2 "),
    ("--z=1", {"b": "2", "a": "1"}, "--z=1 --b=2 --a=1"),
    # The spellings of a flag.
    ("--x --a=1 --y", {"a": "2"}, "--x --a=2 --y"),
    ("--x --a 1 --y", {"a": "2"}, "--x --a=2 --y"),
    ("--x --a --y", {"a": "false"}, "--x --a=false --y"),
    ("--x --a-b=1", {"a-b": "2"}, "--x --a-b=2"),
    ("--x --a_b=1 --y", {"a-b": "2"}, "--x --a-b=2 --y"),
    ("--a-b=1", {"a_b": "2"}, "--a-b=2"),
    ("--x '--a=1 2' --y", {"a": "2"}, "--x --a=2 --y"),
    ("--x --a='1 2' --y", {"a": "2"}, "--x --a=2 --y"),
    ("--x '--a' '1 2' --y", {"a": "2"}, "--x --a=2 --y"),
    ("--a= --y", {"a": "2"}, "--a=2 --y"),
    ("--a", {"a": "2"}, "--a=2"),
    # What is a flag's value is no flag, and what begins like a flag is another one.
    ("--x --a=1", {"x": "2"}, "--x=2 --a=1"),
    ("--x=--a=1 '--y=--a=2'", {"a": "3"}, "--x=--a=1 '--y=--a=2' --a=3"),
    ("--a-b=1 -a=2 a=3", {"a": "4"}, "--a-b=1 -a=2 a=3 --a=4"),
    # More than one of a kind.
    ("--a=1 --x --a 2 --a --y", {"a": "3"}, "--a=3 --x --y"),
    ("--a=1 --x --a=2", {"a": "1"}, "--a=1 --x"),
    ("--a 1 --x --a=1", {"a": "1"}, "--a 1 --x"),
    ("--a=1 --x --a=1 --a", {"a": None}, "--x"),
    # Removed.
    ("--a=1", {"a": None}, ""),
    (" --a 1 ", {"a": None}, ""),
    ("--a=1  --x   --y", {"a": None}, "--x   --y"),
    ("--x  --a 1   --y", {"a": None}, "--x   --y"),
    ("--x   --y --a", {"a": None}, "--x   --y"),
    (" --a --x ", {"a": None}, " --x "),
    ("--a", {"a": None, "b": "1"}, "--b=1"),
    ("--x", {"a": None}, "--x"),
    # Nothing to change: not a byte does.
    (
        "  --a   1 \"--b\"='x y'  --c_d=\\x ",
        {"a": "1", "b": "x y", "c-d": "x", "e": None},
        "  --a   1 \"--b\"='x y'  --c_d=\\x ",
    ),
    ("--a", {"a": "true"}, "--a"),
    ("--a=", {"a": ""}, "--a="),
    # All others stay as they are written.
    ("--x='1 2'\t--a=1\n\"--y\"=\\3 ", {"a": "2", "b": "3"}, "--x='1 2'\t--a=2\n\"--y\"=\\3 --b=3 "),
    # Values that need quotes.
    ("", {"a": "x y", "b": "it's", "c": '"', "d": ""}, "'--a=x y' \"--b=it's\" '--c=\"' --d="),
    ("--a=1 --x", {"a": "x y"}, "'--a=x y' --x"),
    # What is open at the end would swallow what follows.
    ("--x='1 2", {"a": "1"}, "'--x=1 2' --a=1"),
    ("--x=1\\", {"a": "1"}, "--x=1 --a=1"),
    ("--a 'x y", {"a": "1", "b": "2"}, "--a=1 --b=2"),
    ("--a='x y", {"a": "1", "b": "2"}, "--a=1 --b=2"),
    ("--a=1 --x='1 2", {"a": "2"}, "--a=2 --x='1 2"),
]

# File, name, value -> file.
CHANGES: list[tuple[str, str, str, str]] = [
    ("", "A", "1", "A=1\n"),
    ("", "A", "", "A=\n"),
    ("B=1\n", "A", "1", "B=1\nA=1\n"),
    ("B=1", "A", "1", "B=1\nA=1\n"),
    ("# A=0\n", "A", "1", "# A=0\nA=1\n"),
    ("export A=0\n", "A", "1", "export A=0\nA=1\n"),
    ("A=0\nA =\t0 \n# end\n", "A", "1", "A=0\nA =1\n# end\n"),
    ("A=0", "A", "1", "A=1"),
    ("A=0\r\nB=1\r\n", "A", "1", "A=1\r\nB=1\r\n"),
    ("A=0 \\\n  1 \\\n  2\nB=1\n", "A", "1", "A=1\nB=1\n"),
    ("A='0\n1'\nB=1\n", "A", "1", "A=1\nB=1\n"),
    ("A=0\n", "A", "", "A=\n"),
    ('A="0 1"\n', "A", "", "A=\n"),
    ("A=0\n", "A", "--a=b --c=d", 'A="--a=b --c=d"\n'),
    ("A=0\n", "A", "a \"b\" 'c' \\d $e `f`", 'A="a \\"b\\" \'c\' \\\\d \\$e \\`f\\`"\n'),
    # Quotes that are there stay, though the value needs none.
    ('A="--a=b --c=d"\n', "A", "--a=b", 'A="--a=b"\n'),
    # Nothing to change.
    (" A = '1' \n", "A", "1", " A = '1' \n"),
    ("A=1\n", "A", "1", "A=1\n"),
    ("A=0\nA=1\n", "A", "1", "A=0\nA=1\n"),
    # What would go on in the new line.
    ("B=1\\\n", "A", "1", "B=1\\\n\nA=1\n"),
    ("B=1\\", "A", "1", "B=1\\\n\nA=1\n"),
    ("# b \\\n", "A", "1", "# b \\\n\nA=1\n"),
]


@pytest.mark.parametrize(("text", "variables"), FILES)
def test_a_file_is_read_as_systemd_reads_it(text: str, variables: dict[str, str]) -> None:
    assert {found.name: found.value for found in _environment_file.parse(text)} == variables


def test_assignments_are_listed_in_order_with_the_line_in_which_they_begin() -> None:
    text = "# 1\n\n  A='3\n4'\nB=5 \\\n6\r\nA=7\n"
    assert _environment_file.parse(text) == [("A", "3\n4", 3), ("B", "5 6", 5), ("A", "7", 7)]


def test_a_comment_ends_with_its_line_as_of_systemd_254() -> None:
    assert _environment_file.parse("# \\\nA=1\n") == [("A", "1", 2)]


@pytest.mark.parametrize(("text", "name", "value", "changed"), CHANGES)
def test_one_variable_is_changed(text: str, name: str, value: str, changed: str) -> None:
    assert _environment_edit.with_value(text, name, value) == changed
    assert _environment_edit.with_value(changed, name, value) == changed


@pytest.mark.parametrize("text", ["B='1\n", 'B="1', "0B='1\n"])
def test_nothing_is_appended_to_quotes_that_are_left_open(text: str) -> None:
    with pytest.raises(KubestaticError, match=r"^A: .*left open"):
        _environment_edit.with_value(text, "A", "'1\"")


@pytest.mark.parametrize(
    ("name", "value"),
    [("", "1"), ("A B", "1"), ("1", "1"), ("A\n", "1"), ("A", "\0"), ("A", "\udcff"), ("A", "\ufffe")],
)
def test_what_systemd_would_not_take_is_refused(name: str, value: str) -> None:
    with pytest.raises(KubestaticError, match="takes no such variable"):
        _environment_edit.with_value("", name, value)


def test_a_change_gives_the_value_back_and_leaves_all_other_variables() -> None:
    dice = random.Random(1)
    refused = 0
    for _round in range(3000):
        text = _text(
            dice, ["A", "B", "=", "=", " ", "\n", "\r\n", "'", '"', "\\", "#", "A=", "\nB=", "ä", "\t"], most=16
        )
        value = _text(dice, ["a", " ", "'", '"', "\\", "$", "`", "#", "\n", "\r", "ä", "="], most=8)
        before = {found.name: found.value for found in _environment_file.parse(text)}
        try:
            changed = _environment_edit.with_value(text, "A", value)
        except KubestaticError:
            refused += 1
            continue
        after = {found.name: found.value for found in _environment_file.parse(changed)}
        assert after == {**before, "A": value}, text
    assert refused < 600


@pytest.mark.parametrize(("value", "words"), VALUES)
def test_a_value_is_split_as_systemd_splits_it(value: str, words: list[str]) -> None:
    assert _environment_file.split_words(value) == words


@pytest.mark.parametrize(
    ("word", "quoted"),
    [
        ("--a=b", "--a=b"),
        ("$#;{}*|ä\u00a0", "$#;{}*|ä\u00a0"),
        ("", "''"),
        ("x y", "'x y'"),
        ("it's", '"it\'s"'),
        ('"x"', "'\"x\"'"),
        ('it\'s "x"', "'it\\'s \"x\"'"),
        ("a\\b", "'a\\\\b'"),
    ],
)
def test_a_word_is_quoted_only_where_it_must_be(word: str, quoted: str) -> None:
    assert _environment_edit.quote_word(word) == quoted


def test_quoted_words_are_split_into_the_same_words() -> None:
    dice = random.Random(2)
    for _round in range(3000):
        words = [
            _text(dice, ["a", " ", "'", '"', "\\", "\n", "\t", "$", "ä", "="], most=6)
            for _word in range(dice.randrange(5))
        ]
        value = " ".join(map(_environment_edit.quote_word, words))
        assert _environment_file.split_words(value) == words
        (found,) = _environment_file.parse(_environment_edit.with_value("", "A", value))
        assert _environment_file.expand(["$A"], {"A": found.value}) == words


@pytest.mark.parametrize(("words", "argv"), EXPANSIONS)
def test_variables_are_expanded_as_systemd_expands_them(words: list[str], argv: list[str]) -> None:
    assert _environment_file.expand(words, ENVIRONMENT) == argv


@pytest.mark.parametrize(("text", "words"), EXEC_STARTS)
def test_a_command_line_is_split_as_systemd_splits_it(text: str, words: list[str]) -> None:
    assert _environment_file.split_exec_start(text) == words


@pytest.mark.parametrize("text", ["/k 'a", '/k "a\\"', "'/k", "/k 'a \\"])
def test_a_command_line_with_open_quotes_is_refused(text: str) -> None:
    with pytest.raises(KubestaticError, match="left open"):
        _environment_file.split_exec_start(text)


def test_without_expansion_dollars_reach_the_program() -> None:
    words = _environment_file.split_exec_start(":/k $ONE ${ONE} a$$")
    assert _environment_file.expand(words, ENVIRONMENT) == ["/k", "$ONE", "${ONE}", "a$$"]


@pytest.mark.parametrize(("value", "flags", "changed"), FLAGS)
def test_flags_are_changed_in_their_place(value: str, flags: dict[str, str | None], changed: str) -> None:
    assert _environment_edit.with_flags(value, flags) == changed
    assert _environment_edit.with_flags(changed, flags) == changed


def test_changed_flags_are_in_force_and_all_others_as_before() -> None:
    dice = random.Random(3)
    names = ["a", "b", "a-b", "a_b", "c"]
    settings = ["", "=", "=1", " 1", "='x y'", " 'x y'", "=x\\ y", " \t''"]
    for _round in range(3000):
        written = [f"--{dice.choice(names)}{dice.choice(settings)}" for _flag in range(dice.randrange(6))]
        value = dice.choice([" ", "  ", "\t"]).join(["", *written])[dice.randrange(2) :] + dice.choice(
            ["", " ", '="x ', "\\"]
        )
        flags = {name: dice.choice([None, "", "1", "x y", "it's"]) for name in dice.sample(["a", "b", "a-b", "new"], 2)}
        before = parse_flags(_environment_file.split_words(value))
        changed = _environment_edit.with_flags(value, flags)
        after = parse_flags(_environment_file.split_words(changed))
        kept = {name: setting for name, setting in before.items() if name not in flags}
        assert after == {**kept, **{name: setting for name, setting in flags.items() if setting is not None}}, value


def test_long_values_take_no_long_time() -> None:
    for text in [
        "A=" + "'" * 100001,
        'A="' + "\\" * 100001,
        "A=" + "x " * 50000,
        "A=" + " \\" * 50000,
        f"A=1{' ' * 100000}2",
    ]:
        (found,) = _environment_file.parse(text)
        assert isinstance(_environment_edit.with_flags(found.value, {"a": "1"}), str)


def _text(dice: random.Random, pieces: t.Sequence[str], *, most: int) -> str:
    return "".join(dice.choices(pieces, k=dice.randrange(most + 1)))

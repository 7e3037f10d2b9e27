# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""How systemd turns environment files and an ExecStart= line into a command line.

Facts: systemd.exec(5) EnvironmentFile=, systemd.service(5) "Command lines", systemd.syntax(7) "Quoting", and systemd's
src/basic/env-file.c, env-util.c and extract-word.c, src/core/load-fragment.c. To systemd, white space is ASCII.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

# A quoted part may be followed by another one. From the first character that is in none on, quotes are characters.
_SINGLE = r"'([^']*)'?[ \t]*"
_DOUBLE = r'"((?:[^"\\]|\\.)*\\?)"?[ \t]*'
_BARE = r"((?:[^\\\r\n]|\\(?:.|\Z))+)"
_VALUE_PART = re.compile(f"{_SINGLE}|{_DOUBLE}|{_BARE}", re.DOTALL)
# A comment or a line, which is an assignment where it has a "=". A value may go on in the next lines.
_ENTRY = re.compile(
    rf"[#;][^\r\n]*|(?P<name>[^ \t\r\n#;][^=\r\n]*)(?:=(?P<value>[ \t]*(?:{_SINGLE}|{_DOUBLE})*{_BARE}?))?",
    re.DOTALL,
)

# NUL, and what unichar_is_valid of src/basic/utf8.c refuses: surrogates and noncharacters (here those below U+10000).
UNREADABLE = "[\0\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"

# Quotes may begin anywhere in a word, and in single quotes a backslash counts, too.
_PART = (
    r"(?P<plain>(?:[^ \t\r\n'\"\\]|\\.)+)|\\\Z"
    r"|(?P<quote>['\"])(?P<quoted>(?:(?!(?P=quote))[^\\]|\\.)*\\?)(?P<end>(?P=quote)?)"
)
_WORD, _WORD_PART = re.compile(f"(?:{_PART})+", re.DOTALL), re.compile(_PART, re.DOTALL)

# cunescape_one of src/basic/escape.c; Python's own escapes but for the space.
_ESCAPE = re.compile(
    r"\\(?:(?P<byte>x[0-9a-fA-F]{2}|[0-3][0-7]{2})|(?P<space>s)"
    r"|(?P<character>[abfnrtv\\\"']|u[0-9a-fA-F]{4}|U00(?:0[0-9a-fA-F]|10)[0-9a-fA-F]{4})|.)"
)

# A dollar for two, what is no variable though it looks like one, a variable.
_VARIABLE = re.compile(r"(\$)\$|(\$\{[^}:]*(?::|\Z))|\$\{([^}]*)\}")


class Assignment(t.NamedTuple):
    """One assignment of an environment file, and the line in which it begins: 1 is the first."""

    name: str
    value: str
    line: int


class Word(t.NamedTuple):
    """A word with quotes removed, and its place in the text. Not ``closed``: what is put behind it gets into it."""

    text: str
    start: int
    end: int
    closed: bool


def parse(text: str) -> list[Assignment]:
    """The assignments in the order of the file; of several with one name systemd takes the last.

    A comment that ends with a backslash ends there, as of systemd 254: before, the next line belonged to it. Of a file
    that is not UTF-8 or has NUL or a noncharacter in it systemd takes nothing; that is left to the caller.
    """
    return [found for found, _span in assignments(text)]


def split_words(value: str) -> list[str]:
    """What ``$NAME`` becomes: the words between white space, quotes and backslashes removed. The end closes open quotes."""
    return [word.text for word in words_of(value, unescape=without_backslashes)]


def split_exec_start(text: str) -> list[str]:
    """ExecStart= as it is in a unit file -> argv before expansion, without the prefixes of the program; empty for none.

    After ``@`` argv begins with the name that the program gets, not with its path. After ``:`` dollars are doubled:
    expand() leaves them alone as systemd does. Specifiers stay as they are. Of several commands it is the first.
    Raises KubestaticError for quotes that are left open: systemd refuses such a unit.
    """
    argv: list[str] = []
    for raw, word in _unit_words(text, name="ExecStart"):
        if raw == ";":
            break
        argv.append(";" if raw == r"\;" else word)
    if not argv:
        return []
    program = argv[0].lstrip("-@:+!")
    prefixes = argv[0][: len(argv[0]) - len(program)]
    argv = argv[1:] if "@" in prefixes else [program, *argv[1:]]
    return [word.replace("$", "$$") for word in argv] if ":" in prefixes else argv


def split_environment(text: str) -> list[str]:
    """Environment= as it is in a unit file -> its assignments, such as ``NAME=value``.

    Raises KubestaticError for quotes that are left open.
    """
    return [word for _raw, word in _unit_words(text, name="Environment")]


def expand(words: t.Sequence[str], environment: t.Mapping[str, str]) -> list[str]:
    """Words of split_exec_start -> argv: ``$NAME`` becomes zero or more words, ``${NAME}`` a part of one, ``$$`` a dollar.

    A variable that is not set is empty. A dollar elsewhere in a word stays one, and so do ``${NAME:`` and ``${NAME``.
    """
    argv: list[str] = []
    for word in words:
        if word[:1] == "$" and word[1:2] not in ("{", "$"):
            argv += split_words(environment.get(word[1:], ""))
        else:
            argv.append(_VARIABLE.sub(lambda match: match[1] or match[2] or environment.get(match[3], ""), word))
    return argv


def assignments(text: str) -> list[tuple[Assignment, tuple[int, int]]]:
    """The assignments, each with the place of its value: from behind the "=" to the end of the line."""
    found = []
    for match in _ENTRY.finditer(text):
        name = (match["name"] or "").rstrip(" \t")
        if match["value"] is not None and NAME.fullmatch(name):
            line = text.count("\n", 0, match.start()) + 1
            found.append((Assignment(name, _unquoted(match["value"]), line), match.span("value")))
    return found


def _unquoted(raw: str) -> str:
    value = ""
    for single, double, bare in _VALUE_PART.findall(raw.lstrip(" \t")):
        value += single
        # A backslash before anything else stays, as in a shell.
        value += re.sub(r'\\(["\\`$]|\n|\Z)', lambda match: match[1].strip("\n"), double)
        # White space at the end goes, except where a backslash protects it.
        value += re.sub(r"\\([^\r\n])|\\[\r\n]|\\\Z|[ \t]+\Z|([ \t]+)", lambda match: match[1] or match[2] or "", bare)
    return value


def words_of(text: str, *, unescape: t.Callable[[str], str]) -> list[Word]:
    """The words between white space, with quotes removed and what `unescape` makes of their parts."""
    found = []
    for match in _WORD.finditer(text):
        parts = list(_WORD_PART.finditer(match[0]))
        content = "".join(unescape(part["plain"] or part["quoted"] or "") for part in parts)
        closed = all(part["plain"] or part["end"] for part in parts)
        found.append(Word(content, match.start(), match.end(), closed))
    return found


def _unit_words(text: str, *, name: str) -> t.Iterator[tuple[str, str]]:
    """The words of a directive in a unit file, as they are written and as they are meant."""
    joined = _joined(text)
    for word in words_of(joined, unescape=lambda raw: _ESCAPE.sub(_unescaped, raw)):
        if not word.closed:
            raise KubestaticError(f"{name}=: quotes are left open: {text.strip()}")
        # Several escapes may make the bytes of one character.
        decoded = word.text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
        yield joined[word.start : word.end], decoded


def without_backslashes(raw: str) -> str:
    """What a part of a word in an environment file comes to."""
    return re.sub(r"\\(.|\Z)", r"\1", raw, flags=re.DOTALL)


def _unescaped(match: re.Match[str]) -> str:
    """The character, a byte as "surrogateescape" has it, or what stands there where it means nothing to systemd."""
    if not match["byte"] and not match["character"]:
        return " " if match["space"] else match[0]
    found = match[0].encode().decode("unicode_escape")
    if re.match(UNREADABLE, found):
        return match[0]
    return chr(0xDC00 + ord(found)) if match["byte"] and found > "\x7f" else found


def _joined(text: str) -> str:
    """A line that ends with a backslash and the next that is no comment are one, with a space for the backslash."""
    pattern = r"\\(?:\n(?:[ \t\r]*[#;][^\n]*(?:\n|\Z))*|\Z|(.))"
    return re.sub(pattern, lambda match: match[0] if match[1] else " ", text)

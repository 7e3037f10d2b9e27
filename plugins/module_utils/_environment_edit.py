# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""Changes to the text of an environment file, and to the flags in one of its values, as `_environment_file` reads them."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _kubelet_settings
from ansible_collections.kubestatic.node.plugins.module_utils._environment_file import (
    NAME,
    UNREADABLE,
    assignments,
    parse,
    without_backslashes,
    words_of,
)
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError

# Means the same to a shell, which some people let read these files.
_NEEDS_NO_QUOTES = re.compile(r"[A-Za-z0-9_@%+=:,./-]*")


def with_value(text: str, name: str, value: str) -> str:
    """The file with this variable set: its last assignment is changed, or one is appended. All else stays as it is.

    Raises KubestaticError where no text can make systemd read this value.
    """
    if not NAME.fullmatch(name) or re.search(UNREADABLE, value):
        raise KubestaticError(f"{name}: systemd takes no such variable from an environment file: {value!r}")
    before = assignments(text)
    for found, (start, end) in reversed(before):
        if found.name == name:
            quotes = text[start:end].lstrip(" \t").startswith('"')
            changed = text[:start] + _quote_value(value, quotes=quotes) + text[end:]
            return text if found.value == value else changed
    changed = text if not text or text.endswith("\n") else f"{text}\n"
    # A value goes on in the next line, and before systemd 254 a comment did. An empty line ends both.
    changed += "\n" if changed.endswith("\\\n") else ""
    changed += f"{name}={_quote_value(value)}\n"
    if [each[:2] for each in parse(changed)] != [*(each[:2] for each, _span in before), (name, value)]:
        raise KubestaticError(f"{name}: cannot be appended to the file, as quotes are left open in it")
    return changed


def with_flags(value: str, flags: t.Mapping[str, str | None]) -> str:
    """The value, words as in split_words, with these flags set or, where None, removed; their names without dashes.

    A flag is what flag_words of _kubelet_settings.py takes for one. The first occurrence of a flag is changed in its
    place, others of it go, new flags are appended. All other words, and the space around them, stay as they are.
    """
    words = words_of(value, unescape=without_backslashes)
    gaps = ["", *(value[before.end : word.start] for before, word in zip(words, words[1:]))]
    # Each word as it is written, behind the space before it. What goes takes that along.
    pieces = [gap + value[word.start : word.end] for gap, word in zip(gaps, words)]
    wanted = {name.replace("_", "-"): setting for name, setting in flags.items()}
    missing = {name: "" if new is None else quote_word(f"--{name}={new}") for name, new in wanted.items()}
    for first, after, name, setting in _kubelet_settings.flag_words([word.text for word in words]):
        if name in wanted and (name not in missing or setting != wanted[name]):
            flag = missing.get(name, "")
            pieces[first:after] = [flag and gaps[first] + flag, *[""] * (after - first - 1)]
        missing.pop(name, None)
    added = [flag for flag in missing.values() if flag]
    if not words:
        return " ".join(added) or value
    if added and not words[-1].closed and pieces[-1] == gaps[-1] + value[words[-1].start :]:
        pieces[-1] = gaps[-1] + quote_word(words[-1].text)
    body = "".join([*pieces, *(f" {flag}" for flag in added)]).lstrip(" \t\r\n")
    return value[: words[0].start] + body + value[words[-1].end :] if body else ""


def quote_word(word: str) -> str:
    """The word as split_words gives it back."""
    if word and not re.search(r"[ \t\r\n'\"\\]", word):
        return word
    quote = '"' if "'" in word and '"' not in word else "'"
    return quote + re.sub(rf"([\\{quote}])", r"\\\1", word) + quote


def _quote_value(value: str, *, quotes: bool = False) -> str:
    if not value or (_NEEDS_NO_QUOTES.fullmatch(value) and not quotes):
        return value
    return '"' + re.sub(r'(["\\`$])', r"\\\1", value) + '"'

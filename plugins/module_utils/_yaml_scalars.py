# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""What one YAML scalar means to the kubelet: go.yaml.in/yaml/v2 resolve.go, then sigs.k8s.io/yaml and Go's JSON."""

from __future__ import annotations

import math
import re
import typing as t

_WORDS: dict[str, t.Any] = {
    **dict.fromkeys("y Y yes Yes YES true True TRUE on On ON".split(), True),
    **dict.fromkeys("n N no No NO false False FALSE off Off OFF".split(), False),
    **dict.fromkeys(["", "~", "null", "Null", "NULL"]),
    **dict.fromkeys([".nan", ".NaN", ".NAN"], float("nan")),
    **dict.fromkeys([".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"], float("inf")),
    **dict.fromkeys(["-.inf", "-.Inf", "-.INF"], float("-inf")),
}
_MAYBE_NOT_STRING = frozenset("+-.0123456789yYnNtTfFoO~")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_SEPARATOR = re.compile(r"(?<=[0-9])_(?=[0-9])")
_INT = re.compile(r"([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|(0|[1-9][0-9]*))\Z")


def resolve(text: str) -> t.Any:
    """What yaml.v2 makes of the plain scalar `text`: None, bool, int, float or the string itself."""
    if text and text[0] not in _MAYBE_NOT_STRING:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    if text[0] != ".":
        text_number = text.replace("_", "")
        found = _INT.match(text_number)
        if found and len(text_number) < 400:
            value = _integer(found)
            if value is not None:
                return value
    else:
        # ParseFloat alone: an underscore must stand between two digits, else this is a string.
        text_number = _SEPARATOR.sub("", text)
    if _FLOAT.match(text_number):
        number = float(text_number)
        if math.isfinite(number):
            return number
    return text


def _integer(found: t.Match[str]) -> int | None:
    """ParseInt with base 0, then ParseUint, which takes no sign."""
    sign, hexadecimal, binary, octal, decimal = found.groups()
    digits, base = next((d, b) for d, b in ((hexadecimal, 16), (binary, 2), (octal, 8), (decimal, 10)) if d is not None)
    value = int(digits, base)
    if sign == "-":
        return -value if value <= 1 << 63 else None
    return value if value < (1 << 63 if sign else 1 << 64) else None


def as_go_json(value: float) -> int | float:
    """encoding/json writes floats below 1e21 without an exponent, so an integral one arrives as an integer."""
    if not value.is_integer() or abs(value) >= 1e21:
        return value
    if abs(value) < 1 << 53:
        return int(value)
    import decimal

    return int(decimal.Decimal(repr(value)))

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""What Go's JSON decoder takes for one value that is neither list nor mapping, and how to say what it does not take."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils._yaml_scalars import resolve

# apimachinery pkg/api/resource ParseQuantity
_QUANTITY = r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([numkMGTPE]|[KMGTPE]i|[eE][-+]?[0-9]+)?\Z"
# time.Parse with RFC3339; a date alone is not enough
_TIME = r"\d{4}-\d\d-\d\d[T]\d\d:\d\d:\d\d([.,]\d+)?(Z|[-+]\d\d:\d\d)\Z"
# time.ParseDuration
_DURATION = r"[-+]?(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h))+)\Z"
_BASE64 = r"(?:[A-Za-z0-9+/\r\n]|=)*\Z"

_LONGEST_SHOWN = 60


def problem(value: t.Any, kind: str) -> str | None:
    """Why Go refuses `value` for a leaf of type `kind` (tests/schema/README.md), or None.

    `value` is never None. The words continue a sentence that begins with the field's path.
    """
    if kind == "s":
        return None if isinstance(value, str) else f"must be a string, found {found(value)}; quote it"
    if kind == "b":
        return None if isinstance(value, bool) else _must("true or false", value, bool)
    if kind[0] in "iu":
        return _integer(value, bits=int(kind[1:]), signed=kind[0] == "i")
    if kind == "f":
        return None if _number(value) else _must("a number", value, int, float)
    if kind == "x":
        return None if isinstance(value, str) else _integer(value, bits=32, signed=True, what="an integer or a string")
    return _text(value, kind)


def found(value: t.Any) -> str:
    """A value in the words of YAML."""
    if value is None:
        return "nothing"
    if value is True:
        return "the boolean true (YAML reads y, yes and on as one)"
    if value is False:
        return "the boolean false (YAML reads n, no and off as one)"
    if isinstance(value, (int, float)):
        return f"the number {value}"
    if isinstance(value, str):
        return f"the string {value!r}" if len(value) <= _LONGEST_SHOWN else "a string"
    return "a list" if isinstance(value, list) else "a mapping"


def _must(what: str, value: t.Any, *wanted: type) -> str:
    unquoted = isinstance(value, str) and type(resolve(value)) in wanted
    hint = "; write it without quotes" if unquoted else ""
    return f"must be {what}, found {found(value)}{hint}"


def _number(value: t.Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _integer(value: t.Any, *, bits: int, signed: bool, what: str = "an integer") -> str | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return _must(what, value, int)
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    return None if low <= value <= high else f"must be between {low} and {high}, found {value}"


def _text(value: t.Any, kind: str) -> str | None:
    """Types that travel as strings, and as numbers where Go's type takes those too."""
    if kind == "q":
        fits = _number(value) or (isinstance(value, str) and re.match(_QUANTITY, value.strip()))
        return None if fits else f"must be a quantity such as 500m or 128Mi, found {found(value)}"
    if kind == "n" and isinstance(value, int) and not isinstance(value, bool):
        return None
    if kind in "dn":
        fits = isinstance(value, str) and re.match(_DURATION, value)
        return None if fits else f'must be a duration such as "1m30s", found {found(value)}'
    if kind == "t":
        fits = isinstance(value, str) and re.match(_TIME, value)
        return None if fits else f"must be a time such as 2026-01-31T12:00:00Z, found {found(value)}"
    if kind == "B":
        fits = isinstance(value, str) and re.match(_BASE64, value)
        return None if fits else f"must be base64, found {found(value)}"
    return None

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""What is rare in YAML, and loaded only where it is met: scalars with a tag, keys that are no strings, and faults.

Tags and keys follow go.yaml.in/yaml/v2 resolve.go and sigs.k8s.io/yaml.
"""

from __future__ import annotations

import base64
import math
import re
import struct
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._yaml_builder import TAG, at
from ansible_collections.kubestatic.node.plugins.module_utils._yaml_scalars import resolve

_TIMESTAMP = re.compile(r"\d{4}-\d\d?-\d\d?([Tt ]\d\d?:\d\d?:[\d.]+(Z|[-+]\d\d:\d\d)?)?\Z")


def tagged(event: t.Any, text: str, tag: str) -> t.Any:
    """A scalar with an explicit tag: the tag must fit what the text says (resolve.go)."""
    kind = tag[len(TAG) :] if tag.startswith(TAG) else ""
    if kind == "binary":
        return _binary(event, text)
    if kind not in ("bool", "int", "float", "null", "timestamp"):
        return text
    value = resolve(text)
    if kind == "float" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind == "timestamp" and isinstance(value, str) and _TIMESTAMP.match(text):
        return text
    found = {bool: "bool", int: "int", float: "float", type(None): "null"}.get(type(value), "str")
    if found != kind:
        raise at(event, f"{text!r} cannot be read as !!{kind}")
    return value


def _binary(event: t.Any, text: str) -> str:
    try:
        return base64.b64decode(re.sub(r"[\r\n]", "", text), validate=True).decode("utf-8", "replace")
    except ValueError:
        raise at(event, "the !!binary value is not valid base64") from None


def key_string(key: t.Any) -> str | None:
    """sigs.k8s.io/yaml's string for a key that is not one; None where it refuses the key (null, uint64, mapping)."""
    if key is True or key is False:
        return "true" if key else "false"
    if isinstance(key, int) and key < 1 << 63:
        return str(key)
    if isinstance(key, float):
        return _go_float32(key)
    return None


def _go_float32(value: float) -> str:
    """strconv.FormatFloat(value, 'g', -1, 32), with YAML's words for what is no number."""
    try:
        single = struct.unpack("f", struct.pack("f", value))[0]
    except OverflowError:
        single = float("inf") if value > 0 else float("-inf")
    if not math.isfinite(single):
        return ".nan" if math.isnan(single) else ".inf" if single > 0 else "-.inf"
    packed = struct.pack("f", single)
    candidates = (f"{single:.{places}e}" for places in range(9))
    shortest = next(text for text in candidates if struct.pack("f", float(text)) == packed)
    digits, exponent = shortest.split("e")
    if -4 <= int(exponent) < 6:
        return f"{float(shortest):.{max(len(digits.lstrip('-').replace('.', '')) - 1 - int(exponent), 0)}f}"
    return f"{digits}e{int(exponent):+03d}"


def syntax_error(text: str, error: t.Any) -> KubestaticError:
    """The sentence for an error of PyYAML, with line and column."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is not None:
        line, column = mark.line + 1, mark.column + 1
        problem = getattr(error, "problem", None) or getattr(error, "context", None) or "cannot be read"
    else:  # a ReaderError: a character that YAML does not allow at all
        position = getattr(error, "position", 0)
        line = text.count("\n", 0, position) + 1
        column = position - text.rfind("\n", 0, position)
        problem = f"the character U+{ord(text[position]):04X} is not allowed" if position < len(text) else str(error)
    lines = text.split("\n")
    if "\t" in (lines[line - 1] if line <= len(lines) else "").split("#")[0]:
        problem += "; that line has a tab, indent with spaces"
    return KubestaticError(
        f"YAML syntax error in line {line}, column {column}: {problem}; mend that line or the one above"
    )

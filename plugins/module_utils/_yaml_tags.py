# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""What one YAML scalar with an explicit tag means to the kubelet: go.yaml.in/yaml/v2 resolve.go."""

from __future__ import annotations

import base64
import re
import typing as t

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

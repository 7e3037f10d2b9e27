# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""Plain data as YAML or JSON that the kubelet reads as the same data."""

from __future__ import annotations

import json
import math
import re
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _yaml
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._yaml_builder import too_deep
from ansible_collections.kubestatic.node.plugins.module_utils._yaml_scalars import resolve


def dump(data: t.Any, *, as_json: bool) -> str:
    """`data` as block-style YAML or JSON (indent 2), keys in their order, with a final newline.

    ``_yaml.load(dump(data)).data`` equals `data`; strings that PyYAML or the kubelet would take for something else are
    quoted. Raises KubestaticError for what neither format can say (NaN, dates, other objects).
    """
    try:
        plain = _plain(data)
    except RecursionError:
        raise too_deep() from None
    if as_json:
        return json.dumps(plain, indent=2, ensure_ascii=False) + "\n"
    yaml = _yaml.pyyaml()
    text: str = yaml.dump(
        plain,
        Dumper=_dumper(yaml),
        default_flow_style=False,
        sort_keys=False,
        allow_unicode=True,
        width=1 << 20,
    )
    # PyYAML ends a document that is one scalar with "...", which the kubelet reads as well but nobody writes.
    return text[: -len("...\n")] if text.endswith("\n...\n") else text


def _plain(value: t.Any) -> t.Any:
    """A copy of nothing but dict, list, str, int, float, bool and None, with the keys that `_yaml.load` would give."""
    if value is None or type(value) in (bool, int):
        return value
    if isinstance(value, str):
        return _plain_text(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise KubestaticError(f"the number {value} cannot be written; JSON has no such number")
        return float(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, t.Mapping):
        return {_plain_key(key): _plain(child) for key, child in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(child) for child in value]
    raise KubestaticError(f"a value of type {type(value).__name__} cannot be written: {str(value)[:60]!r}; quote it")


def _plain_text(value: str) -> str:
    text = str(value)
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeError:
            raise KubestaticError(f"{text[:60]!r} holds half a surrogate pair, which is no character") from None
    return text


def _plain_key(key: t.Any) -> str:
    if isinstance(key, str):
        return _plain_text(key)
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, int):
        return str(key)
    raise KubestaticError(f"{key!r} cannot be a key; quote it")


def _dumper(yaml: t.Any) -> t.Any:
    base: t.Any = yaml.CSafeDumper if yaml.__with_libyaml__ else yaml.SafeDumper

    class Dumper(base):
        def ignore_aliases(self, data: t.Any) -> bool:
            return True

    def text(dumper: t.Any, value: str) -> t.Any:
        style = None
        if re.search("[\r\x85\u2028\u2029\ufeff]", value) or not isinstance(resolve(value), str):
            style = '"'  # what PyYAML would misread it quotes itself
        elif "\n" in value:
            style = "|"
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    return Dumper

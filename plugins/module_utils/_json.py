# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""JSON as the kubelet reads it: Go's encoding/json."""

from __future__ import annotations

import collections
import json
import math
import re
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._yaml_builder import MAX_DEPTH, child_path, too_deep

_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


def load(text: str) -> tuple[t.Any, list[str]]:
    """The data of a JSON text, and the paths of its repeated keys. Raises KubestaticError as `_yaml.load` does."""
    repeated: list[str] = []

    def mapping(pairs: list[tuple[str, t.Any]]) -> dict[str, t.Any]:
        value = dict(pairs)
        if len(value) == len(pairs):
            return value
        return _WithDuplicates(pairs)

    try:
        data = json.loads(
            text,
            object_pairs_hook=mapping,
            parse_constant=_no_constant,
            parse_float=_json_float,
            parse_int=_json_int,
        )
    except json.JSONDecodeError as error:
        raise KubestaticError(
            f"JSON syntax error in line {error.lineno}, column {error.colno}: {error.msg[:1].lower()}{error.msg[1:]}; mend it"
        ) from None
    except RecursionError:
        raise too_deep() from None
    if text.count("{") + text.count("[") > MAX_DEPTH:
        _check_depth(data)
    _collect_duplicates(data, "", repeated)
    if _SURROGATE_ESCAPE.search(text):
        data = _without_surrogates(data)
    return data, repeated


class _WithDuplicates(t.Dict[str, t.Any]):
    """A mapping that was written with some key more than once; the last value won."""

    def __init__(self, pairs: list[tuple[str, t.Any]]) -> None:
        super().__init__(pairs)
        keys = [key for key, _value in pairs]
        self.repeated = sorted(key for key, times in collections.Counter(keys).items() if times > 1)


def _no_constant(name: str) -> t.NoReturn:
    raise KubestaticError(f"JSON syntax error: {name} is not a JSON value; JSON has no such number")


def _json_float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise KubestaticError(f"the number {digits[:40]} in this JSON is out of range; no field of a Pod takes it")
    return number


def _json_int(digits: str) -> int | float:
    # Python refuses to turn very long digit strings into int; no field holds such a number anyway.
    return int(digits) if len(digits) < 400 else _json_float(digits)


def _collect_duplicates(value: t.Any, path: str, found: list[str]) -> None:
    if isinstance(value, dict):
        if isinstance(value, _WithDuplicates):
            found.extend(child_path(path, key) for key in value.repeated)
        for key, child in value.items():
            if isinstance(child, (dict, list)):
                _collect_duplicates(child, child_path(path, key), found)
    elif isinstance(value, list):
        for index, child in enumerate(value):
            _collect_duplicates(child, f"{path}[{index}]", found)


def _check_depth(data: t.Any) -> None:
    level = [data]
    for _level in range(MAX_DEPTH):
        level = [child for value in level for child in (value.values() if isinstance(value, dict) else value)]
        level = [value for value in level if isinstance(value, (dict, list))]
        if not level:
            return
    raise too_deep()


def _without_surrogates(value: t.Any) -> t.Any:
    # Go's JSON puts U+FFFD for half a surrogate pair.
    if isinstance(value, str):
        return re.sub("[\ud800-\udfff]", "\ufffd", value)
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_without_surrogates(child) for child in value]
    return value

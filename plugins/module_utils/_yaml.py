# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""YAML and JSON as the kubelet reads them: sigs.k8s.io/yaml over go.yaml.in/yaml/v2, then Go's JSON.

PyYAML only cuts the text into events here. What a plain scalar means, how mappings merge and what becomes of a key
follows yaml.v2's resolve.go and decode.go, because a verdict about a manifest must be the kubelet's, not PyYAML's.
"""

from __future__ import annotations

import collections
import json
import math
import re
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._yaml_builder import (
    MAX_DEPTH,
    Builder,
    child_path,
    too_deep,
)
from ansible_collections.kubestatic.node.plugins.module_utils._yaml_scalars import resolve

_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


class Document(t.NamedTuple):
    """The first document of a text, with what the kubelet passes over in silence.

    ``data`` holds dict (string keys), list, str, int, float, bool and None; aliased parts are shared, so do not change
    it in place. ``duplicate_keys`` are paths with the line of the later key, such as ``spec.hostNetwork (line 7)``
    (JSON: without the line). ``has_more_documents`` says whether a second, non-empty document follows.
    """

    data: t.Any
    is_json: bool
    duplicate_keys: tuple[str, ...]
    has_more_documents: bool


def load(text: str) -> Document:
    """Decode `text` as apimachinery's util/yaml.ToJSON does: JSON where the first non-blank character is ``{``.

    Raises KubestaticError, one sentence with line and column, for what the kubelet cannot decode either.
    """
    if text.lstrip().startswith("{"):
        return _load_json(text)
    return _load_yaml(text)


def dump(data: t.Any, *, as_json: bool) -> str:
    """`data` as block-style YAML or JSON (indent 2), keys in their order, with a final newline.

    ``load(dump(data)).data`` equals `data`; strings that PyYAML or the kubelet would take for something else are
    quoted. Raises KubestaticError for what neither format can say (NaN, dates, other objects).
    """
    try:
        plain = _plain(data)
    except RecursionError:
        raise too_deep() from None
    if as_json:
        return json.dumps(plain, indent=2, ensure_ascii=False) + "\n"
    yaml = _pyyaml()
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


# ---- JSON


def _load_json(text: str) -> Document:
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
    return Document(data=data, is_json=True, duplicate_keys=tuple(repeated), has_more_documents=False)


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


# ---- YAML


def _pyyaml() -> t.Any:
    try:
        import yaml
    except ImportError:
        raise KubestaticError(
            "PyYAML is missing in the Python that runs this module; install python3-yaml (or PyYAML by pip)"
        ) from None
    return yaml


def _load_yaml(text: str) -> Document:
    yaml = _pyyaml()
    builder = None
    try:
        builder = Builder(yaml, _parser(yaml, text))
        data = builder.first_document()
    except yaml.YAMLError as error:
        raise _syntax_error(text, error) from None
    except UnicodeError:
        raise KubestaticError("the text holds half a surrogate pair, which is no character; remove it") from None
    try:
        more = builder.more_documents()
    except yaml.YAMLError:
        more = True  # The kubelet does not even look at it, so it is no error; but there is something.
    return Document(data=data, is_json=False, duplicate_keys=tuple(builder.duplicates), has_more_documents=more)


def _parser(yaml: t.Any, text: str) -> t.Any:
    """Something with get_event(): libyaml where PyYAML was built with it, else PyYAML's own (ten times slower)."""
    if yaml.__with_libyaml__:
        return yaml.cyaml.CParser(text)

    class Parser(yaml.reader.Reader, yaml.scanner.Scanner, yaml.parser.Parser):
        def __init__(self) -> None:
            yaml.reader.Reader.__init__(self, text)
            yaml.scanner.Scanner.__init__(self)
            yaml.parser.Parser.__init__(self)

    return Parser()


def _syntax_error(text: str, error: t.Any) -> KubestaticError:
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


# ---- writing


def _plain(value: t.Any) -> t.Any:
    """A copy of nothing but dict, list, str, int, float, bool and None, with the keys that load() would give."""
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

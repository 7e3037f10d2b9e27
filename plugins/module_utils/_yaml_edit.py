# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""A few keys of a YAML or JSON mapping changed as text: comments, order, quotes and foreign keys stay as they are.

Each change is made alone, in a text of which is known where every part stands, and what comes out is read again by
`_yaml.load`. So a layout that this room does not master ends in an error, never in other settings than were asked for.
"""

from __future__ import annotations

import functools
import json
import re
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _yaml, _yaml_dump
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._yaml_builder import child_path
from ansible_collections.kubestatic.node.plugins.module_utils._yaml_places import (
    BLOCK_SCALAR,
    BOM,
    Entry,
    Node,
    behind,
    find,
    line_of,
    root,
)

_Path = t.Tuple[str, ...]


class _Stuck(Exception):
    """Why one change cannot be made within the text."""


def merged(text: str, patch: t.Mapping[str, t.Any]) -> str:
    """`text` with the JSON merge patch (RFC 7386) `patch` applied: mappings merge by key, null removes, the rest replaces.

    An empty document counts as an empty mapping. Only lines that have to change do; with nothing to change, the same text
    comes back. `_yaml.load` reads the result as `merge` of what it read before. Raises KubestaticError, one sentence
    without the file's name, for a text that cannot be read or not be changed like that.
    """
    if text.startswith(BOM):
        return BOM + merged(text[1:], patch)
    if 0 < text.count("\n") == text.count("\r\n"):
        return merged(text.replace("\r\n", "\n"), patch).replace("\n", "\r\n")
    document = _yaml.load(text)
    data = {} if document.data is None else document.data
    if not isinstance(data, dict):
        line = text.count("\n", 0, root(text).start) + 1
        raise KubestaticError(f"line {line}: there are no keys to set here but other data; write `key: value` instead")
    # By way of the text's own format: 1.0 is 1 in YAML, not in JSON.
    wanted = _yaml.load(_yaml_dump.dump(patch, as_json=document.is_json)).data
    result = text
    # Removals come last, lest a mapping becomes empty on the way to its new keys.
    for path, value in sorted(_changes(data, wanted, ()), key=lambda change: change[1] is None):
        data = merge(data, functools.reduce(lambda inner, key: {key: inner}, reversed(path), value))
        try:
            result = _changed(result, path, value)
            _require(result, data, document)
        except _Stuck as why:
            lines = (line_of(text, path[:length]) for length in range(len(path), 0, -1))
            what = f"{functools.reduce(child_path, path, '')} cannot be {'removed' if value is None else 'set'}"
            line = next(filter(None, lines), 1)
            raise KubestaticError(f"line {line}: {what} within this text: {why}; edit it by hand") from None
    return result


def merge(data: t.Any, patch: t.Any) -> t.Any:
    """RFC 7386 on plain data; neither argument is changed."""
    if not isinstance(patch, t.Mapping):
        return patch
    old = data if isinstance(data, t.Mapping) else {}
    new = {**old, **{key: merge(old.get(key), value) for key, value in patch.items()}}
    return {key: value for key, value in new.items() if key not in patch or value is not None}


def _require(text: str, data: t.Any, before: _yaml.Document) -> None:
    try:
        after = _yaml.load(text)
    except KubestaticError:
        after = before._replace(data=None)
    repeated = len(after.duplicate_keys) > len(before.duplicate_keys)
    if repeated or after.has_more_documents != before.has_more_documents or not _same(after.data, data):
        raise _Stuck("the file would not be read as wanted, as with anchors, repeated keys or an unusual layout")


def _same(one: t.Any, other: t.Any) -> bool:
    # Python's == takes True for 1, and 1.0 as well, which Go refuses for an integer.
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _changes(data: dict[str, t.Any], patch: dict[str, t.Any], path: _Path) -> t.Iterator[tuple[_Path, t.Any]]:
    """Paths with what is to be written there whole; None for what is to go."""
    for key, wanted in patch.items():
        found = data.get(key)
        if found and isinstance(wanted, dict) and isinstance(found, dict):
            yield from _changes(found, wanted, (*path, key))
        elif not _same(merge(found, wanted), found) or (wanted is None and key in data):
            yield (*path, key), merge(found, wanted)


def _before(text: str, position: int) -> str:
    """What stands before it on its line."""
    return text[text.rfind("\n", 0, position) + 1 : position]


def _changed(text: str, path: _Path, value: t.Any) -> str:
    node, owner = root(text), None
    if not node.entries and not text.lstrip().startswith("{"):
        return _begun(text, node, path[0], value)
    for key in path[:-1]:
        owner = find(node, key)
        node = owner.value if owner else Node(0, 0)
    entry = find(node, path[-1])
    if not node.is_mapping or (value is None and entry is None):
        raise _Stuck("it belongs to an alias or a merge key (<<)")
    if entry and value is None:
        return _without(text, node, entry, owner) if node.is_block else _without_in_flow(text, node, entry)
    if not node.is_block:
        return _with_in_flow(text, node, entry, path[-1], value)
    return _replaced(text, entry, value) if entry else _appended(text, node, path[-1], value)


def _block(key: str, value: t.Any, column: int) -> str:
    """The entry as lines; the last one without its line break."""
    text = _yaml_dump.dump({key: value}, as_json=False)[:-1]
    if "\\n" in json.dumps(value):
        # In quotes: blank lines and comments beside a literal text could become a part of it.
        text = _yaml_dump.dump({key: 0}, as_json=False)[:-2] + _json(value)
    return "\n".join(" " * column + line for line in text.split("\n"))


def _json(value: t.Any, indent: int | None = None) -> str:
    # Flow style in YAML as well, once what YAML takes for line breaks and the like is escaped.
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return re.sub("[\x7f-\x9f\u2028\u2029\ufeff]", lambda found: f"\\u{ord(found[0]):04x}", text)


def _begun(text: str, node: Node, key: str, value: t.Any) -> str:
    """The first keys, in the place of an empty document, of null or of ``{}``."""
    before = _before(text, node.start)
    # Behind `---`, or behind a last line that has no end yet?
    before = text[: node.start] + "\n" if before.strip() else text[: node.start - len(before)]
    return before + _block(key, value, 0) + ("\n" if node.start == node.end else "") + text[node.end :]


def _appended(text: str, mapping: Node, key: str, value: t.Any) -> str:
    column = len(_before(text, mapping.entries[0].start))
    # Comments that are indented further belong to the last entry.
    end = behind(f".*(?:\n {{{column + 1},}}#.*)*", text, mapping.end)
    return text[:end] + "\n" + _block(key, value, column) + (text[end:] or "\n")


def _replaced(text: str, entry: Entry, value: t.Any) -> str:
    """A new value for a key of a block mapping; comments beside the key and between key and value stay."""
    column, old = len(_before(text, entry.start)), entry.value
    colon = behind(r"\s*:", text, entry.key_end)
    header = BLOCK_SCALAR.match(text, old.start)
    new = _block("k", value, 0)[2:]
    if not (header or old.is_block or "\n" in new):
        return text[: old.start] + (new if old.start == colon else new[1:]) + text[old.end :]
    between, beside = "\n", header.end() if header else old.end
    if "\n" in text[colon : old.start]:
        before = len(_before(text, old.start))
        between, beside = text[behind(".*", text, colon) : old.start - before], colon
        column = before if isinstance(value, list) and old.is_block and not old.is_mapping else column
    head, _separator, body = _block("k", value, column)[column + 2 :].partition("\n")
    head += text[beside : behind(".*", text, beside)] + (between if body else between.rstrip("\r\n"))
    return text[:colon] + head + body + (text[behind(".*", text, old.end) :] or "\n")


def _without(text: str, mapping: Node, entry: Entry, owner: Entry | None) -> str:
    start, end = entry.start - len(_before(text, entry.start)), behind(".*", text, entry.value.end)
    below = text[behind("\n", text, end) :]
    if len(mapping.entries) > 1:
        return text[:start] + below
    if owner:
        colon = behind(r"\s*:", text, owner.key_end)
        return text[:colon] + " {}" + text[colon:start] + below
    # A text that begins with { is JSON, where no comment may follow.
    mark = "---\n" if below.strip() and not text[:start].strip() else ""
    return text[:start] + mark + "{}" + text[end:]


def _with_in_flow(text: str, mapping: Node, entry: Entry | None, key: str, value: t.Any) -> str:
    """JSON is also what is written into the flow mappings of YAML."""
    near = entry or (mapping.entries[-1] if mapping.entries else None)
    before = _before(text, near.start) if near else "{"
    indentation = "" if before.strip() else "\n" + before
    new = _json(value, 2 if indentation else None).replace("\n", indentation)
    if entry:
        return text[: entry.key_end] + ": " + new + text[entry.value.end :]
    name = _block(key, 0, 0)[:-3] if near and text[near.start].isalpha() else _json(key)
    end = near.value.end if near else mapping.end - 1
    return text[:end] + (f",{indentation or ' '}" if near else "") + name + ": " + new + text[end:]


def _without_in_flow(text: str, mapping: Node, entry: Entry) -> str:
    index, others = mapping.entries.index(entry), len(mapping.entries) - 1
    start = mapping.entries[index - 1].value.end if index else entry.start
    end = mapping.entries[1].start if others and not index else entry.value.end
    if not others:
        start, end = text.index("{", mapping.start) + 1, mapping.end - 1
    if "#" in text[start : entry.start] + text[entry.value.end : end]:
        raise _Stuck("a comment inside the { } would be lost")
    return text[:start] + text[end:]

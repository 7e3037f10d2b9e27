# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""Where in the text of a YAML or JSON mapping each of its keys stands, as `_yaml.load` reads it."""

from __future__ import annotations

import functools
import json
import re
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _yaml
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._yaml_scalars import resolve

BOM = "\ufeff"
BLOCK_SCALAR = re.compile(r"(?:[&!]\S*\s+)*[|>][-+0-9]*")


class Node(t.NamedTuple):
    """``text[start:end]``, without the comments and blank lines that follow. Only a mapping has entries."""

    start: int
    end: int
    is_mapping: bool = False
    is_block: bool = False  # a mapping or sequence without brackets
    entries: t.Sequence[Entry] = ()


class Entry(t.NamedTuple):
    key: str | None  # None for a merge key, and for what else is better left alone
    start: int
    key_end: int
    value: Node


def line_of(text: str, path: t.Sequence[str]) -> int | None:
    """The 1-based line of the key at this path of mapping keys; None where none is written or `text` cannot be read."""
    text = text.lstrip(BOM)
    if not _is_readable(text):
        return None
    node, line = root(text), None
    for key in path:
        entry = find(node, key)
        if entry is None:
            return None
        node, line = entry.value, text.count("\n", 0, entry.start) + 1
    return line


# Many keys are looked for in few texts.
@functools.lru_cache(maxsize=4)
def _is_readable(text: str) -> bool:
    try:
        _yaml.load(text)
    except KubestaticError:
        return False
    return True


@functools.lru_cache(maxsize=4)
def root(text: str) -> Node:
    """The first document of a text that `_yaml.load` can read; of no length where it is empty, behind its comments."""
    if text.lstrip().startswith("{"):  # JSON to `_yaml.load`
        return _json_node(text, text.index("{"), json.JSONDecoder())
    events = iter(_yaml.parser(_yaml.pyyaml(), text).get_event, None)
    next(events)
    if type(next(events)).__name__ == "StreamEndEvent":
        return Node(len(text), len(text))
    node = _node(text, next(events), events)
    end = next(events).start_mark.index
    return node if node.start < node.end else Node(end, end)


def find(node: Node, key: str) -> Entry | None:
    """The entry with this key that counts: the last of several wins."""
    return next((entry for entry in reversed(node.entries) if entry.key == key), None)


def behind(pattern: str, text: str, position: int) -> int:
    """The place behind what the pattern matches here; the same place where it does not."""
    found = re.compile(pattern).match(text, position)
    return found.end() if found else position


def _json_node(text: str, start: int, decoder: json.JSONDecoder) -> Node:
    if text[start] != "{":
        return Node(start, decoder.raw_decode(text, start)[1])
    entries: list[Entry] = []
    position = behind(r"\s*", text, start + 1)
    while text[position] != "}":
        key, key_end = decoder.raw_decode(text, position)
        value = _json_node(text, behind(r"\s*:\s*", text, key_end), decoder)
        entries.append(Entry(key, position, key_end, value))
        position = behind(r"[\s,]*", text, value.end)
    return Node(start, position + 1, is_mapping=True, entries=entries)


def _node(text: str, event: t.Any, events: t.Iterator[t.Any]) -> Node:
    kind, start, end = type(event).__name__, event.start_mark.index, event.end_mark.index
    if kind in ("AliasEvent", "ScalarEvent"):
        block = BLOCK_SCALAR.match(text, start)
        if block:  # Blank lines below are a part of it only with +.
            end = start + len(re.sub(r"\n\Z" if "+" in block[0] else r"\s+\Z", "", text[start:end]))
        return Node(start, end)
    entries: list[Entry] = []
    child = next(events)
    while type(child).__name__ not in ("MappingEndEvent", "SequenceEndEvent"):
        key = value = _node(text, child, events)
        if kind == "MappingStartEvent":
            value = _node(text, next(events), events)
            entries.append(Entry(_key(child), key.start, key.end, value))
        end = value.end  # The mark of a block's end is where the next thing begins.
        child = next(events)
    end = child.end_mark.index if event.flow_style else end
    return Node(start, end, kind == "MappingStartEvent", not event.flow_style, entries)


def _key(event: t.Any) -> str | None:
    """The key as `_yaml.load` has it."""
    if type(event).__name__ != "ScalarEvent" or event.tag:
        return None
    key = resolve(event.value) if event.implicit[0] else event.value
    if isinstance(key, str):
        return key
    from ansible_collections.kubestatic.node.plugins.module_utils._yaml_rarities import key_string

    return key_string(key)

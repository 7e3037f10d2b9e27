# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""One YAML document from parser events to plain data, by the rules of go.yaml.in/yaml/v2 decode.go."""

from __future__ import annotations

import math
import re
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._yaml_scalars import as_go_json, resolve

# Far above any Pod (17 levels), far below what Python's own stack bears. The kubelet's bound is 10000.
MAX_DEPTH = 150

TAG = "tag:yaml.org,2002:"
_MERGE = object()  # stands for the key `<<`
_OPEN = object()  # an anchor whose node has not ended yet
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")


def child_path(path: str, key: str) -> str:
    """The field path of `key` under `path`, such as ``spec.image`` or ``metadata.labels[app.kubernetes.io/name]``."""
    if not _PLAIN_KEY.match(key):
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else key


def too_deep() -> KubestaticError:
    return KubestaticError(f"the document is nested more than {MAX_DEPTH} levels deep, which no Pod needs; flatten it")


class Builder:
    """Builds the first document from parser events, by the rules of yaml.v2's decode.go for an untyped target."""

    def __init__(self, yaml: t.Any, parser: t.Any) -> None:
        self.next = parser.get_event
        self.events = yaml.events
        self.duplicates: list[str] = []
        self._anchors: dict[str, tuple[t.Any, int]] = {}
        self._path: list[str | int] = []
        self._decoded = 0
        self._from_aliases = 0

    def first_document(self) -> t.Any:
        self.next()  # StreamStart
        event = self.next()
        if isinstance(event, self.events.StreamEndEvent):
            return None
        if event.version not in (None, (1, 1)):
            raise at(event, f"%YAML {event.version[0]}.{event.version[1]} is not read by the kubelet; remove that line")
        self._decoded += 1
        data = self._value(self._node(self.next()), event)
        self.next()  # DocumentEnd
        return data

    def more_documents(self) -> bool:
        # Called only after first_document() got as far as its end.
        while True:
            event = self.next()
            if event is None or isinstance(event, self.events.StreamEndEvent):
                return False
            content = self.next()
            if not (isinstance(content, self.events.ScalarEvent) and content.value == "" and content.implicit[0]):
                return True
            self.next()  # DocumentEnd

    def _node(self, event: t.Any) -> t.Any:
        """The Go value of the node that `event` begins: floats stay floats, as a key they read otherwise."""
        kind = type(event)
        if kind is self.events.AliasEvent:
            return self._alias(event)
        self._decoded += 1
        anchor, before = event.anchor, self._decoded
        if anchor is not None:
            self._anchors[anchor] = (_OPEN, 0)
        if kind is self.events.ScalarEvent:
            value = _scalar(event)
        elif kind is self.events.MappingStartEvent:
            value = self._mapping(event)
        else:
            value = self._sequence(event)
        if anchor is not None:
            self._anchors[anchor] = (value, self._decoded - before + 1)
        return value

    def _alias(self, event: t.Any) -> t.Any:
        if event.anchor not in self._anchors:
            raise at(event, f"the anchor {event.anchor!r} is not defined before this place")
        value, size = self._anchors[event.anchor]
        if value is _OPEN:
            raise at(event, f"the anchor {event.anchor!r} contains itself")
        # yaml.v2's own bound against documents that explode when aliases are followed.
        self._decoded += 1 + size
        self._from_aliases += size
        allowed = 0.99 - 0.89 * min(max((self._decoded - 400_000) / 3_600_000, 0), 1)
        if self._from_aliases > 100 and self._decoded > 1000 and self._from_aliases / self._decoded > allowed:
            raise at(event, "the document grows too large when its aliases are followed")
        return value

    def _sequence(self, start: t.Any) -> list[t.Any]:
        self._check_depth()
        values: list[t.Any] = []
        end = self.events.SequenceEndEvent
        self._path.append(0)
        event = self.next()
        while not isinstance(event, end):
            self._path[-1] = len(values)
            value = self._node(event)
            values.append(self._value(value, event) if isinstance(value, float) else value)
            event = self.next()
        self._path.pop()
        return values

    def _mapping(self, start: t.Any) -> dict[str, t.Any]:
        self._check_depth()
        values: dict[str, t.Any] = {}
        merged: set[str] = set()
        end = self.events.MappingEndEvent
        self._path.append("")
        event = self.next()
        while not isinstance(event, end):
            key = self._key(event)
            content = self.next()
            if key is _MERGE:
                self._merge(content, values, merged)
            else:
                if key in values and key not in merged:
                    self._duplicate(key, event)
                merged.discard(key)
                self._path[-1] = key
                value = self._node(content)
                values[key] = self._value(value, content) if isinstance(value, float) else value
            event = self.next()
        self._path.pop()
        return values

    def _key(self, event: t.Any) -> t.Any:
        if isinstance(event, self.events.ScalarEvent) and event.value == "<<" and _may_merge(event):
            return _MERGE
        key = self._node(event)
        if isinstance(key, str):
            return key
        from ansible_collections.kubestatic.node.plugins.module_utils._yaml_rarities import key_string

        text = key_string(key)
        if text is None:
            what = "null" if key is None else "a mapping or list" if isinstance(key, (dict, list)) else str(key)
            raise at(event, f"{what} cannot be a key; quote it")
        return text

    def _merge(self, event: t.Any, values: dict[str, t.Any], merged: set[str]) -> None:
        """yaml.v2 merges where `<<` stands: it overwrites what is above it and is overwritten by what is below."""
        self._path[-1] = "<<"
        if isinstance(event, self.events.SequenceStartEvent):
            parts = []
            part = self.next()
            while not isinstance(part, self.events.SequenceEndEvent):
                parts.append(self._merge_part(part))
                part = self.next()
        else:
            parts = [self._merge_part(event)]
        for mapping in reversed(parts):
            for key, value in mapping.items():
                if key in values and key not in merged:
                    self._duplicate(key, event)
                merged.add(key)
                values[key] = value

    def _merge_part(self, event: t.Any) -> dict[str, t.Any]:
        value = self._node(event)
        if not isinstance(value, dict):
            raise at(event, "`<<` takes a mapping or a list of mappings")
        return value

    def _value(self, value: t.Any, event: t.Any) -> t.Any:
        if not isinstance(value, float):
            return value
        if not math.isfinite(value):
            raise at(event, f"the number {value} cannot be said in JSON, so the kubelet refuses it; quote it")
        return as_go_json(value)

    def _duplicate(self, key: str, event: t.Any) -> None:
        path = ""
        for step in self._path[:-1]:
            path = f"{path}[{step}]" if isinstance(step, int) else child_path(path, step)
        self.duplicates.append(f"{child_path(path, key)} (line {event.start_mark.line + 1})")

    def _check_depth(self) -> None:
        if len(self._path) >= MAX_DEPTH:
            raise too_deep()


def at(event: t.Any, problem: str) -> KubestaticError:
    """An error at the place of this event."""
    mark = event.start_mark
    return KubestaticError(f"YAML error in line {mark.line + 1}, column {mark.column + 1}: {problem}")


def _may_merge(event: t.Any) -> bool:
    return bool(event.implicit[0]) or event.tag == f"{TAG}merge"


def _scalar(event: t.Any) -> t.Any:
    text, tag = event.value, event.tag
    if tag is None:
        return resolve(text) if event.implicit[0] else text
    if tag == f"{TAG}str":
        return text
    from ansible_collections.kubestatic.node.plugins.module_utils import _yaml_rarities

    return _yaml_rarities.tagged(event, text, tag)

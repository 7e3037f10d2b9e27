# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""Which fields of v1 Pod and KubeletConfiguration each supported kubelet knows, and what it takes as their values.

The kubelet decodes without strictness: an unknown field is dropped in silence, a value of the wrong type makes the
whole file unreadable. Names are compared exactly, as its JSON decoder does. The table is `_schema_data`.
"""

from __future__ import annotations

import functools
import re
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _schema_data, _schema_values
from ansible_collections.kubestatic.node.plugins.module_utils._errors import DROPPED, REFUSED, Finding
from ansible_collections.kubestatic.node.plugins.module_utils._yaml_builder import child_path

MINORS = range(_schema_data.OLDEST, _schema_data.NEWEST + 1)

# Where a field that stands in the wrong place most often belongs.
_PLACES = (
    ("ObjectMeta", "metadata"),
    ("PodSpec", "spec"),
    ("Container", "a container"),
    ("SecurityContext", "securityContext of a container"),
    ("Probe", "a probe"),
)

# How many of a long set's values a message lists.
_FEW = 6

# One span of minors and the type that a field has in them.
Span = t.Tuple[str, int, int]


def check(data: t.Any, *, root: str, minor: int) -> list[Finding]:
    """What the decoder of kubelet 1.`minor` drops (unknown fields) and refuses (wrong types, values outside a set).

    `data` is one decoded document, `root` is ``Pod`` or ``KubeletConfiguration``. Null is fine anywhere: it means
    absent. A minor outside `MINORS` is judged by the nearest one that the table has; whoever calls decides what
    that is worth. Fields below ``status`` are checked for their types alone.
    """
    found: list[Finding] = []
    _Walk(root=root, minor=min(max(minor, MINORS[0]), MINORS[-1]), found=found).value(data, root, "")
    return found


class _Walk:
    def __init__(self, *, root: str, minor: int, found: list[Finding]) -> None:
        self.root = root
        self.minor = minor
        self.found = found

    def value(self, value: t.Any, kind: str, path: str) -> None:
        """Compare one value with its type in the table's notation (tests/schema/README.md)."""
        if value is None:
            return
        pointer, kind = kind[0] == "*", kind.lstrip("*")
        prefix = kind[:2]
        if prefix == "[]":
            self._list(value, kind[2:], path)
        elif prefix == "{}":
            self._map(value, kind[2:], path)
        elif kind[0].isupper() and kind != "B":
            self._record(value, kind, path)
        elif kind == "s" and isinstance(value, str):
            return
        elif kind.startswith("s="):
            self._choice(value, kind[2:], path, may_be_empty=not pointer)
        else:
            self._refuse(path, _schema_values.problem(value, kind))

    def _list(self, value: t.Any, kind: str, path: str) -> None:
        if not isinstance(value, list):
            self._refuse(path, f"must be a list, found {_schema_values.found(value)}; begin each item with '- '")
            return
        for index, item in enumerate(value):
            self.value(item, kind, f"{path}[{index}]")

    def _map(self, value: t.Any, kind: str, path: str) -> None:
        if not isinstance(value, dict):
            self._refuse(path, f"must be a mapping, found {_schema_values.found(value)}")
            return
        for key, item in value.items():
            self.value(item, kind, child_path(path, key))

    def _record(self, value: t.Any, kind: str, path: str) -> None:
        if not isinstance(value, dict):
            self._refuse(path, f"must be a mapping, found {_schema_values.found(value)}")
            return
        known = fields(kind, self.minor)
        for key, item in value.items():
            child = known.get(key)
            if child is not None:
                self.value(item, child, child_path(path, key))
            elif not (self.root == "Pod" and path.startswith("status")):
                self._drop(child_path(path, key), key, kind)

    def _choice(self, value: t.Any, name: str, path: str, *, may_be_empty: bool) -> None:
        problem = _schema_values.problem(value, "s")
        allowed = _enum(name, self.minor)
        outside = problem is None and value not in allowed and not (value == "" and may_be_empty)
        # Nothing validates what a manifest says below status.
        if outside and not path.startswith("status"):
            problem = _outside(value, allowed)
        self._refuse(path, problem)

    def _refuse(self, path: str, problem: str | None) -> None:
        if problem is not None:
            self.found.append(Finding(REFUSED, path, problem))

    def _drop(self, path: str, key: str, kind: str) -> None:
        self.found.append(Finding(DROPPED, path, self._why_unknown(key, kind)))

    def _why_unknown(self, key: str, kind: str) -> str:
        unknown = f"not a field that kubelet 1.{self.minor} knows"
        spans = _spans(kind).get(key)
        if spans:
            later = [since for _kind, since, _until in spans if since > self.minor]
            if later:
                return f"{unknown}; it exists from 1.{min(later)} on"
            return f"{unknown}; it was removed in 1.{max(until for _kind, _since, until in spans) + 1}"
        near = _near(key, fields(kind, self.minor))
        if near:
            return f'{unknown}; did you mean "{near}"?'
        if self.root == "Pod":
            for place, name in _PLACES:
                if key in fields(place, self.minor):
                    return f"{unknown} in this place; it belongs to {name}"
        return f"{unknown}; remove it or correct its name"


def _near(key: str, names: t.Iterable[str]) -> str | None:
    """The known name that `key` was probably meant to be."""
    import difflib

    plain = {re.sub("[-_]", "", name).lower(): name for name in names}
    wanted = re.sub("[-_]", "", key).lower()
    if wanted in plain:
        return plain[wanted]
    close = difflib.get_close_matches(wanted, plain, n=1, cutoff=0.75)
    return plain[close[0]] if close else None


def _outside(value: str, allowed: t.Iterable[str]) -> str:
    near = _near(value, allowed)
    hint = f'; did you mean "{near}"?' if near else ""
    names = [name for name in allowed if name]
    few = ", ".join(names[:_FEW]) + ("..." if len(names) > _FEW else "")
    return f"must be one of {few}; found {value!r}{hint}"


# ---- the table


@functools.lru_cache(maxsize=None)
def _blocks(text: str) -> dict[str, str]:
    """Name -> its lines in the table. They are taken apart only when a manifest uses them."""
    blocks = (block.partition("\n") for block in text.strip().split("\n\n"))
    return {name: lines for name, _newline, lines in blocks}


@functools.lru_cache(maxsize=None)
def _spans(kind: str) -> dict[str, list[Span]]:
    lines = (line.split() for line in _blocks(_schema_data.TYPES)[kind].split("\n") if line)
    return {line[0]: [_span(part) for part in line[1:]] for line in lines}


def _span(part: str) -> Span:
    kind, _at, minors = part.partition("@")
    since, _dash, until = minors.partition("-")
    return kind, int(since or MINORS[0]), int(until or MINORS[-1])


@functools.lru_cache(maxsize=None)
def fields(kind: str, minor: int) -> dict[str, str]:
    """Field -> type in the table's notation, for what 1.`minor` knows of the struct `kind`."""
    return {
        name: field_kind
        for name, spans in _spans(kind).items()
        for field_kind, since, until in spans
        if since <= minor <= until
    }


@functools.lru_cache(maxsize=None)
def _enum(name: str, minor: int) -> tuple[str, ...]:
    """The values of the closed set `name` in 1.`minor`."""
    spans = [_span(value) for value in _blocks(_schema_data.ENUMS)[name].split()]
    return tuple(value.strip('"') for value, since, until in spans if since <= minor <= until)

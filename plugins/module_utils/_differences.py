# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""Which fields make two manifests two pods to the kubelet, in a form that may be registered and logged. Pure."""

from __future__ import annotations

import json
import re
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils._defaults import with_defaults
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_settings import without_user
from ansible_collections.kubestatic.node.plugins.module_utils._manifest import Pod
from ansible_collections.kubestatic.node.plugins.module_utils._yaml_builder import child_path

MAX_CHARACTERS = 200
NOT_SHOWN = "(not shown)"

# Where secrets are kept in a Pod, as (parent, field). The annotation is a copy of a whole manifest with all of its env.
_SECRET = {
    ("env", "value"),
    ("httpHeaders", "value"),
    ("csi", "volumeAttributes"),
    ("flexVolume", "options"),
    ("annotations", "kubectl.kubernetes.io/last-applied-configuration"),
}
# What follows it in a command line or a script, to the end.
_SECRET_WORD = re.compile(
    r"((?:pass|password|passwd|passphrase|secret|token|api[-_]?key|credentials?)[=: ]).+", re.DOTALL | re.IGNORECASE
)

_Keys = t.Tuple[str, ...]


class Difference(t.NamedTuple):
    """One field of two Pods. ``before`` and ``after`` are None where the field or the list's entry is not there.

    ``path`` is a field path as messages have it, such as ``spec.containers[web].image``. Entries of a list are called by
    their ``name``, since an index is another one where entries come and go.
    Strings stand for themselves and all else is JSON, both cut at 200 characters.
    """

    path: str
    before: str | None
    after: str | None


def differences(before: Pod, after: Pod) -> list[Difference]:
    """All fields in which the kubelet sees two pods, in the order of the manifests; none where `same_as` is true.

    Values of env and of HTTP headers, and what follows password, secret or token in a command line, read ``(not shown)``. The
    rest of a command line is shown, as everybody on the node can see it anyway.
    """
    return list(_values(with_defaults(before.data), with_defaults(after.data), "", ()))


def _values(before: t.Any, after: t.Any, path: str, keys: _Keys) -> t.Iterator[Difference]:
    """`keys` are the fields that lead here, without the entries of lists."""
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict) and keys[-2:] not in _SECRET:
        yield from list(_fields(before, after, path, keys)) or [_difference(before, after, path, keys)]
    elif isinstance(before, list) and isinstance(after, list):
        yield from list(_entries(before, after, path, keys)) or [_difference(before, after, path, keys)]
    else:
        yield _difference(before, after, path, keys)


def _fields(before: dict[str, t.Any], after: dict[str, t.Any], path: str, keys: _Keys) -> t.Iterator[Difference]:
    for key in {**before, **after}:
        yield from _values(before.get(key), after.get(key), child_path(path, key), (*keys, key))


def _entries(before: list[t.Any], after: list[t.Any], path: str, keys: _Keys) -> t.Iterator[Difference]:
    """Nothing where the same entries stand in another order."""
    old, new = _by_name(before), _by_name(after)
    if old is not None and new is not None:
        for name in {**old, **new}:
            yield from _values(old.get(name), new.get(name), f"{path}[{name}]", keys)
    elif len(before) == len(after) and all(isinstance(item, dict) for item in (*before, *after)):
        for index, (one, other) in enumerate(zip(before, after)):
            yield from _values(one, other, f"{path}[{index}]", keys)
    else:
        for one, other in _pairs(_words(before), _words(after)):
            yield _difference(one, other, path, keys)


def _by_name(items: list[t.Any]) -> dict[str, t.Any] | None:
    """The entries by their ``name``; None where not each has one of its own."""
    found = {item["name"]: item for item in items if isinstance(item, dict) and isinstance(item.get("name"), str)}
    return found if len(found) == len(items) else None


def _words(items: list[t.Any]) -> list[t.Any]:
    """The same list with each flag and the value behind it in one string."""
    words: list[t.Any] = []
    flag = False
    for item in items:
        is_text = isinstance(item, str)
        # A secret may begin with a dash, too, and is the flag's in any case.
        if flag and is_text and (not item.startswith("-") or _SECRET_WORD.search(f"{words[-1]} value")):
            words[-1] += f" {item}"
            flag = False
        else:
            words.append(item)
            flag = is_text and item.startswith("-") and "=" not in item
    return words


def _pairs(before: list[t.Any], after: list[t.Any]) -> t.Iterator[tuple[t.Any, t.Any]]:
    """What only one of the lists has: the old and the new value of a flag together, the rest in the order of the lists."""
    added = _without(after, before)
    for one in _without(before, after):
        other = next((item for item in added if _flag(item) == _flag(one)), None)
        if other is not None:
            added.remove(other)
        yield one, other
    for item in added:
        yield None, item


def _without(items: list[t.Any], others: list[t.Any]) -> list[t.Any]:
    left = list(others)
    found = []
    for item in items:
        if item in left:
            left.remove(item)
        else:
            found.append(item)
    return found


def _flag(item: t.Any) -> str | None:
    """The flag's name; an empty string for another string, and None for what is none."""
    if not isinstance(item, str):
        return None
    return re.split("[= ]", item, maxsplit=1)[0] if item.startswith("-") else ""


def _difference(before: t.Any, after: t.Any, path: str, keys: _Keys) -> Difference:
    return Difference(path, _shown(before, keys), _shown(after, keys))


def _shown(value: t.Any, keys: _Keys) -> str | None:
    if value is None:
        return None
    safe = _safe(value, keys)
    text = safe if isinstance(safe, str) else json.dumps(safe, ensure_ascii=False, default=str)
    return text if len(text) <= MAX_CHARACTERS else f"{text[:MAX_CHARACTERS]}... ({len(text)} characters)"


def _safe(value: t.Any, keys: _Keys) -> t.Any:
    """The value without its secrets."""
    if keys[-2:] in _SECRET:
        return NOT_SHOWN
    if isinstance(value, dict):
        return {key: _safe(item, (*keys, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_safe(item, keys) if _ends(word) else NOT_SHOWN for word, item in zip([None, *value], value)]
    return _SECRET_WORD.sub(rf"\1{NOT_SHOWN}", without_user(value)) if isinstance(value, str) else value


def _ends(word: t.Any) -> bool:
    """False for a flag whose value is a secret and stands in the next word."""
    return not (isinstance(word, str) and word.startswith("-") and _SECRET_WORD.search(f"{word} value"))

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""Which command-line flags each supported kubelet has on Linux, and which KubeletConfiguration keys they stand for.

A kubelet does not start with a flag that it does not know. The table is `_flags_data`; a minor that it does not have
is judged by the nearest one. Flags are named without dashes in front. A kubelet takes ``node_ip`` for ``node-ip``
(``WordSepNormalizeFunc`` in k8s.io/component-base/cli/flag), and so do the functions here.
"""

from __future__ import annotations

import functools
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _flags_data

MINORS = range(_flags_data.OLDEST, _flags_data.NEWEST + 1)


class Flag(t.NamedTuple):
    """What one kubelet takes as one flag.

    `key` is the dotted path of the KubeletConfiguration key that is the same setting, such as
    ``authentication.x509.clientCAFile``, or an empty string. `boolean`: the bare flag means true, and a word after it
    is no value of it. `plural`: the value is a list or a map.
    """

    name: str
    key: str
    boolean: bool
    deprecated: bool
    plural: bool


def flags(minor: int) -> dict[str, Flag]:
    """Name -> flag, for all that kubelet 1.`minor` has."""
    return dict(_flags(_nearest(minor)))


def flag_of(key: t.Sequence[str] | str, minor: int) -> list[str]:
    """The flags of kubelet 1.`minor` that set this KubeletConfiguration key.

    `key` is a dotted path or its parts; parts tell the dots of ``("evictionHard", "memory.available")`` apart. What
    lies in a list or a map belongs to the flag that sets the whole of it. A struct such as ``authentication`` has none.
    """
    path = key if isinstance(key, str) else ".".join(key)
    return [
        flag.name
        for flag in _flags(_nearest(minor)).values()
        if flag.key and (path == flag.key or (flag.plural and path.startswith(f"{flag.key}.")))
    ]


def why_unknown(name: str, *, minor: int) -> str:
    """Part of a sentence: why kubelet 1.`minor` does not start with the flag `name`, which is not among its `flags`."""
    minor = _nearest(minor)
    unknown = f"not a flag of kubelet 1.{minor}"
    having = [one for one in MINORS if _plain(name) in _flags(one)]
    later = [one for one in having if one > minor]
    if later:
        return f"{unknown}; it exists from 1.{later[0]} on"
    if having:
        return f"{unknown}; it was removed in 1.{having[-1] + 1}"
    near = _near(name, _flags(minor))
    return f'{unknown}; did you mean "{near}"?' if near else f"{unknown}; remove it or correct its name"


def removed_later(name: str, *, minor: int) -> int | None:
    """The first minor after 1.`minor` whose kubelet does not have the flag any more.

    None when the table knows of no such minor, or when kubelet 1.`minor` does not have the flag.
    """
    minor = _nearest(minor)
    if _plain(name) not in _flags(minor):
        return None
    return next((later for later in MINORS if later > minor and _plain(name) not in _flags(later)), None)


def _nearest(minor: int) -> int:
    return min(max(minor, MINORS[0]), MINORS[-1])


def _plain(name: str) -> str:
    return name.replace("_", "-")


def _near(name: str, known: dict[str, Flag]) -> str | None:
    """The flag that `name` was probably meant to be: written otherwise, named as its key is, or misspelt."""
    import difflib

    spellings = {flag.key.lower(): flag.name for flag in known.values() if flag.key}
    spellings.update((flag.replace("-", ""), flag) for flag in known)
    wanted = _plain(name).replace("-", "").lower()
    close = difflib.get_close_matches(wanted, spellings, n=1, cutoff=0.75)
    return spellings[close[0]] if close else None


# ---- the table


@functools.lru_cache(maxsize=None)
def _flags(minor: int) -> dict[str, Flag]:
    found = {}
    for name, spans in _spans().items():
        for what, since, until in spans:
            if since <= minor <= until:
                found[name] = _flag(name, what)
    return found


def _flag(name: str, what: str) -> Flag:
    """Read the table's notation for one flag (tests/schema/README.md), such as ``!b=enableServer``."""
    takes, _equals, key = what.lstrip("!").partition("=")
    return Flag(name, key, boolean=takes == "b", deprecated=what[0] == "!", plural=takes == "[]")


@functools.lru_cache(maxsize=None)
def _spans() -> dict[str, list[tuple[str, int, int]]]:
    lines = (line.split() for line in _flags_data.FLAGS.strip().split("\n"))
    return {line[0]: [_span(part) for part in line[1:]] for line in lines}


def _span(part: str) -> tuple[str, int, int]:
    what, _at, minors = part.partition("@")
    since, _dash, until = minors.partition("-")
    return what, int(since or MINORS[0]), int(until or MINORS[-1])

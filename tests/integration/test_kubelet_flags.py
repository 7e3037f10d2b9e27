# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of flags says of each flag what a real kubelet says."""

from __future__ import annotations

import re

from ansible_collections.kubestatic.node.plugins.module_utils import _kubelet_flags
from conftest import Node

ENTRY = re.compile(r"^(?: {6}|  -\w, )--([\w-]+)(\S*) (\S*)", re.MULTILINE)

# What the help calls the types of lists and maps.
PLURAL = {
    "[]v1.Taint",
    "colonSeparatedMultimapStringString",
    "mapStringBool",
    "mapStringString",
    "pattern=N,...",
    "reserved-memory",
    "strings",
}

# With --help before them, flags do no more than tell what they take: a bare one makes the kubelet fail or print its help.
PROBE = """\
for name in {names}; do
    if output=$(kubelet --help "--$name" 2>&1); then echo "$name bare"; continue; fi
    case $output in
        *"flag needs an argument: --$name"*) echo "$name value" ;;
        *"unknown flag: --$name"*) echo "$name unknown" ;;
        *) echo "$name fails: $output" ;;
    esac
done
"""


def test_the_table_is_what_the_kubelet_says(node: Node) -> None:
    minor = int(node.sh("kubelet --version").split(".")[1])
    assert minor in _kubelet_flags.MINORS
    known = _kubelet_flags.flags(minor)

    pieces = ENTRY.split(node.sh("kubelet --help"))[1:]
    helped = {pieces[at]: (pieces[at + 2], pieces[at + 3]) for at in range(0, len(pieces), 4)}
    assert helped.keys() == known.keys()
    deprecated = {name for name, (_kind, text) in helped.items() if "(DEPRECATED: " in text}
    assert deprecated == {flag.name for flag in known.values() if flag.deprecated}
    plural = {name for name, (kind, _text) in helped.items() if kind in PLURAL}
    assert plural == {flag.name for flag in known.values() if flag.plural}

    # The flags of the other minors, too: help does not show hidden ones.
    names = sorted({name for one in _kubelet_flags.MINORS for name in _kubelet_flags.flags(one)})
    told = dict(line.split(" ", 1) for line in node.sh(PROBE.format(names=" ".join(names))).splitlines())
    takes = {name: "bare" if name in known and known[name].boolean else "value" for name in names}
    assert told == {name: takes[name] if name in known else "unknown" for name in names}

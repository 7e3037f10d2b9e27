# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""What a running kubelet was started with, and whether that is still what its files say: is it stale, and why.

A kubelet reads its configuration once, at its start. What it read then is noted as digests of each part of each file, so
that a change of comments or order is none. For a process whose start nobody noted, its own command line and environment
tell most, and the times of its files the rest.
"""

from __future__ import annotations

import hashlib
import json
import os
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import (
    _environment_file,
    _kubelet_identity,
    _kubelet_process,
    _kubelet_service,
    _kubelet_unit,
)
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_identity import Identity
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_layers import Layers
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_process import Kubelet
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_setup import Setup
from ansible_collections.kubestatic.node.plugins.module_utils._store import Store

# Path -> part of the file (a key, a variable, Section.Directive) -> digest of what it says.
Inputs = t.Dict[str, t.Dict[str, str]]


# Default of healthzPort and healthzBindAddress (pkg/kubelet/apis/config/v1beta1/defaults.go).
_PORT, _ADDRESS = 10248, "127.0.0.1"


class Note(t.NamedTuple):
    """What is noted of a start. ``healthz`` is address and port where this process answers, port 0 for nowhere."""

    inputs: Inputs
    identity: Identity
    healthz: tuple[str, int]


def inputs(setup: Setup) -> Inputs:
    """All that a kubelet reads at its start with this setup, in a form that may be stored: no value is in it."""
    found: Inputs = {}
    for path in setup.unit.files:
        for one in _kubelet_unit.directives(setup.tree.text(path) or ""):
            # What the unit is called and who wants it changes nothing for the process.
            if one.section == "Service":
                parts = found.setdefault(path, {})
                parts[one.name] = _digest([parts.get(one.name), one.value])
    for file in setup.unit.environment_files:
        text = setup.tree.text(file.path)
        if text is not None:
            found[file.path] = {one.name: _digest(one.value) for one in _environment_file.parse(text)}
    for config in setup.layers.configs:
        told = {key: _digest(value) for key, value in config.data.items()}
        # Every such file says these, and nothing by them.
        found[config.path] = {key: digest for key, digest in told.items() if key not in ("apiVersion", "kind")}
    return found


def remember(store: Store, *, pid: int, setup: Setup) -> None:
    """Note that this process was started with this setup."""
    store.kubelet_start = {
        "pid": pid,
        "process": _kubelet_process.process_identity(pid),
        "inputs": inputs(setup),
        "identity": list(_kubelet_identity.identity(setup.layers)),
        "healthz": list(endpoint(setup.layers)),
    }


def known(kubelet: Kubelet, *, store: Store) -> Note | None:
    """What this process was started with; None where that is not noted, or not as this version notes it."""
    noted = store.kubelet_start
    # The identity alone tells no two processes apart that start in the same hundredth of a second.
    if (noted.get("pid"), noted.get("process")) != (kubelet.pid, _kubelet_process.process_identity(kubelet.pid)):
        return None
    try:
        address, port = noted["healthz"]
        return Note(noted["inputs"], Identity(*noted["identity"]), (address, port))
    except (KeyError, TypeError, ValueError):
        # Another version of this collection noted other things.
        return None


def endpoint(layers: Layers) -> tuple[str, int]:
    """Address and port of healthz; port 0 where this kubelet has none."""
    port = layers.value(("healthzPort",), _PORT)
    address = str(layers.value(("healthzBindAddress",), _ADDRESS))
    return _kubelet_service.local_address(address), int(port) if str(port).isdigit() else _PORT


def last_identity(store: Store) -> Identity | None:
    """By what the kubelet knew its pods that was started last, whatever became of it; None where that is not noted."""
    try:
        return Identity(*store.kubelet_start["identity"])
    except (KeyError, TypeError):
        return None


def stale(kubelet: Kubelet, setup: Setup, *, note: Note | None, needs_reload: bool) -> list[str]:
    """Why the running kubelet is stale, in words that name file and key; empty where it is not.

    `note`: what is `known` of it. `needs_reload`: systemd's NeedDaemonReload.
    """
    if note is not None:
        return differences(note.inputs, inputs(setup))
    return (
        _different_flags(kubelet.argv[1:], setup)
        or _different_environment(kubelet.pid, setup)
        or _changed_since(_kubelet_process.started_at(kubelet.pid), setup, needs_reload=needs_reload)
    )


def differences(then: Inputs, now: Inputs) -> list[str]:
    """What differs, as `PART in FILE`."""
    found = []
    for path in sorted({*then, *now}):
        before, after = then.get(path, {}), now.get(path, {})
        parts = sorted(part for part in {*before, *after} if before.get(part) != after.get(part))
        found += [f"{part} in {path}" for part in parts]
    return found


def _different_flags(running: t.Sequence[str], setup: Setup) -> list[str]:
    if list(running) == list(setup.unit.argv[1:]):
        return []
    now = setup.unit.argv[1:]
    words = zip(now, _flag_names(now), setup.unit.words[1:])
    added = [f"{name} in {word.path}" for text, name, word in words if text not in running]
    gone = [
        f"{name}, which it was started with" for text, name in zip(running, _flag_names(running)) if text not in now
    ]
    return added or gone or ["the order of its flags"]


def _flag_names(words: t.Sequence[str]) -> list[str]:
    """The flag that each word belongs to, without the value, which may be long or nobody's business."""
    names: list[str] = []
    for word in words:
        is_value = not word.startswith("-") and names
        names.append(names[-1] if is_value else word.partition("=")[0])
    return names


def _different_environment(pid: int, setup: Setup) -> list[str]:
    try:
        with open(f"/proc/{pid}/environ", encoding="utf-8", errors="surrogateescape") as file:
            running = dict(pair.partition("=")[::2] for pair in file.read().split("\0"))
    except OSError:
        return []
    return [
        f"{name} in its environment" for name, value in setup.unit.environment.items() if running.get(name) != value
    ]


def _changed_since(moment: float, setup: Setup, *, needs_reload: bool) -> list[str]:
    """By the times of files and of the directories of drop-ins, where a file may have gone.

    A file that was moved into place has an old time of its own, and a new one of its inode.
    """
    paths = [config.path for config in setup.layers.configs]
    if setup.layers.config_dir:
        drop_ins = [path for path in paths if path != setup.layers.config_file]
        paths += sorted({setup.layers.config_dir, *map(os.path.dirname, drop_ins)})
    if needs_reload:
        paths += setup.unit.files
    found = []
    for path in paths:
        try:
            seen = os.stat(path)
        except OSError:
            continue
        if max(seen.st_mtime, seen.st_ctime) > moment:
            found.append(f"{path}, which was changed after the kubelet had started")
    return found


def _digest(value: t.Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]

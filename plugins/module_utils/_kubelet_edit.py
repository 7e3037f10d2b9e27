# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""From wanted settings and flags to a changed setup of the node, each setting in the layer where it belongs.

A change is planned on a `Tree`, then the layers are read from that tree as the kubelet would read them: what is not
in force there is refused, with the file and line that wins. So every rule of precedence is asked, and none written twice.
"""

from __future__ import annotations

import os
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import (
    _kubelet_flag_edit,
    _kubelet_flags,
    _kubelet_layers,
    _yaml_dump,
    _yaml_edit,
)
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_flag_edit import OWN_DROP_IN
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_layers import Given, Key, Layers
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_settings import DROP_IN, FILE, FLAG
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_setup import Setup
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_wish import AUTO, Wish, are_in_force

# What a kubelet without --config has otherwise (applyLegacyDefaults, cmd/kubelet/app/options/options.go).
_FLIPPING: tuple[Key, ...] = (
    ("authentication", "anonymous", "enabled"),
    ("authentication", "webhook", "enabled"),
    ("authorization", "mode"),
    ("readOnlyPort",),
)
# Beta, and without an environment variable that switches it on, from this minor on (KEP-3983).
_DROP_INS_SINCE = 30
_RESOLV_CONF_SINCE = 32


def planned(found: Setup, wish: Wish) -> Setup:
    """The setup as it shall be: its ``tree`` says which files change. Raises KubestaticError for what cannot be had."""
    new = found
    for name, value in wish.flags.items():
        new = _kubelet_flag_edit.with_flag(new, name, value, flags_file=wish.flags_file)
    wanted = dict(_kubelet_layers.leaves(wish.settings))
    if wanted:
        new = _with_settings(new, wish, wanted)
    for name, value in wish.flags.items():
        _require_flag(new, name, value)
    for key, value in wanted.items():
        _require_setting(new, key, value, migrate=wish.migrate)
    return new


# ---- settings


def _with_settings(found: Setup, wish: Wish, wanted: t.Mapping[Key, t.Any]) -> Setup:
    if wish.layer == AUTO and not wish.migrate and are_in_force(found.layers, wanted):
        return found
    new = found
    moved: dict[Key, t.Any] = {}
    if wish.migrate:
        for name in dict.fromkeys(given.flag for key in wanted for given in found.layers.given(key) if given.flag):
            moved.update(_beside(new.layers, name, wanted))
            new = _kubelet_flag_edit.without_flag(new, name)
    layer, path = _target(found, wish, wanted)
    away = {} if wish.layer != AUTO or layer == FILE else _taken_out_of_file(new.layers, wanted)
    new = _written(new, wish, FILE, new.layers.config_file, away)
    missing = {
        key: value
        for key, value in {**moved, **wanted}.items()
        if key in moved or not _is_met(new.layers, key, value, layer=wish.layer, path=path)
    }
    return _written(new, wish, layer, path, missing)


def _taken_out_of_file(layers: Layers, wanted: t.Mapping[Key, t.Any]) -> dict[Key, t.Any]:
    """The keys that are to have no value and that the configuration file alone gives one: a drop-in is no place for that."""
    return {
        key: value
        for key, value in wanted.items()
        if value is None and [given.layer for given in layers.given(key)] == [FILE]
    }


def _written(found: Setup, wish: Wish, layer: str, path: str, settings: t.Mapping[Key, t.Any]) -> Setup:
    """The same node with these settings in the layer's file."""
    if not settings:
        return found
    problem = next((config.problem for config in found.layers.configs if config.path == path), "")
    if problem and not (found.tree.text(path) is None and _is_same(path, wish.config_file)):
        raise KubestaticError(problem)
    _require_read_there(layer, settings, minor=found.minor)
    new = found
    if layer == DROP_IN:
        new = _with_drop_ins(new, path, directory=_drop_in_directory(found.layers), flags_file=wish.flags_file)
    elif not new.layers.config_file:
        new = _with_config(new, path, flags_file=wish.flags_file)
    text = new.tree.text(path) or _empty_config()
    try:
        text = _yaml_edit.merged(text, _patch(settings))
    except KubestaticError as exc:
        raise KubestaticError(f"{path}: {exc}") from None
    return new.with_file(path, text)


def _is_same(one: str, other: str) -> bool:
    return bool(one and other) and os.path.realpath(one) == os.path.realpath(other)


def _require_read_there(layer: str, settings: t.Mapping[Key, t.Any], *, minor: int) -> None:
    """Up to 1.31 drop-ins were merged after the defaults had been set, and this one is no pointer to nothing (KEP-3983)."""
    if layer == DROP_IN and ("resolvConf",) in settings and minor < _RESOLV_CONF_SINCE:
        raise KubestaticError(
            f"settings.resolvConf: kubelet 1.{minor} does not take it from a drop-in; use layer: file (drop-ins from"
            f" 1.{_RESOLV_CONF_SINCE} on)"
        )


def _beside(layers: Layers, name: str, wanted: t.Mapping[Key, t.Any]) -> dict[Key, t.Any]:
    """What a flag that is to go says of other keys than those that are wanted: it moves along."""
    flag = _kubelet_flags.flags(layers.minor)[name]
    key: Key = tuple(flag.key.split("."))
    if not any(one[: len(key)] == key and len(one) > len(key) for one in wanted):
        return {}
    found: dict[Key, t.Any] = {}
    for use in layers.flags:
        if use.name == name:
            found.update(((*key, part), text) for part, text in _kubelet_layers.flag_parts(use.value).items())
    return {one: _converted(key, text) for one, text in found.items() if one not in wanted}


def _converted(key: Key, text: str) -> t.Any:
    """A part of a flag's value as the file has it."""
    if key == ("featureGates",):
        return _kubelet_layers.is_true(text)
    return [text] if key == _kubelet_layers.HEADERS else text


def _is_met(layers: Layers, key: Key, value: t.Any, *, layer: str, path: str) -> bool:
    """Nothing is to be written: with `auto` it counts what is in force, else what the layer's own file says."""
    if layer == AUTO:
        return _kubelet_layers.same(value, layers.strongest(key))
    own = next((one for one in layers.given(key) if one.path == path and not one.flag), None)
    return _kubelet_layers.same(value, own) and not (value is None and own)


def _target(found: Setup, wish: Wish, wanted: t.Mapping[Key, t.Any]) -> tuple[str, str]:
    """The layer that is written to, and its file."""
    layers = found.layers
    layer = wish.layer
    if layer == AUTO:
        layer = DROP_IN if layers.config_dir or wish.drop_in_file else FILE
    if layer == DROP_IN:
        return DROP_IN, _drop_in_path(found, wish)
    if layers.config_file:
        if wish.config_file and not _is_same(wish.config_file, layers.config_file):
            raise KubestaticError(
                f"config_file: the kubelet is started with --config={layers.config_file} and does not read"
                f" {wish.config_file}; leave config_file out"
            )
        return FILE, layers.config_file
    missing = [".".join(key) for key in _FLIPPING if key not in wanted]
    if not wish.config_file or missing:
        say = f"say in settings what you want of these: {', '.join(missing)}"
        raise KubestaticError(
            f"{found.name} starts the kubelet without --config, and its first configuration file would refuse anonymous"
            " requests, ask the API server about every other one and close port 10255; set the same by flags, or"
            f" {' and '.join([*([] if wish.config_file else ['set config_file']), *([say] if missing else [])])}"
        )
    return FILE, wish.config_file


def _drop_in_path(found: Setup, wish: Wish) -> str:
    if found.minor < _DROP_INS_SINCE:
        raise KubestaticError(
            f"layer: kubelet 1.{found.minor} reads no drop-ins without being told to in its environment, and merges them"
            f" otherwise than later ones; use layer: file (drop-ins from 1.{_DROP_INS_SINCE} on)"
        )
    if not found.layers.config_file:
        raise KubestaticError(
            f"layer: {found.name} starts the kubelet without --config, and drop-ins alone leave everything else at the"
            " defaults of a kubelet that has only flags; give it a configuration file first, see config_file"
        )
    directory = _drop_in_directory(found.layers)
    if os.path.islink(directory):
        raise KubestaticError(
            f"{directory}: is a symbolic link, through which the kubelet does not look for drop-ins; give --config-dir the"
            " directory itself"
        )
    path = wish.drop_in_file or os.path.join(directory, OWN_DROP_IN)
    path = os.path.join(directory, path)
    if not path.endswith(".conf"):
        raise KubestaticError(f"drop_in_file: the kubelet reads only names that end in .conf, not {path}; rename it")
    if not os.path.normpath(path).startswith(os.path.normpath(directory) + "/"):
        raise KubestaticError(
            f"drop_in_file: {path} is not below --config-dir={directory}, so the kubelet does not read it"
        )
    return path


def _drop_in_directory(layers: Layers) -> str:
    return layers.config_dir or os.path.join(os.path.dirname(layers.config_file), "config.conf.d")


def _with_drop_ins(found: Setup, path: str, *, directory: str, flags_file: str) -> Setup:
    new = found.with_file(path, found.tree.text(path) or _empty_config())
    if not new.layers.config_dir:
        new = _kubelet_flag_edit.with_flag(new, "config-dir", directory, flags_file=flags_file)
    return new


def _with_config(found: Setup, path: str, *, flags_file: str) -> Setup:
    new = found.with_file(path, found.tree.text(path) or _empty_config())
    return _kubelet_flag_edit.with_flag(new, "config", path, flags_file=flags_file)


def _empty_config() -> str:
    head = {"apiVersion": _kubelet_layers.API_VERSION, "kind": _kubelet_layers.KIND}
    return _yaml_dump.dump(head, as_json=False)


def _patch(wanted: t.Mapping[Key, t.Any]) -> dict[str, t.Any]:
    patch: dict[str, t.Any] = {}
    for key, value in wanted.items():
        below = patch
        for name in key[:-1]:
            below = below.setdefault(name, {})
        below[key[-1]] = value
    return patch


def _require_setting(new: Setup, key: Key, value: t.Any, *, migrate: bool) -> None:
    strongest = new.layers.strongest(key)
    if _kubelet_layers.same(value, strongest):
        return
    name = f"settings.{'.'.join(key)}"
    if strongest is None:
        raise KubestaticError(
            f"{name}: the kubelet would not read it from that layer; leave layer out, or set another one"
        )
    if value is None and not strongest.flag:
        raise KubestaticError(
            f"{name}: {strongest} still gives it a value; remove it there, or set layer: {strongest.layer}"
        )
    raise KubestaticError(f"{name}: {_overridden(strongest, migrate=migrate)}")


def _overridden(given: Given, *, migrate: bool) -> str:
    if given.layer == FLAG and not migrate:
        return (
            f"{given} overrides it; remove that flag, or set migrate: true to have it removed and the setting written"
        )
    return f"{given} overrides it; change it there"


def _require_flag(new: Setup, name: str, value: str | None) -> None:
    use = new.layers.flag(name)
    if use is None and value is not None:
        start = new.unit.words[0]
        raise KubestaticError(
            f"flags.{name}: would not reach the kubelet, as something later than this collection's file sets the same"
            f" variable or ExecStart= ({start.path} line {start.line}) does not use it; set the flag there"
        )
    if use is not None and use.value != value:
        others = [one for one in new.layers.flags if one.name == name and one.value != value]
        if len(others) == 1 and others[0].value != use.value:
            raise KubestaticError(
                f"flags.{name}: --{name} in {others[0].word.path} line {others[0].word.line} gives {others[0].value}, too, and"
                " the kubelet takes both; remove it there"
            )
        raise KubestaticError(
            f"flags.{name}: --{name} in {use.word.path} line {use.word.line} stands later on the command line and wins;"
            " change it there"
        )

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""Every setting of a kubelet with the layer, file and line that gives it: flag > drop-in > file.

`_kubelet_settings` answers faster for the few settings that static pods need. Facts: cmd/kubelet/app/server.go
(NewKubeletCommand), KEP-3983 for drop-ins.
"""

from __future__ import annotations

import os
import re
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import (
    _kubelet_flags,
    _kubelet_settings,
    _yaml,
    _yaml_places,
)
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_settings import DROP_IN, FILE, FLAG
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_unit import Word
from ansible_collections.kubestatic.node.plugins.module_utils._node_files import Tree

# Keys of one KubeletConfiguration from the outside in.
Key = t.Tuple[str, ...]

API_VERSION, KIND = "kubelet.config.k8s.io/v1beta1", "KubeletConfiguration"
URL: Key = ("staticPodURL",)
HEADERS: Key = ("staticPodURLHeader",)
HEADER_FLAG = "manifest-url-header"
_GATES = "feature-gates"
# One part of a flag that is a map; evictions and headers have other signs than most (k8s.io/component-base/cli/flag).
_PART = re.compile(r"\s*([^=<:]*?)\s*[=<:](.*)", re.DOTALL)


class FlagUse(t.NamedTuple):
    """A flag on the command line, its name without dashes; ``word`` says where it comes from."""

    name: str
    value: str
    word: Word


class Config(t.NamedTuple):
    """One KubeletConfiguration file. ``problem`` is why the kubelet does not start with it; then ``data`` is empty."""

    path: str
    layer: str
    text: str
    data: dict[str, t.Any]
    problem: str = ""

    def line(self, key: Key) -> int:
        return _yaml_places.line_of(self.text, key) or 0


class Given(t.NamedTuple):
    """One value that a layer gives. ``flag`` is the flag's name in the layer `flag`; ``line`` is 0 where none is known."""

    value: t.Any
    layer: str
    path: str
    line: int
    flag: str = ""

    def __str__(self) -> str:
        where = f"{self.path} line {self.line}" if self.line else self.path
        return f"--{self.flag} in {where}" if self.flag else where


class Layers(t.NamedTuple):
    """What a command line and the files that it names give. ``config_file`` and ``config_dir`` are empty for none.

    ``problems``: files and directories with which the kubelet does not start, in sentences.
    """

    minor: int
    flags: tuple[FlagUse, ...]
    config_file: str
    config_dir: str
    configs: tuple[Config, ...]
    problems: tuple[str, ...]

    def flag(self, name: str) -> FlagUse | None:
        """What the uses of a flag come to: the last one counts, and of a list or a map all together."""
        uses = [use for use in self.flags if use.name == name]
        known = _kubelet_flags.flags(self.minor).get(name) if len(uses) > 1 else None
        if known and known.plural:
            return uses[-1]._replace(value=",".join(use.value for use in uses if use.value))
        return uses[-1] if uses else None

    def given(self, key: Key) -> list[Given]:
        """Who gives this key a value, the strongest first. A drop-in's null counts: it takes back what is below."""
        found = []
        for name in _kubelet_flags.flag_of(key, self.minor):
            depth = _kubelet_flags.flags(self.minor)[name].key.count(".") + 1
            use = self.flag(name)
            found += [_given_by_flag(use, key[depth:])] if use and _names(use, key) else []
        for config in reversed(self.configs):
            given, value = lookup(config.data, key)
            if given and not (config.layer == FILE and value is None):
                found.append(Given(value, config.layer, config.path, config.line(key)))
        return found

    def strongest(self, key: Key) -> Given | None:
        """The one that is in force; None where no layer gives the key."""
        return next(iter(self.given(key)), None)

    def value(self, key: Key, default: t.Any) -> t.Any:
        """What is in force; `default` where no layer gives the key, or a drop-in takes it back."""
        given = self.strongest(key)
        return default if given is None or given.value is None else given.value

    def keys(self) -> list[Key]:
        """All keys that some layer gives, down to what is no mapping."""
        found: dict[Key, None] = {}
        for config in self.configs:
            found.update((key, None) for key, _value in leaves(config.data) if key[0] not in ("apiVersion", "kind"))
        known = _kubelet_flags.flags(self.minor)
        for use in self.flags:
            if use.name in known and known[use.name].key:
                found[tuple(known[use.name].key.split("."))] = None
        return list(found)


def read(words: t.Sequence[Word], *, minor: int, tree: Tree) -> Layers:
    """The layers of a kubelet that is started with this command line, the program first."""
    flags = tuple(_flag_uses(words[1:], minor=minor))
    last = {use.name: use.value for use in flags}
    configs = []
    # systemd starts a unit in / where it does not say otherwise.
    config_file = os.path.join("/", last["config"]) if last.get("config") else ""
    config_dir = os.path.join("/", last["config-dir"]) if last.get("config-dir") else ""
    if config_file:
        configs.append(_config(config_file, FILE, tree=tree))
    problems = []
    if config_dir and not tree.is_directory(config_dir):
        problems.append(
            f"{config_dir}: the directory of --config-dir is missing, and the kubelet does not start without it; make it"
        )
    elif config_dir:
        found = _kubelet_settings.drop_ins(config_dir, names=tree.names, is_directory=tree.is_directory)
        configs += [_config(path, DROP_IN, tree=tree) for path in found]
    problems += [config.problem for config in configs if config.problem]
    return Layers(minor, flags, config_file, config_dir, tuple(configs), tuple(problems))


def pod_url(layers: Layers) -> tuple[str, dict[str, list[str]]]:
    """The effective staticPodURL, empty for none, and the headers that the kubelet sends there."""
    headers: dict[str, list[str]] = {}
    for config in layers.configs:
        given, value = lookup(config.data, HEADERS)
        merged = {**headers, **value} if given and isinstance(value, dict) else {} if given else headers
        headers = {name: values for name, values in merged.items() if isinstance(values, list)}
    # The first use of the flag forgets what the files say (ColonSeparatedMultimapStringString in component-base).
    pairs = [pair for use in layers.flags if use.name == HEADER_FLAG for pair in use.value.split(",")]
    headers = {} if pairs else headers
    for name, colon, value in (pair.partition(":") for pair in pairs):
        if colon:
            headers.setdefault(name.strip(), []).append(value.strip())
    return str(layers.value(URL, "") or ""), headers


def may_hold_secret(text: str) -> bool:
    """Whether a configuration, a unit or an environment file says headers of the pod URL, if only in a comment."""
    return HEADERS[0] in text or bool(re.search("manifest[-_]url[-_]header", text))


def leaves(data: t.Mapping[str, t.Any], above: Key = ()) -> t.Iterator[tuple[Key, t.Any]]:
    """Each key whose value is no mapping, or an empty one, with its value."""
    for name, value in data.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, (*above, name))
        else:
            yield (*above, name), value


def lookup(data: t.Mapping[str, t.Any], key: Key) -> tuple[bool, t.Any]:
    """Whether the data says anything of this key, and what. Something else than a mapping above it says: nothing."""
    value: t.Any = data
    for name in key:
        if not isinstance(value, dict):
            return True, None
        if name not in value:
            return False, None
        value = value[name]
    return True, value


def same(wanted: t.Any, given: Given | None) -> bool:
    """The value that is wanted (None for none) is the one that is given. A flag gives text."""
    if given is None or given.value is None:
        return wanted is None
    # An empty mapping adds nothing to one (RFC 7386).
    if wanted == {} and isinstance(given.value, dict):
        return True
    if not given.flag:
        return type(wanted) is type(given.value) and wanted == given.value
    if isinstance(wanted, bool):
        return wanted == is_true(given.value)
    return as_flag(wanted) == given.value if wanted is not None else False


def as_flag(value: t.Any, *, sign: str = "=") -> str:
    """A value as it is written behind a flag's "=". `sign`: what stands between name and value of a mapping."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return ",".join(f"{name}{sign}{as_flag(one)}" for name, one in value.items())
    if isinstance(value, list):
        return ",".join(as_flag(one) for one in value)
    return str(value)


def is_true(text: str) -> bool:
    """A boolean behind a flag's "=" (strconv.ParseBool)."""
    return text in ("1", "t", "T", "true", "TRUE", "True")


def flag_parts(value: str) -> dict[str, str]:
    """The value of a flag that is a map, such as ``--system-reserved``."""
    found = (_PART.match(part) for part in value.split(","))
    return {match.group(1): match.group(2).strip() for match in found if match}


def _given_by_flag(use: FlagUse, rest: Key) -> Given:
    """`rest`: what the key has below the flag's own one. A map that does not name it leaves it without a value."""
    value = flag_parts(use.value).get(rest[0]) if rest else use.value
    return Given(value, FLAG, use.word.path, use.word.line, use.name)


def _names(use: FlagUse, key: Key) -> bool:
    """Feature gates are merged one by one, so the flag says nothing of those that it does not name."""
    if use.name != _GATES or len(key) == 1:
        return True
    return key[1] in flag_parts(use.value)


def _flag_uses(words: t.Sequence[Word], *, minor: int) -> t.Iterator[FlagUse]:
    booleans = {name: flag.boolean for name, flag in _kubelet_flags.flags(minor).items()}
    for found in _kubelet_settings.flag_words([word.text for word in words], booleans=booleans):
        yield FlagUse(found.name, found.value, words[found.first])


def _config(path: str, layer: str, *, tree: Tree) -> Config:
    text = ""
    try:
        found = tree.text(path)
        if found is None:
            raise KubestaticError(
                f"{path}: the kubelet's configuration is missing, and it does not start without it; put it there, or name it in"
                " config_file of kubelet_config to have it made"
            )
        text = found
        return Config(path, layer, text, _data(path, layer, text))
    except KubestaticError as exc:
        return Config(path, layer, text, {}, str(exc))


def _data(path: str, layer: str, text: str) -> dict[str, t.Any]:
    """What stands in a configuration. Raises KubestaticError for what the kubelet does not start with, or takes by chance."""
    try:
        document = _yaml.load(text)
    except KubestaticError as exc:
        raise KubestaticError(f"{path}: the kubelet's configuration is not readable YAML: {exc}") from None
    if document.duplicate_keys:
        effect = "the kubelet takes one of them" if layer == FILE else "the kubelet does not start with such a drop-in"
        raise KubestaticError(f"{path}: {document.duplicate_keys[0]} stands there twice, and {effect}; remove one")
    data = document.data
    if not isinstance(data, dict) or (data.get("apiVersion"), data.get("kind")) != (API_VERSION, KIND):
        raise KubestaticError(
            f"{path}: the kubelet does not start with it, as it does not say apiVersion: {API_VERSION} and kind: {KIND};"
            " mend or remove it"
        )
    return data

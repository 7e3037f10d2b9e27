# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""Layers in, effective kubelet settings out.

Precedence: flag > drop-in (--config-dir) > file (--config) > default (cmd/kubelet/app/server.go, NewKubeletCommand).
Everything is read from the command line of the running process and the files that it names.
"""

from __future__ import annotations

import os
import re
import socket
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _yaml
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError

FLAG, DROP_IN, FILE, DEFAULT = "flag", "drop_in", "file", "default"

# The flags that are the same setting as a KubeletConfiguration key (cmd/kubelet/app/options/options.go), and the
# key's default. Keys and flags that this collection does not ask for are left out.
_SETTINGS: dict[str, tuple[str, t.Any]] = {
    "staticPodPath": ("pod-manifest-path", ""),
    "staticPodURL": ("manifest-url", ""),
    "containerRuntimeEndpoint": ("container-runtime-endpoint", ""),
}
_PATH = "staticPodPath"
# The one flag that has a short form, but for --help (k8s.io/component-base/logs/api/v1/options.go).
_VERBOSITY = "-v"


class Setting(t.NamedTuple):
    """One effective value, the layer that it comes from, and that layer's file or flag."""

    value: t.Any
    layer: str
    origin: str


class Settings(t.NamedTuple):
    """What the running kubelet was told, as far as static pods need it. ``node_ip`` is --node-ip or empty.

    ``api_source`` and ``url_source``: whether the kubelet also waits for an API server or a URL before it deletes pods.
    """

    values: dict[str, Setting]
    node_name: str
    node_ip: str
    api_source: bool
    credential_providers: bool

    def value(self, key: str) -> t.Any:
        """The effective value of a KubeletConfiguration key that this collection asks for."""
        return self.values[key].value

    @property
    def manifest_dir(self) -> str:
        """The effective staticPodPath, or an empty string."""
        return str(self.value("staticPodPath") or "")

    def with_manifest_dir(self, path: str) -> Settings:
        """The same with this staticPodPath, for a kubelet whose files say something else than when it started."""
        told = self.values["staticPodPath"]
        return self._replace(values={**self.values, "staticPodPath": told._replace(value=path)})

    @property
    def url_source(self) -> bool:
        return bool(self.value("staticPodURL"))

    @property
    def url_without_user(self) -> str:
        """staticPodURL for messages."""
        return without_user(str(self.value("staticPodURL") or ""))


def effective(argv: t.Sequence[str], *, cwd: str) -> Settings:
    """The settings of a kubelet that runs with this command line in this working directory.

    Raises KubestaticError where a file that the command line names cannot be read.
    """
    flags = parse_flags(argv[1:])
    told = _told(flags, cwd=cwd)
    return Settings(
        values={key: told.get(key, Setting(default, DEFAULT, "")) for key, (_flag, default) in _SETTINGS.items()},
        node_name=node_name(flags.get("hostname-override", "")),
        # Two addresses, one of each family, on a dual-stack node.
        node_ip=flags.get("node-ip", "").partition(",")[0].strip(),
        api_source=bool(flags.get("kubeconfig") or flags.get("bootstrap-kubeconfig")),
        credential_providers=bool(flags.get("image-credential-provider-config")),
    )


def node_name(override: str) -> str:
    """The node's name with this --hostname-override, or without one (nodeutil.GetHostname: trimmed and in lower case)."""
    return (override or socket.gethostname()).strip().lower()


def without_user(url: str) -> str:
    """A URL for messages, or a text with URLs in it."""
    return re.sub(r"//[^/?#\s]*@", "//", url)


class FlagWords(t.NamedTuple):
    """A flag among words: indexes of its first word and behind its last one, its name without dashes, its value."""

    first: int
    after: int
    name: str
    value: str


def flag_words(words: t.Sequence[str], *, booleans: t.Mapping[str, bool] | None = None) -> t.Iterator[FlagWords]:
    """As pflag reads them: `--a=b`, `--a b`, and a bare boolean. `booleans` tells of known flags whether they are one.

    Of others the next word is the value where it is no flag. Negative numbers are values: no flag begins with a digit.
    Without `booleans` every flag that has no value is taken for one.
    """
    after = 0
    for first, word in enumerate(words):
        if first < after or word == "--" or not word.startswith(("--", _VERBOSITY)):
            continue
        if not word.startswith("--"):
            # -v 2, -v=2 and -v2
            word = f"--v={word[2:].lstrip('=')}" if word != _VERBOSITY else "--v"
        name, equals, value = word[2:].partition("=")
        name = name.replace("_", "-")
        after = first + 1
        boolean = (booleans or {}).get(name)
        if not equals:
            follows = after < len(words) and (boolean is False or not re.match(r"-(?!\d)", words[after]))
            if follows and not boolean:
                value = words[after]
                after += 1
            value = value or ("true" if boolean or booleans is None else "")
        yield FlagWords(first, after, name, value)


def parse_flags(arguments: t.Sequence[str]) -> dict[str, str]:
    """Flag name without dashes -> value; the last one wins."""
    return {found.name: found.value for found in flag_words(arguments)}


def full_path(value: str, *, base: str) -> str:
    """A path as the kubelet spells it, where a relative one is relative to `base`."""
    return os.path.normpath(os.path.join(base, value))


def _told(flags: dict[str, str], *, cwd: str) -> dict[str, Setting]:
    """What the layers say, a stronger one over a weaker one. What no layer sets is left out."""
    found: dict[str, Setting] = {}
    if flags.get("config"):
        path = os.path.join(cwd, flags["config"])
        for key, value in _read(path).items():
            # KubeletConfigurationPathRefs: relative to the file, in --config only.
            base = os.path.dirname(path)
            found[key] = Setting(_path(value, base=base) if key == _PATH else value, FILE, path)
    directory = os.path.join(cwd, flags["config-dir"]) if flags.get("config-dir") else ""
    for path in drop_ins(directory, names=_names, is_directory=os.path.isdir) if directory else []:
        # A drop-in is a JSON merge patch: an empty value or null in it switches off what a weaker layer says.
        for key, value in _read(path).items():
            found[key] = Setting(_path(value, base=cwd) if key == _PATH else value, DROP_IN, path)
    found = {
        key: _with_default(key, told) for key, told in found.items() if key in _SETTINGS and told.value is not None
    }
    for key, (flag, _default) in _SETTINGS.items():
        if flag in flags:
            found[key] = Setting(_path(flags[flag], base=cwd) if key == _PATH else flags[flag], FLAG, f"--{flag}")
    return found


def _with_default(key: str, told: Setting) -> Setting:
    """An empty value is Go's zero value, which SetDefaults_KubeletConfiguration fills in."""
    if told.value:
        return told
    default = _SETTINGS[key][1]
    return Setting(default, told.layer, told.origin) if told.layer == DROP_IN else Setting(default, DEFAULT, "")


def _path(value: t.Any, *, base: str) -> t.Any:
    return full_path(value, base=base) if isinstance(value, str) and value else value


def drop_ins(
    directory: str, *, names: t.Callable[[str], list[str]], is_directory: t.Callable[[str], bool]
) -> list[str]:
    """The *.conf files below the directory in filepath.WalkDir's order, which follows no link, not even the first.

    `names` lists a directory in byte order.
    """
    found: list[str] = []
    if os.path.islink(directory):
        return found
    for name in names(directory):
        path = os.path.join(directory, name)
        if is_directory(path) and not os.path.islink(path):
            found += drop_ins(path, names=names, is_directory=is_directory)
        elif name.endswith(".conf"):
            found.append(path)
    return found


def _names(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory), key=os.fsencode)
    except OSError:
        return []


def _read(path: str) -> dict[str, t.Any]:
    try:
        with open(path, encoding="utf-8") as file:
            data = _yaml.load(file.read()).data
    except OSError as exc:
        raise KubestaticError(f"{path}: the kubelet's configuration cannot be read: {exc.strerror}") from None
    except (UnicodeError, KubestaticError) as exc:
        raise KubestaticError(f"{path}: the kubelet's configuration is not readable YAML: {exc}") from None
    return data if isinstance(data, dict) else {}

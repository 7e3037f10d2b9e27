# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""What a user may ask of a kubelet: option values to a wish, and what this kubelet would not take refused by name."""

from __future__ import annotations

import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import (
    _kubelet_flags,
    _kubelet_layers,
    _schema,
)
from ansible_collections.kubestatic.node.plugins.module_utils._errors import REFUSED, KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_layers import HEADER_FLAG, HEADERS
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_wish import Wish

# Settings and flags that another option is there for, and why.
_OTHER_OPTIONS = {
    "settings.apiVersion": "every file has it already; leave it out",
    "settings.kind": "every file has it already; leave it out",
    "settings.staticPodURLHeader": "may hold a secret, which settings would show; use static_pod_url_headers",
    "flags.manifest-url-header": "may hold a secret, which flags would show; use static_pod_url_headers",
    "flags.config": "is where the settings go; use config_file",
    "flags.config-dir": "is where drop-ins go; use layer: drop_in",
}

_HEADERS = (HEADERS[0], HEADER_FLAG)

# Flags that have ``memory.available<100Mi`` where others have ``memory=100Mi`` (cmd/kubelet/app/options/options.go).
_THRESHOLDS = ("eviction-hard", "eviction-soft")


def wish(parameters: t.Mapping[str, t.Any]) -> Wish:
    """The wish that these module parameters state. Raises KubestaticError for what no kubelet would take so."""
    settings = dict(parameters["settings"] or {})
    flags = {name.lstrip("-").replace("_", "-"): value for name, value in (parameters["flags"] or {}).items()}
    for option, names in (("settings", settings), ("flags", flags)):
        for name, value in names.items():
            shows_nothing = value is None and name in _HEADERS
            if f"{option}.{name}" in _OTHER_OPTIONS and not shows_nothing:
                raise KubestaticError(f"{option}.{name}: {_OTHER_OPTIONS[f'{option}.{name}']}")
    if parameters["static_pod_url_headers"]:
        settings[HEADERS[0]] = _headers(parameters["static_pod_url_headers"])
    return Wish(
        settings=settings,
        flags={name: None if value is None else _flag(name, value) for name, value in flags.items()},
        layer=parameters["layer"],
        migrate=parameters["migrate"],
        config_file=parameters["config_file"] or "",
        drop_in_file=parameters["drop_in_file"] or "",
        flags_file=parameters["flags_file"] or "",
    )


def require_known(one: Wish, *, minor: int) -> list[str]:
    """Raise KubestaticError for keys, types and flags that kubelet 1.`minor` does not take.

    Returns warnings: on a kubelet newer than the tables, what they do not know may be new.
    """
    warnings = []
    is_newer = minor > _schema.MINORS[-1]
    for finding in _schema.check(dict(one.settings), root=_kubelet_layers.KIND, minor=minor):
        if finding.level == REFUSED or not is_newer:
            raise KubestaticError(f"settings.{finding}")
        warnings.append(f"settings.{finding}")
    known = _kubelet_flags.flags(minor)
    for name, value in one.flags.items():
        if name in known or value is None:
            continue
        problem = f"flags.{name}: {_kubelet_flags.why_unknown(name, minor=minor)}"
        if not is_newer:
            raise KubestaticError(f"{problem}; a kubelet does not start with a flag that it does not know")
        warnings.append(problem)
    return warnings


def _flag(name: str, value: t.Any) -> str:
    return _kubelet_layers.as_flag(value, sign="<" if name in _THRESHOLDS else "=")


def _headers(given: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Name -> list of values, as KubeletConfiguration has it; None removes one."""
    found: dict[str, t.Any] = {}
    for name, value in given.items():
        values = value if isinstance(value, list) else [value]
        if value is not None and not all(isinstance(one, str) for one in values):
            raise KubestaticError(
                f"static_pod_url_headers.{name}: must be a text or a list of texts; put quotes around it"
            )
        found[name] = None if value is None else values
    return found

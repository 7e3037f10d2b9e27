# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""What control_plane_certificates returns. No key is in it."""

from __future__ import annotations

import os
import typing as t
from collections.abc import Container, Mapping, Sequence

from ansible_collections.kubestatic.node.plugins.module_utils._control_plane_files import (
    OF_ONE_MASTER,
    SHARED,
    node_path,
)
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.plugin_utils import _kubeconfig, _pki
from ansible_collections.kubestatic.node.plugins.plugin_utils._pki import Pair
from ansible_collections.kubestatic.node.plugins.plugin_utils._shared_keys import Place, Step

_WOULD = {"made": "would make", "took": "would take", "changed": "would change"}


def actions(steps: Sequence[Step], *, directory: str, check_mode: bool) -> list[str]:
    return [
        f"{_WOULD[step.verb] if check_mode else step.verb}"
        f" {' and '.join(os.path.relpath(path, directory) for path in step.files)} ({step.why})"
        for step in steps
    ]


def node_files(
    shared: Place, own: Place, *, copies: Mapping[str, str], written: Container[str]
) -> list[dict[str, str]]:
    """One master's files as entries for the module node_files. ``copies``: where to find those that are not there yet."""
    entries = []
    for place, names in ((shared, SHARED), (own, OF_ONE_MASTER)):
        for name in names:
            path = place.where(name)
            if name in place.texts or path in written:
                entries.append({"src": copies.get(path, path), "path": node_path(name), "mode": "0600"})
    return entries


def certificates(found: Mapping[str, Pair]) -> list[dict[str, t.Any]]:
    return [{"path": path, **_fields(pair)} for path, pair in sorted(found.items())]


def diff(steps: Sequence[Step], places: Sequence[Place]) -> list[dict[str, str]]:
    before = {place.where(name): text for place in places for name, text in place.texts.items()}
    return [
        {
            "before_header": path,
            "after_header": path,
            "before": _description(path, before[path], key="old") if path in before else "",
            "after": _description(
                path, text, key="old" if _key(path, before.get(path, "")) == _key(path, text) else "new"
            ),
        }
        for step in steps
        for path, text in step.files.items()
    ]


def _key(path: str, text: str) -> str:
    """The key in a file, or all of a file that is no kubeconfig."""
    try:
        return _kubeconfig.parse(text, where=path).key if path.endswith(".conf") else text
    except KubestaticError:
        return ""


def _description(path: str, text: str, *, key: str) -> str:
    """What may be shown of a file, in lines. ``key`` says of a key what can be said: old or new."""
    try:
        if path.endswith(".crt"):
            return _lines(Pair(_pki.certificates(text, where=path), None))
        if path.endswith(".conf"):
            config = _kubeconfig.parse(text, where=path)
            pair = Pair(_pki.certificates(config.certificate, where=path), None)
            return f"server: {config.server}\n{_lines(pair)}key: {key}, not shown\n"
    except KubestaticError:
        return "unreadable\n"
    return f"key: {key}, not shown\n"


def _lines(pair: Pair) -> str:
    return "".join(
        f"{name}: {', '.join(value) if isinstance(value, list) else value}\n" for name, value in _fields(pair).items()
    )


def _fields(pair: Pair) -> dict[str, t.Any]:
    says = _pki.subject(pair.certificate)
    return {
        "common_name": says.common_name,
        "organizations": sorted(says.organizations),
        "sans": sorted(says.names),
        "not_after": f"{pair.certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}",
    }

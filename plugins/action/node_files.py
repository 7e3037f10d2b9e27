# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of the module node_files."""

from __future__ import annotations

import base64
import typing as t
from collections.abc import Mapping

from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.plugin_utils._action import NodeAction

if t.TYPE_CHECKING:
    from ansible_collections.kubestatic.node.plugins.plugin_utils._sources import Sources


class ActionModule(NodeAction):
    """Reads each ``src``, and sends all content in base64.

    Ansible blanks what an option with ``no_log`` holds wherever it is found in a result, and a short text such as ``1``
    is found in many a path.
    """

    MODULE = "kubestatic.node.node_files"

    def arguments(self, variables: dict[str, t.Any]) -> dict[str, t.Any]:
        """Return the module's arguments, with the content of every file. Raises KubestaticError."""
        args = dict(self._task.args)
        files = args.get("files")
        if isinstance(files, list):  # the module judges anything else
            sources = self.sources(variables)
            args["files"] = [_with_content(file, sources, number=number) for number, file in enumerate(files)]
        return args


def _with_content(file: t.Any, sources: Sources, *, number: int) -> t.Any:
    if not isinstance(file, Mapping):
        return file
    where = f"files[{number}] ({file.get('path')})"
    content, src = file.get("content"), file.get("src")
    if content is not None and src is not None:
        raise KubestaticError(f"{where}: content and src are given, but a file has one of them; remove the other")
    if content is not None and not isinstance(content, str):
        raise KubestaticError(
            f"{where}: content must be text; use a filter such as to_nice_yaml for a mapping or a list"
        )
    if src is not None:
        try:
            data = sources.content(src)
        except KubestaticError as error:
            raise KubestaticError(f"{where}: {error}") from error
    elif content is not None and file.get("encoding", "text") == "text":
        try:
            data = content.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise KubestaticError(f"{where}: content has characters that UTF-8 has not; give it in base64") from None
    else:
        return file
    return {**file, "content": base64.b64encode(data).decode("ascii"), "encoding": "base64"}

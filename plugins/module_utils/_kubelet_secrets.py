# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""Configuration and environment files without the secrets in them, for a diff."""

from __future__ import annotations

import re

from ansible_collections.kubestatic.node.plugins.module_utils import _yaml, _yaml_edit
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_layers import HEADERS
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_settings import without_user
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_shown import HIDDEN

# To the end of the line: quotes may begin before the flag, and a value may have spaces in it.
_HEADER_FLAG = re.compile(r"(--manifest[-_]url[-_]header(?:=|\s+))(?:\\\n|.)*")
_COMMENTED_OUT = re.compile(rf"#.*{HEADERS[0]}")


def without_secrets(text: str) -> str:
    """A configuration or environment file as it may be shown."""
    text = without_user(_HEADER_FLAG.sub(rf"\1{HIDDEN}", text))
    if HEADERS[0] not in text:
        return text
    try:
        if _COMMENTED_OUT.search(text):
            raise KubestaticError("headers in a comment")
        data = _yaml.load(text).data
        headers = data.get(HEADERS[0]) if isinstance(data, dict) else None
        if not isinstance(headers, dict):
            raise KubestaticError("no mapping of headers")
        return _yaml_edit.merged(text, {HEADERS[0]: {name: [HIDDEN] for name in headers}})
    except KubestaticError:
        return "(not shown, as it holds a secret)\n"

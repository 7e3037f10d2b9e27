# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""What is wrong with a text that is no YAML, in the words of this collection."""

from __future__ import annotations

import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError


def syntax_error(text: str, error: t.Any) -> KubestaticError:
    """The sentence for an error of PyYAML, with line and column."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is not None:
        line, column = mark.line + 1, mark.column + 1
        problem = getattr(error, "problem", None) or getattr(error, "context", None) or "cannot be read"
    else:  # a ReaderError: a character that YAML does not allow at all
        position = getattr(error, "position", 0)
        line = text.count("\n", 0, position) + 1
        column = position - text.rfind("\n", 0, position)
        problem = f"the character U+{ord(text[position]):04X} is not allowed" if position < len(text) else str(error)
    lines = text.split("\n")
    if "\t" in (lines[line - 1] if line <= len(lines) else "").split("#")[0]:
        problem += "; that line has a tab, indent with spaces"
    return KubestaticError(
        f"YAML syntax error in line {line}, column {column}: {problem}; mend that line or the one above"
    )

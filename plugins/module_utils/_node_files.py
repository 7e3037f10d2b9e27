# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""Configuration files on the node, as they are and as they would be after a change."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError


class Tree(t.NamedTuple):
    """The node's files, with some of them as they shall become: path -> text, None for one that goes."""

    planned: t.Mapping[str, str | None] = {}

    def with_file(self, path: str, text: str | None) -> Tree:
        return Tree({**self.planned, path: text})

    def text(self, path: str) -> str | None:
        """What stands in a file; None where there is none. Raises KubestaticError for one that cannot be read."""
        path = os.path.realpath(path)
        if path in self.planned:
            return self.planned[path]
        try:
            with open(path, encoding="utf-8", newline="") as file:
                return file.read()
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise KubestaticError(f"{path}: cannot be read: {exc.strerror}") from None
        except UnicodeError:
            raise KubestaticError(f"{path}: is no UTF-8 text; mend or remove it") from None

    def names(self, directory: str) -> list[str]:
        """What lies in a directory, in byte order, planned files too; nothing where there is none."""
        try:
            found = set(os.listdir(directory))
        except FileNotFoundError:
            found = set()
        except OSError as exc:
            raise KubestaticError(f"{directory}: cannot be read: {exc.strerror}") from None
        above = os.path.join(os.path.realpath(directory), "")
        for path, text in self.planned.items():
            name, deeper, _rest = path[len(above) :].partition("/")
            if path.startswith(above) and text is not None:
                found.add(name)
            elif path.startswith(above) and not deeper:
                found.discard(name)
        return sorted(found, key=os.fsencode)

    def is_directory(self, path: str) -> bool:
        """Whether there is a directory, or will be one for the sake of a planned file."""
        above = os.path.join(os.path.realpath(path), "")
        return os.path.isdir(path) or any(
            text is not None and one.startswith(above) for one, text in self.planned.items()
        )


def require_no_dangling_link(path: str) -> None:
    """Raise KubestaticError for what only seems not to be there, as where a disk is not mounted."""
    while path != "/":
        if os.path.islink(path) and not os.path.exists(path):
            raise KubestaticError(
                f"{path}: is a symbolic link to {os.readlink(path)}, which is not there; mend the link"
            )
        path = os.path.dirname(path)

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""Where a manifest comes from: finds ``src`` and ``template`` on the controller, and reads or renders them."""

from __future__ import annotations

import dataclasses
import os
import typing as t
from collections.abc import Mapping, Sequence

from ansible.errors import AnsibleError, AnsibleFileNotFound
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.plugin_utils._render import render

if t.TYPE_CHECKING:
    from ansible.parsing.dataloader import DataLoader
    from ansible.template import Templar

SOURCES = ("content", "definition", "src", "template")
_FOLDERS = {"src": "files", "template": "templates"}


@dataclasses.dataclass(frozen=True)
class Sources:
    """The controller's files as one task sees them.

    ``search_path`` is the task's own (roles from the inner to the outer, then the playbook), ``host`` is the
    inventory name that the variables belong to.
    """

    loader: DataLoader
    templar: Templar
    search_path: Sequence[str]
    variables: Mapping[str, t.Any]
    host: str

    def resolve(self, options: Mapping[str, t.Any], *, where: str = "") -> dict[str, t.Any]:
        """Return ``options`` with the manifest as text in ``content`` or as mapping in ``definition``, too.

        Options of a pod that is not to be present come back as they are: the module judges them.
        ``where`` is the place of the options in the task, such as ``pods[2]``, or empty for the task itself.
        Raises KubestaticError when two sources are given, or when the one given cannot be found, read or rendered.
        """
        if options.get("state") not in (None, "present"):
            return dict(options)
        prefix = f"{where}: " if where else ""
        given = [name for name in SOURCES if options.get(name) is not None]
        if len(given) > 1:
            raise KubestaticError(
                f"{prefix}{' and '.join(given)} are given, but a manifest has one source: "
                f"keep one of {', '.join(SOURCES)}"
            )
        resolved = {name: value for name, value in options.items() if name not in SOURCES}
        try:
            for source in given:
                resolved.update(self._manifest(source, options[source]))
                if source in _FOLDERS:
                    # The module names it where it refuses the text.
                    resolved[source] = options[source]
        except KubestaticError as error:
            raise KubestaticError(f"{prefix}{error}") from error
        return resolved

    def content(self, src: t.Any) -> bytes:
        """Return what is in the file ``src``, decrypted where it is vaulted. Raises KubestaticError."""
        return read(self.loader, self._find("src", src), label=f"src {src}")

    def rendered(self, name: t.Any) -> t.Any:
        """Return the text that the template ``name`` gives, or the value where it is one single expression.

        Raises KubestaticError.
        """
        path = self._find("template", name)
        text = self._read(path, label=f"template {name}")
        return render(
            self.templar,
            text,
            name=name,
            path=path,
            search_path=self._include_path(path),
            variables=self.variables,
            host=self.host,
        )

    def _manifest(self, source: str, value: t.Any) -> dict[str, t.Any]:
        if source == "src":
            return {"content": self._read(self._find("src", value), label=f"src {value}")}
        if source == "template":
            return self._rendered(value)
        # An expression such as a lookup may give the other of the two than the name of the option says.
        if isinstance(value, Mapping):
            return {"definition": value}
        return {"content" if isinstance(value, str) else source: value}

    def _rendered(self, name: t.Any) -> dict[str, t.Any]:
        result = self.rendered(name)
        if isinstance(result, str):
            return {"content": result}
        if isinstance(result, Mapping):
            return {"definition": result}
        raise KubestaticError(
            f"template {name} gives {_kind(result)} for {self.host}, but a manifest is text or a mapping with one Pod"
        )

    def _find(self, option: str, name: t.Any) -> str:
        if not isinstance(name, str) or not name:
            raise KubestaticError(f"{option} must be the name of a file on the controller; got {name!r}")
        try:
            path: str = self.loader.path_dwim_relative_stack(list(self.search_path), _FOLDERS[option], name)
        except AnsibleFileNotFound as error:
            looked = ", ".join(dict.fromkeys(error.paths or [name]))
            raise KubestaticError(f"{option} {name} was not found on the controller; looked for {looked}") from error
        if not os.path.isfile(path):
            raise KubestaticError(f"{option} {name} is not a file but a directory or a device: {path}")
        return path

    def _read(self, path: str, *, label: str) -> str:
        # The loader's own text reader lets text which is not UTF-8 pass with a warning.
        try:
            return read(self.loader, path, label=label).decode("utf-8")
        except UnicodeDecodeError as error:
            raise KubestaticError(
                f"{label} is not UTF-8 text: byte {error.start} of {path} is 0x{error.object[error.start]:02x}"
            ) from error

    def _include_path(self, path: str) -> list[str]:
        folders = [*self.search_path, self.loader.get_basedir(), os.path.dirname(path)]
        return [place for folder in folders for place in (os.path.join(folder, "templates"), folder)]


def read(loader: DataLoader, path: str, *, label: str) -> bytes:
    """Return what is in a file of the controller, decrypted where it is vaulted. Raises KubestaticError that names ``label``."""
    try:
        real = loader.get_real_file(path)
        try:
            with open(real, "rb") as stream:
                return stream.read()
        finally:
            loader.cleanup_tmp_file(real)
    except (AnsibleError, OSError) as error:
        raise KubestaticError(f"{label} cannot be read: {' '.join(str(error).split())}") from error


def _kind(value: t.Any) -> str:
    if value is None:
        return "nothing"
    names = {bool: "a boolean", int: "a number", float: "a number"}
    for kind, name in names.items():
        if isinstance(value, kind):
            return name
    return "a list" if isinstance(value, Sequence) else f"a value of type {type(value).__name__}"

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""The controller's directory of certificates: read, decrypted where it is vaulted, and written in whole files."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import typing as t
from collections.abc import Container, Iterable, Mapping, Sequence

from ansible.parsing.vault import is_encrypted
from ansible_collections.kubestatic.node.plugins.module_utils import _file_edit
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._file_edit import Content
from ansible_collections.kubestatic.node.plugins.plugin_utils._shared_keys import Place, Step
from ansible_collections.kubestatic.node.plugins.plugin_utils._sources import read

if t.TYPE_CHECKING:
    from ansible.parsing.dataloader import DataLoader

_FILE_MODE, _DIRECTORY_MODE = 0o600, 0o700
# Written last: what is gathered is whole, even where that is nothing.
_COMPLETE = ".complete"


def place(loader: DataLoader, directory: str, names: Iterable[str]) -> Place:
    """Read those of these files that are there. Raises KubestaticError for one that cannot be read."""
    prefix = os.path.join(directory, "")
    return Place(prefix, _texts(loader, prefix, names))


def held_place(loader: DataLoader, directory: str, names: Iterable[str], *, master: str) -> Place:
    """Read what was gathered from a master. Raises KubestaticError where that is not there."""
    if not os.path.isfile(os.path.join(directory, _COMPLETE)):
        raise KubestaticError(
            f"masters: what was gathered from {master} is not in {directory}; run control_plane_info in the"
            " same run of Ansible, as its copies last no longer, or say new for a master that is not there yet"
        )
    return Place(f"{master}:", _texts(loader, os.path.join(directory, ""), names), is_node=True)


def masters(directory: str) -> frozenset[str]:
    """The names of the masters that have a directory in it."""
    with (
        contextlib.suppress(FileNotFoundError, NotADirectoryError),
        os.scandir(master_directory(directory, "")) as found,
    ):
        return frozenset(entry.name for entry in found if entry.is_dir())
    return frozenset()


def master_directory(directory: str, name: str) -> str:
    """Where the files of one master are."""
    return os.path.join(directory, "masters", name)


def forget_held(directory: str) -> None:
    """Remove what was gathered before."""
    shutil.rmtree(directory, ignore_errors=True)


def keep_held(directory: str, texts: Mapping[str, t.Any], *, names: Iterable[str]) -> None:
    """Write what was gathered from a master, for `held_place`. ``texts`` is its word: of it, only ``names`` become paths."""
    os.makedirs(directory, mode=_DIRECTORY_MODE)
    for name in names:
        text = texts.get(name)
        if isinstance(text, str):
            os.makedirs(os.path.dirname(os.path.join(directory, name)), mode=_DIRECTORY_MODE, exist_ok=True)
            _write_new(os.path.join(directory, name), text)
    _write_new(os.path.join(directory, _COMPLETE), "")


def _write_new(path: str, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE_MODE)
    # What is no text is refused when it is read, with its path.
    with open(handle, "w", encoding="utf-8", errors="surrogatepass", newline="") as file:
        file.write(text)


def _texts(loader: DataLoader, prefix: str, names: Iterable[str]) -> dict[str, str]:
    texts = {}
    for name in names:
        path = prefix + name
        if _is_file(path):
            try:
                texts[name] = read(loader, path, label=path).decode("utf-8")
            except UnicodeDecodeError:
                raise KubestaticError(
                    f"{path}: is no text; put the right file there, or remove it to have it made again"
                ) from None
    return texts


def _is_file(path: str) -> bool:
    """Whether a file is there. Raises KubestaticError for what is no file, and where that cannot be told."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return False
    except OSError as exc:
        raise KubestaticError(f"{path}: cannot be looked at: {exc.strerror}; mend what lies above it") from None
    if not stat.S_ISREG(mode):
        # Replaced, a link would be a file of its own, and what it led to would stay as it is.
        kind = "a symbolic link" if stat.S_ISLNK(mode) else "no regular file"
        raise KubestaticError(f"{path}: is {kind}; put the file itself there")
    return True


def exposed(own: Place, *, planned: Container[str]) -> list[Step]:
    """Steps that keep secrets to their owner, for files whose mode lets others read them and that are not planned anew."""
    steps = []
    for name, text in own.texts.items():
        path = own.where(name)
        is_open = name.endswith((".key", ".conf")) and _mode(path) & 0o077 and not _is_vaulted(path)
        if is_open and path not in planned:
            steps.append(Step("changed", {path: text}, f"others could use it, with mode {_mode(path):04o}"))
    return steps


def write(loader: DataLoader, steps: Sequence[Step]) -> None:
    """Write all files of the steps in their order. One that replaces a vaulted file is vaulted with the same password."""
    files = {path: text for step in steps for path, text in step.files.items()}
    _put({path: _vaulted_again(loader, path, text) if _is_vaulted(path) else text for path, text in files.items()})


def _vaulted_again(loader: DataLoader, path: str, text: str) -> str:
    with open(path, "rb") as file:
        _old, vault_id, secret = loader._vault.decrypt_and_get_vault_id(file.read())
    return str(loader._vault.encrypt(text, secret=secret, vault_id=vault_id).decode())


def write_copies(directory: str, steps: Sequence[Step]) -> dict[str, str]:
    """Write all files of the steps elsewhere. Returns path -> path of the copy."""
    copies = {path: os.path.join(directory, path.lstrip("/")) for step in steps for path in step.files}
    _put({copies[path]: text for step in steps for path, text in step.files.items()})
    return copies


def discard(paths: Iterable[str]) -> None:
    """Remove the new files that a run which was cut off has not put in their places."""
    for path in paths:
        _file_edit.discard(path)


def _put(texts: Mapping[str, str]) -> None:
    contents = {path: Content(text, _FILE_MODE, *_owner(path)) for path, text in texts.items()}
    _file_edit.put_all(contents, directory_mode=_DIRECTORY_MODE, set_context=lambda _path, _final_path: None)


def _owner(path: str) -> tuple[int, int]:
    """Whose the file is; of a new one, who runs Ansible."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return os.geteuid(), os.getegid()
    return found.st_uid, found.st_gid


def _mode(path: str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def _is_vaulted(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return bool(is_encrypted(file.read(len("$ANSIBLE_VAULT") + 1)))
    except FileNotFoundError:
        return False

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""The module node_files: its files in, what differs from the node's, and all of it put there at once."""

from __future__ import annotations

import base64
import binascii
import contextlib
import grp
import os
import pwd
import stat
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _directory, _file_edit, _module, _store
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._file_edit import Content

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

_MODES = range(0o10000)
# The one behind the last stands for "leave it as it is" (chown(2)).
_NUMBERS = range(2**32 - 1)


class Change(t.NamedTuple):
    """One file that is not as it shall be. ``before.text`` is None where it is not there."""

    path: str
    before: Content
    after: Content

    @property
    def aspects(self) -> list[str]:
        """What differs, in words that hold nothing of the content."""
        if self.before.text is None:
            return [f"new, mode {self.after.mode:04o}"]
        pairs = [
            ("mode", f"{self.before.mode:04o}", f"{self.after.mode:04o}"),
            ("owner", _user(self.before.owner), _user(self.after.owner)),
            ("group", _group(self.before.group), _group(self.after.group)),
        ]
        attributes = [f"{name} {old} -> {new}" for name, old, new in pairs if old != new]
        return (["content"] if self.before.text != self.after.text else []) + attributes


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Carry out one call. Raises KubestaticError for what is refused before anything is touched."""
    _module.require_root()
    directory_mode = _mode(module.params["directory_mode"], where="directory_mode")
    wanted = _wanted(module.params["files"])
    directories = _directories(module.params["directories"], wanted)
    _require_room(wanted, directories)
    with (
        contextlib.nullcontext()
        if module.check_mode
        else _directory.held(_store.DEFAULT_PATH, what="files of this node")
    ):
        changes = changes_for(wanted)
        new_directories = [path for path in directories if not os.path.isdir(path)]
        if not module.check_mode:
            for path in wanted:
                # A run that was cut off may have left a secret there.
                _file_edit.discard(path)
            _file_edit.put_all(
                {change.path: change.after for change in changes},
                directories=new_directories,
                directory_mode=directory_mode,
                set_context=_module.context_setter(module),
            )
    made = f"{'would make' if module.check_mode else 'made'} the directory"
    return {
        "changed": bool(changes or new_directories),
        "changed_files": [change.path for change in changes],
        "actions": [
            *(f"{made} {path} (mode {directory_mode:04o})" for path in new_directories),
            *(_sentence(change, check_mode=module.check_mode) for change in changes),
        ],
        **({"diff": _diff(changes)} if module._diff else {}),
    }


def changes_for(wanted: t.Mapping[str, Content]) -> list[Change]:
    """The files (path -> what it shall be) that are not so yet, in their order."""
    changes = [Change(path, _file_edit.content(path), after) for path, after in wanted.items()]
    return [change for change in changes if change.before != change.after]


def _wanted(files: t.Sequence[t.Mapping[str, t.Any]]) -> dict[str, Content]:
    wanted: dict[str, Content] = {}
    for number, file in enumerate(files):
        path = _path(file["path"], where=f"files[{number}]")
        where = f"files[{number}] ({path})"
        if path in wanted:
            raise KubestaticError(f"{where}: is listed twice, and only one of the two can lie there; remove one")
        wanted[path] = Content(
            text=_text(file, where=where),
            mode=_mode(file["mode"], where=f"{where}: mode"),
            owner=_number(file["owner"], known=lambda name: pwd.getpwnam(name).pw_uid, where=f"{where}: owner"),
            group=_number(file["group"], known=lambda name: grp.getgrnam(name).gr_gid, where=f"{where}: group"),
        )
    return wanted


def _directories(paths: t.Sequence[str], files: t.Container[str]) -> list[str]:
    for number, path in enumerate(paths):
        if _path(path, where=f"directories[{number}]") in files:
            raise KubestaticError(f"directories[{number}] ({path}): is one of files, too; remove one of the two")
    return list(dict.fromkeys(paths))


def _path(path: str, *, where: str) -> str:
    if not _is_name(path):
        raise KubestaticError(f"{where}: no file's name can have all characters of {path!r}; give another path")
    if not os.path.isabs(path) or path.startswith("//") or os.path.normpath(path) != path or path == "/":
        raise KubestaticError(f"{where} ({path}): path must be absolute, without '..' and without a slash at its end")
    return path


def _is_name(path: str) -> bool:
    return "\0" not in path and _is_encodable(path)


def _is_encodable(text: str) -> bool:
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def _text(file: t.Mapping[str, t.Any], *, where: str) -> str:
    if file["content"] is None:
        raise KubestaticError(f"{where}: has neither content nor src; give one of them")
    if file["encoding"] == "text":
        if not _is_encodable(file["content"]):
            raise KubestaticError(f"{where}: content has characters that UTF-8 has not; give it in base64")
        return str(file["content"])
    try:
        data = base64.b64decode(file["content"], validate=True)
    except (binascii.Error, ValueError):
        raise KubestaticError(f"{where}: content is no base64, which encoding says it is") from None
    return data.decode("utf-8", "surrogateescape")


def _mode(given: t.Any, *, where: str) -> int:
    # YAML reads 0600 without quotes as 384, and 600 as 600: neither can be told from what was meant.
    if isinstance(given, str) and given.strip("01234567") == "" and given and int(given, 8) in _MODES:
        return int(given, 8)
    raise KubestaticError(f"{where} must be an octal number in quotes, such as '0600'; got {given!r}")


def _number(given: str, *, known: t.Callable[[str], int], where: str) -> int:
    try:
        number = int(given) if given.isascii() and given.isdigit() else known(given)
    except (KeyError, ValueError):
        raise KubestaticError(f"{where}: {given} is not known on this node; make it first, or give a number") from None
    if number not in _NUMBERS:
        raise KubestaticError(f"{where}: {given} is no number of a user or group; give one up to {_NUMBERS[-1]}")
    return number


def _require_room(wanted: t.Iterable[str], directories: t.Iterable[str]) -> None:
    """Raise KubestaticError for what lies in the way of a file, or of a directory above it."""
    paths = set(wanted)
    for path in sorted([*paths, *directories]):
        above = path if path not in paths else os.path.dirname(path)
        while above != "/":
            if above in paths or (os.path.lexists(above) and not os.path.isdir(above)):
                raise KubestaticError(f"{path}: cannot lie there, as {above} is a file and not a directory")
            above = os.path.dirname(above)
    for path in sorted(paths):
        try:
            mode = os.lstat(path).st_mode
        except FileNotFoundError:
            continue
        except OSError as exc:
            raise KubestaticError(f"{path}: cannot be looked at: {exc.strerror}") from None
        if stat.S_ISLNK(mode):
            raise KubestaticError(
                f"{path}: is a symbolic link to {os.readlink(path)}; remove the link, or name the file behind it"
            )
        if not stat.S_ISREG(mode):
            kind = "a directory" if stat.S_ISDIR(mode) else "no regular file"
            raise KubestaticError(f"{path}: is {kind}; move it away, a file shall lie there")


def _sentence(change: Change, *, check_mode: bool) -> str:
    would, did = ("make", "made") if change.before.text is None else ("change", "changed")
    return f"{f'would {would}' if check_mode else did} {change.path} ({', '.join(change.aspects)})"


def _diff(changes: t.Iterable[Change]) -> list[dict[str, str]]:
    return [
        {
            "before_header": change.path,
            "after_header": change.path,
            "before": "" if change.before.text is None else _shown(change.before, "as it was"),
            "after": _shown(
                change.after, "as it was" if change.before.text == change.after.text else "new (not shown)"
            ),
        }
        for change in changes
    ]


def _shown(content: Content, text: str) -> str:
    return f"mode: {content.mode:04o}\nowner: {_user(content.owner)}\ngroup: {_group(content.group)}\ncontent: {text}\n"


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)

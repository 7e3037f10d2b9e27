# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of a node replaced whole or not at all, and directories for them."""

from __future__ import annotations

import errno
import os
import pathlib
import stat
import typing as t
from unittest import mock

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _file_edit
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._file_edit import Content


def no_context(path: str, final_path: str) -> None:
    """A node without SELinux."""


def failing(number: int) -> t.Callable[..., t.NoReturn]:
    def fail(*args: object, **kwargs: object) -> t.NoReturn:
        raise OSError(number, os.strerror(number))

    return fail


def root_only(text: str | None, mode: int = 0o600) -> Content:
    return Content(text, mode, os.getuid(), os.getgid())


@pytest.fixture
def here(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path.resolve()


def names(directory: pathlib.Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


# ---- contents


def test_content_has_mode_and_owner(here: pathlib.Path) -> None:
    path = here / "file"
    path.write_text("text")
    path.chmod(0o640)
    assert _file_edit.content(str(path)) == Content("text", 0o640, os.getuid(), os.getgid())
    assert _file_edit.content(str(here / "none")) == Content(None)


def test_a_replacement_is_nothing_until_it_is_put_in_force(here: pathlib.Path) -> None:
    path = here / "file"
    path.write_text("old")
    contexts: list[tuple[str, str]] = []

    def set_context(temporary: str, final: str) -> None:
        assert pathlib.Path(temporary).read_bytes() == b"new\r\n"
        contexts.append((temporary, final))

    old_mask = os.umask(0o077)
    try:
        _file_edit.prepare(str(path), root_only("new\r\n", 0o644), set_context=set_context)
    finally:
        os.umask(old_mask)
    temporary = here / ".file.kubestatic-new"
    assert contexts == [(str(temporary), str(path))]
    assert path.read_text() == "old"
    assert stat.S_IMODE(temporary.stat().st_mode) == 0o644
    _file_edit.put_in_force(str(path), root_only("new\r\n", 0o644))
    assert path.read_bytes() == b"new\r\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert names(here) == ["file"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_replacement_has_its_owner(here: pathlib.Path) -> None:
    path = str(here / "file")
    new = Content("new", 0o600, 1234, 2345)
    _file_edit.prepare(path, new, set_context=no_context)
    _file_edit.put_in_force(path, new)
    assert _file_edit.content(path) == new


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_mode_with_setuid_stays_with_an_owner(here: pathlib.Path) -> None:
    path = str(here / "file")
    put_all({path: Content("new", 0o6755, 1234, 2345)})
    assert _file_edit.content(path) == Content("new", 0o6755, 1234, 2345)


@pytest.mark.parametrize("new", [root_only("\ud800"), Content("secret", 0o600, 10**11, 0)])
def test_what_no_file_can_be_leaves_nothing(here: pathlib.Path, new: Content) -> None:
    with pytest.raises(KubestaticError, match=r"file: cannot be written: .*; nothing was changed"):
        _file_edit.prepare(str(here / "file"), new, set_context=no_context)
    assert names(here) == []


def test_a_leftover_is_overwritten(here: pathlib.Path) -> None:
    (here / ".file.kubestatic-new").write_text("much longer than new")
    _file_edit.prepare(str(here / "file"), root_only("new"), set_context=no_context)
    assert (here / ".file.kubestatic-new").read_text() == "new"


def test_a_link_in_the_place_of_the_new_file_is_not_followed(here: pathlib.Path) -> None:
    (here / "passwd").write_text("theirs")
    (here / ".file.kubestatic-new").symlink_to("passwd")
    _file_edit.prepare(str(here / "file"), root_only("new"), set_context=no_context)
    assert (here / "passwd").read_text() == "theirs"
    assert not (here / ".file.kubestatic-new").is_symlink()


def test_a_link_that_comes_back_at_once_is_not_followed(here: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "passwd").write_text("theirs")
    (here / ".file.kubestatic-new").symlink_to("passwd")
    monkeypatch.setattr(_file_edit, "discard", lambda _path: None)
    with pytest.raises(KubestaticError, match="file: cannot be written: File exists; nothing was changed"):
        _file_edit.prepare(str(here / "file"), root_only("new"), set_context=no_context)
    assert (here / "passwd").read_text() == "theirs"


def test_a_removal_needs_no_first_half(here: pathlib.Path) -> None:
    (here / "file").write_text("old")
    _file_edit.prepare(str(here / "file"), Content(None), set_context=no_context)
    assert names(here) == ["file"]
    _file_edit.put_in_force(str(here / "file"), Content(None))
    assert names(here) == []
    _file_edit.put_in_force(str(here / "file"), Content(None))


def test_what_is_put_in_force_is_on_the_disk(here: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    real = os.fsync

    def fsync(handle: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{handle}"))
        real(handle)

    monkeypatch.setattr("os.fsync", fsync)
    _file_edit.prepare(str(here / "file"), root_only("new"), set_context=no_context)
    assert synced == [str(here / ".file.kubestatic-new")]
    _file_edit.put_in_force(str(here / "file"), root_only("new"))
    assert synced[1:] == [str(here)]


@pytest.mark.parametrize(
    ("function", "number"),
    [("os.fsync", errno.ENOSPC), ("os.open", errno.EROFS), ("os.fchown", errno.EPERM), ("os.fchmod", errno.EPERM)],
)
def test_a_disk_that_refuses_changes_nothing(
    here: pathlib.Path, monkeypatch: pytest.MonkeyPatch, function: str, number: int
) -> None:
    (here / "file").write_text("old")
    with monkeypatch.context() as broken:
        broken.setattr(function, failing(number))
        expected = f"{here}/file: cannot be written: {os.strerror(number)}; nothing was changed"
        with pytest.raises(KubestaticError, match=expected):
            _file_edit.prepare(str(here / "file"), root_only("new"), set_context=no_context)
    assert names(here) == ["file"]
    assert (here / "file").read_text() == "old"


def test_a_rename_that_is_refused_leaves_the_old_file(here: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(here / "file")
    (here / "file").write_text("old")
    _file_edit.prepare(path, root_only("new"), set_context=no_context)
    with monkeypatch.context() as broken:
        broken.setattr("os.rename", failing(errno.EROFS))
        with pytest.raises(OSError, match="Read-only file system"):
            _file_edit.put_in_force(path, root_only("new"))
    assert (here / "file").read_text() == "old"
    _file_edit.discard(path)
    assert names(here) == ["file"]


def test_a_context_that_cannot_be_set_changes_nothing(here: pathlib.Path) -> None:
    def set_context(path: str, final_path: str) -> None:
        raise KubestaticError("no such context")

    with pytest.raises(KubestaticError, match="file: cannot be written: no such context; nothing was changed"):
        _file_edit.prepare(str(here / "file"), root_only("new"), set_context=set_context)
    assert names(here) == []


def test_a_first_half_can_be_forgotten(here: pathlib.Path) -> None:
    _file_edit.prepare(str(here / "file"), root_only("new"), set_context=no_context)
    _file_edit.discard(str(here / "file"))
    _file_edit.discard(str(here / "file"))
    assert names(here) == []


# ---- many at once


def put_all(files: dict[str, Content]) -> None:
    _file_edit.put_all(files, directory_mode=0o700, set_context=no_context)


def wanted(here: pathlib.Path) -> dict[str, Content]:
    """A file that is there, one in a directory that is there, and two that need directories."""
    (here / "there").mkdir()
    (here / "old").write_text("old")
    return {str(here / name): root_only(f"new {name}") for name in ("old", "there/a", "a/b/c", "a/d")}


def test_all_files_are_there_with_their_directories(here: pathlib.Path) -> None:
    files = wanted(here)
    put_all(files)
    assert {path: pathlib.Path(path).read_text() for path in files} == {path: new.text for path, new in files.items()}
    assert {stat.S_IMODE((here / name).stat().st_mode) for name in ("a", "a/b")} == {0o700}
    assert names(here) == ["a", "old", "there"] and names(here / "a") == ["b", "d"]


@pytest.mark.parametrize("function", ["os.fsync", "os.mkdir", "os.fchown"])
@pytest.mark.parametrize("which", [1, 2])
def test_what_the_disk_refuses_changes_nothing(
    here: pathlib.Path, monkeypatch: pytest.MonkeyPatch, function: str, which: int
) -> None:
    files = wanted(here)
    calls = []
    real = getattr(os, function[3:])

    def now_and_then(*arguments: t.Any) -> t.Any:
        calls.append(1)
        if len(calls) == which:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*arguments)

    with monkeypatch.context() as broken:
        broken.setattr(function, now_and_then)
        with pytest.raises(KubestaticError, match="No space left on device"):
            put_all(files)
    assert names(here) == ["old", "there"] and names(here / "there") == []
    assert (here / "old").read_text() == "old"


def test_a_rename_that_fails_leaves_no_secret_beside(here: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = wanted(here)
    renames = mock.Mock(side_effect=[mock.DEFAULT, OSError(errno.EIO, "Input/output error")], wraps=os.rename)
    with monkeypatch.context() as broken:
        broken.setattr("os.rename", renames)
        with pytest.raises(
            KubestaticError, match="there/a: cannot be replaced: Input/output error; the files before it"
        ):
            put_all(files)
    assert (here / "old").read_text() == "new old"
    assert names(here) == ["old", "there"] and names(here / "there") == []


def test_a_sync_that_fails_is_named(here: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = wanted(here)
    real = os.fsync

    def fsync(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EIO, "Input/output error")
        real(handle)

    with monkeypatch.context() as broken:
        broken.setattr("os.fsync", fsync)
        with pytest.raises(
            KubestaticError, match=f"{here}: cannot be synced to the disk: Input/output error; all files"
        ):
            put_all(files)
    assert all(pathlib.Path(path).read_text() == new.text for path, new in files.items())


def test_files_are_on_the_disk_before_the_first_rename_and_renames_at_the_end(
    here: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    fsync, rename = os.fsync, os.rename

    def noted_fsync(handle: int) -> None:
        seen.append(os.readlink(f"/proc/self/fd/{handle}"))
        fsync(handle)

    def noted_rename(old: str, new: str) -> None:
        seen.append("rename")
        rename(old, new)

    monkeypatch.setattr("os.fsync", noted_fsync)
    monkeypatch.setattr("os.rename", noted_rename)
    files = wanted(here)
    put_all({path: new for path, new in files.items() if not path.endswith("/old")})
    temporaries = [str(here / name) for name in ("there/.a", "a/b/.c", "a/.d")]
    # The topmost one has a new directory in it.
    directories = [str(here / name) if name else str(here) for name in ("", "a", "a/b", "there")]
    assert seen == [f"{path}.kubestatic-new" for path in temporaries] + ["rename"] * 3 + directories


def test_killed_between_renames_each_file_is_old_or_new(here: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    files = wanted(here)
    for count in range(len(files)):
        dies = mock.Mock(side_effect=[*[mock.DEFAULT] * count, Killed], wraps=os.rename)
        with monkeypatch.context() as broken:
            broken.setattr("os.rename", dies)
            with pytest.raises(Killed):
                put_all(files)
        there = [path for path in files if os.path.exists(path) and pathlib.Path(path).read_text() == files[path].text]
        assert len(there) == count
        assert (here / "old").read_text() == ("new old" if count else "old")
        (here / "old").write_text("old")
        for path in there[1:]:
            pathlib.Path(path).unlink()
    put_all(files)
    assert names(here / "a") == ["b", "d"] and names(here) == ["a", "old", "there"]


# ---- directories


def test_directories_are_made_from_the_outside_in(here: pathlib.Path) -> None:
    old_mask = os.umask(0o077)
    try:
        made = _file_edit.make_directory(str(here / "a" / "b"), mode=0o755)
    finally:
        os.umask(old_mask)
    assert made == [str(here / "a"), str(here / "a" / "b")]
    assert {stat.S_IMODE(pathlib.Path(path).stat().st_mode) for path in made} == {0o755}
    assert _file_edit.make_directory(str(here / "a" / "b"), mode=0o700) == []
    assert stat.S_IMODE((here / "a" / "b").stat().st_mode) == 0o755


def test_no_directory_stays_where_not_all_can_be_made(here: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.mkdir

    def mkdir(path: str, mode: int) -> None:
        if path.endswith("c"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(path, mode)

    monkeypatch.setattr("os.mkdir", mkdir)
    with pytest.raises(KubestaticError, match=f"{here}/a/b/c: cannot be made: No space left on device"):
        _file_edit.make_directory(str(here / "a" / "b" / "c"), mode=0o755)
    assert names(here) == []


def test_a_directory_below_a_file(here: pathlib.Path) -> None:
    (here / "file").write_text("")
    with pytest.raises(KubestaticError, match="file/dir: cannot be made: Not a directory"):
        _file_edit.make_directory(str(here / "file" / "dir"), mode=0o755)


def test_only_empty_directories_are_removed_again(here: pathlib.Path) -> None:
    made = _file_edit.make_directory(str(here / "a" / "b"), mode=0o755)
    (here / "a" / "file").write_text("")
    _file_edit.remove_directories(made)
    assert names(here / "a") == ["file"]

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories that a kubelet could read, or not, and one run at a time in them."""

from __future__ import annotations

import errno
import fcntl
import os
import pathlib
import subprocess
import sys
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _directory
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    directory = tmp_path / "manifests"
    directory.mkdir()
    return directory


# ---- the path itself


def test_a_usable_path(path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    _directory.require_usable(str(path))
    (tmp_path / "link").symlink_to(path)
    _directory.require_usable(str(tmp_path / "link"))


UNUSABLE: list[tuple[str, t.Callable[[pathlib.Path], pathlib.Path], str]] = [
    ("missing", lambda root: root / "none", "the manifest directory does not exist; create it"),
    ("dangling link", lambda root: link(root / "l", "none"), "the manifest directory does not exist; create it"),
    ("a file", lambda root: file(root / "f"), "the manifest directory is a file"),
    ("below a file", lambda root: file(root / "f") / "d", "the manifest directory cannot be read: Not a directory"),
    ("loop", lambda root: link(root / "l", "l"), "the manifest directory is a loop of symbolic links; mend the link"),
    ("*", lambda root: directory(root / "a*"), "must not contain any of"),
    ("?", lambda root: directory(root / "a?" / "b"), "must not contain any of"),
    ("[", lambda root: directory(root / "a[1]"), "must not contain any of"),
    ("backslash", lambda root: directory(root / "a\\b"), "must not contain any of"),
]


def link(path: pathlib.Path, target: str) -> pathlib.Path:
    path.symlink_to(target)
    return path


def file(path: pathlib.Path) -> pathlib.Path:
    path.write_text("")
    return path


def directory(path: pathlib.Path) -> pathlib.Path:
    path.mkdir(parents=True)
    return path


@pytest.mark.parametrize(("make", "message"), [row[1:] for row in UNUSABLE], ids=[row[0] for row in UNUSABLE])
def test_a_path_that_the_kubelet_could_not_use(
    tmp_path: pathlib.Path, make: t.Callable[[pathlib.Path], pathlib.Path], message: str
) -> None:
    path = str(make(tmp_path))
    with pytest.raises(KubestaticError) as failure:
        _directory.require_usable(path)
    assert str(failure.value).startswith(f"{path}: ")
    assert message in str(failure.value)


# ---- the lock

HOLD = """
import sys
from ansible_collections.kubestatic.node.plugins.module_utils import _directory
with _directory.locked(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def holder(path: pathlib.Path) -> t.Iterator[subprocess.Popen[str]]:
    """Another process that holds the directory until it is killed or told to end."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_run_is_refused_at_once(path: pathlib.Path, holder: subprocess.Popen[str]) -> None:
    with pytest.raises(KubestaticError) as failure, _directory.locked(str(path)):
        pytest.fail("two runs hold the same directory")
    assert str(failure.value).startswith(f"{path}: another run (process {holder.pid}) is changing static pods here")


def test_a_directory_that_cannot_be_opened_is_named(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> t.NoReturn:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("os.open", refuse)
    with pytest.raises(KubestaticError) as failure, _directory.held(str(path), what="certificates"):
        pytest.fail("nobody holds it")
    assert str(failure.value).startswith(f"{path}: cannot be opened: Permission denied; mend its owner or mode")


@pytest.mark.parametrize("end", ["kill", "finish"])
def test_the_lock_ends_with_its_holder(path: pathlib.Path, holder: subprocess.Popen[str], end: str) -> None:
    if end == "kill":
        holder.kill()
    else:
        assert holder.stdin is not None
        holder.stdin.write("\n")
        holder.stdin.flush()
    holder.wait(timeout=10)
    with _directory.locked(str(path)):
        pass


def test_the_lock_of_one_directory_leaves_others_free(tmp_path: pathlib.Path, holder: subprocess.Popen[str]) -> None:
    (tmp_path / "other").mkdir()
    with _directory.locked(str(tmp_path / "other")):
        pass


def test_the_lock_is_let_go_after_a_failure(path: pathlib.Path) -> None:
    with pytest.raises(RuntimeError), _directory.locked(str(path)):
        raise RuntimeError
    handle = os.open(str(path), os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(handle)


def test_a_lock_leaves_no_file(path: pathlib.Path) -> None:
    with _directory.locked(str(path)):
        assert os.listdir(str(path)) == []
    assert os.listdir(str(path)) == []

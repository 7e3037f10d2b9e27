# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest directory with real files: how it is read, recovered and changed."""

from __future__ import annotations

import errno
import os
import pathlib
import subprocess
import sys
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _manifest, _manifest_dir
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._manifest_dir import Entry, ManifestDir

OLD_TEXT = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: web, image: 'nginx:1'}]}\n"
NEW_TEXT = OLD_TEXT.replace("nginx:1", "nginx:2")


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    directory = tmp_path / "manifests"
    directory.mkdir()
    return directory


def one_entry(path: pathlib.Path) -> Entry:
    (entry,) = _manifest_dir.read(str(path))
    return entry


def keep_mode(_path: str, _final_path: str) -> None:
    pass


# ---- reading, as pkg/kubelet/config/file.go does


@pytest.mark.parametrize(
    "name", ["web.yaml", "web.json", "web", "web.yaml.bak", "web.yaml~", "#web#", "web.txt", "\u00fc.yaml"]
)
def test_every_name_without_a_leading_dot_is_read(path: pathlib.Path, name: str) -> None:
    (path / name).write_text(OLD_TEXT)
    entry = one_entry(path)
    assert (entry.filename, entry.path) == (name, str(path / name))
    assert entry.pod is not None
    assert entry.pod.key == ("default", "web")
    assert not entry.ignored and not entry.refused


def test_names_that_are_no_text_are_read(path: pathlib.Path) -> None:
    with open(os.fsencode(path) + b"/\xff.yaml", "w", encoding="ascii") as file:
        file.write(OLD_TEXT)
    assert one_entry(path).pod is not None


def test_dot_files_are_ignored_and_those_of_this_collection_not_even_shown(path: pathlib.Path) -> None:
    for name in (".web.yaml", ".kubelet-keep", ".kubestatic.web.yaml.new", ".kubestatic.web.yaml.old"):
        (path / name).write_text(OLD_TEXT)
    entries = _manifest_dir.read(str(path))
    assert [entry.filename for entry in entries] == [".kubelet-keep", ".web.yaml"]
    assert {entry.ignored for entry in entries} == {"its name starts with a dot"}
    assert not any(entry.pod or entry.refused for entry in entries)


def test_the_order_is_by_bytes(path: pathlib.Path) -> None:
    names = ["B", "a", "a.yaml", "a.yaml.bak", "a.yaml~", "Z", "\u00e4", "10", "9"]
    for name in names:
        (path / name).write_text("")
    found = [entry.filename for entry in _manifest_dir.read(str(path))]
    assert found == sorted(names, key=lambda name: name.encode())
    assert found.index("a.yaml") < found.index("a.yaml.bak") < found.index("a.yaml~")


def test_a_symbolic_link_to_a_file_is_followed(path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "elsewhere").write_text(OLD_TEXT)
    (path / "web.yaml").symlink_to(tmp_path / "elsewhere")
    assert one_entry(path).pod is not None


def make_socket(path: pathlib.Path) -> None:
    # A path below pytest's directory may be too long for an address.
    command = "import os, socket, sys; os.chdir(sys.argv[1]); socket.socket(socket.AF_UNIX).bind(sys.argv[2])"
    subprocess.run([sys.executable, "-c", command, str(path.parent), path.name], check=True)


IGNORED: list[tuple[str, t.Callable[[pathlib.Path], t.Any], str]] = [
    ("directory", lambda path: path.mkdir(), "it is a directory"),
    ("fifo", lambda path: os.mkfifo(str(path)), "it is no regular file"),
    ("socket", make_socket, "it is no regular file"),
    ("link to a directory", lambda path: path.symlink_to(path.parent), "it is a directory"),
    ("dangling link", lambda path: path.symlink_to("nowhere"), "it cannot be read: No such file or directory"),
    ("loop", lambda path: path.symlink_to(path.name), "it cannot be read: Too many levels of symbolic links"),
    ("device", lambda path: path.symlink_to("/dev/null"), "it is no regular file"),
]


@pytest.mark.parametrize(("make", "reason"), [row[1:] for row in IGNORED], ids=[row[0] for row in IGNORED])
def test_what_is_no_file_is_ignored(path: pathlib.Path, make: t.Callable[[pathlib.Path], t.Any], reason: str) -> None:
    make(path / "entry")
    entry = one_entry(path)
    assert entry.ignored == reason
    assert entry.pod is None and not entry.refused


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the manifest is empty"),
        (b"kind: [", "YAML syntax error in line"),
        (b"\xff", "not UTF-8"),
        (b"apiVersion: v1\nkind: Service\n", "found v1 Service"),
        (OLD_TEXT.encode() + b"#" * _manifest.MAX_BYTES, "the kubelet refuses more than 10485760"),
    ],
    ids=["empty", "syntax", "not UTF-8", "no pod", "too long"],
)
def test_what_holds_no_pod_is_refused(path: pathlib.Path, content: bytes, reason: str) -> None:
    (path / "web.yaml").write_bytes(content)
    entry = one_entry(path)
    assert reason in entry.refused
    assert entry.pod is None and not entry.ignored


def test_a_file_of_exactly_ten_mebibytes_is_read(path: pathlib.Path) -> None:
    (path / "web.yaml").write_bytes(OLD_TEXT.encode() + b"#" * (_manifest.MAX_BYTES - len(OLD_TEXT)))
    assert one_entry(path).pod is not None


def test_one_bad_file_does_not_hide_the_others(path: pathlib.Path) -> None:
    (path / "a.yaml").write_text("kind: [")
    (path / "b.yaml").write_text(OLD_TEXT)
    assert [bool(entry.pod) for entry in _manifest_dir.read(str(path))] == [False, True]


def test_the_files_that_hold_one_pod(path: pathlib.Path) -> None:
    (path / "a.yaml").write_text(OLD_TEXT)
    (path / "b.yaml").write_text(NEW_TEXT)
    (path / "c.yaml").write_text(OLD_TEXT.replace("name: web}", "name: web, namespace: other}"))
    (path / "d.yaml").write_text(OLD_TEXT.replace("name: web}", "name: web, namespace: default}"))
    (path / "e.yaml").write_text("")
    entries = _manifest_dir.read(str(path))
    assert [one.filename for one in _manifest_dir.duplicates(entries, ("default", "web"))] == [
        "a.yaml",
        "b.yaml",
        "d.yaml",
    ]
    assert [one.filename for one in _manifest_dir.duplicates(entries, ("other", "web"))] == ["c.yaml"]
    assert _manifest_dir.duplicates(entries, ("default", "none")) == []


# ---- file names


@pytest.mark.parametrize("name", ["web.yaml", "web", "a b", "\u00fc", "x" * _manifest_dir.MAX_FILENAME, "a..b", "~"])
def test_file_names(path: pathlib.Path, name: str) -> None:
    _manifest_dir.require_filename(name)
    # The longest one must leave room for this collection's dot-files.
    ManifestDir(str(path)).write_new(name, OLD_TEXT, finish_file=keep_mode)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".web.yaml", "a/b", "/a", "../a", "a\0b", "x" * (_manifest_dir.MAX_FILENAME + 1), "\u00fc" * 200],
)
def test_names_that_cannot_be_manifests(name: str) -> None:
    with pytest.raises(KubestaticError, match=r"^filename: "):
        _manifest_dir.require_filename(name)


# ---- recovery: (files that a killed run left) -> (files after it)

N, OLD_FILE, R = ".kubestatic.web.yaml.new", ".kubestatic.web.yaml.old", ".kubestatic.web.yaml.removed"
F = "web.yaml"
RECOVERY: list[tuple[dict[str, str], dict[str, str], str]] = [
    ({}, {}, ""),
    ({F: "old"}, {F: "old"}, ""),
    ({F: "old", N: "new"}, {F: "old"}, ""),
    ({F: "new", OLD_FILE: "old"}, {F: "new"}, ""),
    ({F: "old", R: "old"}, {F: "old"}, ""),
    ({F: "old", N: "new", OLD_FILE: "old"}, {F: "old"}, ""),
    ({F: "old", N: "new", OLD_FILE: "old", R: "old"}, {F: "old"}, ""),
    ({OLD_FILE: "old", N: "new"}, {F: "new"}, "put the new manifest in force, an earlier run was cut off"),
    ({OLD_FILE: "old", N: "new", R: "older"}, {F: "new"}, "put the new manifest in force, an earlier run was cut off"),
    ({OLD_FILE: "old"}, {F: "old"}, "put the previous manifest in force, an earlier run was cut off"),
    ({OLD_FILE: "old", R: "older"}, {F: "old"}, "put the previous manifest in force, an earlier run was cut off"),
    ({N: "new"}, {}, ""),
    ({R: "old"}, {}, ""),
    ({N: "new", R: "old"}, {}, ""),
]


@pytest.mark.parametrize(
    ("before", "after", "action"),
    RECOVERY,
    ids=["+".join(sorted(row[0])).replace(".kubestatic.", "") or "-" for row in RECOVERY],
)
def test_recovery(path: pathlib.Path, before: dict[str, str], after: dict[str, str], action: str) -> None:
    for name, text in before.items():
        (path / name).write_text(text)
    foretold = ManifestDir(str(path)).recover(check_mode=True)
    entries = _manifest_dir.read(str(path), recovered=True)
    assert {name: (path / name).read_text() for name in os.listdir(str(path))} == before, "check mode touches nothing"
    done = ManifestDir(str(path)).recover(check_mode=False)
    assert entries == _manifest_dir.read(str(path))
    assert foretold == [action.replace("put the", "would put the") for action in done]
    assert {name: (path / name).read_text() for name in os.listdir(str(path))} == after
    assert done == ([f"{path}/web.yaml: {action}"] if action else [])
    assert ManifestDir(str(path)).recover(check_mode=False) == [], "what is recovered stays so"


def test_recovery_of_several_manifests_leaves_strangers_alone(path: pathlib.Path) -> None:
    strangers = [
        ".kubestatic.x",
        ".kubestatic..new",
        ".kubestatic.x.tmp",
        ".other.web.yaml.old",
        "x.old",
        ".kubelet-keep",
    ]
    for name in [*strangers, N, OLD_FILE, ".kubestatic.b.json.old", ".kubestatic.c.removed"]:
        (path / name).write_text(name)
    done = ManifestDir(str(path)).recover(check_mode=False)
    assert len(done) == 2
    assert sorted(os.listdir(str(path))) == sorted([*strangers, "web.yaml", "b.json"])
    assert (path / "b.json").read_text() == ".kubestatic.b.json.old"


@pytest.mark.parametrize("suffix", ["new", "old", "removed"])
def test_manifests_whose_own_name_ends_like_ours(path: pathlib.Path, suffix: str) -> None:
    """web.new in force and web.new's dot-file are different things; so are web and web.new."""
    directory = ManifestDir(str(path))
    name = f"web.{suffix}"
    (path / name).write_text("old")
    directory.write_new(name, "new", finish_file=keep_mode)
    directory.take_away(name, for_good=False)
    assert len(directory.recover(check_mode=False)) == 1
    assert {one: (path / one).read_text() for one in os.listdir(str(path))} == {name: "new"}


# ---- the steps


@pytest.fixture(name="directory_")
def _directory(path: pathlib.Path) -> ManifestDir:
    return ManifestDir(str(path))


def visible(path: pathlib.Path) -> list[str]:
    return sorted(name for name in os.listdir(str(path)) if not name.startswith("."))


def test_a_first_placement(path: pathlib.Path, directory_: ManifestDir) -> None:
    directory_.write_new(F, NEW_TEXT, finish_file=keep_mode)
    assert visible(path) == []
    directory_.place(F, over=False)
    directory_.tidy(F)
    assert os.listdir(str(path)) == [F]
    assert (path / F).read_text() == NEW_TEXT


def test_a_swap_and_its_way_back(path: pathlib.Path, directory_: ManifestDir) -> None:
    (path / F).write_text(OLD_TEXT)
    directory_.write_new(F, NEW_TEXT, finish_file=keep_mode)
    assert (path / F).read_text() == OLD_TEXT
    directory_.take_away(F, for_good=False)
    assert visible(path) == []
    directory_.put_back(F)
    assert os.listdir(str(path)) == [F]
    assert (path / F).read_text() == OLD_TEXT


@pytest.mark.parametrize("for_good", [True, False])
def test_what_was_taken_away_comes_back(path: pathlib.Path, directory_: ManifestDir, for_good: bool) -> None:
    (path / F).write_text(OLD_TEXT)
    inode = (path / F).stat().st_ino
    directory_.take_away(F, for_good=for_good)
    directory_.put_back(F)
    assert os.listdir(str(path)) == [F]
    assert (path / F).stat().st_ino == inode


def test_placing_over_the_old_manifest_is_one_rename(path: pathlib.Path, directory_: ManifestDir) -> None:
    (path / F).write_text(OLD_TEXT)
    directory_.write_new(F, NEW_TEXT, finish_file=keep_mode)
    inode = (path / N).stat().st_ino
    directory_.place(F, over=True)
    assert (path / F).stat().st_ino == inode
    assert os.listdir(str(path)) == [F]


def test_the_text_arrives_byte_by_byte(path: pathlib.Path, directory_: ManifestDir) -> None:
    text = "a: \u00fc\r\nb: \u2028\n\tno newline at the end"
    directory_.write_new(F, text, finish_file=keep_mode)
    assert (path / N).read_bytes() == text.encode()


def test_nobody_else_reads_a_new_manifest_before_its_mode_is_set(path: pathlib.Path, directory_: ManifestDir) -> None:
    seen: list[tuple[str, str, int]] = []

    def finish(new_path: str, final_path: str) -> None:
        seen.append((new_path, final_path, os.stat(new_path).st_mode & 0o777))
        os.chmod(new_path, 0o640)

    umask = os.umask(0)
    try:
        directory_.write_new(F, NEW_TEXT, finish_file=finish)
    finally:
        os.umask(umask)
    assert seen == [(str(path / N), str(path / F), 0o600)]
    assert (path / N).stat().st_mode & 0o777 == 0o640


def test_a_leftover_of_another_run_is_no_obstacle(path: pathlib.Path, directory_: ManifestDir) -> None:
    (path / N).write_text("something that is much longer than the new text" * 100)
    directory_.write_new(F, NEW_TEXT, finish_file=keep_mode)
    assert (path / N).read_text() == NEW_TEXT


def test_a_text_that_cannot_be_written_leaves_nothing(path: pathlib.Path, directory_: ManifestDir) -> None:
    def finish(_new_path: str, _final_path: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (path / F).write_text(OLD_TEXT)
    with pytest.raises(KubestaticError) as failure:
        directory_.write_new(F, NEW_TEXT, finish_file=finish)
    assert (
        str(failure.value)
        == f"{path}/web.yaml: cannot write the new manifest: No space left on device; nothing was changed"
    )
    assert os.listdir(str(path)) == [F]


def test_a_directory_that_is_gone_is_no_traceback(tmp_path: pathlib.Path) -> None:
    with pytest.raises(KubestaticError, match="cannot write the new manifest: No such file or directory"):
        ManifestDir(str(tmp_path / "none")).write_new(F, NEW_TEXT, finish_file=keep_mode)


def test_tidying_twice_is_fine(path: pathlib.Path, directory_: ManifestDir) -> None:
    for name in (N, OLD_FILE, R, F):
        (path / name).write_text(name)
    directory_.tidy(F)
    directory_.tidy(F)
    assert os.listdir(str(path)) == [F]


def test_each_step_is_on_the_disk_when_it_returns(
    path: pathlib.Path, directory_: ManifestDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file is synced before its rename, and the directory after it. What is left of litter is litter."""
    log: list[str] = []
    real_fsync, real_rename, real_unlink = os.fsync, os.rename, os.unlink

    def fsync(handle: int) -> None:
        log.append("sync directory" if os.path.isdir(f"/proc/self/fd/{handle}") else "sync file")
        real_fsync(handle)

    def rename(source: str, target: str) -> None:
        log.append(f"{pathlib.Path(source).name} -> {pathlib.Path(target).name}")
        real_rename(source, target)

    def unlink(name: str) -> None:
        real_unlink(name)
        log.append(f"unlink {pathlib.Path(name).name}")

    (path / F).write_text(OLD_TEXT)
    for name, function in (("fsync", fsync), ("rename", rename), ("unlink", unlink)):
        monkeypatch.setattr(os, name, function)
    directory_.write_new(F, NEW_TEXT, finish_file=keep_mode)
    directory_.sync()
    directory_.take_away(F, for_good=False)
    directory_.place(F, over=False)
    directory_.tidy(F)
    directory_.take_away(F, for_good=True)
    directory_.tidy(F)
    assert log == [
        "sync file",
        "sync directory",
        f"{F} -> {OLD_FILE}",
        "sync directory",
        f"{N} -> {F}",
        "sync directory",
        f"unlink {OLD_FILE}",
        f"{F} -> {R}",
        "sync directory",
        f"unlink {R}",
    ]

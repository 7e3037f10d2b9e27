# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module node_files on files of this machine."""

from __future__ import annotations

import base64
import json
import os
import pathlib
import stat
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _directory, _file_set, _module, _store
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.modules import node_files
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.world import call

ME = {"owner": str(os.geteuid()), "group": str(os.getegid())}
SECRET = "c2VjcmV0-very-secret"
# Ansible blanks it in results, so it must not be part of any path.
TEXT = "some-text"


@pytest.fixture(name="here")
def _here(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.setattr(_store, "DEFAULT_PATH", str(tmp_path / "store"))
    monkeypatch.setattr(_module, "require_root", lambda: None)
    node = tmp_path / "node"
    node.mkdir()
    return node.resolve()


def run(*files: dict[str, t.Any], **options: t.Any) -> dict[str, t.Any]:
    return call(None, node_files.main, files=[{**ME, **file} for file in files], **options)


def tree(here: pathlib.Path) -> dict[str, tuple[str, int]]:
    return {
        str(path.relative_to(here)): (path.read_text() if path.is_file() else "", stat.S_IMODE(path.lstat().st_mode))
        for path in sorted(here.rglob("*"))
    }


def test_files_get_there_once(here: pathlib.Path) -> None:
    files = [
        {"path": f"{here}/pki/etcd/ca.key", "content": SECRET},
        {"path": f"{here}/audit.yaml", "content": "\u00e4\r\n", "mode": "0644"},
    ]
    result = run(*files, directory_mode="0750")
    assert result["changed_files"] == [file["path"] for file in files]
    assert result["actions"] == [
        f"made {here}/pki/etcd/ca.key (new, mode 0600)",
        f"made {here}/audit.yaml (new, mode 0644)",
    ]
    assert tree(here) == {
        "audit.yaml": ("\u00e4\n", 0o644),
        "pki": ("", 0o750),
        "pki/etcd": ("", 0o750),
        "pki/etcd/ca.key": (SECRET, 0o600),
    }
    assert (here / "audit.yaml").read_bytes() == "\u00e4\r\n".encode()
    again = run(*files)
    assert (again["changed"], again["changed_files"], again["actions"]) == (False, [], [])


def test_what_differs_is_said(here: pathlib.Path) -> None:
    (here / "a").write_text("old")
    (here / "b").write_text("same")
    (here / "a").chmod(0o644)
    (here / "b").chmod(0o640)
    files = [{"path": f"{here}/a", "content": "new"}, {"path": f"{here}/b", "content": "same"}]
    planned = run(*files, check=True)
    assert planned["changed"] and planned["actions"] == [
        f"would change {here}/a (content, mode 0644 -> 0600)",
        f"would change {here}/b (mode 0640 -> 0600)",
    ]
    assert tree(here) == {"a": ("old", 0o644), "b": ("same", 0o640)}
    assert not pathlib.Path(_store.DEFAULT_PATH).exists()
    done = run(*files)
    assert done["actions"] == [one.replace("would change", "changed") for one in planned["actions"]]
    assert tree(here) == {"a": ("new", 0o600), "b": ("same", 0o600)}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_owners_are_names_or_numbers(here: pathlib.Path) -> None:
    path = f"{here}/a"
    run({"path": path, "content": "", "owner": "daemon", "group": "54321"})
    found = os.stat(path)
    assert (found.st_uid, found.st_gid) == (1, 54321)
    result = run({"path": path, "content": "", "owner": "root", "group": "root"})
    assert result["actions"] == [f"changed {path} (owner daemon -> root, group 54321 -> root)"]


def test_any_bytes_come_in_base64(here: pathlib.Path) -> None:
    data = bytes(range(256))
    file = {"path": f"{here}/a", "content": base64.b64encode(data).decode(), "encoding": "base64"}
    assert run(file)["changed"]
    assert (here / "a").read_bytes() == data
    assert not run(file)["changed"]


def test_no_secret_is_in_a_result(here: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[str] = []
    monkeypatch.setattr(
        "ansible.module_utils.basic.AnsibleModule.log", lambda _self, msg, **_more: logged.append(str(msg))
    )
    (here / "a").write_text("old" + SECRET)
    files = [{"path": f"{here}/{name}", "content": SECRET} for name in ("a", "b")]
    for options in ({"check": True, "diff": True}, {"diff": True}):
        result = run(*files, **options)
        assert result["changed"] and SECRET not in json.dumps(result)
        assert [one["after"].splitlines()[-1] for one in result["diff"]] == ["content: new (not shown)"] * 2
    assert logged and not any(SECRET in line for line in logged)
    bad = run({"path": "relative", "content": SECRET})
    assert bad["failed"] and SECRET not in json.dumps(bad)


def test_the_diff_tells_mode_and_owner(here: pathlib.Path) -> None:
    (here / "a").write_text("same")
    (here / "a").chmod(0o644)
    [diff] = run({"path": f"{here}/a", "content": "same"}, diff=True)["diff"]
    assert diff["before"].splitlines()[0] == "mode: 0644" and diff["after"].splitlines()[0] == "mode: 0600"
    assert diff["before"].splitlines()[-1] == diff["after"].splitlines()[-1] == "content: as it was"


def test_what_a_killed_run_left_is_removed(here: pathlib.Path) -> None:
    file = {"path": f"{here}/a", "content": TEXT}
    run(file)
    (here / ".a.kubestatic-new").write_text(SECRET)
    assert not run(file, check=True)["changed"] and len(tree(here)) == 2
    assert not run(file)["changed"]
    assert list(tree(here)) == ["a"]


BAD: list[tuple[str, dict[str, t.Any], str]] = [
    ("relative", {"path": "a"}, "files[1] (a): path must be absolute, without '..'"),
    ("dots", {"path": "HERE/x/../a"}, "files[1] (HERE/x/../a): path must be absolute, without '..'"),
    ("slash", {"path": "HERE/a/"}, "path must be absolute, without '..' and without a slash at its end"),
    ("slashes", {"path": "//etc/a"}, "path must be absolute"),
    ("root", {"path": "/"}, "path must be absolute"),
    ("twice", {"path": "HERE/first"}, "files[1] (HERE/first): is listed twice, and only one of the two can lie there"),
    ("nothing", {"content": None}, "files[1] (HERE/a): has neither content nor src; give one of them"),
    (
        "base64",
        {"encoding": "base64", "content": "no-base-64!"},
        "files[1] (HERE/a): content is no base64, which encoding says it is",
    ),
    ("number", {"mode": 600}, "files[1] (HERE/a): mode must be an octal number in quotes, such as '0600'; got 600"),
    ("word", {"mode": "u=rw"}, "mode must be an octal number in quotes, such as '0600'; got 'u=rw'"),
    ("digit", {"mode": "0680"}, "mode must be an octal number"),
    ("large", {"mode": "10000"}, "mode must be an octal number"),
    (
        "owner",
        {"owner": "nobody-knows"},
        "files[1] (HERE/a): owner: nobody-knows is not known on this node; make it first",
    ),
    ("group", {"group": "nobody-knows"}, "files[1] (HERE/a): group: nobody-knows is not known on this node"),
    ("owner too large", {"owner": "99999999999"}, "owner: 99999999999 is no number of a user or group; give one up to"),
    ("owner of none", {"owner": "4294967295"}, "files[1] (HERE/a): owner: 4294967295 is no number of a user or group"),
    ("group of none", {"group": "4294967295"}, "files[1] (HERE/a): group: 4294967295 is no number of a user or group"),
    ("odd digit", {"owner": "\u00b2"}, "files[1] (HERE/a): owner: \u00b2 is not known on this node"),
    ("digit of another script", {"owner": "\u0663"}, "files[1] (HERE/a): owner: \u0663 is not known on this node"),
    ("owner with NUL", {"owner": "a\0"}, "is not known on this node"),
    ("owner of digits", {"owner": "1" * 5000}, "is not known on this node"),
    ("NUL", {"path": "HERE/a\0b"}, "files[1]: no file's name can have all characters of 'HERE/a\\x00b'; give another"),
    (
        "link",
        {"path": "HERE/link"},
        "HERE/link: is a symbolic link to file; remove the link, or name the file behind it",
    ),
    ("dangling", {"path": "HERE/dangling"}, "HERE/dangling: is a symbolic link to none; remove the link"),
    ("directory", {"path": "HERE/directory"}, "HERE/directory: is a directory; move it away, a file shall lie there"),
    ("pipe", {"path": "HERE/pipe"}, "HERE/pipe: is no regular file; move it away"),
    (
        "below a file",
        {"path": "HERE/file/b/c"},
        "HERE/file/b/c: cannot lie there, as HERE/file is a file and not a directory",
    ),
    (
        "below another",
        {"path": "HERE/first/b"},
        "HERE/first/b: cannot lie there, as HERE/first is a file and not a directory",
    ),
    ("below a dangling link", {"path": "HERE/dangling/b"}, "cannot lie there, as HERE/dangling is a file"),
]


@pytest.mark.parametrize(("file", "message"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_nothing_is_touched_where_one_file_is_refused(here: pathlib.Path, file: dict[str, t.Any], message: str) -> None:
    (here / "file").write_text("")
    (here / "link").symlink_to("file")
    (here / "dangling").symlink_to("none")
    (here / "directory").mkdir()
    os.mkfifo(here / "pipe")
    before = sorted(here.iterdir())
    bad = {name: value.replace("HERE", str(here)) if isinstance(value, str) else value for name, value in file.items()}
    result = run({"path": f"{here}/first", "content": TEXT}, {"path": f"{here}/a", "content": TEXT, **bad})
    assert result["failed"] and message.replace("HERE", str(here)) in result["msg"]
    assert (result["changed_files"], result["actions"]) == ([], [])
    assert sorted(here.iterdir()) == before


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ({"path": "/a\ud800"}, "files[0]: no file's name can have all characters of '/a\\ud800'; give another path"),
        ({"content": "\ud800"}, "files[0] (/a): content has characters that UTF-8 has not; give it in base64"),
    ],
)
def test_what_is_no_text_is_named(file: dict[str, t.Any], message: str) -> None:
    """Ansible lets it through where MODULE_STRICT_UTF8_RESPONSE is off."""
    usual = {"path": "/a", "content": "", "encoding": "text", "mode": "0600", **ME}
    with pytest.raises(KubestaticError) as caught:
        _file_set._wanted([{**usual, **file}])
    assert str(caught.value) == message


def test_a_directory_mode_is_judged_too(here: pathlib.Path) -> None:
    result = run(directory_mode="rwx")
    assert result["msg"] == "directory_mode must be an octal number in quotes, such as '0600'; got 'rwx'"


def test_directories_get_there_once_and_stay_as_they_are(here: pathlib.Path) -> None:
    (here / "log").mkdir(mode=0o755)
    (here / "link").symlink_to("log")
    paths = [f"{here}/log", f"{here}/link", f"{here}/lib/etcd"]
    would = run(directories=paths, check=True)
    assert not (here / "lib").exists()
    result = run(directories=paths)
    assert would["changed"] and result["changed"] and result["changed_files"] == []
    assert would["actions"] == [f"would make the directory {here}/lib/etcd (mode 0700)"]
    assert result["actions"] == [f"made the directory {here}/lib/etcd (mode 0700)"]
    assert {name: mode for name, (_text, mode) in tree(here).items() if name != "link"} == {
        "lib": 0o700,
        "lib/etcd": 0o700,
        "log": 0o755,
    }
    assert not run(directories=paths)["changed"]


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (["HERE/file"], "HERE/file: cannot lie there, as HERE/file is a file and not a directory"),
        (["HERE/file/below"], "HERE/file/below: cannot lie there, as HERE/file is a file"),
        (["HERE/new"], "directories[0] (HERE/new): is one of files, too; remove one of the two"),
        (["lib"], "directories[0] (lib): path must be absolute"),
    ],
)
def test_a_directory_that_cannot_be_is_refused(here: pathlib.Path, paths: list[str], message: str) -> None:
    (here / "file").write_text("")
    paths = [path.replace("HERE", str(here)) for path in paths]
    result = run({"path": f"{here}/new", "content": TEXT}, directories=paths)
    assert result["failed"] and message.replace("HERE", str(here)) in result["msg"]
    assert sorted(tree(here)) == ["file"]


def test_a_directory_above_may_be_a_link(here: pathlib.Path) -> None:
    (here / "real").mkdir()
    (here / "link").symlink_to("real")
    assert run({"path": f"{here}/link/a", "content": TEXT})["changed"]
    assert (here / "real" / "a").read_text() == TEXT


def test_one_run_at_a_time(here: pathlib.Path) -> None:
    with _directory.held(_store.DEFAULT_PATH, what="files of this node"):
        result = run({"path": f"{here}/a", "content": TEXT})
    assert "is changing files of this node here; let it finish and run again" in result["msg"]
    assert tree(here) == {}

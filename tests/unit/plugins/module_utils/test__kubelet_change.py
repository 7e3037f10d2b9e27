# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several files changed as one: all or none, whatever fails and wherever the run is killed."""

from __future__ import annotations

import errno
import os
import pathlib
import stat
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _kubelet_change, _kubelet_move
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_change import (
    FileChange,
    Journal,
    Manifest,
    Moves,
)
from ansible_collections.kubestatic.node.plugins.module_utils._node_files import Tree
from ansible_collections.kubestatic.node.plugins.module_utils._store import Store


class Node:
    """Files, a store beside them, and the journal of a run. A new run has a new journal."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root / "node"
        self.root.mkdir()
        self.store = Store(str(root / "store"))
        self.contexts: list[str] = []

    @property
    def journal(self) -> Journal:
        return Journal(Store(self.store.path), set_context=lambda _path, final: self.contexts.append(final))

    def write(self, **texts: str) -> None:
        for name, text in texts.items():
            (self.root / name).write_text(text)

    def files(self) -> dict[str, str]:
        """All that lies there."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            found[str(path.relative_to(self.root))] = "/" if path.is_dir() else path.read_text()
        return found

    def changes(self, **texts: str | None) -> list[FileChange]:
        """`__` in a name is a slash."""
        tree = Tree()
        for name, text in texts.items():
            tree = tree.with_file(str(self.root / name.replace("__", "/")), text)
        return _kubelet_change.of(tree, found=Tree())

    def inside(self, texts: t.Iterable[str]) -> list[str]:
        return [text.replace(str(self.root), "ROOT") for text in texts]

    def undo(self) -> list[str]:
        return self.inside(self.journal.undo(timeout=5).told)


@pytest.fixture
def node(tmp_path: pathlib.Path) -> Node:
    return Node(tmp_path.resolve())


def fail_with_enospc(*args: object, **kwargs: object) -> t.NoReturn:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def failing_on(real: t.Callable[..., t.Any], ending: str) -> t.Callable[..., t.Any]:
    """The function, but not for a path that ends so."""

    def function(*args: t.Any, **kwargs: t.Any) -> t.Any:
        if any(isinstance(arg, str) and arg.endswith(ending) for arg in args):
            fail_with_enospc()
        return real(*args, **kwargs)

    return function


# ---- what changes


def test_only_files_that_differ_are_changes(node: Node) -> None:
    node.write(same="a", other="a", gone="a")
    found = node.changes(same="a", other="b", gone=None, new="c", never=None)
    assert [(node.inside([one.path])[0], one.before.text, one.after.text) for one in found] == [
        ("ROOT/other", "a", "b"),
        ("ROOT/gone", "a", None),
        ("ROOT/new", None, "c"),
    ]


@pytest.mark.parametrize(
    ("old", "text", "mode"),
    [
        (None, "new", 0o644),
        (None, "staticPodURLHeader: {A: [b]}", 0o600),
        (None, "A=--manifest-url-header=A:b", 0o600),
        (0o640, "new", 0o640),
        (0o644, "staticPodURLHeader: {A: [b]}", 0o600),
        (0o640, "# staticPodURLHeader: {A: [b]}", 0o600),
        (0o666, "new", 0o666),
    ],
)
def test_modes(node: Node, old: int | None, text: str, mode: int) -> None:
    path = node.root / "kubelet"
    if old is not None:
        path.write_text("old")
        path.chmod(old)
    (change,) = _kubelet_change.of(Tree().with_file(str(path), text), found=Tree())
    node.journal.begin([change])
    node.journal.put_in_force([change])
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert change.after[2:] == (os.getuid(), os.getgid()) or os.getuid() == 0


# ---- a change that works


def test_a_change_is_noted_before_its_first_file_and_forgotten_after_its_last(node: Node) -> None:
    node.write(a="old a", gone="old")
    changes = node.changes(a="new a", conf__b="new b", gone=None)
    journal = node.journal
    journal.begin(changes)
    assert node.store.kubelet_change
    assert node.files() == {
        "a": "old a",
        ".a.kubestatic-new": "new a",
        "conf": "/",
        "conf/.b.kubestatic-new": "new b",
        "gone": "old",
    }
    assert node.inside(node.contexts) == ["ROOT/a", "ROOT/conf/b"]
    journal.put_in_force(changes)
    assert node.files() == {"a": "new a", "conf": "/", "conf/b": "new b"}
    journal.close()
    assert not node.store.kubelet_change


def test_directories_are_for_all_to_read(node: Node) -> None:
    old_mask = os.umask(0o077)
    try:
        node.journal.begin(node.changes(a__b__c="c"))
    finally:
        os.umask(old_mask)
    assert {stat.S_IMODE((node.root / name).stat().st_mode) for name in ("a", "a/b")} == {0o755}


def test_only_root_reads_what_is_noted(node: Node) -> None:
    node.write(a="secret")
    node.journal.begin(node.changes(a="b"))
    assert stat.S_IMODE(os.stat(node.store.path).st_mode) == 0o700


# ---- undone


def test_every_file_is_put_back(node: Node) -> None:
    node.write(a="old a\r\n", gone="old")
    (node.root / "a").chmod(0o640)
    before = node.files()
    changes = node.changes(a="new a", conf__deep__b="new b", gone=None)
    node.journal.begin(changes)
    node.journal.put_in_force(changes)
    assert node.undo() == ["put ROOT/a back", "removed ROOT/conf/deep/b again", "put ROOT/gone back"]
    assert node.files() == before
    assert stat.S_IMODE((node.root / "a").stat().st_mode) == 0o640
    # The kubelet may still run on what was undone.
    assert node.store.kubelet_change
    assert node.undo() == []
    node.journal.close()
    assert not node.store.kubelet_change


@pytest.mark.parametrize("done", range(4))
def test_a_run_that_was_killed_between_its_files_is_undone(node: Node, done: int) -> None:
    node.write(a="old a", gone="old")
    before = node.files()
    changes = node.changes(a="new a", conf__b="new b", gone=None)
    node.journal.begin(changes)
    node.journal.put_in_force(changes[:done])
    sentences = ["put ROOT/a back", "removed ROOT/conf/b again", "put ROOT/gone back"]
    assert node.journal.has_changed_files is bool(done)
    assert node.undo() == sentences[:done]
    assert node.files() == before
    assert not node.journal.has_changed_files


def test_what_was_changed_by_hand_is_left(node: Node) -> None:
    node.write(a="old a", b="old b", c="old c")
    changes = node.changes(a="new a", b="new b", c="new c", conf__d="new d")
    node.journal.begin(changes)
    node.journal.put_in_force(changes)
    node.write(a="mine", b="old b")
    (node.root / "c").unlink()
    (node.root / "conf" / "mine").write_text("mine")
    left = "as it is, which somebody else has changed meanwhile"
    assert node.undo() == [f"left ROOT/a {left}", f"left ROOT/c {left}", "removed ROOT/conf/d again"]
    assert node.files() == {"a": "mine", "b": "old b", "conf": "/", "conf/mine": "mine"}


def test_what_is_no_text_by_now_is_left(node: Node) -> None:
    node.write(a="old a", b="old b")
    changes = node.changes(a="new a", b="new b")
    node.journal.begin(changes)
    node.journal.put_in_force(changes)
    (node.root / "a").write_bytes(b"# caf\xe9\n")
    assert node.undo() == ["left ROOT/a as it is, which somebody else has changed meanwhile", "put ROOT/b back"]
    assert (node.root / "a").read_bytes() == b"# caf\xe9\n"


def test_a_manifest_directory_that_was_made_goes_again(node: Node) -> None:
    node.write(a="old a")
    directory = node.root / "kubelet.d"
    node.journal.begin(node.changes(a="new a"), manifest_dir=str(directory))
    assert directory.stat().st_mode & 0o777 == 0o700
    node.undo()
    assert not directory.exists()


def test_an_empty_file_is_another_thing_than_none(node: Node) -> None:
    node.write(a="")
    changes = node.changes(a=None, b="")
    node.journal.begin(changes)
    node.journal.put_in_force(changes)
    assert node.undo() == ["put ROOT/a back", "removed ROOT/b again"]
    assert node.files() == {"a": ""}


@pytest.mark.parametrize("done", range(4))
def test_what_would_be_undone_is_a_plan(node: Node, done: int) -> None:
    node.write(a="old a", gone="old")
    changes = node.changes(a="new a", new="new b", gone=None)
    node.journal.begin(changes)
    node.journal.put_in_force(changes[:done])
    before = node.files()
    tree = node.journal.undone(Tree())
    assert [tree.text(str(node.root / name)) for name in ("a", "new", "gone")] == ["old a", None, "old"]
    assert node.files() == before
    node.write(a="mine")
    assert node.journal.undone(Tree()).text(str(node.root / "a")) == "mine"


def test_nothing_under_way_is_nothing_to_undo(node: Node) -> None:
    tree = Tree()
    assert node.journal.undone(tree) is tree
    assert not node.store.kubelet_change
    assert not node.journal.has_changed_files
    assert not os.path.exists(node.store.path), "nothing was to be noted"


# ---- failures


FULL = "No space left on device"


@pytest.mark.parametrize(
    ("function", "replacement", "message"),
    [
        ("os.fchmod", None, f"ROOT/a: cannot be written: {FULL}; nothing was changed"),
        ("os.open", "conf/.b.kubestatic-new", f"ROOT/conf/b: cannot be written: {FULL}; nothing was changed"),
        ("os.mkdir", "conf", f"ROOT/conf: cannot be made: {FULL}"),
        (
            "os.rename",
            "kubelet-change.json",
            f"STORE/kubelet-change.json: cannot note what this collection places: {FULL}; make room or make it writable",
        ),
    ],
)
def test_a_full_disk_leaves_everything_as_it_was(
    node: Node, monkeypatch: pytest.MonkeyPatch, function: str, replacement: str | None, message: str
) -> None:
    node.write(a="old a")
    changes = node.changes(a="new a", conf__b="new b")
    real = getattr(os, function.partition(".")[2])
    with monkeypatch.context() as broken:
        broken.setattr(function, failing_on(real, replacement) if replacement else fail_with_enospc)
        with pytest.raises(KubestaticError) as caught:
            node.journal.begin(changes)
    assert node.inside([str(caught.value)])[0].replace(node.store.path, "STORE") == message
    assert node.files() == {"a": "old a"}
    assert not node.store.kubelet_change


def test_a_disk_that_is_full_once_the_change_is_noted(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.write(a="old a")
    changes = node.changes(a="new a", conf__b="new b")
    real, calls = os.fsync, iter([True])
    with monkeypatch.context() as broken:
        broken.setattr("os.fsync", lambda handle: real(handle) if next(calls, False) else fail_with_enospc())
        with pytest.raises(KubestaticError, match=f"{node.root}/a: cannot be written: {FULL}; nothing was changed"):
            node.journal.begin(changes)
    assert node.files() == {"a": "old a"}
    # The note could not be taken back either, and tells of nothing.
    assert not node.journal.has_changed_files
    assert node.undo() == []
    assert node.files() == {"a": "old a"}


def test_a_run_that_was_killed_before_its_first_file_leaves_nothing(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.write(a="old a")
    changes = node.changes(a="new a", conf__b="new b")

    def kill(*args: object) -> t.NoReturn:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr("os.fchown", kill)
        with pytest.raises(KeyboardInterrupt):
            node.journal.begin(changes)
    assert node.files() == {"a": "old a", ".a.kubestatic-new": ""}
    (node.root / "conf").mkdir()
    assert node.undo() == []
    assert node.files() == {"a": "old a"}


def test_a_file_that_cannot_be_replaced_is_named_and_the_others_go_back(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.write(a="old a", b="old b")
    changes = node.changes(a="new a", b="new b")
    node.journal.begin(changes)
    with monkeypatch.context() as broken:
        broken.setattr("os.rename", failing_on(os.rename, "/b"))
        with pytest.raises(KubestaticError, match=f"{node.root}/b: cannot be replaced: {FULL}"):
            node.journal.put_in_force(changes)
    assert node.files() == {"a": "new a", "b": "old b", ".b.kubestatic-new": "new b"}
    assert node.undo() == ["put ROOT/a back"]
    assert node.files() == {"a": "old a", "b": "old b"}


@pytest.mark.parametrize(
    ("function", "ending", "message"),
    [
        ("os.rename", "/b", "ROOT/b: cannot be replaced: No space left on device"),
        ("os.open", ".b.kubestatic-new", "ROOT/b: cannot be written: No space left on device; nothing was changed"),
    ],
)
def test_an_undo_that_fails_can_be_done_again(
    node: Node, monkeypatch: pytest.MonkeyPatch, function: str, ending: str, message: str
) -> None:
    node.write(a="old a", b="old b")
    changes = node.changes(a="new a", b="new b")
    node.journal.begin(changes)
    node.journal.put_in_force(changes)
    with monkeypatch.context() as broken:
        broken.setattr(function, failing_on(getattr(os, function.partition(".")[2]), ending))
        with pytest.raises(KubestaticError) as caught:
            node.undo()
    assert node.inside([str(caught.value)]) == [message]
    assert node.journal.has_changed_files
    assert node.undo() == ["put ROOT/b back"]
    assert node.files() == {"a": "old a", "b": "old b"}


# ---- manifests that move along


def test_manifests_that_moved_go_back_around_the_files(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    moves = Moves("/old.d", "/new.d", (Manifest("a.yaml", "text", 0o600, 0, 0, True),))
    steps: list[tuple[str, object, dict[str, str]]] = []
    for name in ("put_in", "take_back", "put_back"):

        def step(found: Moves, *, name: str = name, **options: object) -> None:
            steps.append((name, found, node.files()))

        monkeypatch.setattr(_kubelet_move, name, step)
    node.write(a="old a")
    changes = node.changes(a="new a")
    node.journal.begin(changes, moves=moves)
    node.journal.put_in_force(changes)
    node.journal.put_in(moves)
    assert node.undo() == ["put ROOT/a back", "put the manifests back into /old.d"]
    new, old = {"a": "new a"}, {"a": "old a"}
    assert steps == [("put_in", moves, new), ("take_back", moves, new), ("put_back", moves, old)]

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of a node as they are, and with what is planned."""

from __future__ import annotations

import pathlib

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._node_files import Tree


@pytest.fixture
def here(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path.resolve()


def names(directory: pathlib.Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_text_is_read_as_it_is(here: pathlib.Path) -> None:
    (here / "file").write_bytes(b"a\r\nb\n\xc3\xa4")
    assert Tree().text(str(here / "file")) == "a\r\nb\n\u00e4"


def test_no_file_has_no_text(here: pathlib.Path) -> None:
    assert Tree().text(str(here / "none")) is None


def test_a_planned_text_counts_and_touches_nothing(here: pathlib.Path) -> None:
    path = str(here / "file")
    before = Tree().with_file(path, "old")
    after = before.with_file(path, "new")
    assert (before.text(path), after.text(path)) == ("old", "new")
    assert after.with_file(path, None).text(path) is None
    assert names(here) == []


def test_a_planned_file_is_read_through_links(here: pathlib.Path) -> None:
    (here / "link").symlink_to("file")
    (here / "up").symlink_to(".")
    tree = Tree().with_file(str(here / "file"), "new")
    assert tree.text(str(here / "link")) == "new"
    assert tree.text(str(here / "up" / "file")) == "new"


@pytest.mark.parametrize(
    ("content", "message"), [(None, "dir: cannot be read: Is a directory"), (b"\xff", "file: is no UTF-8 text; mend")]
)
def test_what_cannot_be_read_is_named(here: pathlib.Path, content: bytes | None, message: str) -> None:
    path = here / ("dir" if content is None else "file")
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(KubestaticError, match=message):
        Tree().text(str(path))


def test_names_are_in_byte_order_with_what_is_planned(here: pathlib.Path) -> None:
    for name in ("b", "B", ".c", "\u00e4", "gone"):
        (here / name).write_text("")
    tree = Tree().with_file(str(here / "a"), "").with_file(str(here / "gone"), None).with_file(str(here / "none"), None)
    assert tree.names(str(here)) == [".c", "B", "a", "b", "\u00e4"]
    assert tree.names(f"{here}/") == tree.names(str(here))


def test_names_of_no_directory_are_those_that_are_planned(here: pathlib.Path) -> None:
    tree = Tree().with_file(str(here / "new" / "below" / "file"), "").with_file(str(here / "newer" / "file"), "")
    assert tree.names(str(here / "new")) == ["below"]
    assert tree.names(str(here / "new" / "below")) == ["file"]
    assert tree.names(str(here)) == ["new", "newer"]
    assert Tree().names(str(here / "new")) == []


def test_a_file_that_goes_from_a_directory_leaves_that(here: pathlib.Path) -> None:
    (here / "dir").mkdir()
    assert Tree().with_file(str(here / "dir" / "file"), None).names(str(here)) == ["dir"]


def test_names_of_what_is_no_directory(here: pathlib.Path) -> None:
    (here / "file").write_text("")
    with pytest.raises(KubestaticError, match="file: cannot be read: Not a directory"):
        Tree().names(str(here / "file"))


def test_a_directory_is_one_that_is_there_or_will_be(here: pathlib.Path) -> None:
    (here / "dir").mkdir()
    tree = Tree().with_file(str(here / "new" / "file"), "").with_file(str(here / "never" / "file"), None)
    found = [name for name in ("dir", "new", "ne", "never", "new/file") if tree.is_directory(str(here / name))]
    assert found == ["dir", "new"]

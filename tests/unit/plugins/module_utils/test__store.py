# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The store: what is noted survives, what cannot be read counts as empty, what cannot be written is said."""

from __future__ import annotations

import json
import os
import pathlib

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._store import Run, Store

MANIFESTS = "/etc/kubernetes/manifests"


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.fixture
def broken_store(tmp_path: pathlib.Path) -> Store:
    """A store whose directory cannot be made: its path leads through a file. Holds for root, too."""
    (tmp_path / "file").write_text("")
    return Store(str(tmp_path / "file" / "store"))


def names(store: Store) -> list[str]:
    return sorted(os.listdir(store.path)) if os.path.isdir(store.path) else []


def test_nothing_is_placed_where_there_is_no_store(store: Store) -> None:
    assert store.placed(MANIFESTS) == {}
    assert not os.path.exists(store.path), "a look must not create anything"


def test_placed_files_are_remembered_by_directory(store: Store) -> None:
    store.remember_placed(MANIFESTS, {"a.yaml": "default/a"})
    store.remember_placed(MANIFESTS, {"b.yaml": "default/b"})
    store.remember_placed("/other", {"c.yaml": "default/c"})
    again = Store(store.path)
    assert again.placed(MANIFESTS) == {"a.yaml": "default/a", "b.yaml": "default/b"}
    assert again.placed("/other") == {"c.yaml": "default/c"}
    again.forget_placed(MANIFESTS, "default/a")
    assert store.placed(MANIFESTS) == {"b.yaml": "default/b"}
    store.forget_placed(MANIFESTS, "default/b")
    assert store.placed(MANIFESTS) == {}
    assert store.placed("/other") == {"c.yaml": "default/c"}


def test_forgetting_what_was_never_placed_writes_nothing(store: Store) -> None:
    store.forget_placed(MANIFESTS, "default/a")
    assert names(store) == []


def test_what_is_known_already_is_not_written_again(store: Store) -> None:
    store.remember_placed(MANIFESTS, {"a.yaml": "default/a"})
    before = os.stat(os.path.join(store.path, "placed.json"))
    store.remember_placed(MANIFESTS, {"a.yaml": "default/a"})
    after = os.stat(os.path.join(store.path, "placed.json"))
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_only_root_reads_the_store_and_no_temporary_file_stays(store: Store) -> None:
    store.remember_placed(MANIFESTS, {"a.yaml": "default/a"})
    assert os.stat(store.path).st_mode & 0o777 == 0o700
    assert names(store) == ["placed.json"]


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"/etc', b"[]", b"null", b"\xff\xfe", b"7", b'{"/etc/kubernetes/manifests": []}']
)
def test_a_torn_file_counts_as_empty_and_is_replaced(store: Store, content: bytes) -> None:
    os.makedirs(store.path)
    pathlib.Path(store.path, "placed.json").write_bytes(content)
    assert store.placed(MANIFESTS) == {}
    store.remember_placed(MANIFESTS, {"a.yaml": "default/a"})
    assert store.placed(MANIFESTS) == {"a.yaml": "default/a"}


def test_a_leftover_of_a_killed_write_does_not_disturb(store: Store) -> None:
    os.makedirs(store.path)
    pathlib.Path(store.path, "placed.json.new").write_text("{half")
    store.remember_placed(MANIFESTS, {"a.yaml": "default/a"})
    assert store.placed(MANIFESTS) == {"a.yaml": "default/a"}
    assert names(store) == ["placed.json"]


def test_a_store_that_cannot_be_written_is_named(broken_store: Store) -> None:
    with pytest.raises(KubestaticError, match=r"file/store/placed\.json: cannot note .* make room or make it writable"):
        broken_store.remember_placed(MANIFESTS, {"a.yaml": "default/a"})


def test_what_pods_read_is_remembered_until_they_go(store: Store) -> None:
    assert store.reads(MANIFESTS) == {}
    store.remember_reads(MANIFESTS, {"default/a": {}})
    store.forget_placed(MANIFESTS, "default/a")
    assert names(store) == []
    store.remember_reads(MANIFESTS, {"default/a": {"/x": "1"}, "default/b": {"/y": "2"}})
    store.remember_reads("/other", {"default/a": {"/x": "3"}})
    before = os.stat(os.path.join(store.path, "reads.json"))
    store.remember_reads(MANIFESTS, {"default/a": {"/x": "1"}})
    assert os.stat(os.path.join(store.path, "reads.json")) == before
    store.remember_reads(MANIFESTS, {"default/a": {"/z": "4"}})
    assert Store(store.path).reads(MANIFESTS) == {"default/a": {"/z": "4"}, "default/b": {"/y": "2"}}
    store.forget_placed(MANIFESTS, "default/a")
    assert store.reads(MANIFESTS) == {"default/b": {"/y": "2"}}
    assert store.reads("/other") == {"default/a": {"/x": "3"}}


@pytest.mark.parametrize("content", ["{", "[]", "{MANIFESTS: []}", "{MANIFESTS: {'default/a': 'x'}}"])
def test_a_torn_note_of_reads_counts_as_empty(store: Store, content: str) -> None:
    os.makedirs(store.path)
    pathlib.Path(store.path, "reads.json").write_text(content.replace("MANIFESTS", repr(MANIFESTS)).replace("'", '"'))
    assert store.reads(MANIFESTS) == {}


SEEN = {"pid": 92, "process": "boot 17", "version": "1.34.4"}


def test_a_kubelet_is_remembered(store: Store) -> None:
    assert store.kubelet == {}
    store.kubelet = SEEN
    assert Store(store.path).kubelet == SEEN


def test_a_look_leaves_no_trace(store: Store) -> None:
    Store(store.path, remember=False).kubelet = SEEN
    assert names(store) == []


def test_a_look_works_where_the_store_cannot_be_written(broken_store: Store) -> None:
    broken_store.kubelet = SEEN
    assert broken_store.kubelet == {}


@pytest.mark.parametrize("torn", [{"pid": None}, {"process": ""}, {"version": 1}])
def test_what_is_not_whole_is_no_kubelet(store: Store, torn: dict[str, object]) -> None:
    store.kubelet = {**SEEN, **torn}
    assert store.kubelet == {}


def test_a_stopped_kubelet_is_remembered_by_the_next_run(store: Store) -> None:
    assert store.kubelet_stopped_for == ""
    store.kubelet_stopped_for = MANIFESTS
    assert Store(store.path).kubelet_stopped_for == MANIFESTS
    store.kubelet_stopped_for = ""
    assert Store(store.path).kubelet_stopped_for == ""


def test_a_kubelet_that_never_stopped_leaves_no_note(store: Store) -> None:
    store.kubelet_stopped_for = ""
    assert names(store) == []


SEEN_RUN = Run("u1", "kind: Pod\n", 1_700_000_000.5)


def test_a_run_is_remembered(store: Store) -> None:
    store.remember_runs(MANIFESTS, {("default", "a"): SEEN_RUN, ("kube-system", "b"): Run("u2", "b")})
    assert Store(store.path).runs(MANIFESTS) == {
        ("default", "a"): SEEN_RUN,
        ("kube-system", "b"): Run("u2", "b", restarted_at=0.0),
    }
    assert store.runs("/elsewhere") == {}


@pytest.mark.parametrize("torn", [["u1", "text"], ["u1", "text", "1"], [1, "text", 1.0], {"uid": "u1"}, "u1"])
def test_what_is_not_whole_is_no_run(store: Store, torn: object) -> None:
    os.makedirs(store.path)
    pathlib.Path(store.path, "runs.json").write_text(json.dumps({MANIFESTS: {"default/a": torn}}))
    assert store.runs(MANIFESTS) == {}


WEB = "default/web"


def test_the_last_five_downtimes_of_each_kind_are_remembered(store: Store) -> None:
    for second in range(7):
        store.remember_downtimes(MANIFESTS, [(WEB, "swap", float(second)), ("default/b", "restart", 0.5)])
    store.remember_downtimes("/other", [(WEB, "replace", 12.5)])
    again = Store(store.path)
    assert again.downtimes(MANIFESTS) == {WEB: {"swap": [2.0, 3.0, 4.0, 5.0, 6.0]}, "default/b": {"restart": [0.5] * 5}}
    assert again.downtimes("/other") == {WEB: {"replace": [12.5]}}


def test_downtimes_of_one_pod_are_forgotten(store: Store) -> None:
    store.remember_downtimes(MANIFESTS, [(WEB, "swap", 1.0), ("default/b", "swap", 2.0)])
    store.forget_downtimes(MANIFESTS, WEB)
    assert store.downtimes(MANIFESTS) == {"default/b": {"swap": [2.0]}}


def test_where_no_downtime_was_measured_nothing_is_written(store: Store) -> None:
    store.remember_downtimes(MANIFESTS, [])
    store.forget_downtimes(MANIFESTS, WEB)
    assert names(store) == []


def test_a_downtime_that_cannot_be_noted_fails_nothing(broken_store: Store) -> None:
    broken_store.remember_downtimes(MANIFESTS, [(WEB, "swap", 1.0)])
    assert broken_store.downtimes(MANIFESTS) == {}


@pytest.mark.parametrize("torn", [[], {WEB: []}, {WEB: {"swap": 1.0}}, {WEB: {"swap": ["1", None, True, 2.0]}}])
def test_what_is_not_whole_is_no_downtime(store: Store, torn: object) -> None:
    os.makedirs(store.path)
    pathlib.Path(store.path, "downtimes.json").write_text(json.dumps({MANIFESTS: torn}))
    assert store.downtimes(MANIFESTS).get(WEB, {}).get("swap", []) in ([], [2.0])
    store.remember_downtimes(MANIFESTS, [(WEB, "swap", 3.0)])
    assert store.downtimes(MANIFESTS)[WEB]["swap"][-1] == 3.0

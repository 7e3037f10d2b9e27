# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""static_pod and static_pods from their arguments to their results, on a node in memory with a real directory."""

from __future__ import annotations

import functools
import itertools
import os
import pathlib
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _directory, _module
from ansible_collections.kubestatic.node.plugins.module_utils._store import Run, Store
from ansible_collections.kubestatic.node.plugins.modules import static_pod, static_pod_info, static_pods
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.world import (
    Box,
    Ctr,
    Image,
    World,
    call,
    manifest,
)

# The world replaces it, so that its tests need not be root's.
REQUIRE_ROOT = _module.require_root

OLD, NEW = manifest(image="good:1"), manifest(image="good:2")
ME = {"owner": str(os.geteuid()), "group": str(os.getegid())}


def one(world: World, **arguments: t.Any) -> dict[str, t.Any]:
    return call(world, static_pod.main, **{"settle": 0, "wait_timeout": 60, **ME, **arguments})


def many(world: World, *pods: dict[str, t.Any], **arguments: t.Any) -> dict[str, t.Any]:
    return call(world, static_pods.main, **{"settle": 0, "wait_timeout": 60, **ME, **arguments}, pods=list(pods))


def files(world: World) -> dict[str, str]:
    return {path.name: path.read_text() for path in pathlib.Path(world.manifests).iterdir()}


def write(world: World, filename: str, text: str) -> pathlib.Path:
    path = pathlib.Path(world.manifests, filename)
    path.write_text(text)
    world.settle()
    return path


def untouched(world: World, act: t.Callable[[], dict[str, t.Any]]) -> dict[str, t.Any]:
    """Run something that must leave files, pods and store as they are; return its result."""

    def look() -> tuple[t.Any, ...]:
        entries = sorted((entry.name, entry.inode(), entry.stat().st_mtime_ns) for entry in os.scandir(world.manifests))
        kept = {path.name: path.read_text() for path in pathlib.Path(world.store_path).glob("placed*")}
        return entries, [box.id for box in world.boxes], world.pods(), kept, world.kubelet_stops

    before = look()
    result = act()
    assert look() == before
    return result


# ---- one pod


def test_place_change_restart_remove(world: World) -> None:
    path = f"{world.manifests}/web.yaml"
    placed = one(world, content=OLD)
    assert (placed["changed"], placed["actions"], placed["path"]) == (True, [f"placed {path}"], path)
    assert (placed["pod"]["name"], placed["pod"]["phase"]) == ("web-node1", "Running")
    assert placed["downtime_seconds"] is None
    assert os.stat(path).st_mode & 0o777 == 0o600

    same = untouched(world, lambda: one(world, content=OLD))
    assert (same["changed"], same["actions"]) == (False, [])
    assert same["pod"]["uid"] == placed["pod"]["uid"]

    changed = one(world, content=NEW)
    assert (changed["changed"], changed["actions"]) == (True, [f"changed {path}"])
    assert changed["pod"]["uid"] != placed["pod"]["uid"]
    assert [container["image"] for container in changed["pod"]["containers"]] == ["good:2"]
    assert 0 < changed["downtime_seconds"] < 3

    restarted = one(world, name="web", state="restarted")
    assert restarted["changed"] and restarted["downtime_seconds"] > 0
    assert restarted["pod"]["uid"] == changed["pod"]["uid"]

    removed = one(world, name="web", state="absent")
    assert removed["changed"] and files(world) == {} and world.pods() == {}
    assert removed["pod"]["phase"] == ""

    gone = untouched(world, lambda: one(world, name="web", state="absent"))
    assert (gone["changed"], gone["actions"]) == (False, [])


def test_restarts_in_a_row_are_not_taken_for_a_crash_loop(world: World) -> None:
    one(world, content=OLD)
    for _turn in range(4):
        assert one(world, name="web", state="restarted")["downtime_seconds"] < 5
    records = [command for command in world.commands if command.startswith("crictl rm")]
    assert len(records) == 3, "the first restart needs no help"
    world.settle(700)
    one(world, name="web", state="restarted")
    assert len([command for command in world.commands if command.startswith("crictl rm")]) == 3


def test_the_kubelets_garbage_collection_hides_no_restart(world: World) -> None:
    """It may meet the pod away: then the attempts of its containers count from 0 again, and the back-off is still there."""
    one(world, content=OLD)
    assert one(world, name="web", state="restarted")["downtime_seconds"] < 5
    text = files(world)["web.yaml"]
    os.unlink(f"{world.manifests}/web.yaml")
    world.settle(10)
    world.collect_garbage()
    write(world, "web.yaml", text)
    world.settle(5)
    assert [container.attempt for container in world.boxes[0].containers] == [0]
    assert one(world, name="web", state="restarted")["downtime_seconds"] < 5


def test_a_mapping_is_written_as_json_by_the_file_name(world: World) -> None:
    data = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web"},
        "spec": {"containers": [{"name": "a", "image": "good:1"}]},
    }
    assert one(world, definition=data, filename="web.json")["changed"]
    assert files(world)["web.json"].startswith("{")
    assert not one(world, definition=data)["changed"], "the file that is there decides"


def test_the_store_knows_what_was_placed_and_what_is_gone(world: World) -> None:
    store = Store(world.store_path)
    one(world, content=OLD)
    assert store.placed(world.manifests) == {"web.yaml": "default/web"}
    one(world, name="web", state="absent")
    assert store.placed(world.manifests) == {}


def test_a_restart_does_not_make_a_strangers_pod_ours(world: World) -> None:
    write(world, "web.yaml", OLD)
    one(world, name="web", state="restarted")
    assert Store(world.store_path).placed(world.manifests) == {}


def test_mode_of_a_manifest_that_stays(world: World) -> None:
    path = write(world, "web.yaml", OLD)
    path.chmod(0o644)
    boxes = [box.id for box in world.boxes]
    would = untouched(world, lambda: one(world, content=OLD, check=True))
    assert (would["changed"], would["actions"]) == (True, [f"would set mode and owner of {path}; no restart"])
    result = one(world, content=OLD)
    assert (result["changed"], result["actions"]) == (True, [f"set mode and owner of {path}; no restart"])
    assert path.stat().st_mode & 0o777 == 0o600
    assert [box.id for box in world.boxes] == boxes


def test_mode_of_a_new_manifest(world: World) -> None:
    one(world, content=OLD, mode="u=rw,g=r")
    assert os.stat(f"{world.manifests}/web.yaml").st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    "bad", [{"owner": "nobody-has-this-name"}, {"group": "nobody-has-this-name"}, {"mode": "nonsense"}]
)
def test_an_owner_or_mode_that_cannot_be_set_leaves_nothing(world: World, bad: dict[str, str]) -> None:
    write(world, "a.yaml", manifest("a"))
    result = untouched(world, lambda: many(world, {"content": manifest("a", "good:2")}, {"content": OLD, **bad}))
    assert result["failed"]
    assert {"pods", "pruned", "actions"} <= set(result)


def test_an_owner_that_cannot_be_set_of_a_manifest_that_stays(world: World) -> None:
    write(world, "web.yaml", OLD)
    result = untouched(world, lambda: one(world, content=OLD, owner="nobody-has-this-name"))
    assert result["failed"]
    assert f"cannot set mode and owner of {world.manifests}/web.yaml: " in result["msg"]
    assert "the pod runs on" in result["msg"]
    assert result["path"] == f"{world.manifests}/web.yaml"


def test_a_diff_has_both_texts(world: World) -> None:
    (first,) = one(world, content=OLD, diff=True)["diff"]
    assert (first["before"], first["after"]) == ("", OLD)
    (second,) = one(world, content=NEW, diff=True)["diff"]
    assert (second["before"], second["after"], second["after_header"]) == (OLD, NEW, f"{world.manifests}/web.yaml")
    assert one(world, content=NEW, diff=True)["diff"] == []
    (last,) = one(world, name="web", state="absent", diff=True)["diff"]
    assert (last["before"], last["after"]) == (NEW, "")


CHECKS: list[tuple[dict[str, t.Any], str]] = [
    ({"content": NEW}, "would change {path} by swap and wait for the new pod"),
    ({"content": NEW, "strategy": "replace"}, "would change {path} by replace and wait for the new pod"),
    ({"content": "# hello\n" + OLD}, "would replace the text of {path}: the same pod to the kubelet, no restart"),
    ({"content": OLD}, ""),
    ({"name": "web", "state": "absent"}, "would remove {path} and its pod"),
    ({"name": "web", "state": "restarted"}, "would restart the pod of {path}"),
    ({"name": "none", "state": "absent"}, ""),
    ({"content": manifest("other")}, "would place {other}"),
]


@pytest.mark.parametrize(("arguments", "action"), CHECKS)
def test_check_mode_changes_nothing_and_tells_what_would(
    world: World, arguments: dict[str, t.Any], action: str
) -> None:
    write(world, "web.yaml", OLD).chmod(0o600)
    result = untouched(world, lambda: one(world, check=True, **arguments))
    path, other = f"{world.manifests}/web.yaml", f"{world.manifests}/other.yaml"
    assert result["actions"] == ([action.format(path=path, other=other)] if action else [])
    assert result["changed"] is bool(action)
    assert one(world, **arguments)["changed"] is bool(action), "it really is as check mode said"


def test_check_mode_leaves_no_trace_at_all(world: World) -> None:
    one(world, check=True, content=OLD)
    assert not os.path.exists(world.store_path)
    assert files(world) == {}


def test_check_mode_refuses_what_the_run_would_refuse(world: World) -> None:
    text = OLD.replace("image:", "imag:")
    assert untouched(world, lambda: one(world, check=True, content=text))["msg"] == one(world, content=text)["msg"]


# ---- the plan in check mode


def plan_of(world: World, **arguments: t.Any) -> dict[str, t.Any]:
    found: dict[str, t.Any] = untouched(world, lambda: one(world, check=True, **arguments))["plan"]
    return found


IMAGE = {"path": "spec.containers[main].image", "before": "good:1", "after": "good:2"}

EFFECTS: list[tuple[dict[str, t.Any], str, list[dict[str, str]], str]] = [
    ({"content": OLD}, "nothing", [], "web"),
    ({"content": "# hello\n" + OLD}, "text only", [], "web"),
    ({"content": NEW}, "replace", [IMAGE], "web"),
    ({"content": NEW, "strategy": "replace"}, "replace", [IMAGE], "web"),
    ({"name": "web", "state": "restarted"}, "restart", [], "web"),
    ({"name": "web", "state": "absent"}, "remove", [], "web"),
    ({"name": "none", "state": "absent"}, "nothing", [], "none"),
    ({"content": manifest("other")}, "new", [], "other"),
]


@pytest.mark.parametrize(("arguments", "effect", "fields", "name"), EFFECTS)
def test_the_plan_says_what_becomes_of_the_pod_and_why(
    world: World, arguments: dict[str, t.Any], effect: str, fields: list[dict[str, str]], name: str
) -> None:
    write(world, "web.yaml", OLD)
    assert plan_of(world, **arguments) == {
        "name": name,
        "namespace": "default",
        "path": f"{world.manifests}/{name}.yaml",
        "effect": effect,
        "fields": fields,
        "fields_left_out": 0,
        "changed_files": [],
        "expected_downtime_seconds": None,
    }
    boxes = [box.id for box in world.boxes]
    assert "plan" not in one(world, **arguments)
    assert ([box.id for box in world.boxes] == boxes) is (effect in ("nothing", "text only")), "it really is so"


def test_the_plan_lists_twenty_fields_and_says_how_many_more_there_are(world: World) -> None:
    def labelled(value: str) -> str:
        labels = {f"label{number}": value for number in range(23)}
        return OLD.replace("  name: web\n", f"  name: web\n  labels: {labels}\n", 1)

    write(world, "web.yaml", labelled("old"))
    found = plan_of(world, content=labelled("new"))
    assert [field["path"] for field in found["fields"]] == [f"metadata.labels.label{number}" for number in range(20)]
    assert found["fields_left_out"] == 3


def test_downtime_is_expected_by_what_this_pod_has_taken_here_in_the_same_way(world: World) -> None:
    assert one(world, content=OLD)["downtime_seconds"] is None
    assert plan_of(world, content=NEW)["expected_downtime_seconds"] is None
    swapped = one(world, content=NEW)["downtime_seconds"]
    assert plan_of(world, content=OLD)["expected_downtime_seconds"] == pytest.approx(swapped, abs=0.01)
    assert plan_of(world, content=OLD, strategy="replace")["expected_downtime_seconds"] is None
    assert plan_of(world, name="web", state="restarted")["expected_downtime_seconds"] is None
    replaced = one(world, content=OLD, strategy="replace")["downtime_seconds"]
    restarted = one(world, name="web", state="restarted")["downtime_seconds"]
    assert replaced > 10 > restarted
    assert plan_of(world, content=NEW, strategy="replace")["expected_downtime_seconds"] == pytest.approx(
        replaced, abs=0.01
    )
    assert plan_of(world, name="web", state="restarted")["expected_downtime_seconds"] == pytest.approx(
        restarted, abs=0.01
    )
    for arguments in ({"content": OLD}, {"content": "# hello\n" + OLD}, {"name": "web", "state": "absent"}):
        assert plan_of(world, **arguments)["expected_downtime_seconds"] is None
    other = manifest("other")
    one(world, content=other)
    assert plan_of(world, content=manifest("other", "good:2"))["expected_downtime_seconds"] is None, "pods differ"


@pytest.mark.parametrize(("taken", "expected"), [([3.0], 3.0), ([3.0, 1.0], 2.0), ([40.0, 0.9, 1.0, 1.1, 0.8], 1.0)])
def test_the_expected_downtime_is_the_median(world: World, taken: list[float], expected: float) -> None:
    write(world, "web.yaml", OLD)
    Store(world.store_path).remember_downtimes(world.manifests, [("default/web", "swap", one) for one in taken])
    assert plan_of(world, content=NEW)["expected_downtime_seconds"] == expected


def test_history_goes_with_the_pod(world: World) -> None:
    one(world, content=OLD)
    one(world, content=NEW)
    assert Store(world.store_path).downtimes(world.manifests)
    one(world, name="web", state="absent")
    assert Store(world.store_path).downtimes(world.manifests) == {}


def test_a_failed_change_is_no_history(world: World) -> None:
    world.images["crash:1"] = Image(exits=1)
    one(world, content=OLD)
    assert one(world, content=manifest(image="crash:1"), settle=5)["failed"]
    assert Store(world.store_path).downtimes(world.manifests) == {}


@pytest.mark.parametrize("arguments", [{"content": OLD}, {"name": "none", "state": "absent"}])
def test_a_run_that_does_nothing_reads_no_history(
    world: World, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, t.Any]
) -> None:
    one(world, content=OLD)
    read: list[str] = []
    real = Store.read

    def note(store: Store, filename: str) -> dict[str, t.Any]:
        read.append(filename)
        return real(store, filename)

    monkeypatch.setattr(Store, "read", note)
    assert not one(world, **arguments)["changed"]
    assert "runs.json" in read and "downtimes.json" not in read


# ---- refusals: one sentence, all keys, nothing touched


class Missing:
    """Changes a world so that something is missing on the node."""

    @staticmethod
    def crictl(world: World) -> None:
        world.crictl = ""

    @staticmethod
    def kubelet(world: World) -> None:
        world.kubelet_installed = world.kubelet_runs = False

    @staticmethod
    def running_kubelet(world: World) -> None:
        world.kubelet_runs = False

    @staticmethod
    def runtime(world: World) -> None:
        world.broken["crictl"] = 'level=fatal msg="connect: connection refused"'


REFUSALS: list[tuple[str, t.Callable[[World], None] | None, dict[str, t.Any], str]] = [
    ("empty", None, {"content": ""}, "the manifest is empty; it must hold one v1 Pod"),
    ("syntax", None, {"content": "kind: ["}, "YAML syntax error in line"),
    ("no source", None, {}, "exactly one of content, definition, src, template, revision is needed"),
    ("two documents", None, {"content": NEW + "---\n" + OLD}, "more than one YAML document"),
    ("duplicate keys", None, {"content": NEW + "kind: Pod\n"}, "kind (line 9): this key stands there twice"),
    ("unknown field", None, {"content": manifest(hostNetwrk=True)}, "spec.hostNetwrk"),
    (
        "uid",
        None,
        {"content": NEW.replace("  name: web", "  name: web\n  uid: abc", 1)},
        "metadata.uid: with a fixed uid",
    ),
    (
        "reference",
        None,
        {"content": manifest(serviceAccountName="a")},
        "spec.serviceAccountName: refers to a ServiceAccount",
    ),
    (
        "file name",
        None,
        {"content": NEW, "filename": "other.yaml"},
        "is in {path} already, and filename says other.yaml",
    ),
    ("nothing to restart", None, {"name": "none", "state": "restarted"}, "there is no manifest of this pod to restart"),
    (
        "directory missing",
        None,
        {"content": NEW, "manifest_dir": "/nowhere"},
        "/nowhere: the manifest directory does not exist",
    ),
    ("not its directory", None, {"content": NEW, "manifest_dir": "/tmp"}, "and not /tmp, so nothing would run"),
    ("no crictl", Missing.crictl, {"content": NEW}, "crictl is not on this node"),
    (
        "no crictl to restart",
        Missing.crictl,
        {"name": "web", "state": "restarted", "wait": False},
        "restarting needs crictl",
    ),
    ("no kubelet", Missing.kubelet, {"content": NEW}, "no kubelet is installed here"),
    ("kubelet stopped", Missing.running_kubelet, {"content": NEW}, "the kubelet does not run"),
    ("no runtime", Missing.runtime, {"content": NEW}, "connect: connection refused"),
    ("no runtime to see it gone", Missing.runtime, {"name": "web", "state": "absent"}, "connect: connection refused"),
]


@pytest.mark.parametrize(
    ("missing", "arguments", "message"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS]
)
def test_refusals(
    world: World, missing: t.Callable[[World], None] | None, arguments: dict[str, t.Any], message: str
) -> None:
    write(world, "web.yaml", OLD)
    if missing:
        missing(world)
    result = untouched(world, lambda: one(world, **arguments))
    assert result["failed"]
    assert message.format(path=f"{world.manifests}/web.yaml") in result["msg"]
    assert "\n" not in result["msg"] and "Traceback" not in result["msg"]
    assert {"path", "pod", "downtime_seconds", "actions"} <= set(result)


def test_two_files_with_the_pod_are_refused(world: World) -> None:
    write(world, "web.yaml", OLD)
    write(world, "web.yaml.bak", OLD)
    for arguments in ({"content": NEW}, {"name": "web", "state": "absent"}, {"name": "web", "state": "restarted"}):
        result = untouched(world, functools.partial(one, world, **arguments))
        assert "2 files hold this pod" in result["msg"]


def test_a_run_beside_another_is_refused(world: World) -> None:
    write(world, "web.yaml", OLD)
    with _directory.locked(world.manifests):
        result = untouched(world, lambda: one(world, content=NEW))
        assert f"{world.manifests}: another run" in result["msg"]
        assert not one(world, content=NEW, check=True).get("failed"), "a look disturbs nobody"
    assert one(world, content=NEW)["changed"]


def test_an_image_that_cannot_be_pulled_touches_nothing(world: World) -> None:
    write(world, "web.yaml", OLD)
    world.images["none:1"] = Image(present=False)
    world.broken["crictl pull"] = 'level=fatal msg="pulling image: no such host"'
    result = untouched(world, lambda: one(world, content=manifest(image="none:1")))
    assert "image none:1 cannot be pulled" in result["msg"]


def test_an_image_is_pulled_while_the_old_pod_runs(world: World) -> None:
    write(world, "web.yaml", OLD)
    world.images["new:1"] = Image(present=False)
    running: list[dict[str, str]] = []
    world.on_command = lambda command: running.append(world.pods()) if command.startswith("crictl pull") else None
    result = one(world, content=manifest(image="new:1"))
    assert result["actions"][0] == "pulled image new:1"
    assert running == [{"web-node1": "good:1"}]


def test_a_crash_loop_fails_and_tells_all(world: World) -> None:
    world.images["crash:1"] = Image(exits=1, log=("no config",))
    result = one(world, content=manifest(image="crash:1"), settle=None)
    assert result["failed"] and result["changed"]
    assert "ended with exit code 1, 3 times in a row" in result["msg"]
    assert "its last log lines: no config" in result["msg"]
    assert result["path"] == f"{world.manifests}/web.yaml"


def test_not_root(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def require_root() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(os, "geteuid", lambda: 1000)
            REQUIRE_ROOT()

    monkeypatch.setattr(_module, "require_root", require_root)
    result = untouched(world, lambda: one(world, content=NEW))
    assert (
        result["msg"]
        == "static pods, kubelets and keys are root's business and this task runs as another user; set become: true"
    )


# ---- nodes on which little can be seen


def test_without_crictl_and_without_wait_a_manifest_is_placed_by_rename(world: World) -> None:
    write(world, "web.yaml", OLD)
    world.crictl = ""
    result = one(world, content=NEW, wait=False)
    assert result["actions"] == [f"changed {world.manifests}/web.yaml by renaming the new manifest over the old one"]
    assert files(world) == {"web.yaml": NEW}
    assert result["pod"]["phase"] == ""
    assert one(world, name="web", state="absent", wait=False)["changed"]
    assert files(world) == {}


def test_another_directory_without_wait(world: World, tmp_path: pathlib.Path) -> None:
    (tmp_path / "other").mkdir()
    result = one(world, content=NEW, wait=False, manifest_dir=str(tmp_path / "other"))
    assert result["path"] == f"{tmp_path}/other/web.yaml"
    assert (tmp_path / "other" / "web.yaml").read_text() == NEW
    assert files(world) == {}


# ---- pods of other sources


def foreign(world: World, source: str) -> Box:
    """A pod with our name that this kubelet has from elsewhere."""
    box = Box("foreign", ("default", "web-node1"), "u", world.now, world.epoch, source)
    box.containers = [Ctr("c", "main", "good:1", world.now, float("inf"), state="running", started=world.now)]
    world.boxes.append(box)
    return box


@pytest.fixture(name="elsewhere")
def _elsewhere(tmp_path: pathlib.Path) -> t.Iterator[World]:
    (tmp_path / "manifests").mkdir()
    arguments = ["--kubeconfig=/k", "--manifest-url=http://pods.example/"]
    with World(str(tmp_path / "manifests"), str(tmp_path / "store"), kubelet_arguments=arguments).installed() as world:
        yield world


@pytest.mark.parametrize("source", ["http", "api"])
@pytest.mark.parametrize("arguments", [{"name": "web", "state": "absent"}, {"content": NEW}], ids=["absent", "present"])
def test_a_pod_of_another_source_is_never_stopped(elsewhere: World, source: str, arguments: dict[str, t.Any]) -> None:
    box = foreign(elsewhere, source)
    result = one(elsewhere, **arguments)
    assert box.alive
    assert elsewhere.kubelet_stops == 0
    assert not [command for command in elsewhere.commands if command.startswith("crictl stop")]
    if arguments.get("content"):
        assert result["failed"]
        assert files(elsewhere) == {}


def test_a_url_pod_is_named_with_its_url(elsewhere: World) -> None:
    foreign(elsewhere, "http")
    assert (
        "pod default/web comes from staticPodURL http://pods.example/; change it there"
        in one(elsewhere, content=NEW)["msg"]
    )


# ---- what a killed run left


def test_a_swap_that_was_cut_off_is_finished_and_told(world: World) -> None:
    for suffix, text in (("old", OLD), ("new", NEW)):
        pathlib.Path(world.manifests, f".kubestatic.web.yaml.{suffix}").write_text(text)
    result = one(world, content=NEW)
    assert result["changed"]
    assert (
        result["actions"][0] == f"{world.manifests}/web.yaml: put the new manifest in force, an earlier run was cut off"
    )
    assert files(world) == {"web.yaml": NEW}


def test_a_kubelet_that_a_killed_run_left_stopped_is_started(world: World) -> None:
    Store(world.store_path).kubelet_stopped_for = world.manifests
    world.kubelet_runs = False
    result = one(world, content=NEW)
    assert result["changed"]
    assert result["actions"][0].startswith("started the kubelet, which an earlier run had stopped")
    assert world.kubelet_runs
    assert Store(world.store_path).kubelet_stopped_for == ""


def test_a_directory_that_is_gone_since_holds_up_nobody(world: World, tmp_path: pathlib.Path) -> None:
    Store(world.store_path).kubelet_stopped_for = str(tmp_path / "gone")
    world.kubelet_runs = False
    assert not one(world, content=NEW).get("failed")


@pytest.mark.parametrize("look", ["info", "check mode", "another run"])
def test_nobody_starts_a_kubelet_that_a_run_holds_down(world: World, look: str) -> None:
    Store(world.store_path).kubelet_stopped_for = world.manifests
    world.kubelet_runs = False
    with _directory.locked(world.manifests):
        if look == "info":
            result = call(world, static_pod_info.main)
        else:
            result = one(world, content=NEW, check=look == "check mode")
    assert result["failed"]
    assert ("another run" if look == "another run" else "an earlier run of this collection") in result["msg"]
    assert not world.kubelet_runs
    assert Store(world.store_path).kubelet_stopped_for == world.manifests


def test_a_refusal_tells_what_was_done_before_it(world: World) -> None:
    for suffix, text in (("old", OLD), ("new", NEW)):
        pathlib.Path(world.manifests, f".kubestatic.web.yaml.{suffix}").write_text(text)
    result = one(world, content="kind: Pod\napiVersion: v1\nmetadata: {name: web}\nspec: {}\n")
    done = f"{world.manifests}/web.yaml: put the new manifest in force, an earlier run was cut off"
    assert (result["failed"], result["changed"], result["actions"]) == (True, True, [done])
    assert result["msg"].endswith(f"; before that, {done}")
    assert files(world) == {"web.yaml": NEW}


def test_a_strangers_pod_in_a_file_of_ours_is_not_pruned(world: World) -> None:
    one(world, content=OLD)
    os.unlink(os.path.join(world.manifests, "web.yaml"))
    write(world, "web.yaml", manifest("stranger"))
    result = many(world, prune="managed")
    assert (result["changed"], result["pruned"], set(files(world))) == (False, [], {"web.yaml"})


def test_a_pod_that_went_without_us_is_forgotten(world: World) -> None:
    one(world, content=OLD)
    os.unlink(os.path.join(world.manifests, "web.yaml"))
    world.settle()
    one(world, name="web", state="absent")
    assert Store(world.store_path).placed(world.manifests) == {}


def test_a_restart_needs_its_image_too(world: World) -> None:
    world.images["mine:1"] = Image()
    write(world, "web.yaml", manifest(image="mine:1"))
    world.images["mine:1"].present = False
    world.broken["crictl pull"] = "no such host"
    result = untouched(world, lambda: one(world, name="web", state="restarted"))
    assert "mine:1 cannot be pulled" in result["msg"]


@pytest.mark.parametrize("by_hand", [True, False])
def test_a_pod_that_runs_an_older_manifest_is_no_proof(world: World, by_hand: bool) -> None:
    """The text is in force and a pod runs, but the kubelet has not taken the text yet, and holds back all deletions."""
    world.arguments.append("--kubeconfig=/k")
    one(world, content=OLD)
    world.sources_ready = False
    if by_hand:
        write(world, "web.yaml", NEW)
    else:
        assert not one(world, content=NEW, strategy="replace", wait=False)["failed"]
    world.settle(60)
    assert world.pods() == {"web-node1": "good:1"}
    result = one(world, content=NEW)
    assert (result["failed"], world.pods(), world.kubelet_stops) == (False, {"web-node1": "good:2"}, 1)
    assert result["actions"][0].startswith(
        "stopped the copy of the pod that ran an older manifest; the kubelet held back"
    )
    assert result["downtime_seconds"] and not Store(world.store_path).downtimes(world.manifests), "no change took that"
    assert not one(world, content=NEW)["changed"]


def test_an_older_manifest_that_nothing_takes_away_is_told(world: World) -> None:
    one(world, content=OLD)
    world.sources_ready = False
    write(world, "web.yaml", NEW)
    result = one(world, content=NEW)
    assert result["failed"] and "the kubelet did not stop pod web-node1" in result["msg"]
    assert "in force now: the manifest that was there" in result["msg"]
    assert [one["image"] for one in result["pod"]["containers"]] == ["sha256:abc"], "nobody knows what that is"


def test_another_text_of_the_same_pod_is_no_older_manifest(world: World) -> None:
    one(world, content=OLD)
    spelt_out = manifest(image="good:1", restartPolicy="Always")
    Store(world.store_path).remember_runs(world.manifests, {("default", "web"): Run(world.boxes[0].uid, spelt_out)})
    assert not one(world, content=OLD)["failed"]


def test_two_pods_that_are_removed_each_have_the_way_out(world: World) -> None:
    """Stopping the first takes long, and the kubelet runs again before anybody misses it."""
    world.images["slow:1"] = Image(stop=30)
    world.arguments.append("--kubeconfig=/k")
    for name in ("one", "two"):
        write(world, f"{name}.yaml", manifest(name=name, image="slow:1", terminationGracePeriodSeconds=60))
    world.sources_ready = False
    result = many(world, *({"name": name, "state": "absent"} for name in ("one", "two")))
    assert (result["failed"], world.pods(), world.kubelet_stops) == (False, {}, 2)


def test_replace_has_the_way_out_too(world: World) -> None:
    write(world, "web.yaml", OLD)
    world.arguments.append("--kubeconfig=/k")
    world.sources_ready = False
    result = one(world, content=NEW, strategy="replace")
    assert (result["failed"], world.pods(), world.kubelet_stops) == (False, {"web-node1": "good:2"}, 1)


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("arguments", [{"content": NEW}, {"name": "web", "state": "absent"}], ids=["present", "absent"])
def test_a_directory_that_the_kubelet_does_not_read_leaves_its_pods_alone(
    world: World, tmp_path: pathlib.Path, there: bool, arguments: dict[str, t.Any]
) -> None:
    world.arguments.append("--kubeconfig=/k")
    write(world, "web.yaml", OLD)
    staging = tmp_path / "staging"
    staging.mkdir()
    if there:
        (staging / "web.yaml").write_text(OLD)
    assert not one(world, manifest_dir=str(staging), wait=False, **arguments).get("failed")
    assert (world.pods(), world.kubelet_stops) == ({"web-node1": "good:1"}, 0)
    assert [path.name for path in staging.iterdir()] == (["web.yaml"] if "content" in arguments else [])


@pytest.mark.parametrize("link", [True, False])
def test_a_restart_leaves_the_file_as_it_is(world: World, tmp_path: pathlib.Path, link: bool) -> None:
    path = pathlib.Path(world.manifests, "web.yaml")
    target = tmp_path / "target.yaml" if link else path
    target.write_text(OLD)
    if link:
        path.symlink_to(target)
    target.chmod(0o640)
    world.settle()
    before = os.lstat(str(path)).st_ino, os.stat(str(path)).st_mode
    assert one(world, name="web", state="restarted")["changed"]
    assert (os.lstat(str(path)).st_ino, os.stat(str(path)).st_mode) == before


@pytest.mark.parametrize("state", ["absent", "restarted", "present"])
def test_check_mode_foretells_what_a_killed_run_leaves_to_do(world: World, state: str) -> None:
    for suffix, text in (("old", OLD), ("new", NEW)):
        pathlib.Path(world.manifests, f".kubestatic.web.yaml.{suffix}").write_text(text)
    arguments = {"content": NEW} if state == "present" else {"name": "web", "state": state}
    before = files(world)
    foretold = one(world, check=True, **arguments)
    assert files(world) == before
    done = one(world, **arguments)
    assert (foretold["changed"], foretold["failed"]) == (done["changed"], done["failed"]) == (True, False)
    assert (
        foretold["actions"][0]
        == f"{world.manifests}/web.yaml: would put the new manifest in force, an earlier run was cut off"
    )
    assert len(foretold["actions"]) == len(done["actions"])


def test_a_diff_is_for_those_who_ask_for_it(world: World) -> None:
    assert "diff" not in one(world, content=OLD)
    assert one(world, content=NEW, diff=True)["diff"]


def test_a_time_that_cannot_be_proven_is_refused(world: World) -> None:
    result = untouched(world, lambda: one(world, content=OLD, settle=61))
    assert "settle: 61 s of undisturbed running cannot be proven within wait_timeout: 60" in result["msg"]
    assert not one(world, content=OLD, settle=61, wait=False).get("failed")


def test_a_runtime_that_cannot_be_asked_leaves_a_manifest_in_force(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong between the steps: the process was killed by nobody, so it tidies up itself."""
    write(world, "web.yaml", OLD)

    def on_command(command: str) -> None:
        if ".kubestatic.web.yaml.old" in files(world) and command.startswith("crictl"):
            raise MemoryError

    monkeypatch.setattr(world, "on_command", on_command)
    with pytest.raises(MemoryError):
        one(world, content=NEW)
    assert set(files(world)) == {"web.yaml"}


# ---- many pods in one call


def test_two_pods_of_one_name_in_two_namespaces_can_be_absent(world: World) -> None:
    gone = [{"name": "web", "namespace": name, "state": "absent"} for name in ("a", "b")]
    assert not many(world, *gone).get("failed")


def test_what_is_pruned_makes_room_for_what_is_placed(world: World) -> None:
    one(world, content=manifest("a"))
    order: list[tuple[str, ...]] = []
    world.on_command = lambda _command: order.append(tuple(sorted(name for name in files(world) if name[0] != ".")))
    assert not many(world, {"content": manifest("b")}, prune="managed").get("failed")
    assert [names for names, _again in itertools.groupby(order)] == [("a.yaml",), (), ("b.yaml",)]


def test_what_waits_for_a_new_pod_before_it_goes_is_not_waited_for(world: World) -> None:
    one(world, content=manifest("a"))
    leaving = {"name": "a", "state": "absent", "depends_on": ["b"]}
    assert not many(world, {"content": manifest("b")}, leaving).get("failed")
    assert set(files(world)) == {"b.yaml"}


def test_prune_all_needs_a_pod_that_stays(world: World) -> None:
    write(world, "etcd.yaml", manifest("etcd"))
    result = untouched(world, lambda: many(world, {"name": "nosuch", "state": "absent"}, prune="all"))
    assert "every static pod" in result["msg"]


def test_a_whole_set(world: World) -> None:
    write(world, "b.yaml", manifest("b"))
    write(world, "c.yaml", manifest("c"))
    result = many(
        world,
        {"content": manifest("a")},
        {"content": manifest("b", "good:2"), "depends_on": ["a"]},
        {"name": "c", "state": "absent"},
        {"name": "d", "state": "absent"},
    )
    assert not result.get("failed")
    assert [pod["name"] for pod in result["pods"]] == ["a", "b", "c", "d"]
    assert [pod["changed"] for pod in result["pods"]] == [True, True, True, False]
    assert result["pruned"] == []
    assert len(result["actions"]) == 3
    assert files(world) == {"a.yaml": manifest("a"), "b.yaml": manifest("b", "good:2")}
    assert "diff" not in result["pods"][0]


def test_options_of_a_pod_win_over_shared_ones(world: World) -> None:
    many(world, {"content": manifest("a"), "mode": "0640"}, {"content": manifest("b")}, mode="0444")
    modes = {name: os.stat(os.path.join(world.manifests, name)).st_mode & 0o777 for name in files(world)}
    assert modes == {"a.yaml": 0o640, "b.yaml": 0o444}


def test_one_bad_manifest_refuses_the_whole_call(world: World) -> None:
    write(world, "a.yaml", manifest("a"))
    result = untouched(
        world,
        lambda: many(
            world, {"content": manifest("a", "good:2")}, {"content": manifest("b", "good:1").replace("image", "imag")}
        ),
    )
    assert result["failed"]
    assert result["msg"].startswith("pods[1] (default/b): kubelet 1.34 would not run b.yaml as written")


def test_a_failed_pod_does_not_hide_the_others(world: World) -> None:
    world.images["crash:1"] = Image(exits=1)
    result = many(
        world,
        {"content": manifest("a")},
        {"content": manifest("b", "crash:1"), "settle": 5},
        {"content": manifest("c"), "depends_on": ["b"]},
    )
    assert [(pod["failed"], pod["changed"]) for pod in result["pods"]] == [(False, True), (True, True), (True, False)]
    assert result["msg"].startswith("pod default/b: container main ended with exit code 1")
    assert "pod default/c: it depends on default/b, which failed" in result["msg"]
    assert sorted(files(world)) == ["a.yaml", "b.yaml"]


@pytest.mark.parametrize(
    ("pods", "message"),
    [
        ([{"content": OLD}, {"content": NEW}], "pods[1] (default/web): this pod is listed twice"),
        (
            [{"content": OLD}, {"content": manifest(namespace="b")}],
            "would both be in web.yaml; set filename for one of them",
        ),
        ([{"content": OLD, "depends_on": ["b"]}], "depends_on names default/b, which is not listed"),
        ([{"content": OLD, "depends_on": ["web"]}], "in a circle among default/web"),
        ([{"state": "absent"}], "pods[0]: name is needed for state: absent"),
        ([{}], "pods[0]: exactly one of content, definition, src, template is needed"),
    ],
)
def test_pods_that_contradict_each_other(world: World, pods: list[dict[str, t.Any]], message: str) -> None:
    result = untouched(world, lambda: many(world, *pods))
    assert message in result["msg"]
    assert {"pods", "pruned", "actions"} <= set(result)


@pytest.mark.parametrize(
    ("prune", "left"),
    [
        ("none", ["a.yaml", "bad", "mine.yaml", "theirs.yaml"]),
        ("managed", ["a.yaml", "bad", "theirs.yaml"]),
        ("all", ["a.yaml", "bad"]),
    ],
)
def test_prune(world: World, prune: str, left: list[str]) -> None:
    one(world, content=manifest("mine"))
    write(world, "theirs.yaml", manifest("theirs"))
    write(world, "bad", "no pod")
    would = untouched(world, lambda: many(world, {"content": manifest("a")}, prune=prune, check=True))
    assert [(pod["name"], pod["effect"]) for pod in would["plan"]] == [
        ("a", "new"),
        *((pod["name"], "remove") for pod in would["pruned"]),
    ]
    result = many(world, {"content": manifest("a")}, prune=prune)
    assert "plan" not in result
    assert sorted(files(world)) == left
    assert [pod["name"] for pod in result["pruned"]] == [pod["name"] for pod in would["pruned"]]
    assert len(result["pruned"]) == 4 - len(left)
    assert set(world.pods()) == {f"{name[:-5]}-node1" for name in left if name.endswith(".yaml")}
    again = untouched(world, lambda: many(world, {"content": manifest("a")}, prune=prune))
    assert not again["changed"]


@pytest.mark.parametrize(("prune", "left"), [("managed", ["a.yaml", "etcd.yaml"]), ("all", ["a.yaml"])])
def test_prune_takes_a_control_plane_only_with_all_others(world: World, prune: str, left: list[str]) -> None:
    """Another task has placed it, and may not know of this one."""
    etcd = manifest("etcd").replace("  name: etcd\n", "  name: etcd\n  namespace: kube-system\n")
    many(world, {"content": etcd}, {"content": manifest("etcd"), "filename": "other.yaml"})
    many(world, {"content": manifest("a")}, prune=prune)
    assert sorted(files(world)) == left


def test_an_empty_list_prunes_what_is_ours_and_never_all(world: World) -> None:
    one(world, content=OLD)
    assert "would remove every static pod of this node" in untouched(world, lambda: many(world, prune="all"))["msg"]
    assert not many(world)["changed"]
    assert many(world, prune="managed")["changed"]
    assert files(world) == {}


def test_warnings_are_given_once_and_not_for_what_stays(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[str] = []
    monkeypatch.setattr("ansible.module_utils.basic.AnsibleModule.warn", lambda _module, text: warnings.append(text))
    one(world, content=manifest("web.1"))
    (warning,) = warnings
    assert warning.startswith(f"{world.manifests}/web.1.yaml: metadata.name: 'web.1' has a dot")
    one(world, content=manifest("web.1"))
    assert warnings == [warning]

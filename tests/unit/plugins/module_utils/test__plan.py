# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Found and wanted in, a plan out: every action, and every refusal before anything is touched."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _manifest, _plan, _pod_list, _rules, _verdicts
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._manifest_dir import Entry
from ansible_collections.kubestatic.node.plugins.module_utils._plan import Change, Wanted

WEB = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: web, image: 'nginx:1'}]}\n"
DIRECTORY = "/etc/kubernetes/manifests"


def entry(filename: str, text: str = WEB, **kwargs: t.Any) -> Entry:
    path = f"{DIRECTORY}/{filename}"
    if kwargs:
        return Entry(filename, path, **kwargs)
    try:
        return Entry(filename, path, pod=_manifest.parse(text))
    except KubestaticError as exc:
        return Entry(filename, path, refused=str(exc))


def wanted(text: str | None = WEB, **changes: t.Any) -> Wanted:
    pod = _manifest.parse(text) if text is not None else None
    one = Wanted(
        key=pod.key if pod else ("default", "web"),
        state="present",
        pod=pod,
        filename=None,
        strategy="swap",
        wait=True,
        wait_timeout=300,
        settle=None,
        validation="strict",
        depends_on=(),
        label="",
        file_arguments={},
    )
    return one._replace(**changes)


def plan(one: Wanted, entries: list[Entry], *, placed: t.Mapping[str, str] | None = None, minor: int = 34) -> Change:
    return _plan.plan(one, entries, node_name="node1", minor=minor, placed=placed or {})


OTHER_POD = WEB.replace("name: web}", "name: other}", 1)
NEW = WEB.replace("nginx:1", "nginx:2")
ABSENT = wanted(None, state="absent")
RESTARTED = wanted(None, state="restarted")

ACTIONS: list[tuple[str, Wanted, list[Entry], str, str]] = [
    ("nothing there", wanted(), [], "place", "web.yaml"),
    ("other pods there", wanted(), [entry("other.yaml", OTHER_POD), entry("x", "")], "place", "web.yaml"),
    ("a name of one's own", wanted(filename="w.json"), [], "place", "w.json"),
    ("the same", wanted(), [entry("web.yaml")], "keep", "web.yaml"),
    ("the same under another name", wanted(), [entry("10-web.manifest")], "keep", "10-web.manifest"),
    ("named as it is", wanted(filename="w"), [entry("w")], "keep", "w"),
    ("a comment", wanted("# hello\n" + WEB), [entry("web.yaml")], "rewrite", "web.yaml"),
    ("another order", wanted(json.dumps(_manifest.parse(WEB).data)), [entry("web.yaml")], "rewrite", "web.yaml"),
    ("another image", wanted(NEW), [entry("web.yaml")], "change", "web.yaml"),
    ("adopted from another file", wanted(NEW), [entry("w.bak")], "change", "w.bak"),
    ("absent and gone", ABSENT, [], "gone", "web.yaml"),
    ("absent among others", ABSENT, [entry("other.yaml", OTHER_POD)], "gone", "web.yaml"),
    ("absent and there", ABSENT, [entry("w.yaml")], "remove", "w.yaml"),
    ("absent by file name", wanted(None, state="absent", filename="w.yaml"), [entry("w.yaml")], "remove", "w.yaml"),
    ("restarted", RESTARTED, [entry("w.yaml")], "restart", "w.yaml"),
    (
        "the same name in another namespace",
        wanted(),
        [entry("a", WEB.replace("name: web}", "name: web, namespace: b}", 1))],
        "place",
        "web.yaml",
    ),
]


@pytest.mark.parametrize(
    ("one", "entries", "action", "filename"), [row[1:] for row in ACTIONS], ids=[row[0] for row in ACTIONS]
)
def test_actions(one: Wanted, entries: list[Entry], action: str, filename: str) -> None:
    change = plan(one, entries)
    assert (change.action, change.filename) == (action, filename)


def test_every_action_is_in_the_table() -> None:
    assert {row[3] for row in ACTIONS} == {
        _plan.KEEP,
        _plan.REWRITE,
        _plan.PLACE,
        _plan.CHANGE,
        _plan.RESTART,
        _plan.REMOVE,
        _plan.GONE,
    }


@pytest.mark.parametrize(
    ("action", "touches"),
    [
        ("keep", False),
        ("gone", False),
        ("rewrite", True),
        ("place", True),
        ("change", True),
        ("restart", True),
        ("remove", True),
    ],
)
def test_what_an_action_touches(action: str, touches: bool) -> None:
    assert Change(wanted(), action, "web.yaml").touches_directory is touches


def test_a_change_knows_both_sides() -> None:
    change = plan(wanted(NEW), [entry("web.yaml")])
    assert change.old is not None and change.new is not None
    assert (change.old.text, change.new.text, change.old_text) == (WEB, NEW, WEB)


def test_a_restart_places_the_same_text_again() -> None:
    change = plan(RESTARTED, [entry("web.yaml")])
    assert change.old is change.new is not None
    assert change.old_text == WEB


def test_a_removal_has_no_new_side() -> None:
    change = plan(ABSENT, [entry("web.yaml")])
    assert change.new is None
    assert change.old_text == WEB


# ---- files that hold no pod

BROKEN = entry("web.yaml", "kind: [")


@pytest.mark.parametrize(
    ("one", "placed"),
    [(wanted(filename="web.yaml"), {}), (wanted(), {"web.yaml": "default/other"})],
    ids=["named by the user", "our own"],
)
def test_a_broken_file_is_replaced_where_it_is_ours_or_named(one: Wanted, placed: dict[str, str]) -> None:
    change = plan(one, [BROKEN], placed=placed)
    assert (change.action, change.filename) == ("place", "web.yaml")
    assert change.old_text.startswith("# no pod: ")


REFUSALS: list[tuple[str, Wanted, list[Entry], str]] = [
    (
        "two files",
        wanted(),
        [entry("web.yaml"), entry("web.yaml.bak")],
        (
            "pod default/web: 2 files hold this pod, and the kubelet picks one by chance: /etc/kubernetes/manifests/web.yaml,"
            " /etc/kubernetes/manifests/web.yaml.bak; move all but one out of the directory"
        ),
    ),
    ("two files, absent", ABSENT, [entry("a"), entry("b")], "pod default/web: 2 files hold this pod"),
    ("two files, restarted", RESTARTED, [entry("a"), entry("b")], "pod default/web: 2 files hold this pod"),
    (
        "another file name",
        wanted(filename="w.yaml"),
        [entry("web.yaml")],
        "pod default/web: this pod is in /etc/kubernetes/manifests/web.yaml already, and filename says w.yaml; leave filename out",
    ),
    (
        "absent by another file name",
        wanted(None, state="absent", filename="w.yaml"),
        [entry("web.yaml")],
        "already, and filename says w.yaml",
    ),
    ("nothing to restart", RESTARTED, [entry("other.yaml", OTHER_POD)], "there is no manifest of this pod to restart"),
    (
        "another pod's file",
        wanted(),
        [entry("web.yaml", OTHER_POD)],
        "/web.yaml holds the pod default/other; choose another filename",
    ),
    ("another pod's file by name", wanted(filename="o"), [entry("o", OTHER_POD)], "/o holds the pod default/other"),
    ("a stranger's broken file", wanted(), [BROKEN], "/web.yaml is there and holds no pod (YAML syntax error"),
    (
        "a directory",
        wanted(filename="d"),
        [entry("d", ignored="it is a directory")],
        "/d is there and holds no pod (it is a directory)",
    ),
    ("a dot-file name", wanted(filename=".web.yaml"), [], "filename: '.web.yaml' is not a plain file name"),
    ("another directory", wanted(filename="../web.yaml"), [], "filename: '../web.yaml' is not a plain file name"),
    (
        "a name that fits no file",
        wanted(WEB.replace("name: web}", "name: a/b}", 1)),
        [],
        "metadata.name: 'a/b' is no DNS subdomain",
    ),
    (
        "an unknown field",
        wanted(WEB.replace("image:", "imag:")),
        [],
        "pod default/web: kubelet 1.34 would not run web.yaml as written: ",
    ),
    (
        "an unknown field in a change",
        wanted(WEB.replace("image:", "imag:")),
        [entry("web.yaml")],
        "would not run web.yaml as written",
    ),
]


@pytest.mark.parametrize(("one", "entries", "message"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS])
def test_refusals(one: Wanted, entries: list[Entry], message: str) -> None:
    with pytest.raises(KubestaticError) as failure:
        plan(one, entries)
    assert message in str(failure.value)
    assert "\n" not in str(failure.value)


def test_a_refusal_names_the_entry_of_a_list() -> None:
    with pytest.raises(
        KubestaticError, match=r"^pods\[2\] \(default/web\): there is no manifest of this pod to restart"
    ):
        plan(wanted(None, state="restarted", label="pods[2]"), [])


# ---- validation: what each level refuses, and what it warns of

LEVELS: list[tuple[str, dict[str, bool]]] = [
    # a manifest -> does each level of validation refuse it
    (WEB.replace("image:", "imag:"), {"strict": True, "kubelet": True, "none": False}),
    (WEB.replace("spec: {", "spec: {hostNetwrk: true, "), {"strict": True, "kubelet": False, "none": False}),
    (WEB.replace("name: web}", "name: web, uid: abc}", 1), {"strict": True, "kubelet": False, "none": False}),
    (WEB + "---\n" + OTHER_POD, {"strict": True, "kubelet": False, "none": False}),
    (WEB.replace("spec: {", "spec: {serviceAccountName: a, "), {"strict": True, "kubelet": True, "none": False}),
    (WEB.replace("name: web}", "name: web.1}", 1), {"strict": False, "kubelet": False, "none": False}),
]


@pytest.mark.parametrize("validation", ["strict", "kubelet", "none"])
@pytest.mark.parametrize(("text", "refused"), LEVELS)
def test_validation(text: str, refused: dict[str, bool], validation: str) -> None:
    one = wanted(text, validation=validation)
    if refused[validation]:
        with pytest.raises(KubestaticError, match=r"would not run web\.yaml as written"):
            plan(one, [])
        return
    change = plan(one, [])
    assert bool(change.warnings) is (validation != "none"), "what is let pass is at least told, except with none"
    assert all(finding.level != "refused" for finding in change.warnings)


def test_all_refusals_are_in_one_message() -> None:
    with pytest.raises(KubestaticError, match=r"hostNetwrk.*; .*hostIPX"):
        plan(wanted(WEB.replace("spec: {", "spec: {hostNetwrk: true, hostIPX: true, ")), [])


@pytest.mark.parametrize("one", [ABSENT, RESTARTED])
def test_what_only_goes_or_restarts_is_not_judged(one: Wanted) -> None:
    """A pod that this kubelet would refuse today must still be removable."""
    assert plan(one, [entry("web.yaml", WEB.replace("image:", "imag:"))]).warnings == ()


# ---- the same input, the same reason: static_pod refuses with the words of static_pod_info's verdict


@pytest.mark.parametrize(
    "text",
    [
        WEB.replace("image:", "imag:"),
        WEB.replace("'nginx:1'", "7"),
        WEB.replace("spec: {", "spec: {serviceAccountName: a, imagePullSecrets: [{name: b}], "),
        WEB.replace("name: web}", "name: Web}", 1),
        WEB.replace("containers: [", "containers: [{name: web, image: a}, "),
    ],
)
@pytest.mark.parametrize("minor", [28, 33, 34, 37, 39])
def test_refusals_and_verdicts_agree(text: str, minor: int) -> None:
    there = entry("web.yaml", text)
    (verdict,) = _verdicts.judge([there], node_name="node1", minor=minor, snapshot=None)
    one = wanted(text, validation="kubelet")
    if verdict.verdict != "refused":
        plan(one, [], minor=minor)
        return
    with pytest.raises(KubestaticError) as failure:
        plan(one, [], minor=minor)
    assert str(failure.value).endswith(f" as written: {verdict.reason}")


@pytest.mark.parametrize(
    "text", ["", "kind: [", "apiVersion: v1\nkind: List\n", WEB.replace("name: web}", "name: 7}", 1)]
)
def test_what_holds_no_pod_has_the_same_reason(text: str) -> None:
    (verdict,) = _verdicts.judge([entry("web.yaml", text)], node_name="node1", minor=34, snapshot=None)
    with pytest.raises(KubestaticError) as failure:
        wanted(text)
    assert (verdict.verdict, verdict.reason) == ("refused", str(failure.value))


def test_warnings_and_remarks_agree() -> None:
    text = WEB.replace("name: web}", "name: web.1, uid: abc}", 1)
    (verdict,) = _verdicts.judge([entry("web.yaml", text)], node_name="node1", minor=34, snapshot=None)
    change = plan(wanted(text, validation="kubelet"), [])
    assert [str(finding) for finding in change.warnings] == list(verdict.remarks) != []
    assert list(change.warnings) == _rules.findings(_manifest.parse(text), node_name="node1", minor=34)


# ---- prune

BAD = entry("bad.yaml", "")
DIR = entry("dir", ignored="it is a directory")
OURS, THEIRS = entry("web.yaml"), entry("other.yaml", OTHER_POD)
THIRD = entry("third.yaml", WEB.replace("name: web}", "name: third}", 1))


@pytest.mark.parametrize(
    ("prune", "placed", "pruned"),
    [
        ("none", {"other.yaml": "default/other", "third.yaml": "default/third", "bad.yaml": "default/bad"}, []),
        ("managed", {}, []),
        ("managed", {"other.yaml": "default/other"}, ["other.yaml"]),
        ("managed", {"other.yaml": "default/somebody", "third.yaml": "x/third"}, []),
        ("managed", {"other.yaml": "default/other", "bad.yaml": "a/b", "web.yaml": "default/web"}, ["other.yaml"]),
        ("all", {}, ["other.yaml", "third.yaml"]),
    ],
)
def test_prune(prune: str, placed: dict[str, str], pruned: list[str]) -> None:
    entries = [BAD, DIR, THEIRS, THIRD, OURS]
    assert [
        filename for filename, _pod in _pod_list.prunable([wanted()], entries, prune=prune, placed=placed)
    ] == pruned


def test_what_is_listed_as_absent_is_not_pruned_twice() -> None:
    assert _pod_list.prunable([ABSENT], [OURS], prune="all", placed={}) == []


# ---- do the wanted pods fit together?


def named(name: str, *needs: str, **changes: t.Any) -> Wanted:
    return wanted(None, key=("default", name), depends_on=tuple(("default", need) for need in needs), **changes)


@pytest.mark.parametrize(
    "pods",
    [
        [],
        [named("a")],
        [named("a"), named("b", "a"), named("c", "a", "b")],
        [named("b", "a"), named("a")],
        [named("a", filename="x"), named("b", filename="y"), named("c")],
    ],
)
def test_pods_that_fit_together(pods: list[Wanted]) -> None:
    _pod_list.require_consistent(pods)


@pytest.mark.parametrize(
    ("pods", "message"),
    [
        ([named("a"), named("a")], r"^pod default/a: this pod is listed twice; list it once"),
        (
            [named("a", label="pods[0]"), named("a", label="pods[1]")],
            r"^pods\[1\] \(default/a\): this pod is listed twice",
        ),
        ([named("a"), named("b", "c")], r"^pod default/b: depends_on names default/c, which is not listed in pods"),
        ([named("a", "a")], r"^depends_on goes round in a circle among default/a; remove one of the links"),
        ([named("a", "b"), named("b", "a"), named("c")], "in a circle among default/a, default/b;"),
        ([named("a", "c"), named("b", "a"), named("c", "b")], "in a circle among default/a, default/b, default/c;"),
        ([named("a", filename="x"), named("b", filename="x")], "pod default/b: filename x is taken by pod default/a"),
    ],
)
def test_pods_that_contradict_each_other(pods: list[Wanted], message: str) -> None:
    with pytest.raises(KubestaticError, match=message):
        _pod_list.require_consistent(pods)

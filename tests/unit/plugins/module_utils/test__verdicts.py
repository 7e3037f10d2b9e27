# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One verdict per entry of a real directory, as the kubelet reads it."""

from __future__ import annotations

import pathlib

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _manifest_dir, _verdicts
from ansible_collections.kubestatic.node.plugins.module_utils._runtime import Container, Sandbox, Snapshot
from ansible_collections.kubestatic.node.plugins.module_utils._verdicts import Verdict

WEB = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: web, image: 'nginx:1'}]}\n"


def snapshot(*pods: str, ready: bool = True, state: str = "running") -> Snapshot:
    """A runtime with one sandbox and one container ``web`` per pod (full names)."""
    return Snapshot(
        tuple(Sandbox(f"b{pod}", pod, "default", "u", ready, 1.0, "file") for pod in pods),
        tuple(Container(f"c{pod}", "web", f"b{pod}", pod, "default", state, 0, 2.0, "nginx", 30) for pod in pods),
    )


def judge(path: pathlib.Path, files: dict[str, str], seen: Snapshot | None, *, minor: int = 34) -> dict[str, Verdict]:
    for name, text in files.items():
        (path / name).write_text(text)
    found = _verdicts.judge(_manifest_dir.read(str(path)), node_name="node1", minor=minor, snapshot=seen)
    return {verdict.entry.filename: verdict for verdict in found}


@pytest.mark.parametrize(
    ("text", "seen", "verdict", "reason"),
    [
        (WEB, snapshot("web-node1"), "runs", ""),
        (WEB, snapshot(), "pending", "the kubelet has not started it yet"),
        (WEB, snapshot("web-node2"), "pending", "the kubelet has not started it yet"),
        (WEB, snapshot("web-node1", state="exited"), "pending", "container web is exited"),
        (WEB, snapshot("web-node1", ready=False), "pending", "the old pod still runs"),
        (WEB, None, "pending", "crictl is not on this node, so nothing tells whether it runs"),
        ("", snapshot(), "refused", "the manifest is empty; it must hold one v1 Pod"),
        ("kind: [", snapshot(), "refused", "YAML syntax error"),
        ("apiVersion: v1\nkind: Service\n", snapshot(), "refused", "found v1 Service"),
        (WEB.replace("image:", "imag:"), snapshot(), "refused", "spec.containers[0].image: is missing"),
        (WEB.replace("name: web}", "name: web, uid: a}", 1), snapshot("web-node1"), "runs", ""),
    ],
)
def test_verdicts(tmp_path: pathlib.Path, text: str, seen: Snapshot | None, verdict: str, reason: str) -> None:
    found = judge(tmp_path, {"web.yaml": text}, seen)["web.yaml"]
    assert found.verdict == verdict
    assert reason in found.reason
    assert bool(found.reason) is (verdict != "runs")


def test_drops_and_warnings_are_remarks_whatever_the_verdict(tmp_path: pathlib.Path) -> None:
    text = WEB.replace("name: web}", "name: web, uid: a}", 1).replace("spec: {", "spec: {hostNetwrk: true, ")
    (remark, other) = judge(tmp_path, {"web.yaml": text}, snapshot("web-node1"))["web.yaml"].remarks
    assert remark.startswith("spec.hostNetwrk: ")
    assert other.startswith("metadata.uid: ")


@pytest.mark.parametrize(("minor", "verdict"), [(33, "pending"), (34, "refused")])
def test_the_version_counts(tmp_path: pathlib.Path, minor: int, verdict: str) -> None:
    text = WEB.replace("spec: {", "spec: {serviceAccountName: a, ")
    found = judge(tmp_path, {"web.yaml": text}, snapshot(), minor=minor)["web.yaml"]
    assert found.verdict == verdict
    assert len(found.remarks) == (1 if verdict == "pending" else 0)


def test_of_two_files_the_last_in_byte_order_wins(tmp_path: pathlib.Path) -> None:
    found = judge(tmp_path, {"web.yaml": WEB, "web.yaml.bak": WEB, "Z": WEB}, snapshot("web-node1"))
    assert {name: verdict.verdict for name, verdict in found.items()} == {
        "Z": "shadowed",
        "web.yaml": "shadowed",
        "web.yaml.bak": "runs",
    }
    assert found["web.yaml"].reason == f"{tmp_path}/web.yaml.bak holds the same pod and comes later in byte order"


def test_a_file_that_the_kubelet_refuses_shadows_nothing(tmp_path: pathlib.Path) -> None:
    """The later file is skipped at each relist, so the earlier one is what runs."""
    found = judge(tmp_path, {"a.yaml": WEB, "b.yaml": WEB.replace("image:", "imag:")}, snapshot("web-node1"))
    assert {name: verdict.verdict for name, verdict in found.items()} == {"a.yaml": "runs", "b.yaml": "refused"}


def test_what_is_not_read_is_ignored(tmp_path: pathlib.Path) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "link").symlink_to("nowhere")
    found = judge(tmp_path, {".web.yaml": WEB, ".kubestatic.web.yaml.old": WEB}, snapshot())
    assert {name: (verdict.verdict, verdict.reason) for name, verdict in found.items()} == {
        ".web.yaml": ("ignored", "its name starts with a dot"),
        "dir": ("ignored", "it is a directory"),
        "link": ("ignored", "it cannot be read: No such file or directory"),
    }


def test_an_empty_directory(tmp_path: pathlib.Path) -> None:
    assert judge(tmp_path, {}, snapshot()) == {}

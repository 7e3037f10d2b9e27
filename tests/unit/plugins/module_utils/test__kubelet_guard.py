# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which restarts would kill the static pods that run: those after which the kubelet knows them no more."""

from __future__ import annotations

import os
import pathlib

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _kubelet_guard, _kubelet_identity
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_guard import Pods
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_identity import Identity
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.kubelet_node import (
    CONF_D,
    CONFIG,
    HEAD,
    KubeletNode,
)

CONFIG_FLAG, DIR_FLAG = f"--config=ROOT/{CONFIG}", f"--config-dir=ROOT/{CONF_D}"


@pytest.fixture
def node(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> KubeletNode:
    monkeypatch.setattr("socket.gethostname", lambda: "Node1\n")
    return KubeletNode(tmp_path)


def identity(node: KubeletNode, flags: str, file: str = "", drop_in: str = "") -> Identity:
    node.unit(f"/usr/bin/kubelet {flags}")
    node.write(CONFIG, f"{HEAD}{file}\n")
    node.write(f"{CONF_D}/1.conf", f"{HEAD}{drop_in}\n")
    found = _kubelet_identity.identity(node.setup().layers)
    return found._replace(manifest_dir=node.inside(found.manifest_dir))


BOTH = f"{CONFIG_FLAG} {DIR_FLAG}"

IDENTITIES: list[tuple[str, str, str, tuple[str, str, str, str, str]]] = [
    # flags, file, drop-in
    ("", "", "", ("", "node1", "cgroupfs", "/", "")),
    (
        f"{CONFIG_FLAG} --hostname-override=' Master-1 '",
        "{staticPodPath: /a//b/, cgroupDriver: systemd, cgroupRoot: /kube}",
        "",
        ("/a/b", "master-1", "systemd", "/kube", ""),
    ),
    (
        f"{CONFIG_FLAG} --hostname-override=",
        "staticPodPath: pods",
        "",
        (f"ROOT/{os.path.dirname(CONFIG)}/pods", "node1", "cgroupfs", "/", ""),
    ),
    (BOTH, "staticPodPath: /a", "staticPodPath: pods", ("/pods", "node1", "cgroupfs", "/", "")),
    (BOTH, "staticPodPath: /a", "staticPodPath: null", ("", "node1", "cgroupfs", "/", "")),
    (BOTH, "staticPodPath: /a", "cgroupDriver: null", ("/a", "node1", "cgroupfs", "/", "")),
    (f"{CONFIG_FLAG} --pod-manifest-path=", "staticPodPath: /a", "", ("", "node1", "cgroupfs", "/", "")),
    (
        f"{CONFIG_FLAG} --pod-manifest-path=pods --cgroup-driver=systemd",
        "staticPodPath: /a",
        "",
        ("/pods", "node1", "systemd", "/", ""),
    ),
    (CONFIG_FLAG, "staticPodPath: 5", "", ("", "node1", "cgroupfs", "/", "")),
]


@pytest.mark.parametrize(("flags", "file", "drop_in", "found"), IDENTITIES)
def test_what_a_kubelet_knows_its_pods_by(
    node: KubeletNode, flags: str, file: str, drop_in: str, found: tuple[str, str, str, str, str]
) -> None:
    if file.startswith("{"):
        file = "\n".join(part.strip() for part in file.strip("{}").split(","))
    assert identity(node, flags, file, drop_in) == Identity(*found)


def test_a_setting_that_is_text(node: KubeletNode) -> None:
    node.unit(f"/usr/bin/kubelet {CONFIG_FLAG}")
    node.config("cgroupDriver: systemd\ncgroupRoot: null\n")
    layers = node.setup().layers
    assert _kubelet_identity.text(layers, ("cgroupDriver",)) == "systemd"
    assert _kubelet_identity.text(layers, ("cgroupRoot",)) == ""
    assert _kubelet_identity.text(layers, ("clusterDomain",)) == ""


BEFORE = Identity("/etc/kubernetes/manifests", "node1", "systemd", "/", "")
STATIC = Pods(file=("etcd", "web"))


def refusal(before: Identity, after: Identity, pods: Pods = STATIC) -> str:
    with pytest.raises(KubestaticError) as caught:
        _kubelet_guard.require_safe(before, after, pods=pods)
    return str(caught.value)


KNOWN = "as it knows them by their paths; "
MOVE = f"{KNOWN}set move_manifests: true to have them stopped orderly and moved, or allow_pod_loss: true"
FIRST = f"{KNOWN}remove them first, or set allow_pod_loss: true"


@pytest.mark.parametrize(
    ("old", "new", "pointed", "way_out"),
    [
        ("/etc/kubernetes/manifests", "/etc/kubelet.d", "/etc/kubernetes/manifests to /etc/kubelet.d", MOVE),
        ("/etc/kubernetes/manifests", "", "/etc/kubernetes/manifests to nothing", FIRST),
        ("", "/etc/kubelet.d", "nothing to /etc/kubelet.d", FIRST),
        ("", os.getcwd(), f"nothing to {os.getcwd()}", FIRST),
    ],
)
def test_another_directory(old: str, new: str, pointed: str, way_out: str) -> None:
    found = refusal(BEFORE._replace(manifest_dir=old), BEFORE._replace(manifest_dir=new))
    assert found == (
        f"staticPodPath: a kubelet that is pointed from {pointed} kills the static pods that run (etcd, web) with one"
        f" second of grace, {way_out}"
    )


def test_a_directory_that_nothing_tells() -> None:
    found = refusal(BEFORE._replace(manifest_dir=_kubelet_identity.UNKNOWN), BEFORE)
    assert "from a directory that no file tells any more to /etc/kubernetes/manifests kills" in found
    assert "say the old staticPodPath there again" in found and "move_manifests" not in found


def test_another_spelling_of_the_same_directory(tmp_path: pathlib.Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    old, new = str(tmp_path / "real"), str(tmp_path / "link")
    found = refusal(BEFORE._replace(manifest_dir=old), BEFORE._replace(manifest_dir=new))
    assert found == (
        f"staticPodPath: a kubelet that is pointed from {old} to {new} kills the static pods that run (etcd, web) with one"
        " second of grace, as another spelling of the same directory gives them other uids; keep the one that is in force,"
        " or set allow_pod_loss: true"
    )


def test_another_url() -> None:
    other = BEFORE._replace(pod_url="digest")
    assert refusal(BEFORE, other, Pods(http=("proxy",))) == (
        "staticPodURL: with another URL, or none, the kubelet kills the static pods that run (proxy) with one second of"
        " grace, as it knows them by it; have the old URL stop serving them first, or set allow_pod_loss: true"
    )
    _kubelet_guard.require_safe(BEFORE, other, pods=STATIC)


def test_the_url_is_not_told(node: KubeletNode) -> None:
    node.config("staticPodURL: http://me:secret@x/\n")
    node.unit(f"/usr/bin/kubelet {CONFIG_FLAG}")
    assert "secret" not in str(_kubelet_identity.identity(node.setup().layers))
    assert _kubelet_identity.identity(node.setup().layers).pod_url


def test_pods_of_the_api_server_are_lost_by_their_cgroups_only() -> None:
    pods = Pods(api=("web-1",))
    for after in (BEFORE._replace(manifest_dir="/x"), BEFORE._replace(node_name="x"), BEFORE._replace(pod_url="x")):
        _kubelet_guard.require_safe(BEFORE, after, pods=pods)
    found = refusal(BEFORE, BEFORE._replace(cgroup_driver="cgroupfs"), pods)
    assert "kills the pods that run (web-1) with one second of grace" in found


@pytest.mark.parametrize(
    ("after", "what"),
    [
        (BEFORE._replace(node_name="master-1"), "the node's name changes from node1 to master-1"),
        (BEFORE._replace(cgroup_driver="cgroupfs"), "the cgroup driver changes from systemd to cgroupfs"),
        (BEFORE._replace(cgroup_root="/kube"), "the cgroup root changes from / to /kube"),
    ],
)
def test_another_name_or_cgroup(after: Identity, what: str) -> None:
    kind = "pods" if "cgroup" in what else "static pods"
    assert refusal(BEFORE, after) == (
        f"{what} with this restart, and the kubelet then kills the {kind} that run (etcd, web) with one second of grace;"
        " stop them first, or set allow_pod_loss: true"
    )


def test_nothing_is_killed_where_nothing_runs_or_nothing_changes() -> None:
    _kubelet_guard.require_safe(BEFORE, Identity("", "", "", "", ""), pods=Pods())
    _kubelet_guard.require_safe(BEFORE, BEFORE._replace(), pods=STATIC)


def test_long_lists_of_pods_are_cut() -> None:
    after = BEFORE._replace(node_name="x")
    assert "(a, b, c, d)" in refusal(BEFORE, after, Pods(tuple("abcd")))
    assert "(a, b, c, d and 2 more)" in refusal(BEFORE, after, Pods(tuple("abc"), tuple("def")))


# ---- another minor


def test_the_first_start_of_another_minor() -> None:
    with pytest.raises(KubestaticError) as caught:
        _kubelet_guard.require_same_minor("1.34.4", "1.35.1", program="/usr/bin/kubelet", pods=STATIC)
    assert str(caught.value) == (
        "/usr/bin/kubelet is kubelet 1.35.1 by now, while 1.34.4 runs: its first start gives every static pod a new uid and"
        " kills the old ones with one second of grace; restart the kubelet as a part of that upgrade, or set"
        " allow_pod_loss: true"
    )


def test_the_same_minor_and_a_node_without_static_pods_may_start() -> None:
    program = "/usr/bin/kubelet"
    _kubelet_guard.require_same_minor("1.34.4", "1.34.9", program=program, pods=STATIC)
    _kubelet_guard.require_same_minor("1.34.4", "1.35.1", program=program, pods=Pods(api=("web-1",)))

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a master tells of its control plane's files. What becomes of it is tested with the action plugin."""

from __future__ import annotations

import pathlib

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _control_plane_files, _module
from ansible_collections.kubestatic.node.plugins.modules import control_plane_info
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.world import call


@pytest.fixture(name="node")
def _node(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.setattr(_module, "require_root", lambda: None)
    monkeypatch.setattr(_control_plane_files, "_DIRECTORY", f"{tmp_path}/etc/kubernetes")
    monkeypatch.setattr(_control_plane_files, "_KUBELET", {"pki/kubelet.crt": f"{tmp_path}/var/kubelet.crt"})
    return tmp_path


def write(node: pathlib.Path, name: str, text: str) -> None:
    path = node / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize("check", [True, False])
def test_all_that_is_there_is_told(node: pathlib.Path, check: bool) -> None:
    found = {
        "etc/kubernetes/pki/ca.key": "key of a CA",
        "etc/kubernetes/pki/etcd/ca.crt": "certificate",
        "etc/kubernetes/pki/encryption.key": "another",
        "var/kubelet.crt": "kubelet's",
        "etc/kubernetes/admin.conf": "kubeconfig",
    }
    for name, text in {**found, "etc/kubernetes/pki/ca.srl": "of no use"}.items():
        write(node, name, text)
    result = call(None, control_plane_info.main, check=check)
    assert not result["changed"]
    assert result["texts"] == {
        name.replace("etc/kubernetes/", "").replace("var/", "pki/"): text for name, text in found.items()
    }
    assert sorted(result["held_files"]) == sorted(f"{node}/{name}" for name in found)


def test_a_node_that_is_no_master_has_nothing(node: pathlib.Path) -> None:
    result = call(None, control_plane_info.main)
    assert (result["texts"], result["held_files"]) == ({}, [])


@pytest.mark.parametrize(
    "link", ["etc/kubernetes", "etc/kubernetes/pki", "etc/kubernetes/pki/ca.key", "var/kubelet.crt"]
)
def test_a_link_to_nothing_is_not_nothing(node: pathlib.Path, link: str) -> None:
    """As where the disk with the keys is not mounted."""
    (node / link).parent.mkdir(parents=True, exist_ok=True)
    (node / link).symlink_to("/mnt/keys")
    result = call(None, control_plane_info.main)
    assert result["failed"] and "texts" not in result
    assert result["msg"] == f"{node}/{link}: is a symbolic link to /mnt/keys, which is not there; mend the link"


def test_a_link_to_something_is_followed(node: pathlib.Path) -> None:
    write(node, "disk/ca.key", "key of a CA")
    (node / "etc/kubernetes").mkdir(parents=True)
    (node / "etc/kubernetes/pki").symlink_to(node / "disk")
    assert call(None, control_plane_info.main)["texts"] == {"pki/ca.key": "key of a CA"}


def test_what_cannot_be_read_is_named(node: pathlib.Path) -> None:
    (node / "etc/kubernetes/pki/ca.key").mkdir(parents=True)
    result = call(None, control_plane_info.main)
    assert result["failed"] and result["msg"] == f"{node}/etc/kubernetes/pki/ca.key: cannot be read: Is a directory"
    assert "texts" not in result

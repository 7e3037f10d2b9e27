# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pod restarts when a file that it reads has changed, and has the new file then."""

from __future__ import annotations

import typing as t

import pytest
from conftest import MANIFESTS, Node, pod

FILES = "/var/tmp/reads"
MANIFEST = f"{MANIFESTS}/web.yaml"
# Like the pods of the other tests, with a flag of its own behind the script.
COMMAND = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.2; done", "web", "--ca-file=/pki/ca.crt"]


@pytest.fixture(name="reader")
def _reader(node: Node) -> t.Iterator[dict[str, t.Any]]:
    """A pod with a mount of type File and a flag that names a file in a mounted directory."""
    node.sh(
        f"mkdir -p {FILES}/pki && cd {FILES} && echo one > pki/ca.crt && echo one > app.conf && echo one > pki/other"
    )
    yield pod(
        "web",
        container={
            "command": COMMAND,
            "volumeMounts": [
                {"name": "pki", "mountPath": "/pki", "readOnly": True},
                {"name": "conf", "mountPath": "/etc/app.conf", "readOnly": True},
            ],
        },
        volumes=[
            {"name": "pki", "hostPath": {"path": f"{FILES}/pki", "type": "Directory"}},
            {"name": "conf", "hostPath": {"path": f"{FILES}/app.conf", "type": "File"}},
        ],
    )
    node.sh(f"rm -rf {FILES}")


def renew(node: Node, name: str) -> None:
    """Replace a file as careful tools do: a new one, renamed over the old one."""
    node.sh(f"cd {FILES} && echo two > {name}.new && mv {name}.new {name}")


def seen_by_pod(node: Node, path: str) -> str:
    (container,) = node.running("web")
    return str(node.sh(f"crictl exec {container} cat {path}").strip())


@pytest.mark.parametrize(("name", "path"), [("pki/ca.crt", "/pki/ca.crt"), ("app.conf", "/etc/app.conf")])
def test_a_changed_file_restarts_the_pod_once(node: Node, reader: dict[str, t.Any], name: str, path: str) -> None:
    assert node.module("static_pod", definition=reader, restart_on="auto")["changed"]
    before = node.sandboxes("web")
    renew(node, "pki/other")
    same = node.module("static_pod", definition=reader, restart_on="auto")
    assert not same["changed"] and same["actions"] == [] and node.sandboxes("web") == before

    renew(node, name)
    would = node.module("static_pod", "--check", definition=reader, restart_on="auto")
    assert would["actions"] == [f"would restart the pod of {MANIFEST}: {FILES}/{name} has changed"]
    assert node.sandboxes("web") == before
    result = node.module("static_pod", definition=reader, restart_on="auto")
    assert not result["failed"] and result["changed"], result
    assert result["actions"] == [f"restarted the pod of {MANIFEST}: {FILES}/{name} has changed"]
    (after,) = node.sandboxes("web")
    assert [after] != before and seen_by_pod(node, path) == "two"

    again = node.module("static_pod", definition=reader, restart_on="auto")
    assert not again["changed"] and again["actions"] == [] and node.sandboxes("web") == [after]


def test_off_by_default_and_a_restart_counts(node: Node, reader: dict[str, t.Any]) -> None:
    assert node.module("static_pod", definition=reader, restart_on="auto")["changed"]
    renew(node, "app.conf")
    assert not node.module("static_pod", definition=reader)["changed"]
    assert seen_by_pod(node, "/etc/app.conf") == "one", "a pod with a mounted file keeps it while it runs"
    assert node.module("static_pod", name="web", state="restarted")["changed"]
    assert not node.module("static_pod", definition=reader, restart_on="auto")["changed"]


def test_a_set_with_a_list_and_the_store_without_secrets(node: Node, reader: dict[str, t.Any]) -> None:
    node.sh(f"echo top-secret > {FILES}/pki/other")
    pods = [{"definition": reader, "restart_on": [f"{FILES}/pki/other"]}]
    assert node.module("static_pods", pods=pods, restart_on="auto")["changed"]
    renew(node, "app.conf")
    assert not node.module("static_pods", pods=pods, restart_on="auto")["changed"]
    renew(node, "pki/other")
    result = node.module("static_pods", pods=pods, restart_on="auto")
    assert result["actions"] == [f"restarted the pod of {MANIFEST}: {FILES}/pki/other has changed"]
    assert f"{FILES}/pki/other" in node.sh("cat /var/lib/kubestatic/reads.json")
    assert node.sh("grep -rl top-secret /var/lib/kubestatic", check=False) == ""


def test_a_file_that_is_gone_restarts_nothing_and_is_told(node: Node, reader: dict[str, t.Any]) -> None:
    assert node.module("static_pod", definition=reader, restart_on="auto")["changed"]
    before = node.sandboxes("web")
    node.sh(f"rm {FILES}/pki/ca.crt")
    result = node.module("static_pod", definition=reader, restart_on="auto")
    assert not result["failed"] and not result["changed"] and node.sandboxes("web") == before
    # Ansible breaks the lines of warnings.
    assert f"the pod reads {FILES}/pki/ca.crt and no such file" in " ".join(result["output"].split())
    refused = node.module("static_pod", definition=reader, restart_on=[f"{FILES}/pki/ca.crt"])
    assert refused["failed"] and f"restart_on names {FILES}/pki/ca.crt, which is no file on this node" in refused["msg"]

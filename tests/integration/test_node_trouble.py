# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node that is not as it should be: a clear refusal before the first step, and the truth about what is in force after."""

from __future__ import annotations

import json
import typing as t

import pytest
from conftest import MANIFESTS, Node, fill, kubelet_with, pod, stops_slowly, wait_for, with_env


@pytest.fixture
def web(node: Node) -> Node:
    """A node on which the pod `web` runs."""
    result = node.module("static_pod", definition=with_env("web", "old"), settle=0)
    assert not result["failed"], result["msg"]
    assert result["pod"]["phase"] == "Running"
    return node


def refused(result: dict[str, t.Any], *words: str) -> None:
    assert result["failed"]
    for word in words:
        assert word in result["msg"], result["msg"]
    assert "Traceback" not in result["msg"]


def test_kubelet_stopped(web: Node, undo: t.Callable[[str], None]) -> None:
    undo("systemctl start kubelet")
    web.sh("systemctl stop kubelet")
    before = web.files(), web.sandboxes("web")
    refused(web.module("static_pod", definition=with_env("web", "new")), "does not run", "start it first")
    assert (web.files(), web.sandboxes("web")) == before


def test_kubelet_not_installed(web: Node, undo: t.Callable[[str], None]) -> None:
    path = web.sh("systemctl show kubelet -p FragmentPath --value").strip()
    # A unit with drop-ins is known to systemd even without its file, so they go as well.
    undo(
        f"mv /root/kubelet.service {path}; mv /root/kubelet.service.d {path}.d; systemctl daemon-reload; systemctl start kubelet"
    )
    web.sh(
        f"systemctl stop kubelet; mv {path} /root/; mv {path}.d /root/; systemctl daemon-reload; systemctl reset-failed"
    )
    before = web.files(), web.sandboxes("web")
    refused(web.module("static_pod", definition=with_env("web", "new")), "no kubelet is installed", "install it")
    assert (web.files(), web.sandboxes("web")) == before


def test_containerd_stopped(web: Node, undo: t.Callable[[str], None]) -> None:
    undo("systemctl start containerd && until crictl info >/dev/null 2>&1; do sleep 0.2; done")
    web.sh("systemctl stop containerd")
    before = web.files()
    refused(web.module("static_pod", definition=with_env("web", "new")), "container runtime", "containerd.sock")
    assert web.files() == before


def test_crictl_outside_path_is_found(web: Node, undo: t.Callable[[str], None]) -> None:
    undo("mv /opt/bin/crictl /usr/local/bin/crictl")
    web.sh("mkdir -p /opt/bin && mv /usr/local/bin/crictl /opt/bin/crictl")
    result = web.module("static_pod", definition=with_env("web", "old"))
    assert not result["changed"] and result["pod"]["phase"] == "Running"


def test_without_crictl(web: Node, undo: t.Callable[[str], None]) -> None:
    undo("mv /root/crictl.away /usr/local/bin/crictl")
    old = web.running("web")
    web.sh("mv /usr/local/bin/crictl /root/crictl.away")
    refused(web.module("static_pod", definition=with_env("web", "new")), "crictl", "cri-tools", "wait: false")
    result = web.module("static_pod", definition=with_env("web", "new"), wait=False)
    assert result["changed"] and "renaming" in result["actions"][0]
    refused(web.module("static_pod", name="web", state="restarted", wait=False), "crictl")
    web.sh("cp /root/crictl.away /usr/local/bin/crictl")
    wait_for(lambda: web.running("web") not in ([], old), "the new pod by the kubelet alone")


def test_without_pyyaml(web: Node, undo: t.Callable[[str], None]) -> None:
    undo("mv /root/yaml.away /usr/lib/python3/dist-packages/yaml")
    web.sh("mv /usr/lib/python3/dist-packages/yaml /root/yaml.away")
    before = web.files(), web.sandboxes("web")
    refused(web.module("static_pod", definition=with_env("web", "new")), "PyYAML", "python3-yaml")
    assert (web.files(), web.sandboxes("web")) == before


def test_another_python_with_pyyaml_is_used(web: Node, undo: t.Callable[[str], None]) -> None:
    undo("rm -rf /opt/bare")
    web.sh(
        "mkdir -p /opt/bare && printf '#!/bin/sh\\nexec /usr/bin/python3 -S \"$@\"\\n' > /opt/bare/python3 && chmod +x /opt/bare/python3"
    )
    assert "No module" in web.sh("/opt/bare/python3 -c 'import yaml' 2>&1", check=False)
    result = web.module(
        "static_pod", "--extra-vars=ansible_python_interpreter=/opt/bare/python3", definition=with_env("web", "old")
    )
    assert not result["changed"] and result["pod"]["phase"] == "Running"


def test_not_root(web: Node) -> None:
    # nobody's own shell is nologin.
    become = "--extra-vars={ansible_become: true, ansible_become_user: nobody, ansible_become_method: su, ansible_become_flags: '-s /bin/sh'}"
    before = web.files(), web.sandboxes("web")
    refused(web.module("static_pod", become, definition=with_env("web", "new")), "root", "become: true")
    assert (web.files(), web.sandboxes("web")) == before


def test_read_only_directory(web: Node, undo: t.Callable[[str], None]) -> None:
    old = web.sandboxes("web")
    undo(f"umount {MANIFESTS}")
    web.sh(f"mount --bind {MANIFESTS} {MANIFESTS} && mount -o remount,bind,ro {MANIFESTS}")
    refused(web.module("static_pod", definition=with_env("web", "new")), MANIFESTS, "Read-only", "nothing was changed")
    refused(web.module("static_pod", name="web", state="absent"), MANIFESTS, "Read-only")
    assert web.sandboxes("web") == old


def test_full_disk(node: Node, undo: t.Callable[[str], None]) -> None:
    """The kubelet reads a directory on a disk of its own; the pod there runs on."""
    undo(f"{kubelet_with('')} && umount /mnt")
    node.sh(f"mount -t tmpfs -o size=64k tmpfs /mnt && {kubelet_with('--pod-manifest-path=/mnt')}")
    assert not node.module("static_pod", definition=with_env("web", "old"), settle=0)["failed"]
    fill(node, "/mnt")
    before = node.files("/mnt"), node.sandboxes("web")
    large = "x" * 9000
    for strategy in ("swap", "replace"):
        result = node.module("static_pod", definition=with_env("web", large), strategy=strategy)
        refused(result, "/mnt/web.yaml", "No space left", "nothing was changed")
    refused(node.module("static_pod", definition=with_env("other", large)), "/mnt/other.yaml", "No space left")
    assert (node.files("/mnt"), node.sandboxes("web")) == before
    # These need no space, and are not refused.
    assert not node.module("static_pod", name="web", state="restarted", settle=0)["failed"]
    assert not node.module("static_pod", name="web", state="absent")["failed"]
    node.sh("rm /mnt/.full")
    result = node.module("static_pod", definition=with_env("web", large), settle=0)
    assert not result["failed"] and node.text_in("web") == [large], result
    assert set(node.files("/mnt")) == {"web.yaml"}
    assert not node.module("static_pod", name="web", state="absent")["failed"]


def test_store_cannot_be_written(web: Node, undo: t.Callable[[str], None]) -> None:
    before = web.files(), web.sandboxes("web")
    web.sh("rm -f /var/lib/kubestatic/placed.json")
    undo("umount /var/lib/kubestatic")
    web.sh("mount -t tmpfs -o ro tmpfs /var/lib/kubestatic")
    refused(web.module("static_pod", definition=with_env("web", "new")), "/var/lib/kubestatic")
    assert (web.files(), web.sandboxes("web")) == before


def test_two_runs_at_once(web: Node) -> None:
    slow = with_env("web", "slow", terminationGracePeriodSeconds=1)
    first = web.start("static_pod", definition=slow, settle=12)
    wait_for(web.lock_holder, "the first run holds the directory")
    refused(web.module("static_pod", definition=with_env("web", "second")), MANIFESTS, "another run", "run again")
    assert first.result()["changed"]
    assert "slow" in web.sh(f"cat {MANIFESTS}/web.yaml")


def test_kubelet_stopped_while_waiting(web: Node, undo: t.Callable[[str], None]) -> None:
    undo("systemctl start kubelet")
    run = web.start("static_pod", definition=with_env("web", "new"), settle=120)
    wait_for(lambda: "new" in web.sh(f"cat {MANIFESTS}/web.yaml", check=False), "the new manifest is in force")
    web.sh("systemctl stop kubelet")
    refused(run.result(), "kubelet ended", "in force now: the new manifest")


def test_containerd_stopped_while_waiting(web: Node, undo: t.Callable[[str], None]) -> None:
    undo("systemctl start containerd && until crictl info >/dev/null 2>&1; do sleep 0.2; done")
    run = web.start("static_pod", definition=with_env("web", "new"), settle=120)
    wait_for(lambda: "new" in web.sh(f"cat {MANIFESTS}/web.yaml", check=False), "the new manifest is in force")
    web.sh("systemctl stop containerd")
    refused(run.result(), "container runtime", "in force now: the new manifest")


def test_kubelet_stopped_while_the_old_pod_stops(node: Node, undo: t.Callable[[str], None]) -> None:
    slow = pod("web", terminationGracePeriodSeconds=45, container=stops_slowly(40))
    assert not node.module("static_pod", definition=slow)["failed"]
    undo("systemctl start kubelet")
    run = node.start("static_pod", definition=with_env("web", "new"))
    wait_for(lambda: ".kubestatic.web.yaml.old" in node.files(), "the old manifest is away")
    node.sh("systemctl stop kubelet")
    refused(run.result(), "kubelet ended", "the previous manifest", "is in force again")
    assert set(node.files()) == {"web.yaml"}


def test_containerd_stopped_while_the_old_pod_stops(node: Node, undo: t.Callable[[str], None]) -> None:
    slow = pod("web", terminationGracePeriodSeconds=10, container=stops_slowly(5))
    assert not node.module("static_pod", definition=slow, settle=0)["failed"]
    start = "systemctl start containerd && until crictl info >/dev/null 2>&1; do sleep 0.2; done"
    undo(start)
    run = node.start("static_pod", definition=with_env("web", "new"))
    wait_for(lambda: ".kubestatic.web.yaml.old" in node.files(), "the old manifest is away")
    node.sh("systemctl stop containerd")
    refused(run.result(), "container runtime", "the previous manifest", "is in force again")
    assert set(node.files()) == {"web.yaml"}
    node.sh(start)
    result = node.module("static_pod", definition=with_env("web", "new"), settle=0)
    assert not result["failed"] and node.text_in("web") == ["new"] and len(node.sandboxes("web")) == 1, result


def test_somebody_places_a_manifest_while_the_old_pod_stops(node: Node) -> None:
    slow = pod("web", terminationGracePeriodSeconds=10, container=stops_slowly(5))
    assert not node.module("static_pod", definition=slow, settle=0)["failed"]
    run = node.start("static_pod", definition=with_env("web", "new"))
    wait_for(lambda: ".kubestatic.web.yaml.old" in node.files(), "the old manifest is away")
    node.freeze_run()
    node.place_by_hand("web.yaml", json.dumps(with_env("web", "by hand")))
    node.place_by_hand("other.yaml", json.dumps(with_env("other", "by hand")))
    node.sh(f"kill -CONT {node.lock_holder()}")
    refused(run.result(), "somebody has put another manifest at", "run again")
    assert set(node.files()) == {"web.yaml", "other.yaml"}
    wait_for(lambda: node.text_in("web") == node.text_in("other") == ["by hand"], "both pods of the human")
    result = node.module("static_pod", definition=with_env("web", "new"), settle=0)
    assert not result["failed"] and node.text_in("web") == ["new"] and node.text_in("other") == ["by hand"], result


def test_a_lost_connection_does_no_harm(node: Node) -> None:
    """The module goes on by itself when nothing on this side of the connection is left."""
    slow = pod("web", terminationGracePeriodSeconds=10, container=stops_slowly(5))
    assert not node.module("static_pod", definition=slow, settle=0)["failed"]
    run = node.start("static_pod", definition=with_env("web", "new"), settle=0)
    wait_for(lambda: ".kubestatic.web.yaml.old" in node.files(), "the old manifest is away")
    node.freeze_run()
    run.lose_connection()
    assert ".kubestatic.web.yaml.old" in node.files(), "it is still under way"
    node.sh(f"kill -CONT {node.lock_holder()}")
    wait_for(lambda: not node.lock_holder(), "the module has ended by itself")
    assert set(node.files()) == {"web.yaml"} and node.text_in("web") == ["new"]
    again = node.module("static_pod", definition=with_env("web", "new"), settle=0)
    assert not again["failed"] and not again["changed"], again


def test_crash_loop_that_is_left_for_a_look(web: Node) -> None:
    broken = pod("web", container={"command": ["sh", "-c", "echo no database at db:5432; exit 3"]})
    result = web.module("static_pod", definition=broken, rollback=False)
    refused(
        result, "container main", "exit code 3", "3 times", "no database at db:5432", "in force now: the new manifest"
    )
    assert result["changed"]
    # Broken as it is, it is no change either the next time, and fails again: the next master must not get it.
    again = web.module("static_pod", definition=broken, rollback=False)
    refused(again, "exit code 3")
    assert not again["changed"]


def test_a_command_that_does_not_exist(web: Node) -> None:
    result = web.module("static_pod", definition=pod("web", container={"command": ["/no/such/program"]}))
    refused(result, "container main", "/no/such/program")


def test_a_container_that_ignores_sigterm(web: Node) -> None:
    stubborn = pod(
        "web",
        terminationGracePeriodSeconds=4,
        container={"command": ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"]},
    )
    assert not web.module("static_pod", definition=stubborn)["failed"]
    began = web.now()
    result = web.module("static_pod", definition=with_env("web", "new"))
    assert not result["failed"] and result["changed"]
    assert web.now() - began > 4
    assert len(web.sandboxes("web")) == 1


def test_refusal_at_admission(node: Node) -> None:
    """A nodeSelector that this node does not match: the kubelet refuses for good, and says so in its log from 1.37 on."""
    if "1.37" not in node.sh("kubelet --version"):
        pytest.skip(
            "kubelets before 1.37 do not log a refusal at admission (pkg/kubelet/allocation/allocation_manager.go)"
        )
    result = node.module("static_pod", definition=pod("web", nodeSelector={"no": "such"}))
    refused(result, "refuses it", "Pod admission denied", "in force now: the new manifest")


def test_a_source_that_never_answered(web: Node, undo: t.Callable[[str], None]) -> None:
    """staticPodURL unreachable since the kubelet's start holds back all deletions; the module has a way out."""
    undo(kubelet_with(""))
    web.sh(kubelet_with("--manifest-url=http://127.0.0.1:9/pods"))
    wait_for(lambda: web.sh("curl -fs http://127.0.0.1:10248/healthz", check=False) == "ok", "kubelet healthy")
    old = web.sandboxes("web")
    result = web.module("static_pod", definition=with_env("web", "new"))
    assert not result["failed"], result["msg"]
    assert "held back all deletions" in result["actions"][0]
    new = web.sandboxes("web")
    assert len(new) == 1 and new != old
    result = web.module("static_pod", name="web", state="absent")
    assert not result["failed"], result["msg"]
    assert not web.running("web")
    assert web.files() == {}
    assert web.sh("systemctl is-active kubelet").strip() == "active"


def test_a_pod_of_the_url_source_is_not_ours(node: Node, undo: t.Callable[[str], None]) -> None:
    node.sh("mkdir -p /srv/pods && cat > /srv/pods/web", stdin=json.dumps(pod("web")))
    undo(f"systemctl stop pods-url; rm -rf /srv/pods; {kubelet_with('')}")
    node.sh("systemd-run --unit=pods-url python3 -m http.server --bind 127.0.0.1 --directory /srv/pods 8099")
    node.sh(kubelet_with("--manifest-url=http://127.0.0.1:8099/web"))
    wait_for(lambda: node.running("web"), "the pod from the URL")
    refused(node.module("static_pod", definition=with_env("web", "new")), "staticPodURL http://127.0.0.1:8099/web")
    (seen,) = node.module("static_pod_info")["pods"]
    assert seen["source"] == "http"

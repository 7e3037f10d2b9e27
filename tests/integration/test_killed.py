# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that are killed: the old or the new manifest is in force, or the next run puts one in force.

tests/crash kills at every single side effect; here the real thing is killed at the moments that a user meets.
"""

from __future__ import annotations

import typing as t

import pytest
from conftest import MANIFESTS, Node, kubelet_with, swap_in_the_middle, wait_for, with_env, with_slow_web


@pytest.fixture
def web(node: Node) -> Node:
    return with_slow_web(node)


def test_killed_while_the_old_pod_stops(web: Node) -> None:
    web.kill_run(swap_in_the_middle(web))
    result = web.module("static_pod", definition=with_env("web", "new"))
    assert not result["failed"], result["msg"]
    assert "an earlier run was cut off" in result["actions"][0]
    assert set(web.files()) == {"web.yaml"}
    assert len(web.running("web")) == 1


def test_killed_while_the_old_pod_stops_and_then_another_wish(web: Node) -> None:
    web.kill_run(swap_in_the_middle(web))
    result = web.module("static_pod", name="web", state="absent")
    assert not result["failed"], result["msg"]
    assert web.files() == {} and not web.running("web")


def test_killed_while_it_waits_for_the_proof(web: Node) -> None:
    run = web.start("static_pod", definition=with_env("web", "new"), settle=60)
    wait_for(lambda: "new" in web.sh(f"cat {MANIFESTS}/web.yaml", check=False), "the new manifest is in force")
    web.kill_run(run)
    result = web.module("static_pod", definition=with_env("web", "new"))
    assert not result["failed"] and not result["changed"], result
    assert set(web.files()) == {"web.yaml"}


def test_killed_in_the_way_out_leaves_a_kubelet_that_the_next_run_starts(
    web: Node, undo: t.Callable[[str], None]
) -> None:
    """While a source has not answered the kubelet is stopped for a moment, and here the run is killed in that moment."""
    undo(kubelet_with(""))
    web.sh(kubelet_with("--manifest-url=http://127.0.0.1:9/pods"))
    wait_for(lambda: web.sh("curl -fs http://127.0.0.1:10248/healthz", check=False) == "ok", "kubelet healthy")
    run = web.start("static_pod", definition=with_env("web", "new"))
    wait_for(
        lambda: web.sh("systemctl is-active kubelet", check=False).strip() == "inactive", "the kubelet is held down"
    )
    web.freeze_run()
    look = web.module("static_pod_info")
    assert look["failed"] and "an earlier run" in look["msg"]
    waiting = web.module("static_pod", definition=with_env("web", "other"))
    assert waiting["failed"] and "another run" in waiting["msg"]
    assert web.sh("systemctl is-active kubelet", check=False).strip() == "inactive", "neither of them has started it"
    web.kill_run(run)
    result = web.module("static_pod", definition=with_env("web", "new"))
    assert not result["failed"], result["msg"]
    assert result["actions"][0].startswith("started the kubelet")
    assert web.sh("systemctl is-active kubelet").strip() == "active"
    assert set(web.files()) == {"web.yaml"} and len(web.running("web")) == 1

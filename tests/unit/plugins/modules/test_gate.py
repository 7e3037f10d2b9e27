# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When static_pods asks the gate, and what is left as it was where it does not open."""

from __future__ import annotations

import os
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _gate
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.modules import static_pods
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.world import Image, World, call, manifest

ME = {"owner": str(os.geteuid()), "group": str(os.getegid())}
OTHERS = ["https://192.0.2.12:6443"]
OLD: dict[str, t.Any] = {"content": manifest(image="good:1")}
NEW: dict[str, t.Any] = {"content": manifest(image="good:2")}
COMMENT: dict[str, t.Any] = {"content": "# better\n" + manifest(image="good:1")}
OTHER: dict[str, t.Any] = {"content": manifest("other")}
GONE: dict[str, t.Any] = {"name": "web", "state": "absent"}
RESTARTED: dict[str, t.Any] = {"name": "web", "state": "restarted"}


class Gate:
    """What the gate was asked with; ``refusal`` is why it does not open."""

    def __init__(self) -> None:
        self.asked: list[t.Mapping[str, t.Any]] = []
        self.refusal = ""
        self.look: t.Callable[[], None] = lambda: None
        self.warnings: list[str] = []

    def require(self, gate: t.Mapping[str, t.Any], *, warn: t.Callable[[str], None]) -> None:
        self.asked.append(gate)
        self.look()
        if self.refusal:
            raise KubestaticError(self.refusal)
        warn("a single master")


@pytest.fixture(name="gate")
def _gate_fixture(monkeypatch: pytest.MonkeyPatch) -> Gate:
    gate = Gate()
    monkeypatch.setattr(_gate, "require", gate.require)
    # Ansible keeps them for the whole process.
    monkeypatch.setattr(
        "ansible.module_utils.basic.AnsibleModule.warn", lambda _module, text: gate.warnings.append(text)
    )
    return gate


def many(world: World, *pods: dict[str, t.Any], **arguments: t.Any) -> dict[str, t.Any]:
    return call(world, static_pods.main, **{"settle": 0, "wait_timeout": 60, **ME, **arguments}, pods=list(pods))


def asking(world: World, *pods: dict[str, t.Any], **arguments: t.Any) -> dict[str, t.Any]:
    return many(world, *pods, gate={"api_servers": OTHERS}, **arguments)


@pytest.mark.parametrize(
    ("pods", "arguments", "asked"),
    [
        ([OLD], {}, False),
        ([COMMENT], {}, False),
        ([OLD, OTHER], {}, False),
        ([{**OLD, "mode": "0640"}], {}, False),
        ([NEW], {"check": True}, False),
        ([NEW], {}, True),
        ([{**NEW, "strategy": "replace"}], {}, True),
        ([NEW], {"wait": False}, True),
        ([RESTARTED], {}, True),
        ([GONE], {}, True),
        ([OTHER], {"prune": "all"}, True),
        # Once, however many pods there are.
        ([NEW, OTHER], {}, True),
    ],
)
def test_it_is_asked_before_a_pod_is_disturbed(
    world: World, gate: Gate, pods: list[dict[str, t.Any]], arguments: dict[str, t.Any], asked: bool
) -> None:
    many(world, OLD)
    found = asking(world, *pods, **arguments)
    assert not found.get("failed"), found
    wanted = {"etcd_endpoints": [], "api_servers": OTHERS, "own_api_server": "", "timeout": 120}
    assert gate.asked == ([wanted] if asked else [])
    assert gate.warnings == (["a single master"] if asked else [])


def test_it_is_not_asked_unless_it_is_given(world: World, gate: Gate) -> None:
    many(world, OLD)
    many(world, NEW)
    assert gate.asked == []


def test_nothing_is_touched_where_it_does_not_open(world: World, gate: Gate) -> None:
    many(world, OLD, OTHER)
    world.images["new:1"] = Image(present=False)
    new = {"content": manifest(image="new:1")}
    files = {entry.name: entry.inode() for entry in os.scandir(world.manifests)}
    boxes = [box.id for box in world.boxes]
    seen: list[bool] = []
    gate.look = lambda: seen.append(world.images["new:1"].present)
    gate.refusal = "etcd: 3 voting members, quorum 2; healthy without node1: 1"
    found = asking(world, new, OTHER, {"content": manifest("third")})
    assert found["failed"] and found["msg"].startswith(f"{gate.refusal}; before that, "), found
    assert {entry.name: entry.inode() for entry in os.scandir(world.manifests)} == files
    assert [box.id for box in world.boxes] == boxes
    # The images are there by then, so that what was seen is still true when the pod goes.
    assert seen == [True]
    gate.refusal = ""
    assert asking(world, new)["changed"]

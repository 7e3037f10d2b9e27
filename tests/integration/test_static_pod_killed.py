# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""static_pod killed by SIGKILL on a real node at the worst side effect of each kind of change: the next run makes up for it.

tests/crash kills at every single one, with a kubelet in memory. The kinds are dealt out to the three nodes.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import typing as t

import pytest
import sabotaged
from conftest import MANIFESTS, Node, with_env

STORE = "/var/lib/kubestatic"


@dataclasses.dataclass(frozen=True)
class Kill:
    """A change of the pod `web`, whose variable says `old`, and what is there after a kill just before a side effect.

    ``left`` are the files in the manifest directory and ``down`` whether the old pod is gone with nothing in its place.
    The same call once more ends with a pod that says ``runs``, None for no pod; ``told`` are words of its first action, or
    of its message where it ends with an error.
    """

    change: dict[str, t.Any]
    before: str
    left: set[str]
    down: bool
    runs: str | None
    told: str = ""
    at: int = 0
    fails: bool = False


def kills() -> dict[str, Kill]:
    new = with_env("web", "new")
    never = with_env("web", "never")
    never["spec"]["containers"][0]["readinessProbe"] = {"tcpSocket": {"port": 81}}
    cut_off = "manifest in force, an earlier run was cut off"
    return {
        "swap": Kill(
            {"definition": new},
            before="rename .kubestatic.web.yaml.new web.yaml",
            left={".kubestatic.web.yaml.old", ".kubestatic.web.yaml.new"},
            down=True,
            runs="new",
            told=f"put the new {cut_off}",
        ),
        "replace": Kill(
            {"definition": new, "strategy": "replace"},
            before="unlink .kubestatic.web.yaml.new",
            left={"web.yaml"},
            down=False,
            runs="new",
        ),
        "remove": Kill(
            {"name": "web", "state": "absent"},
            # The first one is that of the check whether the directory can be written.
            before="fsync kubelet.d",
            at=1,
            left={".kubestatic.web.yaml.removed"},
            down=False,
            runs=None,
        ),
        "restart": Kill(
            {"name": "web", "state": "restarted"},
            before="rename .kubestatic.web.yaml.old web.yaml",
            left={".kubestatic.web.yaml.old"},
            down=True,
            runs="old",
            told=f"put the previous {cut_off}",
        ),
        "rollback": Kill(
            # Longer than a kubelet waits before it starts a pod again that was started a moment before, as the old one may be:
            # twice by the next run, with the new one in between.
            {"definition": never, "wait_timeout": 12},
            before="rename .kubestatic.web.yaml.new web.yaml",
            at=1,
            left={".kubestatic.web.yaml.old", ".kubestatic.web.yaml.new"},
            down=True,
            runs="old",
            told="is in force again and its pod runs",
            fails=True,
        ),
    }


@pytest.fixture
def masters(nodes: list[Node]) -> t.Iterator[list[Node]]:
    with contextlib.ExitStack() as stack:
        for node in nodes:
            stack.callback(node.clean)
            sabotaged.install(node)
        yield nodes


def test_killed_at_the_worst_moment(masters: list[Node]) -> None:
    first, second, third = masters
    found = kills()
    shares = {first: ("swap", "remove"), second: ("replace", "restart"), third: ("rollback",)}
    with concurrent.futures.ThreadPoolExecutor(len(shares)) as pool:
        runs = [
            pool.submit(one_after_the_other, node, {name: found[name] for name in names})
            for node, names in shares.items()
        ]
        for run in runs:
            run.result()


def one_after_the_other(node: Node, found: dict[str, Kill]) -> None:
    for name, kill in found.items():
        killed(node, name, kill)


def killed(node: Node, name: str, kill: Kill) -> None:
    # What earlier tests had under this name would be a way back, too.
    node.sh(f"rm -rf {STORE}/revisions")
    result = node.module("static_pod", definition=with_env("web", "old"), settle=0)
    assert not result["failed"] and node.text_in("web") == ["old"], f"{name}: {result}"
    change = {**kill.change, "settle": 0}
    struck = sabotaged.run(node, "static_pod", at=kill.at, only=kill.before, directories=[MANIFESTS], **change)
    assert struck == kill.before, f"{name}: the saboteur met {struck or 'nothing'}"
    assert set(node.files()) == kill.left, name
    assert not kill.down or not node.running("web"), name
    result = node.module("static_pod", **change)
    assert result["failed"] is kill.fails, f"{name}: {result}"
    told = [result["msg"]] if kill.fails else result["actions"]
    assert any(kill.told in text for text in told[:1]) or not kill.told, f"{name}: {result}"
    assert set(node.files()) == ({"web.yaml"} if kill.runs else set()), f"{name}: {result}"
    assert node.text_in("web") == ([kill.runs] if kill.runs else []), f"{name}: {result}"
    assert len(node.sandboxes("web")) == bool(kill.runs), f"{name}: {result}"

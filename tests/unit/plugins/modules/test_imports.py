# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a call with nothing to do imports. Ansible sends modules as source, so a node compiles each room at every call."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import time
import typing as t

import yaml
from ansible_collections.kubestatic.node.plugins.module_utils import _command, _kubelet_process
from ansible_collections.kubestatic.node.plugins.modules import static_pod
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.kubelet_world import KubeletWorld
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.simulation import swapped
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.world import World, call, manifest

if t.TYPE_CHECKING:
    from ansible_collections.kubestatic.node.tests.unit.plugins.modules.replay import Call

ME = {"owner": str(os.geteuid()), "group": str(os.getegid())}

# The rooms that such a call has a use for. What edits, carries out, undoes or explains is imported once it is due.
KUBELET_CONFIG_NEEDS = {
    *(
        "_command",
        "_directory",
        "_environment_file",
        "_errors",
        "_flags_data",
        "_kubelet_config_call",
        "_kubelet_flags",
    ),
    *("_kubelet_identity", "_kubelet_layers", "_kubelet_look", "_kubelet_options", "_kubelet_plan", "_kubelet_process"),
    *(
        "_kubelet_service",
        "_kubelet_settings",
        "_kubelet_setup",
        "_kubelet_shown",
        "_kubelet_start",
        "_kubelet_unit",
        "_kubelet_wish",
    ),
    *("_module", "_node_files", "_schema", "_schema_data", "_schema_values", "_store"),
    *("_yaml", "_yaml_builder", "_yaml_places", "_yaml_scalars"),
}
STATIC_POD_NEEDS = {
    *("_arrival", "_command", "_directory", "_errors", "_known_runs", "_kubelet_process", "_kubelet_settings"),
    *("_manifest", "_manifest_dir", "_module", "_node", "_plan", "_pod_options", "_proof", "_proving", "_results"),
    *("_revisions", "_rollout", "_runtime", "_static_pods", "_store", "_watch"),
    *("_yaml", "_yaml_builder", "_yaml_scalars"),
}


@contextlib.contextmanager
def recorded() -> t.Iterator[dict[str, tuple[int, str, str]]]:
    """Command -> its answer, for all commands that are run within."""
    answers: dict[str, tuple[int, str, str]] = {}
    run = _command.run

    def record(words: t.Sequence[str]) -> tuple[int, str, str]:
        return answers.setdefault(" ".join(words), run(words))

    with swapped([(_command, "run", record)]):
        yield answers


def imported(again: Call, expected: dict[str, t.Any]) -> set[str]:
    """The rooms that the call imports in a process of its own, where it must end as it did here."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    replay = pathlib.Path(__file__).with_name("replay.py")
    done = subprocess.run(
        [sys.executable, str(replay)],
        check=True,
        input=json.dumps(again),
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    result, rooms = map(json.loads, done.stdout.splitlines())
    assert result["changed"] is False
    assert {key: value for key, value in result.items() if key != "invocation"} == {
        key: value for key, value in expected.items() if key != "invocation"
    }
    return set(rooms)


def test_kubelet_config_with_nothing_to_do(tmp_path: pathlib.Path) -> None:
    arguments = {"settings": {"maxPods": 90}, "settle": 0}
    with KubeletWorld(tmp_path).installed() as node:
        assert node.call(**arguments)["changed"]
        with recorded() as answers:
            result = node.call(**arguments)
        pid = node.pid()
        again: Call = {
            "module": "kubelet_config",
            "arguments": arguments,
            "store": node.store_path,
            "answers": answers,
            "values": [
                ("_kubelet_process", "process_identity", _kubelet_process.process_identity(pid)),
                ("_kubelet_process", "command_line", _kubelet_process.command_line(pid)),
                ("_kubelet_process", "is_same_program", True),
                ("_kubelet_service", "healthz", ""),
            ],
        }
        assert imported(again, result) - KUBELET_CONFIG_NEEDS == set()


def test_static_pod_with_nothing_to_do(world: World) -> None:
    # A pod that has run for a while by the clock of the other process.
    world.now = time.time() - 60
    rooms = {}
    for option, value in (("content", manifest()), ("definition", yaml.safe_load(manifest()))):
        arguments = {option: value, "settle": 0, **ME}
        call(world, static_pod.main, **arguments)
        with recorded() as answers:
            result = call(world, static_pod.main, **arguments)
        again: Call = {
            "module": "static_pod",
            "arguments": arguments,
            "store": world.store_path,
            "answers": answers,
            "values": [("_runtime", "find_crictl", world.crictl)],
        }
        rooms[option] = imported(again, result)
    assert rooms["content"] - STATIC_POD_NEEDS == set()
    # A mapping becomes the text that is compared.
    assert rooms["definition"] - STATIC_POD_NEEDS == {"_yaml_dump"}

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs real playbooks over three nodes that are directories of this machine."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import textwrap
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.plugin_utils import _action

COLLECTION = pathlib.Path(_action.__file__).parents[2]
HOSTS = ("master1", "master2", "master3")


@dataclasses.dataclass(frozen=True)
class Run:
    """What one ansible-playbook did: its exit code and text, and the results by host in the order of the tasks."""

    rc: int
    text: str
    results: dict[str, list[dict[str, t.Any]]]

    def one(self, host: str) -> dict[str, t.Any]:
        assert len(self.results[host]) == 1, self.text
        return self.results[host][0]


@dataclasses.dataclass(frozen=True)
class Project:
    """A directory with playbooks, beside an installed copy of the collection with the recorder as its modules."""

    path: pathlib.Path

    def write(self, name: str, text: str | bytes) -> pathlib.Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else textwrap.dedent(text).encode())
        return path

    def node(self, host: str) -> pathlib.Path:
        return self.path / "nodes" / host

    def calls(self, host: str) -> list[dict[str, t.Any]]:
        """Return the arguments of each module call that reached the node."""
        path = self.node(host) / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def play(self, text: str, *args: str, **env: str) -> Run:
        self.write("site.yml", text)
        return self.run("ansible.cli.playbook", "site.yml", *args, **env)

    def run(self, program: str, *args: str, **env: str) -> Run:
        """Run the command line program that is the Python module ``program``, with the project's inventory."""
        log = self.path / "results"
        log.unlink(missing_ok=True)
        done = subprocess.run(
            [sys.executable, "-m", program, *args],
            cwd=self.path,
            env=self._environment(log) | env,
            text=True,
            timeout=120,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        results: dict[str, list[dict[str, t.Any]]] = {host: [] for host in HOSTS}
        for line in log.read_text().splitlines() if log.exists() else ():
            host, result = json.loads(line)
            results[host].append(result)
        return Run(rc=done.returncode, text=done.stdout, results=results)

    def _environment(self, log: pathlib.Path) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        return kept | {
            "ANSIBLE_COLLECTIONS_PATH": str(self.path),
            "ANSIBLE_CALLBACK_PLUGINS": str(self.path / "callbacks"),
            "ANSIBLE_CALLBACKS_ENABLED": "results_log",
            "ANSIBLE_INVENTORY": str(self.path / "inventory.yml"),
            "ANSIBLE_LOCAL_TEMP": str(self.path / "tmp"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_PIPELINING": "1",
            "RESULTS_LOG": str(log),
        }


@pytest.fixture
def project(tmp_path: pathlib.Path) -> Project:
    installed = tmp_path / "ansible_collections" / "kubestatic" / "node"
    modules = installed / "plugins" / "modules"
    modules.mkdir(parents=True)
    here = pathlib.Path(__file__).parent
    for name in ("action", "plugin_utils", "module_utils"):
        (installed / "plugins" / name).symlink_to(COLLECTION / "plugins" / name)
    (installed / "playbooks").symlink_to(COLLECTION / "playbooks")
    (installed / "roles").mkdir()
    for name in ("static_pods", "control_plane"):
        (installed / "roles" / name).symlink_to(COLLECTION / "roles" / name)
    # There is no kubelet here that the playbook's other role could configure.
    (installed / "roles" / "kubelet" / "tasks").mkdir(parents=True)
    (installed / "roles" / "kubelet" / "tasks" / "main.yml").write_text("[]\n")
    for name in ("static_pod", "static_pods"):
        (modules / f"{name}.py").write_bytes((here / "recorder.py").read_bytes())
    # The last two are named by a role alone, and would refuse what it gives them.
    for name in ("node_files", "control_plane_info", "kubelet_config", "etcd_member"):
        (modules / f"{name}.py").write_bytes((here / "file_recorder.py").read_bytes())
    for name in ("control_plane_certificates", "control_plane_preflight"):
        (modules / f"{name}.py").symlink_to(COLLECTION / "plugins" / "modules" / f"{name}.py")
    (modules / "api_objects.py").write_bytes((here / "object_recorder.py").read_bytes())
    made = Project(path=tmp_path)
    made.write("callbacks/results_log.py", (here / "results_log.py").read_bytes())
    for host in HOSTS:
        made.node(host).mkdir(parents=True)
    made.write(
        "inventory.yml",
        json.dumps(
            {
                "masters": {
                    "hosts": {host: {"number": int(host[-1])} for host in HOSTS},
                    "vars": {
                        "ansible_connection": "local",
                        "ansible_python_interpreter": sys.executable,
                        "node_dir": str(tmp_path / "nodes" / "{{ inventory_hostname }}"),
                    },
                }
            }
        ),
    )
    return made

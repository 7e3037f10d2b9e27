# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module control_plane_preflight, all of which runs on the controller: it judges what all masters have told."""

from __future__ import annotations

import typing as t

from ansible import context
from ansible.plugins.action import ActionBase
from ansible_collections.kubestatic.node.plugins.plugin_utils import _certificate_files, _masters, _preflight
from ansible_collections.kubestatic.node.plugins.plugin_utils._masters import Master, Terms

Result = dict[str, t.Any]

_OF_A_MASTER: dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "address": {"type": "str", "required": True},
    "sans": {"type": "list", "elements": "str", "default": []},
}
ARGUMENT_SPEC: dict[str, t.Any] = {
    "masters": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {**_OF_A_MASTER, "host": {"type": "str"}, "info": {"type": "dict"}},
    },
    "own": {"type": "dict", "options": {**_OF_A_MASTER, "host": {"type": "str", "required": True}}},
    "kubernetes_version": {"type": "str", "required": True},
    "etcd_data_dir": {"type": "path", "default": "/var/lib/etcd"},
    "encryption": {"type": "str", "choices": ["none", "readable", "written", "unmanaged"], "default": "written"},
    "kubelet_settings": {"type": "dict", "default": {}},
    "peer_port": {"type": "int", "default": 2380},
    "api_server_port": {"type": "int", "default": 6443},
    "flags": {"type": "dict", "default": {}},
    "images": {"type": "dict", "default": {}},
    "certificates_directory": {"type": "path"},
    "missing": {"type": "list", "elements": "str"},
    "forks": {"type": "int"},
}

_EMPTY: Result = {
    "changed": False,
    "phase": {},
    "initial_cluster": {},
    "initial_cluster_state": {},
    "first_run": False,
    "running": False,
    "etcd_endpoints": [],
    "cluster_dns": "",
    "actions": [],
}


class ActionModule(ActionBase):
    """Decides, and touches nothing."""

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> Result:
        """Return what is to be done on each master, or fail with all that stands in the way."""
        super().run(tmp, task_vars)
        _validated, params = self.validate_argument_spec(ARGUMENT_SPEC)
        masters, problems = _masters.masters(params["masters"])
        problems += _masters.unseen(params["masters"], params["own"]) if params["own"] else []
        problems += self._strangers(params, masters, task_vars or {})
        verdict = _preflight.judge(masters, self._terms(params, masters, task_vars or {}))
        problems += verdict.problems
        if problems:
            return {**_EMPTY, "failed": True, "msg": _told(problems), "warnings": verdict.warnings}
        clusters = {name: both or (None, None) for name, both in verdict.initial_cluster.items()}
        return {
            "changed": False,
            "phase": verdict.phases,
            "initial_cluster": {name: cluster for name, (cluster, _state) in clusters.items()},
            "initial_cluster_state": {name: state for name, (_cluster, state) in clusters.items()},
            "first_run": verdict.is_first,
            "running": verdict.is_running,
            "etcd_endpoints": verdict.endpoints,
            "cluster_dns": verdict.cluster_dns,
            "actions": verdict.actions,
            "warnings": verdict.warnings,
        }

    def _strangers(self, params: dict[str, t.Any], masters: list[Master], variables: dict[str, t.Any]) -> list[str]:
        """Hosts of the play that are no masters; with `missing` the play is another one."""
        if params["missing"] is not None or not masters:
            return []
        hosts = {master.host for master in masters}
        return [
            f"{host}: is in this play and not among the masters; have a play for the group of the masters (control_plane_group) alone"
            for host in variables.get("ansible_play_batch", [])
            if host not in hosts
        ]

    def _terms(self, params: dict[str, t.Any], masters: list[Master], variables: dict[str, t.Any]) -> Terms:
        missing = params["missing"]
        if missing is None:
            batch = variables.get("ansible_play_batch", [])
            missing = [master.host for master in masters if master.host not in batch]
        directory = params["certificates_directory"]
        certificates = self._loader.path_dwim(directory) if directory else ""
        return Terms(
            kubernetes_version=params["kubernetes_version"],
            etcd_data_dir=params["etcd_data_dir"],
            encryption=params["encryption"],
            forks=params["forks"] or context.CLIARGS["forks"],
            missing=frozenset(missing),
            kubelet_settings=params["kubelet_settings"],
            peer_port=params["peer_port"],
            api_server_port=params["api_server_port"],
            flags=params["flags"],
            images=params["images"],
            certificates=certificates,
            certified=_certificate_files.masters(certificates) if certificates else frozenset(),
        )


def _told(problems: list[str]) -> str:
    if len(problems) == 1:
        return f"nothing was touched on any master: {problems[0]}"
    lines = [f"{number}. {problem}" for number, problem in enumerate(problems, start=1)]
    return "\n".join([f"nothing was touched on any master, for {len(problems)} reasons:", *lines])

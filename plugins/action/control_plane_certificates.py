# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module control_plane_certificates, all of which runs on the controller.

As a module it would need a Python with cryptography to be found, perhaps root's through ``become``, and could read no
vaulted file. Ansible itself always has all three.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import typing as t

from ansible import constants as C
from ansible.plugins.action import ActionBase
from ansible_collections.kubestatic.node.plugins.module_utils import _directory
from ansible_collections.kubestatic.node.plugins.module_utils._control_plane_files import (
    OF_ONE_MASTER,
    SHARED,
)
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.plugin_utils import (
    _certificate_files,
    _certificate_plan,
    _certificate_result,
    _control_plane,
    _pki,
)
from ansible_collections.kubestatic.node.plugins.plugin_utils._certificate_files import exposed
from ansible_collections.kubestatic.node.plugins.plugin_utils._certificate_plan import Desk
from ansible_collections.kubestatic.node.plugins.plugin_utils._control_plane import ControlPlane
from ansible_collections.kubestatic.node.plugins.plugin_utils._shared_keys import Place, Step, Terms

Result = dict[str, t.Any]

ARGUMENT_SPEC: dict[str, t.Any] = {
    "directory": {"type": "path", "required": True},
    "masters": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "address": {"type": "str", "required": True},
            "sans": {"type": "list", "elements": "str", "default": []},
            "held": {"type": "path"},
            "new": {"type": "bool", "default": False},
        },
    },
    "first_run": {"type": "bool"},
    "control_plane_endpoint": {"type": "str", "default": ""},
    "api_server_port": {"type": "int", "default": 6443},
    "api_server_sans": {"type": "list", "elements": "str", "default": []},
    "service_subnet": {"type": "str", "default": "10.96.0.0/12"},
    "dns_domain": {"type": "str", "default": "cluster.local"},
    "key_algorithm": {"type": "str", "choices": [_pki.RSA_2048, _pki.ECDSA_P256], "default": _pki.RSA_2048},
    "validity": {"type": "int", "default": 365},
    "ca_validity": {"type": "int", "default": 3650},
    "renew_before": {"type": "int", "default": 90},
}

# A hundred years: far beyond them, dates end.
_DAYS = range(1, 36501)
_EMPTY: Result = {"changed": False, "files": {}, "certificates": [], "actions": []}


class ActionModule(ActionBase):
    """Reads the directory and what the masters hold, decides, writes."""

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> Result:
        """Return the result of one call."""
        super().run(tmp, task_vars)
        _validated, params = self.validate_argument_spec(ARGUMENT_SPEC)
        try:
            return self._outcome(params)
        except KubestaticError as error:
            return {**_EMPTY, "failed": True, "msg": str(error)}

    def _outcome(self, params: dict[str, t.Any]) -> Result:
        _pki.require_library()
        plane = _control_plane.control_plane(params)
        directory = self._loader.path_dwim(params["directory"])
        if os.path.lexists(directory) and not os.path.isdir(directory):
            raise KubestaticError(f"directory: {directory} is a file; name a directory")
        check_mode = self._task.check_mode
        with contextlib.nullcontext() if check_mode else _directory.held(directory, what="certificates"):
            own = _certificate_files.place(self._loader, directory, SHARED)
            desks = [self._desk(directory, plane, master) for master in plane.masters]
            places = [own, *(desk.own for desk in desks)]
            plan = _certificate_plan.plan(own, desks, _terms(params, plane))
            planned = {path for step in plan.steps for path in step.files}
            steps = [*plan.steps, *(one for place in places for one in exposed(place, planned=planned))]
            copies = self._written(steps, places)
        for warning in plan.warnings:
            self._display.warning(warning)
        return {
            "changed": bool(steps),
            "files": {
                master.name: _certificate_result.node_files(own, desk.own, copies=copies, written=planned)
                for master, desk in zip(plane.masters, desks, strict=True)
            },
            "certificates": _certificate_result.certificates(plan.certificates),
            "actions": _certificate_result.actions(steps, directory=directory, check_mode=check_mode),
            **({"diff": _certificate_result.diff(steps, places)} if self._task.diff else {}),
        }

    def _written(self, steps: list[Step], places: list[Place]) -> dict[str, str]:
        """Write what is planned. In check mode that goes elsewhere; returns path -> path of the copy."""
        if self._task.check_mode:
            # node_files in check mode compares what would be made with what is on the node.
            return _certificate_files.write_copies(os.path.join(C.DEFAULT_LOCAL_TMP, "kubestatic-made"), steps)
        _certificate_files.discard(place.where(name) for place in places for name in (*SHARED, *OF_ONE_MASTER))
        _certificate_files.write(self._loader, steps)
        return {}

    def _desk(self, directory: str, plane: ControlPlane, master: _control_plane.Master) -> Desk:
        where = _certificate_files.master_directory(directory, master.name)
        own = _certificate_files.place(self._loader, where, OF_ONE_MASTER)
        held = None
        if master.held:
            held = _certificate_files.held_place(
                self._loader, master.held, (*SHARED, *OF_ONE_MASTER), master=master.name
            )
        return Desk(own, held, _control_plane.leaves(plane, master))


def _terms(params: dict[str, t.Any], plane: ControlPlane) -> Terms:
    for option in ("validity", "ca_validity"):
        if params[option] not in _DAYS:
            raise KubestaticError(
                f"{option}: {params[option]} is no number of days; give at least 1 and at most {_DAYS[-1]}"
            )
    if not 0 <= params["renew_before"] < params["validity"]:
        raise KubestaticError(
            f"renew_before: {params['renew_before']} days are not between 0 and the {params['validity']} of validity, so each"
            " run would renew everything; give fewer"
        )
    return Terms(
        now=datetime.datetime.now(datetime.UTC).replace(microsecond=0),
        algorithm=params["key_algorithm"],
        days=params["validity"],
        authority_days=params["ca_validity"],
        renew_before=datetime.timedelta(days=params["renew_before"]),
        unknown=[master.name for master in plane.masters if not master.held and not master.is_new],
        first_run=params["first_run"],
    )

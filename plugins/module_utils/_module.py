# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""What every module of this collection does around its own work."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule
    from ansible_collections.kubestatic.node.plugins.module_utils._store import Store

# Interpreters for which distributions package PyYAML.
_INTERPRETERS = ("/usr/bin/python3", "/usr/libexec/platform-python", "/usr/bin/python")


def finish(
    module: AnsibleModule, work: t.Callable[[], dict[str, t.Any]], *, empty: t.Mapping[str, t.Any]
) -> t.NoReturn:
    """Run `work` and exit with its result; a KubestaticError becomes `fail_json` with the `empty` result's keys."""
    _require_yaml(module)
    try:
        result = work()
    except KubestaticError as exc:
        done: dict[str, t.Any] = {"changed": True, "actions": exc.actions} if exc.actions else {}
        module.fail_json(**{**empty, **done, "msg": str(exc)})
    if result.get("failed"):
        module.fail_json(**result)
    module.exit_json(**result)
    raise AssertionError("exit_json does not return")


@contextlib.contextmanager
def raising(module: AnsibleModule) -> t.Iterator[None]:
    """Within, what Ansible's own file functions fail with is a KubestaticError: they would end the process at once."""

    def fail_json(msg: str, **_details: t.Any) -> t.NoReturn:
        raise KubestaticError(msg)

    vars(module)["fail_json"] = fail_json
    try:
        yield
    finally:
        del vars(module)["fail_json"]


def context_setter(module: AnsibleModule) -> t.Callable[[str, str], None]:
    """`set_context(path, final_path)`: a file gets the SELinux context of where it goes. Raises KubestaticError."""

    def set_context(path: str, final_path: str) -> None:
        if module.selinux_enabled():
            with raising(module):
                module.set_context_if_different(path, module.selinux_default_context(final_path), False)

    return set_context


def recovered(module: AnsibleModule, store: Store, what: str) -> list[str]:
    """What was done without a run since the last one, in sentences. `what` is PODS or KUBELET of _store."""
    if not store.recovered:
        return []
    from ansible_collections.kubestatic.node.plugins.module_utils import _open_changes

    return _open_changes.take_told(store, what, forget=not module.check_mode)


def require_root() -> None:
    """Raise KubestaticError for everybody else: manifests, keys, the runtime's socket and the kubelet's process are root's."""
    if os.geteuid() != 0:
        raise KubestaticError(
            "static pods, kubelets and keys are root's business and this task runs as another user; set become: true"
        )


def _require_yaml(module: AnsibleModule) -> None:
    """Ansible may have picked a Python without PyYAML where the node has another one with it."""
    if importlib.util.find_spec("yaml"):
        return
    from ansible.module_utils.common.respawn import has_respawned, probe_interpreters_for_module, respawn_module

    interpreter = None if has_respawned() else probe_interpreters_for_module(list(_INTERPRETERS), "yaml")
    if interpreter:
        respawn_module(interpreter)
    module.fail_json(
        msg="PyYAML is not on this node for any Python that Ansible may use; install it (package python3-yaml, or"
        " python3-pyyaml on RPM systems)"
    )

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""The module kubelet_config: its parameters in, its result out, and no secret in it."""

from __future__ import annotations

import contextlib
import os
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import (
    _command,
    _directory,
    _kubelet_identity,
    _kubelet_layers,
    _kubelet_look,
    _kubelet_options,
    _kubelet_plan,
    _kubelet_shown,
    _module,
)
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_layers import Layers
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_look import Look
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_plan import Done, Failed, Order, Plan
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_wish import Wish
from ansible_collections.kubestatic.node.plugins.module_utils._node_files import Tree
from ansible_collections.kubestatic.node.plugins.module_utils._store import KUBELET, Store

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule
    from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_change import Journal

EMPTY: dict[str, t.Any] = {
    "changed": False,
    "effective": {},
    "restarted": False,
    "restart_reason": "",
    "journal": [],
    "actions": [],
    "due": False,
}


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Carry out one call. Raises KubestaticError for what is refused before anything is touched."""
    _module.require_root()
    wish = _kubelet_options.wish(module.params)
    disturb = module.params["disturb"]
    order = Order(**{option: module.params[option] for option in Order._fields})
    store = Store(remember=not module.check_mode)
    with (
        contextlib.nullcontext()
        if module.check_mode
        else _directory.held(store.path, what="the kubelet's configuration")
    ):
        # A change on which the kubelet was not proven, nor on what was there before it.
        unproven = bool(store.kubelet_change)
        if unproven and not disturb:
            return {**EMPTY, "due": True}
        healed = _heal(module, store=store, timeout=order.wait_timeout) if unproven else []
        tree = _journal(module, store).undone(Tree()) if unproven and module.check_mode else Tree()
        try:
            look = _look(module, store=store, tree=tree)
            if unproven and look.kubelet is None and order.move_manifests and not module.check_mode:
                from ansible_collections.kubestatic.node.plugins.module_utils import _kubelet_config

                # Pods move only from a kubelet that stops them.
                healed.append(_kubelet_config.start_anew(look, order))
                look = _look(module, store=store, tree=tree)
            for warning in _kubelet_options.require_known(wish, minor=look.minor):
                module.warn(warning)
            plan = _kubelet_plan.plan(look, wish, order, unproven=unproven)
            _require_url(look, plan)
        except KubestaticError as exc:
            raise KubestaticError(str(exc), actions=healed) from None
        if not (disturb or plan.is_empty):
            return {**EMPTY, "restart_reason": plan.reason, "due": True}
        shown = {"effective": _effective(plan.new.layers, wish), "journal": [], "due": False, **_diff(module, plan)}
        try:
            done = _done(module, look, plan, order, unproven=unproven)
        except Failed as exc:
            return {
                **shown,
                "failed": True,
                "msg": str(exc),
                "changed": bool(healed or exc.actions),
                "effective": _effective(look.setup.layers if order.rollback else plan.new.layers, wish),
                "restarted": exc.restarted,
                "restart_reason": exc.reason,
                "journal": exc.journal,
                "actions": healed + exc.actions,
            }
        except KubestaticError as exc:
            raise KubestaticError(str(exc), actions=healed + exc.actions) from None
    return {
        **shown,
        "changed": done.changed or bool(healed),
        "restarted": done.restarted,
        "restart_reason": done.reason,
        "actions": _module.recovered(module, store, KUBELET) + healed + done.actions,
    }


def _done(module: AnsibleModule, look: Look, plan: Plan, order: Order, *, unproven: bool) -> Done:
    """Do what is planned; in check mode only say it. Raises Failed."""
    if module.check_mode:
        return _kubelet_plan.foretell(plan)
    _kubelet_plan.note_start(look)
    if plan.is_empty and not unproven:
        return Done(False, [], False, plan.reason)
    from ansible_collections.kubestatic.node.plugins.module_utils import _kubelet_config, _recover_kubelet

    recovery = _recover_kubelet.unit(look.store, kubelet=look.service.unit)
    if plan.is_noted:
        warning = recovery.arm(set_context=_module.context_setter(module))
        if warning:
            module.warn(warning)
    try:
        return _kubelet_config.carry_out(look, plan, order, journal=_journal(module, look.store))
    finally:
        if plan.is_noted or unproven:
            recovery.rearm()


def _look(module: AnsibleModule, *, store: Store, tree: Tree) -> Look:
    search_path = os.environ.get("PATH", "")
    return _kubelet_look.look(_command.run, store=store, unit=module.params["unit"], search_path=search_path, tree=tree)


def _journal(module: AnsibleModule, store: Store) -> Journal:
    from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_change import Journal

    return Journal(store, set_context=_module.context_setter(module))


def _heal(module: AnsibleModule, *, store: Store, timeout: int) -> list[str]:
    """Undo what a run that was cut off has left. Returns sentences."""
    journal = _journal(module, store)
    why = "an earlier run was cut off before the kubelet was proven on it"
    if module.check_mode:
        return [f"would put the kubelet's old configuration back: {why}"] if journal.has_changed_files else []
    return [f"{sentence}: {why}" for sentence in journal.undo(timeout=timeout).told]


def _require_url(look: Look, plan: Plan) -> None:
    """A URL that is new to this kubelet must answer with pods before the kubelet waits for it."""
    url, headers = _kubelet_layers.pod_url(plan.new.layers)
    if not url or (url, headers) == _kubelet_layers.pod_url(look.setup.layers):
        return
    from ansible_collections.kubestatic.node.plugins.module_utils import _pod_url

    name = _kubelet_identity.identity(plan.new.layers).node_name
    _pod_url.require_pods(url, headers=headers, node_name=name, minor=look.minor, environment=plan.new.unit.environment)


def _effective(layers: Layers, wish: Wish) -> dict[str, t.Any]:
    settings = {
        ".".join(key): _kubelet_shown.setting(layers, key) for key, _value in _kubelet_layers.leaves(wish.settings)
    }
    return {**settings, **{f"--{name}": _kubelet_shown.flag(layers, name) for name in wish.flags}}


def _diff(module: AnsibleModule, plan: Plan) -> dict[str, t.Any]:
    if not module._diff:
        return {}
    from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_secrets import without_secrets

    return {
        "diff": [
            {
                "before_header": change.path,
                "after_header": change.path,
                "before": without_secrets(change.before.text or ""),
                "after": without_secrets(change.after.text or ""),
            }
            for change in plan.files
        ]
    }

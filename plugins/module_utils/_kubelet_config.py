# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""The side effects of kubelet_config: from a plan to a kubelet that is proven to run so, or to the old one again."""

from __future__ import annotations

import contextlib
import os
import time
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import (
    _directory,
    _kubelet_health,
    _kubelet_identity,
    _kubelet_start,
)
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_change import Journal
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_look import Look
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_plan import Done, Failed, Order, Plan
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_setup import Setup


def start_anew(look: Look, order: Order) -> str:
    """Start a kubelet that a run which was cut off has left down; what was done. Raises KubestaticError."""
    _start_on_old(look, order, is_whole=True)
    return "started the kubelet on the old configuration"


def _start_on_old(look: Look, order: Order, *, is_whole: bool) -> None:
    """Have the kubelet run on the files that were found. `is_whole`: nobody else has changed them meanwhile."""
    with _holding(look):
        pid = _restart(look, look.setup, order, settle=0, with_pods=False)
    if is_whole:
        _kubelet_start.remember(look.store, pid=pid, setup=look.setup)


def carry_out(look: Look, one: Plan, order: Order, *, journal: Journal) -> Done:
    """Do it. Raises Failed where something fails after the first file; then the old files are in force, or it says why not."""
    actions: list[str] = []
    if one.restart:
        # Before the first file: a run that changes pods may hold the directory for minutes.
        with _holding(look):
            pass
    if one.is_noted:
        journal.begin(one.files, moves=one.moves, manifest_dir=one.directory, unit=look.service.unit)
        actions += [f"made {one.directory}"] if one.directory else []
    try:
        pid = _apply(look, one, order, journal=journal, actions=actions)
    except _Stopped as stopped:
        raise _after_failure(look, one, order, stopped, journal=journal, actions=actions) from None
    with _telling(actions):
        journal.close()
    if pid:
        _kubelet_start.remember(look.store, pid=pid, setup=one.new)
    return Done(bool(actions), actions, one.restart, one.reason)


@contextlib.contextmanager
def _telling(actions: t.Sequence[str]) -> t.Iterator[None]:
    """Have a KubestaticError tell what was done before it."""
    try:
        yield
    except KubestaticError as exc:
        raise KubestaticError(str(exc), actions=actions) from None


class _Stopped(Exception):
    """Where a change ended. ``started``: the kubelet was restarted, or may have been."""

    def __init__(self, cause: KubestaticError, *, started: bool) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.started = started


def _apply(look: Look, one: Plan, order: Order, *, journal: Journal, actions: list[str]) -> int:
    """The side effects in their order; the process id of a restarted kubelet, else 0. Raises _Stopped."""
    started = False
    try:
        if one.moves:
            from ansible_collections.kubestatic.node.plugins.module_utils import _kubelet_move

            _kubelet_move.take_out(one.moves, timeout=order.wait_timeout)
            journal.put_in(one.moves)
            actions.append(f"moved {one.moves}")
        journal.put_in_force(one.files)
        actions += [f"{'wrote' if change.before.text is None else 'changed'} {change.path}" for change in one.files]
        if one.reload:
            look.service.reload()
            actions.append("had systemd read its units again")
        if not one.restart:
            return 0
        with _holding(look):
            started = True
            pid = _restart(look, one.new, order, settle=order.settle, with_pods=True)
        actions.append(f"restarted the kubelet: {one.reason}")
        if order.wait:
            _require_no_contradiction(one)
        if one.moves and order.wait:
            from ansible_collections.kubestatic.node.plugins.module_utils import _kubelet_move

            _kubelet_move.prove(one.moves, timeout=order.wait_timeout)
    except KubestaticError as exc:
        raise _Stopped(exc, started=started) from None
    return pid


def _require_no_contradiction(one: Plan) -> None:
    """Raise KubestaticError where the kubelet itself says that it has something else than what is wanted."""
    from ansible_collections.kubestatic.node.plugins.module_utils import _kubelet_configz

    told = _kubelet_configz.contradiction(one.new.layers, one.wanted)
    if told:
        raise KubestaticError(f"the kubelet came up, but {told}")


def _restart(look: Look, setup: Setup, order: Order, *, settle: int, with_pods: bool) -> int:
    """Restart the kubelet on this setup and wait until it is proven; the process id.

    `with_pods`: the pods of a manifest directory that is new to it must have started, too.
    """
    since = time.time()
    look.service.restart()
    if not order.wait:
        return look.service.state().main_pid
    identity = _kubelet_identity.identity(setup.layers)
    return _kubelet_health.prove(
        look.service,
        setup,
        since=since,
        timeout=order.wait_timeout,
        settle=settle,
        runtime=look.runtime if with_pods and identity.manifest_dir != look.identity.manifest_dir else None,
        manifest_dir=identity.manifest_dir,
        node_name=identity.node_name,
    )


def _holding(look: Look) -> t.ContextManager[None]:
    """Keep other runs out of the manifest directory: what changes while the kubelet is down costs its pod the orderly stop."""
    directory = look.identity.manifest_dir
    return _directory.locked(directory) if os.path.isdir(directory) else contextlib.nullcontext()


def _after_failure(
    look: Look,
    one: Plan,
    order: Order,
    stopped: _Stopped,
    *,
    journal: Journal,
    actions: list[str],
) -> Failed:
    """Put the old files back and prove the kubelet on them; what is to be said of all that."""
    exc, started = stopped.cause, stopped.started
    lines = exc.journal if isinstance(exc, _kubelet_health.Unwell) else []
    story = str(exc)
    if not order.rollback:
        story += "; the new configuration stays in force, as rollback is false"
        try:
            journal.close()
        except KubestaticError as second:
            story += f", but the next run puts the old one back: {second}"
    elif one.is_noted:
        try:
            undone = journal.undo(timeout=order.wait_timeout)
        except KubestaticError as second:
            story += f"; the old configuration cannot be put back either: {second}; the next run tries it again"
        else:
            actions += undone.told
            story += "; the old configuration is in force again"
            story += "" if undone.is_whole else ", but for what somebody else has changed meanwhile"
            story += _prove_old(
                look, one, order, is_whole=undone.is_whole, journal=journal, actions=actions, started=started
            )
    return Failed(story, actions=actions, journal=lines, restarted=started, reason=one.reason)


def _prove_old(
    look: Look,
    one: Plan,
    order: Order,
    *,
    is_whole: bool,
    journal: Journal,
    actions: list[str],
    started: bool,
) -> str:
    """Have the kubelet run on the old files, which are there again; what is to be said of it."""
    try:
        if one.reload:
            look.service.reload()
        if started:
            _start_on_old(look, order, is_whole=is_whole)
            actions.append("restarted the kubelet on the old configuration")
    except KubestaticError as exc:
        return f", but the kubelet is not well on it either: {exc}"
    # A note that stays tells of nothing to undo.
    with contextlib.suppress(KubestaticError):
        journal.close()
    return " and the kubelet is well on it" if started and order.wait else ""

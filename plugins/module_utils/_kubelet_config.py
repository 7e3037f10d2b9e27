# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""One call of kubelet_config: from what is wanted of a kubelet to one that is proven to run so, or to the old one again."""

from __future__ import annotations

import contextlib
import os
import time
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import (
    _kubelet_change,
    _kubelet_edit,
    _kubelet_guard,
    _kubelet_health,
    _kubelet_layers,
    _kubelet_start,
    _manifest_dir,
)
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_change import FileChange, Journal, Moves
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_edit import Wish
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_layers import Key
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_look import Look
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_setup import Setup
from ansible_collections.kubestatic.node.plugins.module_utils._store import Store

AUTO, NEVER, ALWAYS = "auto", "never", "always"

# Longer lists of reasons are cut.
_FEW = 3


class Order(t.NamedTuple):
    """How a change is carried out: when the kubelet is restarted, how long it is waited for (seconds), what may be lost."""

    restart: str
    wait: bool
    wait_timeout: int
    settle: int
    rollback: bool
    create_directories: bool
    allow_pod_loss: bool
    move_manifests: bool


class Plan(t.NamedTuple):
    """What a call is about to do. ``reason`` says why a restart is due, also where none is to happen.

    ``directory`` is the manifest directory where it has to be made, ``reload`` whether systemd must read its files again,
    ``moves`` which static pods go to another directory, ``wanted`` are the settings that the user names.
    """

    new: Setup
    files: tuple[FileChange, ...]
    restart: bool
    reason: str
    directory: str
    reload: bool
    moves: Moves | None
    wanted: t.Mapping[Key, t.Any]


class Done(t.NamedTuple):
    """What was done, or would be in check mode."""

    changed: bool
    actions: list[str]
    restarted: bool
    reason: str


class Failed(KubestaticError):
    """A change that did not work out. ``journal`` holds the last lines of the kubelet's log, ``restarted`` is how it ended."""

    def __init__(
        self, message: str, *, actions: t.Sequence[str], journal: t.Sequence[str], restarted: bool, reason: str
    ) -> None:
        super().__init__(message, actions=actions)
        self.journal = list(journal)
        self.restarted = restarted
        self.reason = reason


def plan(look: Look, wish: Wish, order: Order, *, unproven: bool) -> Plan:
    """Decide what is to be done. Raises KubestaticError for what is refused; nothing is touched.

    `unproven`: an earlier run left the kubelet on a change that is undone by now, and it may not be well for that.
    """
    old = look.setup
    new = _kubelet_edit.planned(old, wish)
    files = tuple(_kubelet_change.of(new.tree, found=old.tree))
    due = tuple(_due(look, new))
    restart = order.restart == ALWAYS or (order.restart == AUTO and bool(due))
    directory = _kubelet_guard.manifest_dir(new.layers)
    makes = bool(directory) and not os.path.lexists(directory)
    if makes and not order.create_directories and directory != _kubelet_guard.manifest_dir(old.layers):
        raise KubestaticError(
            f"{directory}: the manifest directory does not exist; create it (mode 0700, owner root) or set"
            " create_directories: true"
        )
    if directory and not makes:
        _manifest_dir.require_usable(directory)
    if order.restart == AUTO and not (unproven and due):
        look.require_well()
    if restart:
        _kubelet_layers.require_startable(new.layers)
    moves = _guard(look, new, order, unproven=unproven) if restart else None
    units = {os.path.realpath(path) for path in new.unit.files}
    return Plan(
        new=new,
        files=files,
        restart=restart,
        reason=_told(due or (["restart: always"] if restart else [])),
        directory=directory if makes and order.create_directories else "",
        reload=look.state.needs_reload or any(change.path in units for change in files),
        moves=moves,
        wanted=dict(_kubelet_layers.leaves(wish.settings)),
    )


def _guard(look: Look, new: Setup, order: Order, *, unproven: bool) -> Moves | None:
    """Which manifests move so that no pod is lost. Raises KubestaticError where the restart would kill pods that run."""
    before, after = look.identity, _kubelet_guard.identity(new.layers)
    # Where nothing tells what the kubelet reads, the manifests lie where its files say.
    is_known = os.path.isdir(before.manifest_dir)
    source = before.manifest_dir if is_known else _kubelet_guard.manifest_dir(look.setup.layers)
    moves = _moves(source, after.manifest_dir, store=look.store) if order.move_manifests else None
    if moves and look.kubelet is None and not unproven:
        raise KubestaticError(
            f"move_manifests: the kubelet does not run, so nothing would stop the pods of {source} orderly; start it first"
        )
    if moves and is_known:
        before = before._replace(manifest_dir=after.manifest_dir)
    running = look.kubelet.version if look.kubelet else look.version
    if not order.allow_pod_loss and (before != after or running != look.version):
        pods = look.pods()
        _kubelet_guard.require_safe(before, after, pods=pods)
        _kubelet_guard.require_same_minor(running, look.version, program=new.unit.argv[0], pods=pods)
    return moves


def _moves(source: str, target: str, *, store: Store) -> Moves | None:
    """The manifests on their way from one directory to the other; None for none."""
    if not target or source == target or not os.path.isdir(source):
        return None
    if os.path.realpath(source) == os.path.realpath(target):
        raise KubestaticError(f"move_manifests: {target} is {source} by another name; keep the name that is in force")
    from ansible_collections.kubestatic.node.plugins.module_utils import _kubelet_move

    moves = _kubelet_move.plan(source, target, store=store)
    return moves if moves.manifests else None


def _due(look: Look, new: Setup) -> list[str]:
    """Why the kubelet has to be restarted once the files are as they shall be."""
    if look.kubelet is None:
        return ["it does not run"]
    found = look.stale(new)
    if not found and look.note is None:
        # The times of the files tell nothing of what is only planned.
        found = _kubelet_start.differences(_kubelet_start.inputs(look.setup), _kubelet_start.inputs(new))
    return found


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


def foretell(one: Plan) -> Done:
    """What `carry_out` would do."""
    actions = [f"would make {one.directory}"] if one.directory else []
    actions += [f"would {'write' if change.before.text is None else 'change'} {change.path}" for change in one.files]
    actions += [f"would move {one.moves}"] if one.moves else []
    actions += ["would have systemd read its units again"] if one.reload else []
    actions += [f"would restart the kubelet: {one.reason}"] if one.restart else []
    return Done(bool(actions), actions, one.restart, one.reason)


def carry_out(look: Look, one: Plan, order: Order, *, journal: Journal) -> Done:
    """Do it. Raises Failed where something fails after the first file; then the old files are in force, or it says why not."""
    actions: list[str] = []
    if look.kubelet is not None and look.note is None and not look.stale(look.setup):
        # From now on digests tell of this process, and not the times of files.
        _kubelet_start.remember(look.store, pid=look.kubelet.pid, setup=look.setup)
    if one.restart:
        # Before the first file: a run that changes pods may hold the directory for minutes.
        with _holding(look):
            pass
    if one.files or one.moves or one.directory:
        journal.begin(one.files, moves=one.moves, manifest_dir=one.directory)
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
    identity = _kubelet_guard.identity(setup.layers)
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
    return _manifest_dir.locked(directory) if os.path.isdir(directory) else contextlib.nullcontext()


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
    elif one.files or one.moves or one.directory:
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


def _told(reasons: t.Sequence[str]) -> str:
    few = list(reasons[:_FEW])
    return ", ".join(few) + (f" and {len(reasons) - _FEW} more" if len(reasons) > _FEW else "")

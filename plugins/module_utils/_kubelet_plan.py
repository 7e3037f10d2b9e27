# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""One call of kubelet_config as values: how it is to be done, what is to be done, what came of it."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import (
    _directory,
    _kubelet_identity,
    _kubelet_layers,
    _kubelet_start,
    _kubelet_wish,
)
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_layers import Key
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_look import Look
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_setup import Setup
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_wish import Wish
from ansible_collections.kubestatic.node.plugins.module_utils._store import Store

if t.TYPE_CHECKING:
    from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_change import FileChange, Moves

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

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to be done."""
        return not (self.is_noted or self.restart or self.reload)

    @property
    def is_noted(self) -> bool:
        """Whether there is anything that may have to be put back, so that it is noted before it is done."""
        return bool(self.files or self.moves or self.directory)


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
    new, files = _changed(old, wish)
    due = tuple(_due(look, new))
    restart = order.restart == ALWAYS or (order.restart == AUTO and bool(due))
    directory = _kubelet_identity.manifest_dir(new.layers)
    makes = bool(directory) and not os.path.lexists(directory)
    if makes and not order.create_directories and directory != _kubelet_identity.manifest_dir(old.layers):
        raise KubestaticError(
            f"{directory}: the manifest directory does not exist; create it (mode 0700, owner root) or set"
            " create_directories: true"
        )
    if directory and not makes:
        _directory.require_usable(directory)
    if order.restart == AUTO and not (unproven and due):
        look.require_well()
    if restart:
        from ansible_collections.kubestatic.node.plugins.module_utils import _kubelet_mistakes

        _kubelet_mistakes.require_startable(new.layers)
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


def _changed(old: Setup, wish: Wish) -> tuple[Setup, tuple[FileChange, ...]]:
    """The setup as it shall be, and the files that change for that."""
    if _kubelet_wish.is_met(wish, old.layers):
        return old, ()
    from ansible_collections.kubestatic.node.plugins.module_utils import _kubelet_change, _kubelet_edit

    new = _kubelet_edit.planned(old, wish)
    return new, tuple(_kubelet_change.of(new.tree, found=old.tree))


def _guard(look: Look, new: Setup, order: Order, *, unproven: bool) -> Moves | None:
    """Which manifests move so that no pod is lost. Raises KubestaticError where the restart would kill pods that run."""
    before, after = look.identity, _kubelet_identity.identity(new.layers)
    # Where nothing tells what the kubelet reads, the manifests lie where its files say.
    is_known = os.path.isdir(before.manifest_dir)
    source = before.manifest_dir if is_known else _kubelet_identity.manifest_dir(look.setup.layers)
    moves = _moves(source, after.manifest_dir, store=look.store) if order.move_manifests else None
    if moves and look.kubelet is None and not unproven:
        raise KubestaticError(
            f"move_manifests: the kubelet does not run, so nothing would stop the pods of {source} orderly; start it first"
        )
    if moves and is_known:
        before = before._replace(manifest_dir=after.manifest_dir)
    running = look.kubelet.version if look.kubelet else look.version
    if not order.allow_pod_loss and (before != after or running != look.version):
        from ansible_collections.kubestatic.node.plugins.module_utils import _kubelet_guard

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


def _told(reasons: t.Sequence[str]) -> str:
    few = list(reasons[:_FEW])
    return ", ".join(few) + (f" and {len(reasons) - _FEW} more" if len(reasons) > _FEW else "")


def foretell(one: Plan) -> Done:
    """What `carry_out` would do."""
    actions = [f"would make {one.directory}"] if one.directory else []
    actions += [f"would {'write' if change.before.text is None else 'change'} {change.path}" for change in one.files]
    actions += [f"would move {one.moves}"] if one.moves else []
    actions += ["would have systemd read its units again"] if one.reload else []
    actions += [f"would restart the kubelet: {one.reason}"] if one.restart else []
    return Done(bool(actions), actions, one.restart, one.reason)


def note_start(look: Look) -> None:
    """Note what a kubelet runs on that nobody has seen start: from now on digests tell of it, and not the times of files."""
    if look.kubelet is not None and look.note is None and not look.stale(look.setup):
        _kubelet_start.remember(look.store, pid=look.kubelet.pid, setup=look.setup)

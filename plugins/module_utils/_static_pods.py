# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""One call of static_pod or static_pods: from what is wanted on this node to what was done there."""

from __future__ import annotations

import contextlib
import functools
import os
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import (
    _command,
    _directory,
    _manifest_dir,
    _module,
    _node,
    _plan,
)
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._manifest_dir import Entry, ManifestDir
from ansible_collections.kubestatic.node.plugins.module_utils._node import Node
from ansible_collections.kubestatic.node.plugins.module_utils._plan import Change, Wanted
from ansible_collections.kubestatic.node.plugins.module_utils._pod_options import wanted_pod
from ansible_collections.kubestatic.node.plugins.module_utils._proving import Outcome
from ansible_collections.kubestatic.node.plugins.module_utils._results import Applied, result
from ansible_collections.kubestatic.node.plugins.module_utils._revisions import Revisions
from ansible_collections.kubestatic.node.plugins.module_utils._rollout import Rollout
from ansible_collections.kubestatic.node.plugins.module_utils._runtime import Snapshot
from ansible_collections.kubestatic.node.plugins.module_utils._store import PODS, Revision, Store

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def apply(
    module: AnsibleModule,
    wanted: t.Sequence[Wanted],
    *,
    manifest_dir: str | None,
    prune: str = "none",
    prune_options: t.Mapping[str, t.Any] | None = None,
    gate: t.Mapping[str, t.Any] | None = None,
    disturb: bool = True,
) -> Applied:
    """Bring the node to what is wanted, or in check mode say what that would take.

    What is wanted does not contradict itself (`_pod_list.require_consistent`). `prune_options` are the shared options for
    pods that `prune` removes, `gate` is what must hold in the cluster before a pod is disturbed (`_gate`). Without
    `disturb` pods that stay as they are get proven, and where anything else is due nothing is done. Raises
    KubestaticError for what is refused before anything is touched; what fails later stands in the results.
    """
    before: list[str] = []
    try:
        return _apply(
            module,
            wanted,
            manifest_dir=manifest_dir,
            prune=prune,
            prune_options=prune_options or {},
            gate=gate,
            disturb=disturb,
            before=before,
        )
    except _Due:
        return Applied([], [], [], [], [], due=True)
    except (KubestaticError, OSError) as exc:
        what = str(exc)
        if isinstance(exc, OSError):
            what = f"{exc.filename or manifest_dir or 'the manifest directory'}: {exc.strerror}"
        raise KubestaticError("; before that, ".join([what, *before]), actions=before) from None


class _Due(Exception):
    """Something is to be done by a call that is to disturb nothing."""


def _apply(
    module: AnsibleModule,
    wanted: t.Sequence[Wanted],
    *,
    manifest_dir: str | None,
    prune: str,
    prune_options: t.Mapping[str, t.Any],
    gate: t.Mapping[str, t.Any] | None,
    disturb: bool,
    before: list[str],
) -> Applied:
    _module.require_root()
    if not module.check_mode:
        before += _start_stopped_kubelet(disturb=disturb)
    search_path = os.environ.get("PATH", "")
    node = _node.look(_command.run, search_path=search_path, manifest_dir=manifest_dir, remember=not module.check_mode)
    directory = ManifestDir(node.manifest_dir)
    with contextlib.nullcontext() if module.check_mode else _directory.locked(node.manifest_dir):
        before += _recovered(directory, check_mode=module.check_mode, disturb=disturb)
        revisions = Revisions(node)
        changes = _changes(wanted, node=node, revisions=revisions, prune=prune, prune_options=prune_options)
        if any(change.wanted.restart_on or change.starts_pod for change in changes):
            from ansible_collections.kubestatic.node.plugins.module_utils import _reads

            changes = _reads.with_digests(changes, node=node, warn=module.warn)
        if not (disturb or all(revisions.is_settled(change) for change in changes)):
            raise _Due
        for change in changes:
            for finding in change.warnings if change.action != _plan.KEEP else ():
                module.warn(f"{directory.full_path(change.filename)}: {finding}")
        edited = [revisions.edited_since(change) for change in changes]
        if module.check_mode:
            outcomes, snapshot = [Outcome(change, changed=_would_change(change)) for change in changes], None
        else:
            outcomes, snapshot = _carry_out(
                module, changes, node=node, directory=directory, revisions=revisions, gate=gate, before=before
            )
        for outcome, since in zip(outcomes, edited):
            _mend_attributes(module, outcome, directory=directory)
            if since and outcome.change.touches_directory:
                path = directory.full_path(outcome.change.filename)
                outcome.actions.insert(
                    0, f"{path} was edited by hand since revision {since}; that text is revision {since + 1}"
                )
    results = [
        result(
            outcome,
            node=node,
            snapshot=snapshot,
            revision=_in_force(outcome, revisions, directory=directory, would=module.check_mode),
            would=module.check_mode,
        )
        for outcome in outcomes
    ]
    plan = _plan_of(module, changes, node=node)
    recovered = _module.recovered(module, node.store, PODS)
    return Applied(results[: len(wanted)], results[len(wanted) :], recovered, before, plan)


def _carry_out(
    module: AnsibleModule,
    changes: t.Sequence[Change],
    *,
    node: Node,
    directory: ManifestDir,
    revisions: Revisions,
    gate: t.Mapping[str, t.Any] | None,
    before: list[str],
) -> tuple[list[Outcome], Snapshot]:
    write_new = functools.partial(_write_new, module, directory)
    active = [change for change in changes if change.touches_directory]
    with contextlib.ExitStack() as undo:
        if any(change.action != _plan.KEEP for change in changes):
            from ansible_collections.kubestatic.node.plugins.module_utils import _preparation

            before += _preparation.fetch(changes, node=node, warn=module.warn)
            if gate is not None and any(change.disturbs for change in changes):
                from ansible_collections.kubestatic.node.plugins.module_utils import _gate

                _gate.require(gate, warn=module.warn)
            _preparation.place(changes, node=node, directory=directory, write_new=write_new, undo=undo)
        for change in changes:
            # What is only looked at can be looked at on a node whose /var is full, too.
            with contextlib.nullcontext() if change.touches_directory else contextlib.suppress(KubestaticError):
                revisions.record(change)
        if any(change.baseline for change in changes):
            from ansible_collections.kubestatic.node.plugins.module_utils import _reads

            _reads.remember_first_sight(changes, node=node)
        if active:
            from ansible_collections.kubestatic.node.plugins.module_utils import _preparation

            _preparation.note_under_way(module, active, node=node)
        undo.pop_all()
    rollout = Rollout(node, directory, revisions=revisions, write_new=write_new)
    outcomes = _run(rollout, changes, node=node)
    if any(change.starts_pod for change in changes):
        from ansible_collections.kubestatic.node.plugins.module_utils import _reads

        _reads.remember(outcomes, node=node)
    _remember_downtimes(outcomes, node=node)
    return outcomes, rollout.snapshot


def _run(rollout: Rollout, changes: t.Sequence[Change], *, node: Node) -> list[Outcome]:
    try:
        return rollout.run(changes)
    finally:
        if node.store.is_under_way and not _manifest_dir.left_behind(node.manifest_dir):
            from ansible_collections.kubestatic.node.plugins.module_utils import _preparation

            _preparation.end_note(changes, node=node)


def _start_stopped_kubelet(*, disturb: bool) -> list[str]:
    """End the pause that a killed run has left; raises KubestaticError where the run that made it still lives."""
    store = Store()
    directory = store.kubelet_stopped_for
    if not directory:
        return []
    if not disturb:
        raise _Due
    from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_service import KubeletService

    # Without the directory nobody can hold its lock.
    with _directory.locked(directory) if os.path.isdir(directory) else contextlib.nullcontext():
        return KubeletService(_command.run, store=store).start_after_cut()


def _recovered(directory: ManifestDir, *, check_mode: bool, disturb: bool) -> list[str]:
    """Finish or undo what a killed run has left, in sentences."""
    if not disturb and directory.recover(check_mode=True):
        raise _Due
    return directory.recover(check_mode=check_mode)


def _changes(
    wanted: t.Sequence[Wanted], *, node: Node, revisions: Revisions, prune: str, prune_options: t.Mapping[str, t.Any]
) -> list[Change]:
    entries = _manifest_dir.read(node.manifest_dir, recovered=True)
    placed = node.store.placed(node.manifest_dir)
    changes = [
        _plan.plan(
            _possible(_chosen(one, revisions, entries), node),
            entries,
            node_name=node.settings.node_name,
            minor=node.kubelet.minor,
            placed=placed,
        )
        for one in wanted
    ]
    if len(wanted) == 1 and prune == "none":
        return changes
    from ansible_collections.kubestatic.node.plugins.module_utils import _pod_list

    for filename, pod in _pod_list.prunable(wanted, entries, prune=prune, placed=placed):
        options = {**prune_options, "state": _plan.ABSENT, "namespace": pod.namespace, "name": pod.name}
        one = _possible(wanted_pod(options), node)
        changes.append(Change(one, _plan.REMOVE, filename, old=pod, old_text=pod.text))
    _pod_list.require_distinct_files(changes)
    return changes


def _chosen(one: Wanted, revisions: Revisions, entries: t.Sequence[Entry]) -> Wanted:
    """The same wish, with the manifest of the revision that it names."""
    if not one.revision:
        return one
    from ansible_collections.kubestatic.node.plugins.module_utils import _revision_choice

    texts = [entry.pod.text for entry in _manifest_dir.duplicates(entries, one.key) if entry.pod]
    return one._replace(
        pod=_revision_choice.chosen(revisions, one.key, one.revision, in_force=texts[0] if texts else None)
    )


def _in_force(outcome: Outcome, revisions: Revisions, *, directory: ManifestDir, would: bool) -> Revision | None:
    """The revision that the manifest is now."""
    change = outcome.change
    # Also a manifest that was to stay may have gone back.
    text = directory.text(change.filename) if outcome.changed and not would else change.old.text if change.old else None
    return revisions.with_text(change.wanted.key, text)


def _possible(one: Wanted, node: Node) -> Wanted:
    """The same wish, fitted to what can be seen on this node. Raises KubestaticError where it asks for more."""
    if one.wait:
        _node.require_runtime(node)
        if not node.watches:
            raise KubestaticError(
                f"the kubelet reads {node.settings.manifest_dir or 'no manifest directory'} and not {node.manifest_dir}, so"
                " nothing would run; leave manifest_dir out, or set wait: false to place the manifest all the same"
            )
        return one
    if node.runtime is not None and node.watches:
        return one
    if one.state == _plan.RESTARTED:
        raise KubestaticError(
            f"pod {'/'.join(one.key)}: restarting needs crictl on the node and the kubelet's own directory"
        )
    if one.restart_on and one.restart_on != _plan.AUTO and one.state != _plan.ABSENT:
        raise KubestaticError(
            f"pod {'/'.join(one.key)}: restart_on needs crictl on the node and the kubelet's own directory; install crictl, leave"
            " manifest_dir out, or leave restart_on out"
        )
    # Nothing tells when the old pod is gone, so there is nothing that a swap could wait for.
    return one._replace(strategy=_plan.REPLACE, restart_on=())


def _write_new(module: AnsibleModule, directory: ManifestDir, change: Change) -> None:
    """Write the new manifest of a change beside the old one, with mode, owner and SELinux context."""

    set_context = _module.context_setter(module)

    def finish(path: str, final_path: str) -> None:
        with _module.raising(module):
            arguments = module.load_file_common_arguments(change.wanted.file_arguments, path=path)
            module.set_fs_attributes_if_different(arguments, False)
        set_context(path, final_path)

    if change.new is not None:
        directory.write_new(change.filename, change.new.text, finish_file=finish)


def _mend_attributes(module: AnsibleModule, outcome: Outcome, *, directory: ManifestDir) -> None:
    """Mode and owner of a manifest that stays: the kubelet reads the file again and sees the same pod."""
    change = outcome.change
    if change.action != _plan.KEEP and not change.changed_files:
        return
    path = directory.full_path(change.filename)
    if os.path.islink(path):
        return
    arguments = module.load_file_common_arguments(change.wanted.file_arguments, path=path)
    try:
        with _module.raising(module):
            mended = module.set_fs_attributes_if_different(arguments, False)
    except KubestaticError as exc:
        outcome.error = outcome.error or f"cannot set mode and owner of {path}: {exc}; the pod runs on"
        return
    if mended:
        outcome.changed = True
        outcome.actions.append(f"{'would set' if module.check_mode else 'set'} mode and owner of {path}; no restart")


def _remember_downtimes(outcomes: t.Sequence[Outcome], *, node: Node) -> None:
    node.store.remember_downtimes(
        node.manifest_dir,
        [
            ("/".join(one.change.wanted.key), one.change.kind, one.downtime)
            for one in outcomes
            if one.downtime is not None and one.change.kind and not one.error
        ],
    )


def _would_change(change: Change) -> bool:
    return change.action not in (_plan.KEEP, _plan.GONE)


def _plan_of(module: AnsibleModule, changes: t.Sequence[Change], *, node: Node) -> list[dict[str, t.Any]]:
    if not module.check_mode:
        return []
    # Runs that do something need neither this room nor those that it loads.
    from ansible_collections.kubestatic.node.plugins.module_utils import _blast_radius

    return _blast_radius.of_all(changes, node=node)

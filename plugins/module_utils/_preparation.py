# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""What is done before the first pod is touched: all that can fail while the old pods still run."""

from __future__ import annotations

import contextlib
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _images, _module, _plan, _proof, _recover_pods
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._manifest_dir import ManifestDir
from ansible_collections.kubestatic.node.plugins.module_utils._node import Node
from ansible_collections.kubestatic.node.plugins.module_utils._open_changes import OpenChanges, OpenPod
from ansible_collections.kubestatic.node.plugins.module_utils._plan import Change
from ansible_collections.kubestatic.node.plugins.module_utils._runtime import Runtime, Snapshot

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def fetch(changes: t.Sequence[Change], *, node: Node, warn: t.Callable[[str], None]) -> t.Iterator[str]:
    """Fetch images that are missing. Yields a sentence after each.

    Raises KubestaticError where one cannot be had, and before that for pods that the kubelet has from elsewhere.
    """
    runtime = node.runtime
    if runtime is None:
        return
    _require_own_source(changes, node=node, runtime=runtime)
    active = [change for change in changes if change.touches_directory]
    yield from _images.fetch(
        [change.new for change in active if change.new and change.action != _plan.REWRITE],
        runtime=runtime,
        credential_providers=node.settings.credential_providers,
        warn=warn,
    )


def place(
    changes: t.Sequence[Change],
    *,
    node: Node,
    directory: ManifestDir,
    write_new: t.Callable[[Change], None],
    undo: contextlib.ExitStack,
) -> None:
    """Write the new manifests beside the old ones, and note them. `undo` gets what removes them again."""
    written = [change for change in changes if change.writes]
    for change in written:
        write_new(change)
        undo.callback(directory.tidy, change.filename)
    directory.sync()
    ours = {change.filename: "/".join(change.wanted.key) for change in written}
    node.store.remember_placed(directory.path, ours)


def note_under_way(module: AnsibleModule, changes: t.Sequence[Change], *, node: Node) -> None:
    """From here on a run that is cut off is brought to an end without one. Raises KubestaticError."""
    unproven = [one.wanted for one in changes if one.new is not None and one.wanted.wait]
    pods = [OpenPod(one.key[1], one.key[0], one.wait_timeout, one.settle, one.rollback) for one in unproven]
    try:
        OpenChanges(node.store).begin(node.manifest_dir, pods)
    except KubestaticError as exc:
        if any(change.action != _plan.REMOVE for change in changes):
            raise
        # To remove a pod may be what makes room again.
        module.warn(f"should this run be cut off, only another one can finish it: {exc}")
        return
    warning = _recover_pods.unit(node.store).arm(set_context=_module.context_setter(module))
    if warning:
        module.warn(warning)


def end_note(changes: t.Sequence[Change], *, node: Node) -> None:
    """The run has told what became of all of them."""
    OpenChanges(node.store).end(node.manifest_dir, {change.wanted.key for change in changes})
    _recover_pods.unit(node.store).rearm()


def _require_own_source(changes: t.Sequence[Change], *, node: Node, runtime: Runtime) -> None:
    # A pod's source is told by its sandbox alone.
    snapshot = Snapshot(runtime.sandboxes(), ())
    for change in changes:
        namespace, name = change.wanted.key
        sight = _proof.look(snapshot, namespace=namespace, pod=node.full_name(name))
        source = sight.sandbox.source if sight.sandbox is not None else ""
        if source == "http":
            raise KubestaticError(
                f"pod {namespace}/{name} comes from staticPodURL {node.settings.url_without_user}; change it there, or use"
                " another name"
            )
        if source == "api":
            raise KubestaticError(
                f"pod {namespace}/{node.full_name(name)} comes from the API server and not from a manifest; change it there,"
                " or use another name"
            )

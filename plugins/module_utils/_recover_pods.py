# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""Bring changes of static pods to an end whose run was cut off: what the unit kubestatic-recover-pods runs.

First the manifests: one that was taken away is in force again, or its successor is. Then, where a kubelet runs, the proof that
was due: a pod that does not run from its new manifest goes back to the last one that was proven. What a living run holds, and
what somebody has edited by hand meanwhile, is left alone.
"""

from __future__ import annotations

import contextlib
import os
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _command, _directory, _recovery_unit
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_service import UNIT, KubeletService
from ansible_collections.kubestatic.node.plugins.module_utils._manifest_dir import ManifestDir
from ansible_collections.kubestatic.node.plugins.module_utils._open_changes import OpenChanges, OpenPod
from ansible_collections.kubestatic.node.plugins.module_utils._recovery_unit import RecoveryUnit
from ansible_collections.kubestatic.node.plugins.module_utils._store import PODS, UNDER_WAY, Store

if t.TYPE_CHECKING:
    from ansible_collections.kubestatic.node.plugins.module_utils._node import Node
    from ansible_collections.kubestatic.node.plugins.module_utils._plan import Change


def unit(store: Store) -> RecoveryUnit:
    return RecoveryUnit(
        _command.run,
        store=store,
        what="pods",
        room="_recover_pods",
        note=UNDER_WAY,
        is_open=lambda: store.is_under_way,
        title="static pods",
        before=UNIT,
    )


def main() -> None:
    """Do what can be done now, and say it on standard output, which is the journal."""
    store = Store()
    changes = OpenChanges(store)
    # Whatever becomes of this process: the timer comes again.
    unit(store).rearm()
    for path in changes.directories():
        with _leaving_for_later(path), _directory.locked(path):
            _tell(changes, ManifestDir(path).recover(check_mode=False))
    _recovery_unit.notify_started()
    for path, pods in changes.directories().items():
        with _leaving_for_later(path):
            _finish(path, pods, store=store, changes=changes)
    unit(store).rearm()


@contextlib.contextmanager
def _leaving_for_later(path: str) -> t.Iterator[None]:
    """Another run holds the directory, the kubelet does not run, as at boot, or nobody has thought of it."""
    try:
        yield
    except Exception as exc:  # noqa: BLE001  # one directory must not keep the others from being looked at
        _recovery_unit.say(f"{path}: left for later: {exc}")


def _finish(path: str, pods: t.Sequence[OpenPod], *, store: Store, changes: OpenChanges) -> None:
    service = KubeletService(_command.run, store=store)
    if not os.path.isdir(path):
        # At boot it may not be mounted yet.
        service.running()
        _recovery_unit.say(f"{path}: is gone, and with it what was under way there")
        changes.end(path, {pod.key for pod in pods})
        return
    with _directory.locked(path):
        if store.kubelet_stopped_for == path:
            _tell(changes, service.start_after_cut())
        _tell(changes, _prove(path, pods))
        changes.end(path, {pod.key for pod in pods})


def _tell(changes: OpenChanges, sentences: t.Sequence[str]) -> None:
    for sentence in sentences:
        _recovery_unit.say(sentence)
    changes.tell(PODS, sentences)


def _prove(path: str, pods: t.Sequence[OpenPod]) -> list[str]:
    """Prove the pods that a task of this collection has changed, and roll back what fails. Raises KubestaticError."""
    from ansible_collections.kubestatic.node.plugins.module_utils import _node
    from ansible_collections.kubestatic.node.plugins.module_utils._revisions import Revisions
    from ansible_collections.kubestatic.node.plugins.module_utils._rollout import Rollout

    node = _node.look(_command.run, search_path=os.environ.get("PATH", ""), manifest_dir=path, remember=True)
    if not node.watches:
        return [f"{path}: the kubelet does not read it, so that no pod can be proven"] if pods else []
    _node.require_runtime(node)
    directory = ManifestDir(node.manifest_dir)
    revisions = Revisions(node)
    kept = [_kept(pod, node=node, revisions=revisions) for pod in pods]
    write_new = _writer(directory)
    outcomes = Rollout(node, directory, revisions=revisions, write_new=write_new).run([one for one in kept if one])
    away = [one.error for one in outcomes if one.is_open]
    if away:
        raise KubestaticError(away[0])
    return [
        f"pod {'/'.join(one.change.wanted.key)}: {one.error or f'runs from {directory.full_path(one.change.filename)}'}"
        for one in outcomes
    ]


def _kept(pod: OpenPod, *, node: Node, revisions: t.Any) -> Change | None:
    """Its manifest as it is, to be proven; None where it is gone, or is not what a task has brought."""
    from ansible_collections.kubestatic.node.plugins.module_utils import _manifest_dir, _plan
    from ansible_collections.kubestatic.node.plugins.module_utils._pod_options import SHARED_OPTIONS, wanted_pod

    found = _manifest_dir.duplicates(_manifest_dir.read(node.manifest_dir), pod.key)
    if len(found) != 1 or found[0].pod is None or revisions.with_text(pod.key, found[0].pod.text) is None:
        return None
    manifest = found[0].pod
    options = {name: option.get("default") for name, option in SHARED_OPTIONS.items()}
    wanted = wanted_pod({**options, **pod._asdict(), "state": _plan.PRESENT, "content": manifest.text})
    return _plan.Change(wanted, _plan.KEEP, found[0].filename, old=manifest, new=manifest, old_text=manifest.text)


def _writer(directory: ManifestDir) -> t.Callable[[Change], None]:
    def write_new(change: Change) -> None:
        def finish(path: str, final_path: str) -> None:
            found = os.stat(final_path)
            os.chmod(path, found.st_mode & 0o7777)
            os.chown(path, found.st_uid, found.st_gid)
            copy_context(path, final_path)

        if change.new is not None:
            directory.write_new(change.filename, change.new.text, finish_file=finish)

    return write_new


def copy_context(path: str, source: str) -> None:
    """Give a file the SELinux context of another one, where there are contexts."""
    with contextlib.suppress(OSError):
        os.setxattr(path, "security.selinux", os.getxattr(source, "security.selinux"))

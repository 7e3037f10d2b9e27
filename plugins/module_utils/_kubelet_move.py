# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""Static pods moved from one manifest directory to the other while the kubelet is pointed there.

The path is a part of a pod's uid, so the pods have to stop and start anew: orderly, each with its own grace period and its
hooks, which only a kubelet does that still reads the old directory.
"""

from __future__ import annotations

import contextlib
import os
import stat
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import (
    _command,
    _directory,
    _manifest,
    _manifest_dir,
    _node,
    _plan,
)
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._file_edit import SetContext
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_change import Manifest, Moves
from ansible_collections.kubestatic.node.plugins.module_utils._manifest import Pod
from ansible_collections.kubestatic.node.plugins.module_utils._manifest_dir import ManifestDir
from ansible_collections.kubestatic.node.plugins.module_utils._plan import Change
from ansible_collections.kubestatic.node.plugins.module_utils._pod_options import SHARED_OPTIONS, wanted_pod
from ansible_collections.kubestatic.node.plugins.module_utils._revisions import Revisions
from ansible_collections.kubestatic.node.plugins.module_utils._rollout import Rollout
from ansible_collections.kubestatic.node.plugins.module_utils._store import Store


def plan(source: str, target: str, *, store: Store) -> Moves:
    """What would move. Raises KubestaticError where the target has a file or a pod of the same name already."""
    there = _manifest_dir.read(target) if os.path.isdir(target) else []
    names, keys = {entry.filename for entry in there}, {entry.pod.key for entry in there if entry.pod}
    placed = store.placed(source)
    manifests = []
    for entry in _manifest_dir.read(source):
        if entry.pod is None:
            continue
        if entry.filename in names or entry.pod.key in keys:
            raise KubestaticError(
                f"move_manifests: {target} already has {entry.filename} or another manifest of pod"
                f" {'/'.join(entry.pod.key)}; remove one of the two"
            )
        found = os.stat(entry.path)
        managed = _plan.is_managed(entry, placed)
        mode = stat.S_IMODE(found.st_mode)
        manifests.append(Manifest(entry.filename, entry.pod.text, mode, found.st_uid, found.st_gid, managed))
    return Moves(source, target, tuple(manifests))


def take_out(moves: Moves, *, timeout: int) -> None:
    """Take the manifests out of the source and wait until their pods are gone; texts are the caller's to keep."""
    # Its files may name another directory already, which somebody wrote there by hand.
    _roll(moves.source, [_removal(one, timeout=timeout) for one in moves.manifests], is_read=True, goes_to=moves.target)


def put_in(moves: Moves, *, store: Store, set_context: SetContext) -> None:
    """Place the manifests in the target."""
    _place(moves.target, moves.manifests, store=store, set_context=set_context)


def prove(moves: Moves, *, timeout: int) -> None:
    """Wait until each pod is proven to run from the target."""
    _roll(moves.target, [_kept(one, timeout=timeout) for one in moves.manifests])


def take_back(moves: Moves, *, timeout: int) -> None:
    """Undo `put_in`: what is still as it was placed leaves the target, orderly where a kubelet runs it already."""
    directory = ManifestDir(moves.target)
    there = [one for one in moves.manifests if directory.text(one.filename) == one.text]
    with _telling(moves.target):
        try:
            _roll(moves.target, [_removal(one, timeout=timeout) for one in there], goes_to=moves.source)
        except KubestaticError:
            # The kubelet did not come up here: nobody runs these.
            for one in there:
                path = directory.full_path(one.filename)
                if os.path.lexists(path):
                    os.unlink(path)
        for one in moves.manifests:
            directory.tidy(one.filename)


def put_back(moves: Moves, *, store: Store, set_context: SetContext) -> None:
    """Undo `take_out`: what is not there any more is there again."""
    directory = ManifestDir(moves.source)
    with _telling(moves.source):
        directory.recover(check_mode=False)
    missing = [one for one in moves.manifests if not os.path.lexists(directory.full_path(one.filename))]
    _place(moves.source, missing, store=store, set_context=set_context)


@contextlib.contextmanager
def _telling(path: str) -> t.Iterator[None]:
    """Have an OSError tell which file of this directory it is about."""
    try:
        yield
    except OSError as exc:
        raise KubestaticError(f"{exc.filename or path}: {exc.strerror}") from None


def _place(path: str, manifests: t.Sequence[Manifest], *, store: Store, set_context: SetContext) -> None:
    directory = ManifestDir(path)
    pods = {one.filename: "/".join(_pod(one).key) for one in manifests if one.managed}
    store.remember_placed(path, pods)
    for one in manifests:

        def finish(path: str, final_path: str, one: Manifest = one) -> None:
            os.chmod(path, one.mode)
            os.chown(path, one.owner, one.group)
            set_context(path, final_path)

        with _telling(path):
            directory.write_new(one.filename, one.text, finish_file=finish)
            directory.place(one.filename, over=True)


def _roll(path: str, changes: t.Sequence[Change], *, is_read: bool = False, goes_to: str = "") -> None:
    """Carry out changes of one directory. Raises KubestaticError for the first that fails.

    `is_read`: the running kubelet reads this directory, whatever its files say by now. `goes_to`: where what is removed here
    comes back, and with it what is known of the files that its pods read.
    """
    if not changes:
        return
    node = _node.look(_command.run, search_path=os.environ.get("PATH", ""), manifest_dir=path, remember=True)
    if is_read:
        node = node._replace(settings=node.settings.with_manifest_dir(node.manifest_dir))
    with _directory.locked(node.manifest_dir):
        if goes_to:
            reads, names = node.store.reads(node.manifest_dir), ["/".join(change.wanted.key) for change in changes]
            node.store.remember_reads(goes_to, {name: reads[name] for name in names if name in reads})
        outcomes = Rollout(node, ManifestDir(node.manifest_dir), revisions=Revisions(node)).run(changes)
    failed = [outcome for outcome in outcomes if outcome.error]
    if failed:
        raise KubestaticError(f"{failed[0].change.filename}: {failed[0].error}")


def _removal(one: Manifest, *, timeout: int) -> Change:
    pod = _pod(one)
    options = {"state": _plan.ABSENT, "name": pod.name, "namespace": pod.namespace}
    return Change(_wanted(options, timeout=timeout), _plan.REMOVE, one.filename, old=pod, old_text=pod.text)


def _kept(one: Manifest, *, timeout: int) -> Change:
    pod = _pod(one)
    wanted = _wanted({"state": _plan.PRESENT, "content": one.text}, timeout=timeout)
    return Change(wanted, _plan.KEEP, one.filename, old=pod, new=pod, old_text=pod.text)


def _wanted(options: t.Mapping[str, t.Any], *, timeout: int) -> _plan.Wanted:
    defaults = {name: option.get("default") for name, option in SHARED_OPTIONS.items()}
    return wanted_pod({**defaults, **options, "wait_timeout": timeout})


def _pod(one: Manifest) -> Pod:
    return _manifest.parse(one.text)

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""Undo a change of the kubelet's configuration whose run was cut off: what the unit kubestatic-recover-kubelet runs.

The old files are the ones that worked, so they come back, but for those that somebody else has changed meanwhile. At boot the
kubelet then starts on them. One that is up already is restarted, as it may have read the new ones.
"""

from __future__ import annotations

import os
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _command, _directory, _recovery_unit
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_service import UNIT, KubeletService
from ansible_collections.kubestatic.node.plugins.module_utils._open_changes import KUBELET, OpenChanges
from ansible_collections.kubestatic.node.plugins.module_utils._recovery_unit import RecoveryUnit
from ansible_collections.kubestatic.node.plugins.module_utils._store import KUBELET_CHANGE, Store

# For static pods that had moved to another directory to go.
_TIMEOUT = 300


def unit(store: Store) -> RecoveryUnit:
    return RecoveryUnit(
        _command.run,
        store=store,
        what="kubelet",
        room="_recover_kubelet",
        note=KUBELET_CHANGE,
        title="the kubelet's configuration",
    )


def main() -> None:
    """Do what can be done now, and say it on standard output, which is the journal."""
    store = Store()
    service = KubeletService(_command.run, store=store, unit=str(store.kubelet_change.get("unit") or UNIT))
    try:
        # At boot it is inactive; one that does not come up on the new files is not.
        runs = service.state().active_state != "inactive"
        if runs:
            # It waits for nothing; and what follows may take longer than a start may.
            _recovery_unit.notify_started()
        with _directory.locked(store.path, what="the kubelet's configuration"):
            told = _undo(store)
            if runs and told:
                service.reload()
                service.restart()
                told.append("restarted the kubelet on the old configuration")
        OpenChanges(store).tell(KUBELET, told)
        print(*told, sep="\n", flush=True)
    except (KubestaticError, OSError) as exc:
        print(f"left for later: {exc}", flush=True)
    _recovery_unit.notify_started()
    unit(store).rearm(is_open=_is_open(store))


def _undo(store: Store) -> list[str]:
    if not _is_open(store):
        return []
    from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_change import Journal

    return Journal(store, set_context=_set_context).undo(timeout=_TIMEOUT).told


def _is_open(store: Store) -> bool:
    """Whether there is anything left to undo; that the kubelet be proven is for the next run of kubelet_config."""
    change: dict[str, t.Any] = store.kubelet_change
    return bool(change.get("files") or change.get("moves") or change.get("directories"))


def _set_context(path: str, final_path: str) -> None:
    from ansible_collections.kubestatic.node.plugins.module_utils._recover_pods import copy_context

    copy_context(path, final_path if os.path.lexists(final_path) else os.path.dirname(final_path))

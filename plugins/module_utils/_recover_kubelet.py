# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""Undo a change of the kubelet's configuration whose run was cut off: what the unit kubestatic-recover-kubelet runs.

The old files are the ones that worked, so they come back, but for those that somebody else has changed meanwhile. At boot the
kubelet then starts on them. One that is up already is restarted, as it may have read the new ones.
"""

from __future__ import annotations

import contextlib
import os
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import (
    _command,
    _directory,
    _kubelet_settings,
    _recover_pods,
    _recovery_unit,
)
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_change import Journal
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_service import UNIT, KubeletService
from ansible_collections.kubestatic.node.plugins.module_utils._open_changes import OpenChanges
from ansible_collections.kubestatic.node.plugins.module_utils._recovery_unit import RecoveryUnit
from ansible_collections.kubestatic.node.plugins.module_utils._store import KUBELET, KUBELET_CHANGE, Store

# For static pods that had moved to another directory to go.
_TIMEOUT = 300


def unit(store: Store, *, kubelet: str = UNIT) -> RecoveryUnit:
    return RecoveryUnit(
        _command.run,
        store=store,
        what="kubelet",
        room="_recover_kubelet",
        note=KUBELET_CHANGE,
        is_open=lambda: _is_open(store),
        title="the kubelet's configuration",
        before=kubelet,
    )


def main() -> None:
    """Do what can be done now, and say it on standard output, which is the journal."""
    store = Store()
    kubelet = str(store.kubelet_change.get("unit") or UNIT)
    recovery = unit(store, kubelet=kubelet)
    recovery.rearm()
    try:
        _recover(store, KubeletService(_command.run, store=store, unit=kubelet))
    except Exception as exc:  # noqa: BLE001  # whatever it is, the timer comes again
        _recovery_unit.say(f"left for later: {exc}")
    _recovery_unit.notify_started()
    recovery.rearm()


def _is_open(store: Store) -> bool:
    """Whether there is anything left to do here; that the kubelet be proven is for the next run of kubelet_config."""
    return bool(store.kubelet_change) and not store.kubelet_change.get("recovered")


def _recover(store: Store, service: KubeletService) -> None:
    if not _is_open(store):
        return
    if _is_up(service):
        # It waits for nothing; and what follows may take longer than a start may.
        _recovery_unit.notify_started()
    with _directory.locked(store.path, what="the kubelet's configuration"):
        for path in _directories(store, service):
            # A run that changes pods there may need the kubelet as it is.
            with _directory.locked(path):
                pass
        _tell(store, Journal(store, set_context=_set_context).undo(timeout=_TIMEOUT).told)
        # systemd has read its units before this, also at boot.
        service.reload()
        if _is_up(service):
            with contextlib.ExitStack() as held:
                for path in _directories(store, service):
                    held.enter_context(_directory.locked(path))
                service.restart()
            _tell(store, ["restarted the kubelet on the old configuration"])
        store.kubelet_change = {"files": {}, "recovered": True}


def _is_up(service: KubeletService) -> bool:
    """At boot it is inactive; one that does not come up on the new files is not."""
    return service.state().active_state != "inactive"


def _directories(store: Store, service: KubeletService) -> list[str]:
    """The manifest directories that are concerned: where manifests move, and what the kubelet reads."""
    moves = store.kubelet_change.get("moves") or {}
    found = {str(moves[end]) for end in ("source", "target") if moves.get(end)}
    with contextlib.suppress(KubestaticError):
        kubelet = service.running()
        found.add(_kubelet_settings.effective(kubelet.argv, cwd=kubelet.cwd).manifest_dir)
    return sorted(path for path in found if os.path.isdir(path))


def _tell(store: Store, sentences: t.Sequence[str]) -> None:
    for sentence in sentences:
        _recovery_unit.say(sentence)
    OpenChanges(store).tell(KUBELET, sentences)


def _set_context(path: str, final_path: str) -> None:
    _recover_pods.copy_context(path, final_path if os.path.lexists(final_path) else os.path.dirname(final_path))

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""The systemd units that finish or undo an open change where its run was cut off, without Ansible.

A change arms them before its first step. The service runs the rooms of this collection as they are, from a zip that the node's
Python executes: at boot before the kubelet, and by the timer some minutes after the change began, again and again until
nothing is open. Who finds that nothing is open stops the timer.

The kubelet waits for no more than the service's start, which ends when files are in their places (Type=notify, systemd.service(5)),
and for that not longer than TimeoutStartSec. Where nothing is open at boot, the condition spares even a Python.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import os
import pkgutil
import socket
import sys
import typing as t
import zipfile

from ansible_collections.kubestatic.node.plugins.module_utils import _command, _file_edit
from ansible_collections.kubestatic.node.plugins.module_utils._command import Run
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._file_edit import Content, SetContext
from ansible_collections.kubestatic.node.plugins.module_utils._store import Store

UNIT_DIRECTORY = "/etc/systemd/system"
_MODE = 0o644

# The rooms lie beside this one, wherever that is.
_PACKAGE = __name__.rpartition(".")[0]

_SERVICE = """\
# Made by the Ansible collection kubestatic.node {digest}
[Unit]
Description=Finish or undo a change of {what} whose run was cut off (kubestatic.node)
ConditionPathExists={note}
Before={before}

[Service]
Type=notify
ExecStart={python} -I {program}
TimeoutStartSec=10
TimeoutStopSec=5

[Install]
WantedBy=multi-user.target
"""
_TIMER = """\
# Made by the Ansible collection kubestatic.node
[Unit]
Description=Look whether a change of {what} was cut off (kubestatic.node)

[Timer]
OnActiveSec=3min
OnUnitInactiveSec=3min
AccuracySec=10s
"""


class RecoveryUnit:
    """One service with its timer, kubestatic-recover-`what`. `room` has the function main() that it runs.

    `note`: the file in the store without which no change is open; `is_open` says whether one is. `before`: the unit that
    waits for it at boot.
    """

    def __init__(
        self,
        run: Run,
        *,
        store: Store,
        what: str,
        room: str,
        note: str,
        is_open: t.Callable[[], bool],
        title: str,
        before: str,
    ) -> None:
        self._run = run
        self._name = f"kubestatic-recover-{what}"
        self._room = room
        self._note = os.path.join(store.path, note)
        self._program = os.path.join(store.path, f"recover-{what}.pyz")
        self._is_open = is_open
        self._title = title
        self._before = before

    def arm(self, *, set_context: SetContext) -> str:
        """See to it that what begins now is brought to an end. Returns why that cannot be, for a warning; empty where it can."""
        try:
            self._install(set_context)
            self._systemctl("start", "--no-block", f"{self._name}.timer")
        except (KubestaticError, OSError) as exc:
            return f"should this run be cut off, only another one can finish or undo it, as {self._name} cannot be set up: {exc}"
        return ""

    def rearm(self) -> None:
        """The timer is needed as long as a change is open, and no longer."""
        with contextlib.suppress(KubestaticError):
            if not self._is_open():
                self._systemctl("stop", "--no-block", f"{self._name}.timer")
            # Also where another run has begun a change in between.
            if self._is_open():
                self._systemctl("start", "--no-block", f"{self._name}.timer")

    def _install(self, set_context: SetContext) -> None:
        sources = _sources()
        digest = hashlib.sha256(repr(sources).encode()).hexdigest()
        python = sys.executable or "/usr/bin/python3"
        names = {
            "what": self._title,
            "note": self._note,
            "before": self._before,
            "python": python,
            "program": self._program,
            "digest": digest,
        }
        service, timer = (os.path.join(UNIT_DIRECTORY, f"{self._name}.{kind}") for kind in ("service", "timer"))
        before = _file_edit.content(service).text
        if before == _SERVICE.format(**names) and os.path.exists(self._program):
            return
        # The service is the last: it says that all of them are there.
        files = {
            self._program: _program(sources, room=self._room).decode("utf-8", "surrogateescape"),
            timer: _TIMER.format(**names),
            service: _SERVICE.format(**names),
        }
        for path, text in files.items():
            new = Content(text, _MODE)
            _file_edit.prepare(path, new, set_context=set_context)
            _file_edit.put_in_force(path, new)
        if before is not None:
            self._systemctl("daemon-reload")
        self._systemctl("enable", "--no-reload", f"{self._name}.service")

    def _systemctl(self, *words: str) -> None:
        _command.require(self._run, ["systemctl", *words])


def say(sentence: str) -> None:
    """Tell the journal, which is where the output of a service goes."""
    sys.stdout.write(f"{sentence}\n")
    sys.stdout.flush()


def notify_started() -> None:
    """Tell systemd that the files are in their places, so that the kubelet may start (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        # An abstract socket's name begins with a null byte, which is written as '@'.
        notify.sendto(b"READY=1", "\0" + address[1:] if address.startswith("@") else address)


def _sources() -> list[tuple[str, str]]:
    """All rooms that came with this module: name -> source, wherever Python has them from."""
    found = []
    for room in sorted(pkgutil.iter_modules(sys.modules[_PACKAGE].__path__), key=lambda one: one.name):
        name = f"{_PACKAGE}.{room.name}"
        spec = importlib.util.find_spec(name)
        loader = t.cast("t.Any", spec and spec.loader)
        found.append((name, loader.get_source(name) or ""))
    return found


def _program(sources: t.Sequence[tuple[str, str]], *, room: str) -> bytes:
    """A zip for `python3 FILE` (see zipapp) that runs main() of this room."""
    packages = _PACKAGE.split(".")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as program:
        for depth in range(len(packages)):
            program.writestr("/".join([*packages[: depth + 1], "__init__.py"]), "")
        for name, source in sources:
            program.writestr(f"{name.replace('.', '/')}.py", source)
        program.writestr("__main__.py", f"from {_PACKAGE} import {room}\n\n{room}.main()\n")
    return out.getvalue()

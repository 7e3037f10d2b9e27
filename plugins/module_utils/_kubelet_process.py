# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""The kubelet's process: what /proc tells of it, without a command."""

from __future__ import annotations

import os
import time
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._store import Store, boot_id


class Kubelet(t.NamedTuple):
    """A running kubelet process. ``minor`` is 34 for 1.34.4."""

    pid: int
    argv: tuple[str, ...]
    cwd: str
    version: str
    minor: int


def known(store: Store) -> Kubelet | None:
    """The kubelet that was seen last; None where that process has ended. Raises KubestaticError where it ends meanwhile."""
    seen = store.kubelet
    # systemctl and the program's version cost more than all other looks at a kubelet together.
    if not seen or seen["process"] != process_identity(seen["pid"]):
        return None
    argv, cwd = words_and_place(seen["pid"])
    return Kubelet(pid=seen["pid"], argv=argv, cwd=cwd, version=seen["version"], minor=minor_of(seen["version"]))


def words_and_place(pid: int) -> tuple[tuple[str, ...], str]:
    """The kubelet's command line and its working directory. Raises KubestaticError where it has ended."""
    try:
        return command_line(pid), os.readlink(f"/proc/{pid}/cwd")
    except OSError as exc:
        raise KubestaticError(
            f"the kubelet (process {pid}) ended while it was looked at: {exc.strerror}; run again"
        ) from None


def started_at(pid: int) -> float:
    """When a process started, as Unix time by today's clock; 0.0 for one that is gone."""
    identity = process_identity(pid)
    if not identity:
        return 0.0
    ticks = int(identity.split()[1])
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")


def is_alive(pid: int) -> bool:
    """True while the process exists: the cheap question for a loop, without a command."""
    return os.path.exists(f"/proc/{pid}")


def command_line(pid: int) -> tuple[str, ...]:
    """The words with which the process was started. Raises OSError for one that is gone."""
    with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="surrogateescape") as file:
        return tuple(file.read().rstrip("\0").split("\0"))


def process_identity(pid: int) -> str:
    """What tells this process from every other one with the same id, before or after; empty where there is none.

    Its start in clock ticks since the boot (proc(5), field 22 of stat) and the boot's id.
    """
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            # The name in parentheses may have spaces and parentheses itself.
            return f"{boot_id()} {file.read().rpartition(')')[2].split()[19]}"
    except OSError:
        return ""


def is_same_program(pid: int, program: str) -> bool:
    """Whether the process runs the program that lies there now, and not one that was replaced since."""
    try:
        return os.path.samefile(f"/proc/{pid}/exe", program)
    except OSError:
        return False


def watches(pid: int, directory: str) -> bool:
    """Whether the process watches this directory (inotify), as a kubelet does with its manifest directory.

    The kernel tells inode and device of each watch in /proc/PID/fdinfo (proc_pid_fdinfo(5)).
    """
    try:
        found = os.stat(directory)
        # sdev is the kernel's own dev_t: 12 bits of major above 20 bits of minor (include/linux/kdev_t.h).
        device = (os.major(found.st_dev) << 20) | os.minor(found.st_dev)
        for handle in os.listdir(f"/proc/{pid}/fdinfo"):
            with open(f"/proc/{pid}/fdinfo/{handle}", encoding="ascii", errors="replace") as file:
                if any(f" ino:{found.st_ino:x} sdev:{device:x} " in line for line in file):
                    return True
    except OSError:
        pass
    return False


def minor_of(version: str) -> int:
    """34 for "1.34.4"."""
    return int(version.split(".")[1])

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""This machine: what tells it from others, its swap, and who listens on its ports. No command is needed for that."""

from __future__ import annotations

import contextlib
import hashlib
import os
import typing as t

_MACHINE_ID = "/etc/machine-id"
_PROC = "/proc"
# What links in /etc/ssl/certs may lead to (caCertsExtraVolumePaths, cmd/kubeadm/app/phases/controlplane/volumes.go).
_CA_DIRECTORIES = (
    "/etc/pki/ca-trust",
    "/etc/pki/tls/certs",
    "/etc/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
)
# TCP_LISTEN in include/net/tcp_states.h, as /proc/net/tcp writes it.
_LISTENS = "0A"


def machine_id() -> str:
    """A digest of the machine's id, which itself is confidential (machine-id(5)); empty where it has none."""
    try:
        with open(_MACHINE_ID, encoding="ascii", errors="replace") as file:
            text = file.read().strip()
    except OSError:
        return ""
    # systemd writes "uninitialized" for the time of the first boot.
    return hashlib.sha256(f"kubestatic.node {text}".encode()).hexdigest()[:32] if len(text) == 32 else ""


def swap() -> list[str]:
    """The devices and files with swap in use, as the kubelet looks for them (swaps of proc(5))."""
    return [line.split()[0] for line in _lines("swaps")[1:]]


def ca_directories() -> list[str]:
    """Where certificates of CAs are that this machine trusts, besides /etc/ssl/certs."""
    return [path for path in _CA_DIRECTORIES if os.path.exists(path)]


def listeners(ports: t.Iterable[int]) -> list[dict[str, t.Any]]:
    """Those of these ports that are taken: ``port`` and ``process``, its name up to 15 bytes, empty where it cannot be found."""
    wanted = set(ports)
    taken = {port: inode for port, inode in _listening() if port in wanted}
    names = _holders(set(taken.values())) if taken else {}
    return [{"port": port, "process": names.get(inode, "")} for port, inode in sorted(taken.items())]


def _listening() -> t.Iterator[tuple[int, str]]:
    """Port and inode of each TCP socket that listens (proc_net_tcp of the kernel's documentation)."""
    for name in ("net/tcp6", "net/tcp"):
        for line in _lines(name)[1:]:
            fields = line.split()
            if fields[3] == _LISTENS:
                yield int(fields[1].rpartition(":")[2], 16), fields[9]


def _holders(inodes: set[str]) -> dict[str, str]:
    """Inode of a socket -> name of a process that has it open."""
    links = {f"socket:[{inode}]": inode for inode in inodes}
    found: dict[str, str] = {}
    for pid in os.listdir(_PROC):
        # A process may end while it is looked at.
        with contextlib.suppress(OSError):
            for handle in os.listdir(f"{_PROC}/{pid}/fd") if pid.isdigit() else ():
                inode = links.get(os.readlink(f"{_PROC}/{pid}/fd/{handle}"))
                if inode:
                    found[inode] = "".join(_lines(f"{pid}/comm")[:1]).strip()
        if len(found) == len(links):
            break
    return found


def _lines(name: str) -> list[str]:
    """The lines of a file below /proc; none where it is not there, as net/tcp6 without IPv6."""
    try:
        with open(f"{_PROC}/{name}", encoding="utf-8", errors="replace") as file:
            return file.readlines()
    except OSError:
        return []

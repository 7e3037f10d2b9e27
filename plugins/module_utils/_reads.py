# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""The files of the node that a pod reads, and whether they have changed since it was started. Nothing is written here.

The kubelet looks at manifests alone: a pod runs on with a certificate or configuration that was replaced beneath it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _manifest, _plan, _yaml
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._manifest import Pod
from ansible_collections.kubestatic.node.plugins.module_utils._node import Node
from ansible_collections.kubestatic.node.plugins.module_utils._plan import Change
from ansible_collections.kubestatic.node.plugins.module_utils._proving import Outcome

# No certificate, key or configuration is longer; of what is, size and time of the last change tell enough.
_WHOLE_BYTES = 10 * 1024 * 1024

# Words in the names of flags whose file the program writes: --log-file and --audit-log-path of the control plane,
# --write-config-to of the scheduler, --log-outputs of etcd, --pid and the like of proxies.
_WRITING = {
    *("log", "logs", "logfile", "out", "output", "outputs", "write", "record", "report", "trace", "dump"),
    *("profile", "cpuprofile", "memprofile", "keylog", "pid", "pidfile", "lock", "lockfile", "socket"),
    *("backup", "cache", "data", "database", "db", "save", "snapshot", "state", "storage", "temp", "tmp"),
}

# What lies there changes by itself, also where a pod only reads it.
_RESTLESS = ("/var/log", "/proc", "/sys")

# Keys of clusters and users in a kubeconfig that name a file (k8s.io/client-go/tools/clientcmd/api/v1/types.go).
_IN_KUBECONFIG = ("certificate-authority", "client-certificate", "client-key", "tokenFile")


class _Mount(t.NamedTuple):
    """Where a container sees a file or directory. ``host`` is empty where it is none of the node's."""

    path: str
    host: str
    writable: bool


def with_digests(changes: t.Sequence[Change], *, node: Node, warn: t.Callable[[str], None]) -> list[Change]:
    """The same changes with the digests of what their pods read: taken before the pods start, as a file may change then."""
    known = node.store.reads(node.manifest_dir)
    found = []
    for change in changes:
        one, warning = judged(change, known=known.get("/".join(change.wanted.key), {}))
        found.append(one)
        if warning:
            warn(f"{os.path.join(node.manifest_dir, change.filename)}: {warning}")
    return found


def remember_first_sight(changes: t.Sequence[Change], *, node: Node) -> None:
    """Note files that are new to the store. One that differs from its note does so until a pod is proven that has read it."""
    seen = {"/".join(change.wanted.key): change.baseline for change in changes if change.baseline}
    # What is only looked at can be looked at on a node whose /var is full, too.
    is_looked_at = not any(change.starts_pod for change in changes)
    with contextlib.suppress(KubestaticError) if is_looked_at else contextlib.nullcontext():
        node.store.remember_new_reads(node.manifest_dir, seen)


def remember(outcomes: t.Sequence[Outcome], *, node: Node) -> None:
    """Note what pods were started with, once they are proven."""
    started = [one.change for one in outcomes if one.change.starts_pod and one.done]
    # Without this note a pod is restarted once more; with an error it would hide what was done.
    with contextlib.suppress(KubestaticError):
        node.store.remember_reads(
            node.manifest_dir, {"/".join(change.wanted.key): change.baseline for change in started}
        )


def judged(change: Change, *, known: t.Mapping[str, str]) -> tuple[Change, str]:
    """The same change with what its pod reads, and a warning, or an empty text.

    `known`: path -> digest, as the pod was last started with. A pod that would run on is restarted where one of them differs.
    Raises KubestaticError for a file that `restart_on` names and that cannot be read.
    """
    asked, new = change.wanted.restart_on, change.new
    runs_on = change.action in (_plan.KEEP, _plan.REWRITE)
    if new is None or (runs_on and not asked):
        return change, ""
    # Without `restart_on` what is known is kept up to date, so that it can be switched on again.
    paths = set(known) if not asked else named(new) if asked == _plan.AUTO else set(asked)
    baseline = digests(paths)
    if asked and asked != _plan.AUTO and change.wanted.state == _plan.PRESENT:
        _require_all(change, paths - set(baseline))
    change = change._replace(baseline=baseline)
    changed = tuple(path for path in sorted(baseline) if known.get(path, baseline[path]) != baseline[path])
    gone = sorted(path for path in paths & set(known) if path not in baseline)
    if not runs_on:
        return change, ""
    if gone:
        although = f", although {_plan.have_changed(changed)}" if changed else ""
        return change, (
            f"the pod reads {', '.join(gone)} and no such file is there any more; it is not restarted{although}, as it may"
            " not start again: put the file back, or take it out of the manifest"
        )
    return (change._replace(action=_plan.RESTART, changed_files=changed) if changed else change), ""


def named(pod: Pod) -> set[str]:
    """Paths on the node that the manifest names and the pod does not write, whatever is there, if anything.

    They are read-only hostPath mounts, the values of flags that lie in a hostPath mount, and files named in kubeconfigs
    among these.
    """
    volumes = {
        str(volume.get("name")): _manifest.mapping(volume.get("hostPath")).get("path")
        for volume in _manifest.mappings(pod.spec.get("volumes"))
    }
    containers = [*pod.init_containers, *pod.containers]
    mounts = [_mounts(container, volumes) for container in containers]
    found: set[str] = set()
    written = set()
    for index, container in enumerate(containers):
        own = mounts[index]
        # What another container may write is made for this one; only a flag tells that a container reads what it may write.
        others = [mount.host for each in mounts if each is not own for mount in each if mount.writable]
        writable = [*others, *(mount.host for mount in own if mount.writable)]
        certain: set[str] = set()
        likely = {mount.path for mount in own}
        for flag, value in _flags(container):
            paths = {os.path.normpath(part) for part in re.split("[,:]", value) if part.startswith("/")}
            if _is_written(flag):
                written |= {_on_node(path, own) for path in paths}
            else:
                # The name of a flag with one letter does not tell that it is read.
                (certain if len(flag) > 1 else likely).update(paths)
        for paths, writers in ((certain, others), (likely, writable)):
            paths |= {inner for path in paths for inner in _in_kubeconfig(path, host=_on_node(path, own))}
            hosts = {_on_node(path, own) for path in paths}
            found |= {host for host in hosts if not any(_covers(above, host) for above in (*writers, *_RESTLESS))}
    return found - written - {""}


def digests(paths: t.Iterable[str]) -> dict[str, str]:
    """Path -> SHA-256 of the content, in hexadecimal, for those that are regular files, or links to one."""
    found = ((path, _digest(path)) for path in paths)
    return {path: digest for path, digest in found if digest}


def _digest(path: str) -> str:
    try:
        seen = os.stat(path)
        if not stat.S_ISREG(seen.st_mode):
            return ""
        if seen.st_size > _WHOLE_BYTES:
            return hashlib.sha256(f"{seen.st_size} {seen.st_mtime_ns}".encode()).hexdigest()
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except OSError:
        return ""


def _require_all(change: Change, unread: t.AbstractSet[str]) -> None:
    for path in sorted(unread):
        what = (
            "is a directory; name the files in it" if os.path.isdir(path) else "is no file on this node; mend the path"
        )
        raise KubestaticError(f"pod {'/'.join(change.wanted.key)}: restart_on names {path}, which {what}")


def _mounts(container: dict[str, t.Any], volumes: t.Mapping[str, t.Any]) -> list[_Mount]:
    mounts = []
    for mount in _manifest.mappings(container.get("volumeMounts")):
        path, host = mount.get("mountPath"), volumes.get(str(mount.get("name")))
        if isinstance(path, str) and path.startswith("/"):
            # The kubelet puts variables into subPathExpr.
            is_known = isinstance(host, str) and not mount.get("subPathExpr")
            host = os.path.normpath(os.path.join(str(host), str(mount.get("subPath") or ""))) if is_known else ""
            mounts.append(_Mount(os.path.normpath(path), host, mount.get("readOnly") is not True))
    return mounts


def _flags(container: dict[str, t.Any]) -> t.Iterator[tuple[str, str]]:
    """(name without dashes, value) of what looks like a flag, written --name=value or --name value."""
    words = [
        word
        for part in (container.get("command"), container.get("args"))
        for word in (part if isinstance(part, list) else ())
        if isinstance(word, str)
    ]
    for word, following in zip(words, [*words[1:], ""]):
        name, equals, value = word.partition("=")
        if name.startswith("-"):
            yield name.lstrip("-"), value if equals else following


def _is_written(flag: str) -> bool:
    return bool(_WRITING & {word.lower() for word in re.split(r"[-_.]|(?<=[a-z])(?=[A-Z])", flag)})


def _on_node(path: str, mounts: t.Sequence[_Mount]) -> str:
    """The path on the node of a container's path, empty where it is none of the node's: the deepest mount hides others."""
    inside = [mount for mount in mounts if _covers(mount.path, path)]
    mount = max(inside, key=lambda mount: len(mount.path), default=None)
    if mount is None or not mount.host:
        return ""
    return os.path.normpath(os.path.join(mount.host, os.path.relpath(path, mount.path)))


def _covers(above: str, path: str) -> bool:
    return bool(above) and (path == above or path.startswith(os.path.join(above, "")))


def _in_kubeconfig(path: str, *, host: str) -> set[str]:
    """The container's paths of the files that a kubeconfig names; none where the file is no kubeconfig."""
    try:
        if not host or not stat.S_ISREG(os.stat(host).st_mode) or os.path.getsize(host) > _WHOLE_BYTES:
            return set()
        with open(host, "rb") as file:
            raw = file.read()
        if b"clusters" not in raw:
            return set()
        data = _manifest.mapping(_yaml.load(raw.decode("utf-8")).data)
    except (OSError, UnicodeError, KubestaticError):
        return set()
    entries = [
        _manifest.mapping(entry.get(kind))
        for kind in ("cluster", "user")
        for entry in _manifest.mappings(data.get(f"{kind}s"))
    ]
    names = [entry.get(key) for entry in entries for key in _IN_KUBECONFIG]
    # client-go takes a relative path from the kubeconfig's directory, too.
    return {
        os.path.normpath(os.path.join(os.path.dirname(path), name)) for name in names if isinstance(name, str) and name
    }

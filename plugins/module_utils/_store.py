# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""/var/lib/kubestatic: what this collection placed, and what it need not ask a kubelet twice."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError

DEFAULT_PATH = "/var/lib/kubestatic"

_PLACED = "placed.json"
_RUNS = "runs.json"
_DOWNTIMES = "downtimes.json"
_READS = "reads.json"
_KUBELET = "kubelet.json"
_STOPPED = "kubelet-stopped.json"
_START = "kubelet-start.json"
KUBELET_CHANGE = "kubelet-change.json"
_RECOVERED = "recovered.json"
UNDER_WAY = "under-way.json"

# What a recovery tells of.
PODS, KUBELET = "pods", "kubelet"
_REVISIONS = "revisions"

# How many downtimes of one pod and one kind of change are kept: enough for a median that one bad day does not move.
_LAST = 5


class Run(t.NamedTuple):
    """A pod that this collection has seen running: its uid, the manifest's text, and when it was last restarted."""

    uid: str
    text: str
    # Unix time, 0.0 for never with this uid.
    restarted_at: float = 0.0


class Revision(t.NamedTuple):
    """A manifest that a pod has had.

    ``time``: Unix time at which it was noted, ``reason``: why (see _revisions), ``cause``: what the task had it from,
    ``good``: a pod was proven to run from it, and was not removed since.
    """

    number: int
    time: float
    reason: str
    cause: str
    text: str
    good: bool

    @property
    def digest(self) -> str:
        """SHA-256 of the text, in hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()


class Store:
    """Small JSON files, each replaced in one rename. A missing or torn file counts as empty.

    With `remember` false no answer of a kubelet is kept: for runs that must leave no trace on the node.
    """

    def __init__(self, path: str = DEFAULT_PATH, *, remember: bool = True) -> None:
        self.path = path
        self._remember = remember

    def placed(self, directory: str) -> dict[str, str]:
        """The files in this manifest directory that this collection wrote: file name -> namespace/name of the pod."""
        found = self.read(_PLACED).get(directory)
        return found if isinstance(found, dict) else {}

    def remember_placed(self, directory: str, files: t.Mapping[str, str]) -> None:
        """Note files before they are put in force: a run that is killed in between must not forget its pods."""
        self._change_placed(directory, {**self.placed(directory), **files})

    def forget_placed(self, directory: str, pod: str) -> None:
        """Forget the file of this pod (namespace/name), and what it reads."""
        self._change_placed(directory, {name: key for name, key in self.placed(directory).items() if key != pod})
        self.remember_reads(directory, {pod: {}})

    def reads(self, directory: str) -> dict[str, dict[str, str]]:
        """What the pods of this manifest directory were started with: namespace/name -> path -> SHA-256 of the file.

        Nothing else of a file is kept, as keys and tokens are among them.
        """
        found = self.read(_READS).get(directory)
        pods = found if isinstance(found, dict) else {}
        return {pod: files for pod, files in pods.items() if isinstance(files, dict)}

    def remember_reads(self, directory: str, pods: t.Mapping[str, t.Mapping[str, str]]) -> None:
        """Note what these pods read, and forget those that read nothing."""
        before = self.reads(directory)
        self._change_reads(directory, before, {**before, **pods})

    def remember_new_reads(self, directory: str, pods: t.Mapping[str, t.Mapping[str, str]]) -> None:
        """Note those files of these pods that are not noted yet."""
        before = self.reads(directory)
        new = {pod: {**files, **before.get(pod, {})} for pod, files in pods.items()}
        self._change_reads(directory, before, {**before, **new})

    def _change_reads(
        self, directory: str, before: dict[str, dict[str, str]], pods: t.Mapping[str, t.Mapping[str, str]]
    ) -> None:
        after = {pod: dict(files) for pod, files in pods.items() if files}
        if after != before:
            self.write(_READS, {**self.read(_READS), directory: after})

    def runs(self, directory: str) -> dict[tuple[str, str], Run]:
        """What this collection has seen running: (namespace, name) -> the run."""
        found = self.read(_RUNS).get(directory)
        pods = found if isinstance(found, dict) else {}
        return {
            (key.partition("/")[0], key.partition("/")[2]): Run(*seen)
            for key, seen in pods.items()
            if isinstance(seen, list) and [type(part) for part in seen] == [str, str, float]
        }

    def remember_runs(self, directory: str, runs: t.Mapping[tuple[str, str], Run]) -> None:
        if runs != self.runs(directory):
            pods = {"/".join(key): list(run) for key, run in runs.items()}
            # Without this note a failure may pass unseen the next time; with an error it would hide what was done.
            with contextlib.suppress(KubestaticError):
                self.write(_RUNS, {**self.read(_RUNS), directory: pods})

    def revisions(self, pod: tuple[str, str]) -> tuple[Revision, ...]:
        """The manifests of this pod (namespace, name), oldest first."""
        return _revisions_in(self.read(_revisions_file(pod)))

    def all_revisions(self) -> dict[tuple[str, str], tuple[Revision, ...]]:
        """Those of each pod (namespace, name) that has had a manifest, in the order of the pods."""
        try:
            names = os.listdir(os.path.join(self.path, _REVISIONS))
        except OSError:
            return {}
        found = [self.read(os.path.join(_REVISIONS, name)) for name in names if name.endswith(".json")]
        pods = {str(data.get("pod")).partition("/")[::2]: _revisions_in(data) for data in found}
        return dict(sorted(pods.items()))

    def remember_revisions(self, pod: tuple[str, str], revisions: t.Sequence[Revision]) -> None:
        was_proven = any(one.good for one in revisions) or self.was_proven(pod)
        kept = [list(one) for one in revisions]
        self.write(_revisions_file(pod), {"pod": "/".join(pod), "was_proven": was_proven, "revisions": kept})

    def was_proven(self, pod: tuple[str, str]) -> bool:
        """Whether this pod (namespace, name) was ever proven to run here, also where it was removed since."""
        found = self.read(_revisions_file(pod))
        return found.get("was_proven") is True or any(one.good for one in _revisions_in(found))

    def downtimes(self, directory: str) -> dict[str, dict[str, list[float]]]:
        """What changes have taken here, the newest last: namespace/name -> `Change.kind` -> seconds."""
        found = self.read(_DOWNTIMES).get(directory)
        return {
            pod: {
                kind: [one for one in seconds if type(one) in (int, float)]
                for kind, seconds in kinds.items()
                if isinstance(seconds, list)
            }
            for pod, kinds in (found.items() if isinstance(found, dict) else ())
            if isinstance(kinds, dict)
        }

    def remember_downtimes(self, directory: str, measured: t.Sequence[tuple[str, str, float]]) -> None:
        """Note (namespace/name, `Change.kind`, seconds) of what has just been done."""
        if not measured:
            return
        pods = self.downtimes(directory)
        for pod, kind, seconds in measured:
            kinds = pods.setdefault(pod, {})
            kinds[kind] = [*kinds.get(kind, []), seconds][-_LAST:]
        self._write_downtimes(directory, pods)

    def forget_downtimes(self, directory: str, pod: str) -> None:
        """Forget those of this pod (namespace/name)."""
        pods = self.downtimes(directory)
        if pods.pop(pod, None):
            self._write_downtimes(directory, pods)

    @property
    def kubelet(self) -> dict[str, t.Any]:
        """The kubelet that was seen last: ``pid``, ``process`` (its identity) and ``version``; empty for none."""
        found = self.read(_KUBELET)
        known = isinstance(found.get("pid"), int) and found.get("process") and isinstance(found.get("version"), str)
        return found if known else {}

    @kubelet.setter
    def kubelet(self, seen: t.Mapping[str, t.Any]) -> None:
        # A node whose /var is full or read-only can still be looked at.
        if self._remember:
            with contextlib.suppress(KubestaticError):
                self.write(_KUBELET, dict(seen))

    @property
    def kubelet_start(self) -> dict[str, t.Any]:
        """The last start of a kubelet that was seen; empty for none.

        ``pid`` and ``process`` (its identity) say which, ``inputs`` what it read, as digests, ``identity`` what it knows
        its pods by, ``healthz`` where it answers.
        """
        found = self.read(_START)
        return found if found.get("process") and isinstance(found.get("inputs"), dict) else {}

    @kubelet_start.setter
    def kubelet_start(self, seen: t.Mapping[str, t.Any]) -> None:
        # Without it the times of the files tell; a node whose /var is full shall not fail for that.
        if self._remember and seen != self.kubelet_start:
            with contextlib.suppress(KubestaticError):
                self.write(_START, dict(seen))

    @property
    def kubelet_change(self) -> dict[str, t.Any]:
        """The change of the kubelet's configuration that is under way, or was when a run was killed; empty for none.

        ``files``: path -> ``before`` (text, mode, owner, group) and ``after`` (digest of the text that took its place).
        ``directories``: those that were made. ``moves``: manifests on their way from one directory to another, or None.
        """
        found = self.read(KUBELET_CHANGE)
        return found if isinstance(found.get("files"), dict) else {}

    @kubelet_change.setter
    def kubelet_change(self, change: t.Mapping[str, t.Any]) -> None:
        if change != self.kubelet_change:
            self.write(KUBELET_CHANGE, dict(change))

    @property
    def kubelet_stopped_for(self) -> str:
        """The manifest directory for whose sake a run of this collection has stopped the kubelet; empty where none has."""
        note = self.read(_STOPPED)
        # With the machine systemd has started the kubelet, or somebody did not want it to.
        return str(note.get("directory") or "") if note.get("boot") == boot_id() else ""

    @kubelet_stopped_for.setter
    def kubelet_stopped_for(self, directory: str) -> None:
        if directory != self.kubelet_stopped_for:
            self.write(_STOPPED, {"directory": directory, "boot": boot_id()} if directory else {})

    def _write_downtimes(self, directory: str, pods: dict[str, dict[str, list[float]]]) -> None:
        # They only foretell; with an error they would hide what was done.
        with contextlib.suppress(KubestaticError):
            self.write(_DOWNTIMES, {**self.read(_DOWNTIMES), directory: pods})

    @property
    def is_under_way(self) -> bool:
        """Whether a change is noted as open in some manifest directory (see _open_changes)."""
        return os.path.exists(os.path.join(self.path, UNDER_WAY))

    @property
    def recovered(self) -> dict[str, t.Any]:
        """What was done without a run since the last one (see _open_changes)."""
        return self.read(_RECOVERED)

    @recovered.setter
    def recovered(self, told: t.Mapping[str, t.Any]) -> None:
        # Told twice, or never, is better than a failure.
        with contextlib.suppress(KubestaticError):
            self.write(_RECOVERED, dict(told))

    def _change_placed(self, directory: str, files: dict[str, str]) -> None:
        if self.placed(directory) == files:
            return
        data = {**self.read(_PLACED), directory: files}
        self.write(_PLACED, {path: names for path, names in data.items() if names})

    def read(self, filename: str) -> dict[str, t.Any]:
        """A file of the store; empty where there is none."""
        try:
            with open(os.path.join(self.path, filename), encoding="utf-8") as file:
                data = json.load(file)
        except (OSError, ValueError):
            return {}
        return data if isinstance(data, dict) else {}

    def write(self, filename: str, data: dict[str, t.Any]) -> None:
        """Replace a file of the store; nothing to keep is no file. Raises KubestaticError."""
        path = os.path.join(self.path, filename)
        temporary = f"{path}.new"
        try:
            if not data:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
                return
            for directory in (self.path, os.path.dirname(path)):
                os.makedirs(directory, mode=0o700, exist_ok=True)
            with open(temporary, "w", encoding="utf-8") as file:
                json.dump(data, file)
                file.flush()
                os.fsync(file.fileno())
            os.rename(temporary, path)
        except OSError as exc:
            raise KubestaticError(
                f"{path}: cannot note what this collection places: {exc.strerror}; make room or make it writable"
            ) from None


def _revisions_file(pod: tuple[str, str]) -> str:
    # Both names together may be longer than a file's name.
    return os.path.join(_REVISIONS, f"{hashlib.sha256('/'.join(pod).encode()).hexdigest()[:32]}.json")


def _revisions_in(data: t.Mapping[str, t.Any]) -> tuple[Revision, ...]:
    found = data.get("revisions")
    return tuple(
        Revision(*one)
        for one in (found if isinstance(found, list) else ())
        if isinstance(one, list) and [type(part) for part in one] == [int, float, str, str, str, bool]
    )


def boot_id() -> str:
    """What tells one run of the machine from the next (random(4))."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()

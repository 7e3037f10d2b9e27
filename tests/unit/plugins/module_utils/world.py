# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small model of a node in memory: a kubelet that watches a real directory, a runtime, systemd, and a clock of its own.

The rooms see it through the commands that they run, so all of their own code is real. What kubelets and runtimes really
do is shown on the test nodes; here the world can be made to fail at any moment, and a minute takes a millisecond.

The kubelet behaves as read in pkg/kubelet: a pod is known by namespace and name, a change of its uid stops the old one
first, and a successor that came too early waits for a back-off (pod_workers.go).
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import functools
import hashlib
import io
import itertools
import json
import math
import os
import subprocess
import typing as t

import yaml
from ansible_collections.kubestatic.node.plugins.module_utils import (
    _arrival,
    _command,
    _departure,
    _hope,
    _images,
    _known_runs,
    _kubelet_process,
    _module,
    _node,
    _readiness,
    _recover_pods,
    _recovery_unit,
    _runtime,
    _static_pods,
    _steps,
    _teardown,
    _watch,
)
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_process import Kubelet
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_settings import effective
from ansible_collections.kubestatic.node.plugins.module_utils._runtime import Runtime, Sandbox
from ansible_collections.kubestatic.node.plugins.module_utils._store import Store
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.simulation import (
    STEP_SECONDS,
    Simulation,
    swapped,
)

if t.TYPE_CHECKING:
    Answer = tuple[int, str, str]
    Key = tuple[str, str]

CRICTL = "/usr/bin/crictl"
_ROOMS_WITH_A_CLOCK = (_arrival, _departure, _hope, _known_runs, _readiness, _steps, _teardown, _watch)
NODE = "node1"
BACKOFF_SECONDS = 12.0
# From a kubelet's main loop on: what it looks for at once, and then again and again (see _teardown).
FIRST_RELIST_SECONDS = 0.37
RELIST_SECONDS = 1.004
HOUSEKEEPING_SECONDS = 2.0
WORKER_SECONDS = 0.04
CRASH_LOOP_MEMORY_SECONDS = 600.0


def manifest(name: str = "web", image: str = "good:1", *, namespace: str = "", **spec: t.Any) -> str:
    """The text of a manifest with one container."""
    probe = spec.pop("probe", None)
    container = {"name": "main", "image": image, **({"readinessProbe": probe} if probe else {})}
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    data = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container], **spec}}
    return str(yaml.safe_dump(data, sort_keys=False))


@dataclasses.dataclass
class Image:
    """How containers of an image behave. ``exits``: the exit code with which they end after ``life`` seconds."""

    start: float = 0.2
    stop: float = 0.3
    exits: int | None = None
    life: float = 0.5
    refused: str = ""
    present: bool = True
    log: tuple[str, ...] = ()


@dataclasses.dataclass
class Ctr:
    """One container in the runtime."""

    id: str
    name: str
    image: str
    created: float
    due: float
    attempt: int = 0
    state: str = "created"
    started: float = 0.0
    finished: float = 0.0
    code: int = 0


@dataclasses.dataclass
class Box:
    """One sandbox in the runtime. ``epoch``: the kubelet process that started it."""

    id: str
    key: Key
    uid: str
    created: float
    epoch: int
    source: str
    ready: bool = True
    grace: int = 30
    stopped: float | None = None
    containers: list[Ctr] = dataclasses.field(default_factory=list)

    @property
    def alive(self) -> bool:
        return self.ready or any(one.state == "running" for one in self.containers)


class World(Simulation):
    """One node. Set its attributes to make it behave; ``run`` is what the rooms run commands with.

    ``sources_ready``: whether all of the kubelet's sources have answered, else it deletes nothing.
    ``sandboxes_stay``: a network plugin fails, so containers end and sandboxes stay.
    """

    def __init__(self, manifests: str, store: str, *, kubelet_arguments: t.Sequence[str] = ()) -> None:
        self.manifests = manifests
        self.store_path = store
        self.arguments = [f"--pod-manifest-path={manifests}", f"--hostname-override={NODE}", *kubelet_arguments]
        self.images: dict[str, Image] = {}
        self.crictl = CRICTL
        self._process: subprocess.Popen[bytes] | None = None
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget all that has happened: no pod runs, the kubelet has just started."""
        super().begin_anew()
        self.boxes: list[Box] = []
        self.kubelet_runs = True
        self.kubelet_installed = True
        self.sources_ready = True
        self.sandboxes_stay = False
        self.epoch = 0
        self.kubelet_stops = 0
        self.main_loop_is_logged = True
        self._serial = itertools.count(1)
        self._retry: dict[Key, float] = {}
        self._starts: dict[str, int] = {}
        self._ended: list[tuple[Box, Ctr]] = []
        self._crash_loops: dict[str, tuple[float, float]] = {}
        self._torn: dict[Key, float] = {}
        self._through: dict[str, float] = {}
        self._cgroup_ends: dict[str, float] = {}
        self._began = self.now
        self._known: tuple[t.Any, dict[Key, tuple[str, dict[str, t.Any]]]] = (None, {})

    @contextlib.contextmanager
    def installed(self) -> t.Iterator[World]:
        """Put the clock, the store's path and the place of crictl into the rooms."""
        places: list[tuple[t.Any, str, t.Any]] = [
            *((room, "time", self) for room in _ROOMS_WITH_A_CLOCK),
            (_teardown, "pod_cgroups", self._cgroups),
            (_teardown, "any_left", lambda uids: any(self._has_cgroup(uid) for uid in uids)),
            (_teardown, "make", self._put_back_cgroups),
            (_teardown, "remove", lambda uids: self._cgroup_ends.update(dict.fromkeys(uids, self.now))),
            (_kubelet_process, "is_alive", lambda _pid: self.kubelet_runs),
            (_command, "run", self.run),
            *(
                (room, "Store", lambda **options: Store(self.store_path, **options))
                for room in (_node, _recover_pods, _static_pods)
            ),
            (_recovery_unit, "UNIT_DIRECTORY", made(f"{self.store_path}-units")),
            (_runtime, "find_crictl", lambda _path: self.crictl),
            (_module, "require_root", lambda: None),
        ]
        try:
            with swapped(places):
                yield self
        finally:
            self.end_process()

    # ---- what the rooms get

    def node(self, *, runtime: bool = True) -> _node.Node:
        """A Node without the look at /proc."""
        store = Store(self.store_path)
        return _node.Node(
            store=store,
            run=self.run,
            kubelet=Kubelet(pid=1, argv=(), cwd="/", version="1.34.4", minor=34),
            settings=effective(["kubelet", *self.arguments], cwd="/"),
            runtime=Runtime(self.run, crictl=CRICTL, endpoint="unix:///run/x.sock") if runtime else None,
            manifest_dir=self.manifests,
        )

    def process(self) -> int:
        """The id of a real process with the kubelet's command line, for those who look into /proc."""
        if self._process is None:
            command = ["/bin/sh", "-c", "echo; read nothing", "kubelet", *self.arguments]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            assert self._process.stdout is not None
            self._process.stdout.readline()
        return self._process.pid

    def end_process(self) -> None:
        if self._process is not None:
            self._process.communicate()
            self._process = None

    # ---- what tests look at

    def pods(self) -> dict[str, str]:
        """Full name -> image of the main container, for what runs."""
        return {box.key[1]: one.image for box in self.boxes for one in box.containers if one.state == "running"}

    def torn_at(self, key: Key) -> float:
        """When the kubelet is, or was, through with the pod of this full name that it stopped last."""
        return self._torn[key]

    def cgroups(self) -> set[str]:
        """The uids of the pods whose cgroup is there."""
        return {uid for uid, ends in self._cgroup_ends.items() if self.now < ends}

    def settle(self, seconds: float = 5.0) -> World:
        """Let the kubelet do its work for a while."""
        self.sleep(seconds)
        return self

    def log(self, line: str) -> None:
        self.journal.append((self.now, line))

    # ---- commands

    def run(self, args: t.Sequence[str]) -> Answer:
        words = [word for word in args if word]
        if self.about_recovery(words):
            return 0, "", ""
        command = " ".join(words[5:] if words[0] == CRICTL else words)
        if words[0] == CRICTL:
            rest = words[5:]
            rest = rest[2:] if rest[0] == "--timeout" else rest
            command = " ".join(["crictl", *rest])
        failed = self.begun(command)
        if failed:
            return failed
        if words[0] == CRICTL:
            return self._crictl(rest)
        if words[0] == "systemctl":
            return self._systemctl(words[1])
        if "--output=json" in words:
            return 0, self._main_loop_logged() if self.main_loop_is_logged else "", ""
        if words[0] == "journalctl":
            return self.journalctl(words)
        assert words[1] == "--version", words
        return 0, "Kubernetes v1.34.4\n", ""

    def again(self, command: str) -> None:
        """Run a command as ``on_command`` saw it: what it did to another copy of this world is done here, too."""
        words = command.split()
        self.run([CRICTL, *["-"] * 4, *words[1:]] if words[0] == "crictl" else words)

    def _systemctl(self, verb: str) -> Answer:
        if verb == "show":
            state = ("loaded", "active", "running") if self.kubelet_runs else ("loaded", "inactive", "dead")
            if not self.kubelet_installed:
                state = ("not-found", "inactive", "dead")
            pid = self.process() if self.kubelet_runs else 0
            return 0, "MainPID={3}\nLoadState={0}\nActiveState={1}\nSubState={2}\n".format(*state, pid), ""
        if verb == "daemon-reload":
            return 0, "", ""
        self.kubelet_stops += verb == "stop"
        if verb == "start" and not self.kubelet_runs:
            self.epoch += 1
            self._retry.clear()
            self._crash_loops.clear()
            self._torn.clear()
            self._began = self.now
        self.kubelet_runs = verb == "start"
        self._live()
        return 0, "", ""

    def _crictl(self, args: list[str]) -> Answer:
        verb, subject = args[0], args[-1]
        if verb == "pods":
            return 0, json.dumps({"items": [self._box_json(box) for box in reversed(self.boxes)]}), ""
        if verb == "ps":
            found = [self._ctr_json(box, one) for box, one in self._ended]
            found += [
                self._ctr_json(box, one) for box in self.boxes for one in box.containers if one.created <= self.now
            ]
            return 0, json.dumps({"containers": list(reversed(found))}), ""
        if verb == "images":
            names = [_images.full_image_name(name) for name, image in self.images.items() if image.present]
            names += [_images.full_image_name(f"good:{number}") for number in range(9)]
            return 0, json.dumps({"images": [{"id": name, "repoTags": [name]} for name in names]}), ""
        if verb == "pull":
            self.images.setdefault(subject, Image()).present = True
            return 0, "", ""
        if verb == "rm":
            gone = [(box, one) for box, one in self._ended if one.id in args]
            self._ended = [pair for pair in self._ended if pair not in gone]
            for box, _one in gone if "--keep-logs" not in args else ():
                # With the logs goes the count of restarts (calcRestartCountByLogDir).
                self._starts.pop(box.uid, None)
            return 0, "", ""
        if verb in ("stopp", "inspectp"):
            return self._of_box(verb, next(box for box in self.boxes if box.id == subject))
        pairs = [(box, one) for box in self.boxes for one in box.containers if one.id in args]
        if not pairs:
            return 1, "", 'level=fatal msg="not found"'
        return self._of_container(verb, *pairs[0])

    def _of_box(self, verb: str, box: Box) -> Answer:
        if verb == "stopp":
            box.ready = False
            box.stopped = box.stopped or self.now
            return 0, "", ""
        return 0, json.dumps({"status": {"network": {"ip": "127.0.0.1"}}}), ""

    def _of_container(self, verb: str, box: Box, one: Ctr) -> Answer:
        if verb == "stop":
            self.sleep(self._behaviour(one.image).stop)
            self._end(one, 0)
            one.due = self.now + 1.0
            return 0, "", ""
        if verb == "logs":
            return 0, "".join(f"{line}\n" for line in self._behaviour(one.image).log), ""
        if verb == "exec":
            return 0, "", ""
        status = {
            "exitCode": one.code,
            "startedAt": _text(one.started),
            "finishedAt": _text(one.finished),
            "reason": "Error" if one.code else "Completed",
        }
        return 0, json.dumps({"status": status}), ""

    def _box_json(self, box: Box) -> dict[str, t.Any]:
        return {
            "id": box.id,
            "metadata": {"name": box.key[1], "namespace": box.key[0], "uid": box.uid, "attempt": 0},
            "state": "SANDBOX_READY" if box.ready else "SANDBOX_NOTREADY",
            "createdAt": str(int(box.created * 1e9)),
            "annotations": {"kubernetes.io/config.source": box.source},
        }

    def _ctr_json(self, box: Box, one: Ctr) -> dict[str, t.Any]:
        return {
            "id": one.id,
            "podSandboxId": box.id,
            "metadata": {"name": one.name, "attempt": one.attempt},
            "image": {"image": "sha256:abc", "userSpecifiedImage": ""},
            "state": f"CONTAINER_{one.state.upper()}",
            "createdAt": str(int(one.created * 1e9)),
            "labels": {"io.kubernetes.pod.name": box.key[1], "io.kubernetes.pod.namespace": box.key[0]},
            "annotations": {"io.kubernetes.pod.terminationGracePeriod": str(box.grace)},
        }

    # ---- the kubelet and the runtime at work

    def _behaviour(self, image: str) -> Image:
        return self.images.get(image, Image())

    def collect_garbage(self) -> None:
        """What the kubelet does each minute: of pods that are gone the records and the logs go (kuberuntime_gc.go)."""
        alive = {box.uid for box in self.boxes}
        self._ended = [(box, one) for box, one in self._ended if box.uid in alive]
        self._starts = {uid: starts for uid, starts in self._starts.items() if uid in alive}

    def _live(self) -> None:
        for box in self.boxes:
            for one in list(box.containers):
                self._live_container(box, one)
        for box in list(self.boxes):
            if box.stopped is not None and self.now >= box.stopped:
                self._finish(box)
        if self.kubelet_runs:
            self._sync(self._wanted())

    def _live_container(self, box: Box, one: Ctr) -> None:
        if self.now < one.due or box.stopped is not None:
            return
        behaviour = self._behaviour(one.image)
        if one.state == "created":
            one.state, one.started = "running", self.now
            one.due = self.now + behaviour.life if behaviour.exits is not None else float("inf")
        elif one.state == "running":
            self._end(one, behaviour.exits or 0)
            one.due = self.now + (0.0 if one.attempt == 0 else 10.0 * one.attempt)
        elif self.kubelet_runs and self._wanted().get(box.key, ("",))[0] == box.uid:
            one.due = float("inf")
            box.containers.append(self._container(one.name, one.image, attempt=one.attempt + 1))

    def _end(self, one: Ctr, code: int) -> None:
        if one.state != "exited":
            one.state, one.finished, one.code, one.due = "exited", self.now, code, float("inf")

    def _finish(self, box: Box) -> None:
        """The end of a stop: containers, then the sandbox, then the record of both; the kubelet tears down after that."""
        for one in box.containers:
            self._end(one, 0)
        if self.sandboxes_stay:
            return
        box.ready = False
        if box.stopped is not None and self.now >= box.stopped + 2 * STEP_SECONDS:
            self.boxes.remove(box)
            self._ended += [(box, one) for one in box.containers]
            self._tear_down(box)

    def _tear_down(self, box: Box) -> None:
        """The pod's worker is through after the next relist; the housekeeping may take the cgroup before."""
        ended = self.now + WORKER_SECONDS
        through = self._next(ended, since=self._began + FIRST_RELIST_SECONDS, every=RELIST_SECONDS)
        self._through[box.uid] = through
        if box.epoch == self.epoch:
            self._torn[box.key] = through
        self._cgroup_ends[box.uid] = min(through, self._next(ended, since=self._began, every=HOUSEKEEPING_SECONDS))

    def _main_loop_logged(self) -> str:
        """The journal has got the line a second after the kubelet has written it, as on a busy machine."""
        written = datetime.datetime.fromtimestamp(self._began, tz=datetime.timezone.utc)
        entry = {
            "__REALTIME_TIMESTAMP": str(int((self._began + 1.0) * 1e6)),
            "__MONOTONIC_TIMESTAMP": str(int((self._began + 1.0) * 1e6)),
            "MESSAGE": f'I{written:%m%d %H:%M:%S.%f} 1 kubelet.go:1] "Starting kubelet main sync loop"',
        }
        return json.dumps(entry) + "\n"

    @staticmethod
    def _next(moment: float, *, since: float, every: float) -> float:
        return since + math.ceil((moment - since) / every) * every

    def _cgroups(self, sandboxes: t.Iterable[Sandbox]) -> list[str]:
        """As paths their uids, as none is asked for but by this world."""
        return [box.uid for box in sandboxes if self._has_cgroup(box.uid)]

    def _has_cgroup(self, uid: str) -> bool:
        return self.now < self._cgroup_ends.get(uid, float("inf"))

    def _put_back_cgroups(self, uids: t.Iterable[str]) -> None:
        """The worker's end takes it away once more, or else the housekeeping."""
        for uid in uids:
            tick = self._next(self.now, since=self._began, every=HOUSEKEEPING_SECONDS)
            through = self._through.get(uid, 0.0)
            self._cgroup_ends[uid] = through if self.now < through else tick

    def _sync(self, wanted: dict[Key, tuple[str, dict[str, t.Any]]]) -> None:
        for box in self.boxes:
            if box.source != "file" or box.stopped is not None or not self.sources_ready:
                continue
            if wanted.get(box.key, ("",))[0] != box.uid:
                box.stopped = self.now + max((self._behaviour(one.image).stop for one in box.containers), default=0.0)
        for key, (uid, data) in wanted.items():
            self._start(key, uid, data)

    def _start(self, key: Key, uid: str, data: dict[str, t.Any]) -> None:
        same = [box for box in self.boxes if box.key == key and box.epoch == self.epoch]
        if any(box.uid == uid and box.stopped is None for box in self.boxes if box.key == key):
            return
        if same or self.now < self._torn.get(key, 0.0):
            # The same pod again does not queue behind itself: the housekeeping starts it once it is through (HandlePodCleanups).
            again = self.now < self._through.get(uid, 0.0) or any(box.uid == uid for box in same)
            tick = self._next(self.now, since=self._began, every=HOUSEKEEPING_SECONDS)
            self._retry[key] = tick if again else self.now + BACKOFF_SECONDS
            return
        if self.now < self._retry.get(key, 0.0) or self._delayed(uid):
            return
        self._retry.pop(key, None)
        containers = data["spec"]["containers"]
        refused = next(
            (self._behaviour(one["image"]).refused for one in containers if self._behaviour(one["image"]).refused), ""
        )
        if refused:
            self.log(refused)
            return
        box = Box(f"box{next(self._serial)}", key, uid, self.now, self.epoch, "file")
        box.grace = data["spec"].get("terminationGracePeriodSeconds", 30)
        # Without a record the kubelet counts the logs that it finds (calcRestartCountByLogDir).
        attempt = self._starts.get(uid, 0)
        self._starts[uid] = attempt + 1
        box.containers = [self._container(one["name"], one["image"], attempt=attempt) for one in containers]
        self.boxes.append(box)
        self._cgroup_ends.pop(uid, None)

    def _delayed(self, uid: str) -> bool:
        """The kubelet's back-off for containers that it knows to have ended with this uid (doBackOff)."""
        ends = [one.finished for other, one in self._ended if other.uid == uid]
        if not ends:
            return False
        delay, last = self._crash_loops.get(uid, (0.0, float("-inf")))
        known = max(ends) - last < CRASH_LOOP_MEMORY_SECONDS
        if known and self.now - max(ends) < delay:
            return True
        self._crash_loops[uid] = (min(max(2 * delay, 10.0), 300.0) if known else 10.0, self.now)
        return False

    def _container(self, name: str, image: str, *, attempt: int = 0) -> Ctr:
        # The record comes shortly before the start: what takes long is the sandbox and the image.
        start = self._behaviour(image).start
        created = self.now + max(start - STEP_SECONDS, 0.0)
        return Ctr(f"ctr{next(self._serial)}", name, image, created, self.now + start, attempt=attempt)

    def _wanted(self) -> dict[Key, tuple[str, dict[str, t.Any]]]:
        """What the directory asks for: the last in byte order wins, what cannot be read counts for nothing."""
        try:
            with os.scandir(self.manifests) as found:
                entries = sorted((entry.path, entry.stat()) for entry in found if not entry.name.startswith("."))
        except OSError:
            return {}
        version = [(path, seen.st_ino, seen.st_mtime_ns, seen.st_size) for path, seen in entries]
        if version != self._known[0]:
            self._known = (version, dict(entry for entry in (_read(path) for path, _seen in entries) if entry))
        return self._known[1]


def made(directory: str) -> str:
    os.makedirs(directory, exist_ok=True)
    return directory


def call(world: object, main: t.Callable[[], None], **arguments: t.Any) -> dict[str, t.Any]:
    """Run a module on this node and return its result, as Ansible would get it. ``check`` and ``diff`` are its modes."""
    from ansible.module_utils.testing import patch_module_args

    modes = {"_ansible_check_mode": arguments.pop("check", False), "_ansible_diff": arguments.pop("diff", False)}
    out = io.StringIO()
    given = patch_module_args({**arguments, **modes})
    with given, contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        main()
    return t.cast("dict[str, t.Any]", json.loads(out.getvalue()))


def _read(path: str) -> tuple[Key, tuple[str, dict[str, t.Any]]] | None:
    try:
        with open(path, encoding="utf-8") as file:
            return _decode(path, file.read())
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError):
        return None


@functools.lru_cache(maxsize=None)
def _decode(path: str, text: str) -> tuple[Key, tuple[str, dict[str, t.Any]]]:
    data = yaml.safe_load(text)
    metadata = data["metadata"]
    uid = hashlib.sha256(json.dumps([path, data], sort_keys=True).encode()).hexdigest()[:32]
    return (metadata.get("namespace") or "default", f"{metadata['name']}-{NODE}"), (uid, data)


def _text(seconds: float) -> str:
    moment = datetime.datetime.fromtimestamp(seconds, tz=datetime.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f000Z") if seconds else "0001-01-01T00:00:00Z"

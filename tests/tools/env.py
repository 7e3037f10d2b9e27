# SPDX-FileCopyrightText: kubestatic.node contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a command in one of the cached Python environments: env.py NAME COMMAND [ARGUMENT...].

NAME is a file of tests/requirements without its ending. The first line of such a file names the Python versions that
will do, best first. The environment is made once per content of that file, under the cache directory and outside the
checkout, and is not touched afterwards: a warm start costs no look at a package index.

The command gets the environment's programs first in PATH, and this checkout as the collection kubestatic.node through
ANSIBLE_COLLECTIONS_PATH (for Ansible) and PYTHONPATH (for Python).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "tests" / "requirements"
_COMPLETE = ".complete"


class Problem(Exception):
    """A failure that the user can do something about; its text is all that is shown."""


def cache_dir() -> Path:
    """Return the directory that outlives a checkout: KUBESTATIC_CACHE, else the user's cache directory."""
    chosen = os.environ.get("KUBESTATIC_CACHE")
    if chosen:
        return Path(chosen).resolve()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kubestatic"


def wanted_pythons(name: str) -> list[str]:
    """Return the Python versions ("3.11") that tests/requirements/NAME.txt asks for, best first."""
    path = REQUIREMENTS / f"{name}.txt"
    if not path.is_file():
        known = ", ".join(sorted(found.stem for found in REQUIREMENTS.glob("*.txt")))
        raise Problem(f"no environment is called {name!r}; there are: {known}")
    first_line = path.read_text().splitlines()[0]
    versions = re.findall(r"\b3\.\d+\b", first_line)
    if not first_line.startswith("# python:") or not versions:
        raise Problem(f"{path}: the first line must be like '# python: 3.11 3.12', not {first_line!r}")
    return versions


def find_python(version: str) -> Path | None:
    """Return an interpreter of this version ("3.11") from PATH or pyenv, or None."""
    home = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    in_path = shutil.which(f"python{version}")
    candidates = [Path(in_path)] if in_path else []
    for candidate in candidates + sorted(home.glob(f"{version}.*/bin/python{version}")):
        # A pyenv shim of a version that is not active is there, but does not run.
        told = subprocess.run(
            [str(candidate), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
            capture_output=True,
            text=True,
            check=False,
        )
        if told.returncode == 0 and told.stdout.strip() == version:
            return candidate
    return None


def find_python_for(name: str) -> Path | None:
    """Return an interpreter that the environment can be made with, or None."""
    return next(filter(None, map(find_python, wanted_pythons(name))), None)


def ensure(name: str) -> Path:
    """Return the directory of the environment; make it where it is not there yet. Errors: Problem."""
    requirements = REQUIREMENTS / f"{name}.txt"
    versions = wanted_pythons(name)
    directory = cache_dir() / "venvs" / f"{name}-{hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]}"
    if _is_ready(directory):
        return directory
    with _locked(directory.with_suffix(".lock")):
        if not _is_ready(directory):
            python = find_python_for(name)
            if python is None:
                raise Problem(f"{requirements.name} needs Python {' or '.join(versions)}, and none is in PATH or pyenv")
            _make(name, python=python, directory=directory)
    return directory


def _is_ready(directory: Path) -> bool:
    # The link bin/python dangles when its Python has been removed since.
    return (directory / _COMPLETE).exists() and (directory / "bin" / "python").exists()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(name: str, *, python: Path, directory: Path) -> None:
    say(f"making the Python environment {name} with {python}; this happens once and takes up to a minute")
    started = time.monotonic()
    need_venv_module(python)
    shutil.rmtree(directory, ignore_errors=True)
    _run([str(python), "-m", "venv", str(directory)])
    pip = [str(directory / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input"]
    # The file names every package: nothing is left to resolve, and nothing comes in that it does not name.
    _run([*pip, "install", "--quiet", "--no-deps", "--requirement", str(REQUIREMENTS / f"{name}.txt")])
    _run([*pip, "check"])
    (directory / _COMPLETE).touch()
    say(f"{name} is ready after {time.monotonic() - started:.0f} s")


def need_venv_module(python: Path) -> None:
    """Make sure that this Python can make environments: Debian keeps the modules for that in a package of its own."""
    there = subprocess.run([str(python), "-c", "import ensurepip, venv"], capture_output=True, check=False)
    if there.returncode == 0:
        return
    package = f"{python.resolve().name}-venv"
    install = ["apt-get", "install", "--yes", "--no-install-recommends", package]
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise Problem(f"{python} lacks the modules venv and ensurepip. Run: sudo {' '.join(install)}")
    say(f"installing {package}")
    os.environ.setdefault("DEBIAN_FRONTEND", "noninteractive")
    if subprocess.run(install, capture_output=True, check=False).returncode != 0:
        _run(["apt-get", "update"])
        _run(install)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        tail = "\n  ".join(done.stdout.strip().splitlines()[-12:])
        raise Problem(f"'{' '.join(command)}' failed with exit code {done.returncode}:\n  {tail}")


def collections_path() -> Path:
    """Return a directory in which this checkout is linked as ansible_collections/kubestatic/node."""
    path = cache_dir() / "collections" / hashlib.sha256(bytes(ROOT)).hexdigest()[:12]
    link = path / "ansible_collections" / "kubestatic" / "node"
    link.parent.mkdir(parents=True, exist_ok=True)
    # Another process may make the same link at the same time.
    with contextlib.suppress(FileExistsError):
        link.symlink_to(ROOT)
    return path


def environment(name: str) -> dict[str, str]:
    """Return the environment variables for a command in the environment NAME; make that where it is not there yet."""
    directory = ensure(name)
    collections = str(collections_path())
    inherited = {key: value for key, value in os.environ.items() if key != "PYTHONHOME"}
    return {
        **inherited,
        "VIRTUAL_ENV": str(directory),
        "PATH": f"{directory / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        # ansible-lint would take a copy of this collection that the user has installed for this checkout.
        "ANSIBLE_HOME": str(cache_dir() / "ansible"),
        "ANSIBLE_COLLECTIONS_PATH": collections,
        "PYTHONPATH": collections,
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def say(text: str) -> None:
    """Print one line of progress where it does not mix with a command's output."""
    print(f"environment: {text}", file=sys.stderr, flush=True)


def main() -> None:
    """Read the command line and become the command."""
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    name, command = sys.argv[1], sys.argv[2:]
    try:
        variables = environment(name)
    except Problem as problem:
        sys.exit(f"error: {problem}")
    os.environ.update(variables)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.exit(f"error: {command[0]}: {error.strerror}")


if __name__ == "__main__":
    main()

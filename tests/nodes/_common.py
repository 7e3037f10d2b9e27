# SPDX-FileCopyrightText: kubestatic.node contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every part of the test nodes needs: where the cache is, how to run a command, how to tell progress."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tools"))

import env

Problem = env.Problem
cache_dir = env.cache_dir

_STARTED = time.monotonic()
_PRINT_LOCK = threading.Lock()
# All that this project puts into the cache directory, which a user may share with others.
_CACHED = (
    "bin",
    "collections",
    "control-plane",
    "go-*",
    "node-path",
    "nox",
    "pytest",
    "schema",
    "ssh",
    "venvs",
    ".*.lock",
)


def remove_cache() -> None:
    """Remove what was cached, and nothing else that may be in the same directory."""
    cache = cache_dir()
    for path in [path for pattern in _CACHED for path in cache.glob(pattern)]:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    if cache.exists() and not any(cache.iterdir()):
        cache.rmdir()


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Keep two processes from working on the same thing at once; the second one says so and waits."""
    cache = cache_dir()
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f".{name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"{name}: another process is at work on it; waiting")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def say(text: str) -> None:
    """Print one line of progress with the seconds since the start."""
    with _PRINT_LOCK:
        print(f"[{time.monotonic() - _STARTED:4.0f} s] {text}", flush=True)


def run(command: Sequence[str | Path], *, env: Mapping[str, str] | None = None, check: bool = True) -> str:
    """Run a command to its end and return its output (stdout); a failure is a Problem with its last lines."""
    done = subprocess.run(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**os.environ, **(env or {})},
        check=False,
    )
    if check and done.returncode != 0:
        raise Problem(failure_text(command, code=done.returncode, output=done.stderr or done.stdout))
    return done.stdout


def failure_text(command: Sequence[str | Path], *, code: int, output: str) -> str:
    """Say which command failed, and how, in a few lines."""
    tail = "\n  ".join(output.strip().splitlines()[-12:])
    return f"'{' '.join(str(part) for part in command)[:300]}' failed with exit code {code}:\n  {tail}"


def follow(command: Sequence[str | Path], *, on_line: Callable[[str], None], env: Mapping[str, str], cwd: Path) -> None:
    """Run a command whose stderr is its progress, line by line to on_line; a failure is a Problem with the last ones."""
    last: list[str] = []
    with subprocess.Popen(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env={**os.environ, **env},
        cwd=cwd,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            last = [*last[-30:], line]
            on_line(line.rstrip())
    if process.returncode != 0:
        raise Problem(failure_text(command, code=process.returncode, output="".join(last)))


def digest(*parts: str | bytes) -> str:
    """Return twelve hex digits that stand for all parts in their order."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(b"%d:" % len(data) + data)
    return total.hexdigest()[:12]


def tree_digest(directory: Path) -> str:
    """Return the digest of a directory: relative names, modes and contents of its files."""
    parts: list[str | bytes] = []
    for path in sorted(directory.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            parts += [str(path.relative_to(directory)), str(path.stat().st_mode & 0o111), path.read_bytes()]
    return digest(*parts)


def need_commands(packages: Mapping[str, str]) -> None:
    """Make sure that commands are there; `packages` names the Debian package of each.

    Installed with apt-get where this is Debian and we are root, else a Problem names the command to run.
    """
    missing = sorted({package for command, package in packages.items() if not _found(command)})
    if not missing:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        names = " ".join(missing)
        raise Problem(f"not installed: {names}. Run: sudo apt-get install --no-install-recommends {names}")
    say(f"apt-get install {' '.join(missing)}")
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "--yes", "--no-install-recommends", *missing]
    try:
        run(install, env=env)
    except Problem:
        run(["apt-get", "update"], env=env)
        run(install, env=env)


def _found(command: str) -> bool:
    """Tell whether a command is in PATH, or exists where it is given with its path."""
    return shutil.which(command) is not None or (command.startswith("/") and Path(command).exists())


def main_guard(main: Callable[[], int]) -> None:
    """Run main; a Problem becomes one message and exit code 1."""
    try:
        sys.exit(main())
    except Problem as problem:
        print(f"error: {problem}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)

# SPDX-FileCopyrightText: kubestatic.node contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Climb the test ladder: ladder.py [RUNG...]; all rungs, the cheapest first, where none is named.

Each rung is a nox session. The run goes on after a rung that fails, ends with one line `N passed, N failed` over all
pytest runs, and exits with 1 if anything failed, a rung without pytest included.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import env

RUNGS = ("unit", "static", "sanity", "crash", "nodes", "control_plane", "judge")
JUNIT = env.ROOT / "tests" / "output" / "junit"

# The sessions that antsibull-nox makes, and our environment for each: it would install the newest of everything.
_ENVIRONMENTS = {
    "formatters": "nox",
    "codeqa": "nox",
    "yamllint": "nox",
    "typing": "nox",
    "lint": "nox",
    "docs-check": "nox",
    "license-check": "nox",
    "extra-checks": "nox",
    "build-import-check": "galaxy",
    "ansible-lint": "nox",
}


def main() -> int:
    """Run the rungs that the command line names; return the exit code."""
    rungs = sys.argv[1:] or list(RUNGS)
    unknown = [rung for rung in rungs if rung not in RUNGS]
    if unknown:
        sys.exit(f"error: there is no rung {', '.join(unknown)}; there are: {', '.join(RUNGS)}")
    directory = env.cache_dir() / "nox" / hashlib.sha256(bytes(env.ROOT)).hexdigest()[:12]
    directory.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as locks:
        for rung in sorted(rungs):
            _lock(directory / f"{rung}.lock", rung=rung, locks=locks)
        for rung in rungs:
            for old in _reports(rung):
                old.unlink()
        if "static" in rungs:
            _provide_environments(directory)
        report = directory / "report.json"
        report.unlink(missing_ok=True)
        command = ["nox", "--non-interactive", "-R", "--envdir", str(directory), "--report", str(report)]
        command += ["--session", *rungs]
        # CI=true makes the formatters report instead of rewriting files.
        code = subprocess.run(command, cwd=env.ROOT, env={**os.environ, "CI": "true"}, check=False).returncode
        return _tell(rungs, code=code, failed_sessions=_failed_sessions(report))


def _lock(path: Path, *, rung: str, locks: contextlib.ExitStack) -> None:
    """Hold a rung of this checkout until the end: two runs would mix up their reports and their nodes."""
    file = locks.enter_context(path.open("w"))
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        env.say(f"another run of {rung} is under way in this checkout; waiting for its end")
        fcntl.flock(file, fcntl.LOCK_EX)


def _provide_environments(directory: Path) -> None:
    """Let nox find our environments as those of its sessions, so that it installs nothing.

    Each session gets a directory of its own, as antsibull-nox and ansible-lint put files beside what belongs to the environment.
    """
    for session, name in _ENVIRONMENTS.items():
        own = directory / session
        own.mkdir(exist_ok=True)
        for part in env.ensure(name).iterdir():
            link = own / part.name
            if link.is_symlink():
                link.unlink()
            # An ansible-lint that somebody has run by hand has left its own there, too.
            if not link.exists():
                link.symlink_to(part)


def _reports(rung: str) -> list[Path]:
    """Return what the sessions of a rung have left: junit files, and notes of what could not run."""
    return sorted(JUNIT.glob(f"{rung}.*"))


def _failed_sessions(report: Path) -> list[str]:
    """Return the names of the sessions that did not succeed, from nox's own report."""
    sessions = json.loads(report.read_text())["sessions"] if report.exists() else []
    return [session["name"] for session in sessions if session["result"] not in ("success", "skipped")]


def _tell(rungs: list[str], *, code: int, failed_sessions: list[str]) -> int:
    """Print what each pytest run came to, and the sum as the last line; return the exit code."""
    passed = failed = 0
    print()
    for report in [report for rung in rungs for report in _reports(rung)]:
        if report.suffix == ".xml":
            good, bad, skipped, seconds = _counts(report)
            passed, failed = passed + good, failed + bad
            print(f"{report.stem}: {good} passed, {bad} failed, {skipped} skipped in {seconds:.1f} s")
        else:
            print(f"{report.stem}: {report.read_text().strip()}")
    if code:
        print(f"failed, see above: {', '.join(failed_sessions) or 'nox itself'}")
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if code or failed else 0


def _counts(report: Path) -> tuple[int, int, int, float]:
    """Return passed, failed, skipped and seconds of one junit file. An expected failure counts as skipped."""
    suites = ET.parse(report).getroot().iter("testsuite")
    total = bad = skipped = 0
    seconds = 0.0
    for suite in suites:
        total += int(suite.get("tests", 0))
        bad += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        skipped += int(suite.get("skipped", 0))
        seconds += float(suite.get("time", 0))
    return total - bad - skipped, bad, skipped, seconds


if __name__ == "__main__":
    sys.exit(main())

# SPDX-FileCopyrightText: kubestatic.node contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The test ladder. `make test` runs all of it; `make test RUNGS=unit`, or `nox -s unit`, runs a part.

What checks files without running them is antsibull-nox's, see antsibull-nox.toml. The other sessions run in the pinned
environments of tests/requirements, which tests/tools/env.py makes and keeps outside the checkout.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import antsibull_nox
import nox
from nox.command import CommandFailed

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "tests" / "tools"))

import checkout
import env

antsibull_nox.load_antsibull_nox_toml()

nox.options.sessions = ["unit", "static"]

JUNIT = ROOT / "tests" / "output" / "junit"

# Runs everything; the others run units, sanity and one scenario where their Python is found.
FIRST = "ansible-2.19"
OTHERS = ("ansible-2.21", "ansible-2.22")
# The oldest Pythons that the code for the nodes has to run on.
NODE_ENVIRONMENTS = ("node-3.8", "node-3.9")
# The scenario that stands for all with the other versions of ansible-core.
SCENARIO = "static_pods"
# The oldest kubelet that is still in the field, and what is to be seen on it.
OLDEST_SCENARIOS = ("static_pods", "kubelet")
OLDEST_KUBELET = "1.34.4"
CONTROL_PLANE_TESTS = "tests/integration/test_control_plane.py"
NODE_TESTS = ("tests/unit/plugins/module_utils", "tests/unit/plugins/modules")
# For tests that share nothing. A worker that is done takes from the others, as some tests take a thousand times as long.
ON_ALL_CORES = ("--numprocesses=auto", "--dist=worksteal")
# As many workers as there are nodes. The tests of a file share what its fixtures set up.
ONE_NODE_EACH = ("--numprocesses=3", "--dist=loadfile")


def _found(session: nox.Session, *names: str) -> list[str]:
    """Return those environments whose Python is there; note the others for the end of the run."""
    missing = [name for name in names if env.find_python_for(name) is None]
    if missing:
        versions = ", ".join(f"{name} (Python {' or '.join(env.wanted_pythons(name))})" for name in missing)
        session.warn(f"no Python found for {versions}")
        JUNIT.mkdir(parents=True, exist_ok=True)
        with (JUNIT / f"{session.name}.not-run.txt").open("a") as notes:
            notes.write(f"{versions}: not found in PATH or pyenv. ")
    return [name for name in names if name not in missing]


def _run(session: nox.Session, name: str, *command: str, variables: Mapping[str, str] | None = None) -> None:
    """Run a program of the environment NAME."""
    try:
        # By its path: nox would look for it where nox itself is.
        program = str(env.ensure(name) / "bin" / command[0])
        environment = env.environment(name)
    except env.Problem as problem:
        session.error(str(problem))
    session.run(program, *command[1:], env={**environment, **(variables or {})}, external=True)


def _pytest(
    session: nox.Session, name: str, *arguments: str, part: str = "", variables: Mapping[str, str] | None = None
) -> None:
    """Run pytest in the environment NAME; no tests at all is a failure. ``part`` tells calls of one session apart."""
    report = JUNIT / ".".join([session.name, *([part] if part else []), name, "xml"])
    cache = env.cache_dir() / "pytest" / name
    options = [f"--junitxml={report}", "-o", f"cache_dir={cache}", "-o", f"junit_suite_name={session.name}"]
    _run(session, name, "python", "-m", "pytest", *options, *arguments, *session.posargs, variables=variables)


@contextlib.contextmanager
def _going_on(failed: list[str], name: str) -> Iterator[None]:
    """Note that a command failed with NAME, and go on: whether it is one version or all of them is worth to know."""
    try:
        yield
    except CommandFailed:
        failed.append(name)


@nox.session(venv_backend="none")
def unit(session: nox.Session) -> None:
    """Pure rooms and every decision; the code for the nodes also on the oldest Pythons."""
    failed: list[str] = []
    for name in (FIRST, *_found(session, *OTHERS)):
        with _going_on(failed, name):
            _pytest(session, name, *ON_ALL_CORES, "-m", "not judge", "tests/unit", "tests/nodes")
    for name in _found(session, *NODE_ENVIRONMENTS):
        tests = [path for path in NODE_TESTS if (ROOT / path).is_dir()]
        with _going_on(failed, name):
            _pytest(session, name, *ON_ALL_CORES, "-m", "not judge", *tests, variables={"PYTHONPATH": _node_path()})
    if failed:
        session.error(f"units failed with {', '.join(failed)}")


def _node_path() -> str:
    """Return a PYTHONPATH that has ansible.module_utils as a node gets it: pip refuses ansible-core on old Pythons."""
    target = next((env.ensure(FIRST) / "lib").glob("python*/site-packages/ansible"))
    link = env.cache_dir() / "node-path" / target.parents[3].name / "ansible"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(target)
    return os.pathsep.join([str(link.parent), str(env.collections_path())])


@nox.session(
    venv_backend="none",
    requires=["lint", "docs-check", "license-check", "extra-checks", "build-import-check", "ansible-lint"],
)
def static(session: nox.Session) -> None:
    """What can be said about the files without running them."""
    _run(session, "nox", "antsibull-changelog", "lint")


@nox.session(venv_backend="none")
def sanity(session: nox.Session) -> None:
    """ansible-test sanity with each ansible-core; the oldest also compiles and imports on the oldest Pythons."""
    failed: list[str] = []
    checkout.provide_get_pip()
    with checkout.copied_checkout() as copy, session.chdir(copy):
        for name in (FIRST, *_found(session, *OTHERS)):
            # What 2.22 wants for pylint comes from GitHub, not PyPI; 2.19 and 2.21 see the same files.
            skipped = ["--skip-test", "pylint"] if name == "ansible-2.22" else []
            with _going_on(failed, name):
                _sanity(session, name, env.wanted_pythons(name)[0], *skipped)
        for name in _found(session, *NODE_ENVIRONMENTS):
            with _going_on(failed, name):
                _sanity(session, FIRST, env.wanted_pythons(name)[0], "--test", "import", "--test", "compile")
    if failed:
        session.error(f"ansible-test sanity failed with {', '.join(failed)}")


def _sanity(session: nox.Session, name: str, version: str, *options: str) -> None:
    python = env.find_python(version)
    path = env.environment(name)["PATH"]
    if python is not None:
        path = f"{path}{os.pathsep}{python.parent}"
    command = ["ansible-test", "sanity", "--python", version, *options]
    _run(session, name, *command, variables={"PATH": path, "PIP_QUIET": "1"})


@nox.session(venv_backend="none")
def crash(session: nox.Session) -> None:
    """Every side effect made to fail, or the process killed there: the directory holds the old or the new pod."""
    _pytest(session, FIRST, *ON_ALL_CORES, "tests/crash")


@nox.session(venv_backend="none")
def nodes(session: nox.Session) -> None:
    """Molecule scenarios and pytest on systemd nodes with real kubelets. After a failure the nodes stay for a look."""
    _nodes(session, "up")
    _molecule(session, FIRST, "--all")
    integration = ("tests/integration", f"--ignore={CONTROL_PLANE_TESTS}")
    _pytest(session, FIRST, *integration, *ONE_NODE_EACH, "-m", "not all_nodes", part="one-node")
    _pytest(session, FIRST, *integration, "-m", "all_nodes", part="all-nodes")
    for name in _found(session, *OTHERS):
        _molecule(session, name, "--scenario-name", SCENARIO)
    older = {"KUBELET_VERSION": OLDEST_KUBELET}
    _nodes(session, "up", variables=older)
    for scenario in OLDEST_SCENARIOS:
        _molecule(session, FIRST, "--scenario-name", scenario, variables=older)
    _nodes(session, "down")


def _nodes(session: nox.Session, command: str, *, variables: Mapping[str, str] | None = None) -> None:
    _run(session, FIRST, "python", "tests/nodes/nodes.py", command, variables=variables)


def _molecule(session: nox.Session, name: str, *arguments: str, variables: Mapping[str, str] | None = None) -> None:
    """Run molecule on the nodes that are there."""
    special = {
        "KUBESTATIC_KEEP_NODES": "1",
        "PYTEST_ADDOPTS": "-p report_each -p no:cacheprovider",
        "PYTHONPATH": os.pathsep.join([str(ROOT / "tests" / "tools"), str(env.collections_path())]),
        "REPORT_EACH": str(JUNIT / ".".join([session.name, name, *(variables or {}).values()])),
    }
    _run(session, name, "molecule", "test", "--report", *arguments, variables={**special, **(variables or {})})


@nox.session(venv_backend="none")
def control_plane(session: nox.Session) -> None:
    """Three bare nodes become a control plane, and meet one fault after the other. After a failure they stay for a look."""
    _pytest(session, FIRST, CONTROL_PLANE_TESTS)
    _nodes(session, "down")


@nox.session(venv_backend="none")
def judge(session: nox.Session) -> None:
    """Our reading of YAML and manifests against the Kubernetes code itself, built with Go."""
    _pytest(session, FIRST, "-m", "judge", "tests/unit")


@nox.session(venv_backend="none")
def docs(session: nox.Session) -> None:
    """The documentation site, as one of docs.ansible.com would look. Not a test."""
    site = ROOT / "tests" / "output" / "docs"
    shutil.rmtree(site, ignore_errors=True)
    # antsibull-docs wants a directory that nobody else can write to.
    (site / "rst").mkdir(mode=0o755, parents=True)
    options = ["--use-current", "--fail-on-error", "--dest-dir", str(site)]
    _run(session, "nox", "antsibull-docs", "sphinx-init", *options, "kubestatic.node")
    with session.chdir(site):
        options = ["--use-current", "--cleanup", "everything", "--dest-dir", "rst"]
        config = ["--config-file", "antsibull-docs.cfg"]
        _run(session, "nox", "antsibull-docs", *config, "collection", *options, "kubestatic.node")
        # Links to Ansible's own pages need the network and may be missing; so no -W here.
        _run(session, "nox", "sphinx-build", "-q", "-b", "html", "-c", ".", "rst", "html")
    session.log(f"open {site / 'html' / 'index.html'}")


if __name__ == "__main__":
    nox.main()

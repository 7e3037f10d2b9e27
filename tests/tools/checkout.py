# SPDX-FileCopyrightText: kubestatic.node contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ansible-test needs around it: a checkout at the right path, and a pip to make its own environments with."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from env import ROOT

# Of the get-pip.py that ansible-core 2.19, and 2.20 to 2.22, look for.
_GET_PIP_VERSIONS = ("24_2", "25_2")


@contextlib.contextmanager
def copied_checkout() -> Iterator[Path]:
    """Give a copy of the checkout as it is now, changes included, at a path that ansible-test accepts.

    A link will not do: ansible-test looks at the real path. It asks git which files there are.
    """
    with tempfile.TemporaryDirectory(prefix="kubestatic-") as directory:
        copy = Path(directory) / "ansible_collections" / "kubestatic" / "node"
        for name in _git_files():
            source, target = ROOT / name, copy / name
            # What git still lists may have been deleted.
            if source.is_symlink() or source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target, follow_symlinks=False)
        for arguments in (["init", "--quiet"], ["add", "--all"]):
            subprocess.run(["git", *arguments], cwd=copy, check=True)
        yield copy


def _git_files() -> list[str]:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [name for name in listed.split("\0") if name]


def provide_get_pip() -> None:
    """Put our get-pip.py where ansible-test looks before it downloads one; one that is there stays."""
    cache = Path.home() / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    for version in _GET_PIP_VERSIONS:
        target = cache / f"get_pip_{version}.py"
        if not target.exists():
            shutil.copy(Path(__file__).with_name("get_pip.py"), target)

# SPDX-FileCopyrightText: kubestatic.node contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands in for the get-pip.py that ansible-test downloads: what Python brings along is enough, and PyPI has the rest.

ansible-test looks for it in ~/.ansible/test/cache before it downloads. noxfile.py puts it there.
"""

from __future__ import annotations

import subprocess
import sys

# Options of get-pip.py that pip itself does not know.
_ONLY_GET_PIP = ("--no-setuptools", "--no-wheel")


def main() -> None:
    """Install pip and what the command line asks for into the environment of this Python."""
    subprocess.run([sys.executable, "-m", "ensurepip"], check=True, stdout=subprocess.DEVNULL)
    arguments = [argument for argument in sys.argv[1:] if argument not in _ONLY_GET_PIP]
    sys.exit(subprocess.run([sys.executable, "-m", "pip", "install", *arguments], check=False).returncode)


if __name__ == "__main__":
    main()

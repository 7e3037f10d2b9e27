# SPDX-FileCopyrightText: kubestatic.node contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builds the judge and asks it: what does the kubelet's own code make of these manifests?"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import typing as t

HERE = pathlib.Path(__file__).resolve().parent
VERSION = "1.37.2"

sys.path.insert(0, str(HERE.parent / "nodes"))
import _common
import _programs


def build() -> pathlib.Path:
    """The judge's program; built where the cache has none of this source. Seconds after a kubelet, else minutes."""
    program = _common.cache_dir() / "bin" / f"judge-{VERSION}"
    recipe = _common.digest(*((HERE / name).read_bytes() for name in ("go.mod", "go.sum", "main.go")))
    stamp = program.with_name(f".{program.name}.recipe")
    with _common.locked(program.name):
        if not (program.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == recipe):
            program.parent.mkdir(parents=True, exist_ok=True)
            # One place knows where a Go is, and gets one where there is none.
            go = _programs._go_command(_programs.Group(directory=HERE))
            environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"}
            subprocess.run([go, "build", "-trimpath", "-o", str(program), "."], cwd=HERE, env=environment, check=True)
            stamp.write_text(recipe, encoding="utf-8")
    return program


def ask(texts: t.Iterable[str]) -> list[dict[str, t.Any]]:
    """One verdict for each manifest: ``json``, ``defaulted``, ``hash``, ``error``, ``invalid``, ``strict`` (main.go).

    Keys without a value are not there.
    """
    questions = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    answers = subprocess.run([str(build())], input=questions, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in answers.stdout.split("\n") if line]

# SPDX-FileCopyrightText: kubestatic.node contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Python on a test node loads before a module whose records are timed: a clock around each of them.

At the module's end a line with the seconds that all of them took is added to ``seconds`` beside this file.
"""

from __future__ import annotations

import atexit
import functools
import importlib.abc
import importlib.machinery
import pathlib
import sys
import time
import types
import typing as t

# Room -> class -> what writes to the store, or sees to it that a run that is cut off is brought to an end.
_TIMED: dict[str, dict[str, t.Sequence[str]]] = {
    "_revisions": {"Revisions": ("record", "mark_good")},
    "_open_changes": {"OpenChanges": ("begin", "end")},
    "_recovery_unit": {"RecoveryUnit": ("arm",)},
}
_taken: list[float] = []


def _timed(function: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
    @functools.wraps(function)
    def call(*args: t.Any, **options: t.Any) -> t.Any:
        began = time.monotonic()
        try:
            return function(*args, **options)
        finally:
            _taken.append(time.monotonic() - began)

    return call


class _Loader(importlib.abc.Loader):
    """Loads as the one that it stands for, which other modules share, and puts the clocks in."""

    def __init__(self, real: t.Any, classes: t.Mapping[str, t.Sequence[str]]) -> None:
        self._real = real
        self._classes = classes

    def __getattr__(self, name: str) -> t.Any:
        return getattr(self._real, name)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> t.Any:
        return self._real.create_module(spec)

    def exec_module(self, module: types.ModuleType) -> None:
        self._real.exec_module(module)
        for name, functions in self._classes.items():
            kind = getattr(module, name)
            for function in functions:
                setattr(kind, function, _timed(getattr(kind, function)))


class _Finder(importlib.abc.MetaPathFinder):
    """Finds what the other finders find."""

    def find_spec(self, name: str, path: t.Any, target: t.Any = None) -> importlib.machinery.ModuleSpec | None:
        classes = _TIMED.get(name.rpartition(".")[2])
        if classes is None:
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in others)), None)
        if spec is not None:
            spec.loader = _Loader(spec.loader, classes)
        return spec


def _tell() -> None:
    if _taken:
        with (pathlib.Path(__file__).parent / "seconds").open("a", encoding="ascii") as file:
            file.write(f"{sum(_taken):.4f}\n")


sys.meta_path.insert(0, _Finder())
atexit.register(_tell)

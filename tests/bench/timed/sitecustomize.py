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
_TIMED = {
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


class _Finder(importlib.abc.MetaPathFinder):
    """Finds what the other finders find, and puts the clocks in once it is loaded."""

    def find_spec(self, name: str, path: t.Any, target: t.Any = None) -> importlib.machinery.ModuleSpec | None:
        classes = _TIMED.get(name.rpartition(".")[2])
        others = (finder for finder in sys.meta_path if finder is not self)
        spec = (
            next(filter(None, (finder.find_spec(name, path, target) for finder in others)), None) if classes else None
        )
        if spec is None or spec.loader is None or classes is None:
            return None
        load = spec.loader.exec_module

        def exec_module(module: types.ModuleType) -> None:
            load(module)
            for kind, functions in classes.items():
                for function in functions:
                    setattr(getattr(module, kind), function, _timed(getattr(getattr(module, kind), function)))

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]  # of this one loader, for this one module
        return spec


def _tell() -> None:
    if _taken:
        with (pathlib.Path(__file__).parent / "seconds").open("a", encoding="ascii") as file:
            file.write(f"{sum(_taken):.4f}\n")


sys.meta_path.insert(0, _Finder())
atexit.register(_tell)

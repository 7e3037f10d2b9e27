# SPDX-FileCopyrightText: kubestatic.node contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A figure with its goal, and the line that tells it."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable, Sequence

_COMPARE: dict[str, Callable[[float, float], bool]] = {">=": operator.ge, "<=": operator.le, "==": operator.eq}


@dataclasses.dataclass(frozen=True)
class Figure:
    """``relation`` is >=, <= or ==; ``unit`` is x for a ratio, s for seconds, or empty for a count."""

    name: str
    value: float
    relation: str
    goal: float
    unit: str

    @property
    def ok(self) -> bool:
        """Whether the value, as it is printed, reaches the goal."""
        return _COMPARE[self.relation](round(self.value, 2), self.goal)

    def __str__(self) -> str:
        word = "ok" if self.ok else "short"
        return f"figure {self.name} {self.value:.2f}{self.unit} {self.relation}{self.goal:g}{self.unit} {word}"


def spread(values: Sequence[float], unit: str = "s") -> str:
    """The single values behind a figure, in the order in which they were measured."""
    return " ".join(f"{value:.2f}" for value in values) + f" {unit}"

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""What a key of a YAML mapping that is no string becomes: sigs.k8s.io/yaml."""

from __future__ import annotations

import math
import struct
import typing as t


def key_string(key: t.Any) -> str | None:
    """sigs.k8s.io/yaml's string for a key that is not one; None where it refuses the key (null, uint64, mapping)."""
    if key is True or key is False:
        return "true" if key else "false"
    if isinstance(key, int) and key < 1 << 63:
        return str(key)
    if isinstance(key, float):
        return _go_float32(key)
    return None


def _go_float32(value: float) -> str:
    """strconv.FormatFloat(value, 'g', -1, 32), with YAML's words for what is no number."""
    try:
        single = struct.unpack("f", struct.pack("f", value))[0]
    except OverflowError:
        single = float("inf") if value > 0 else float("-inf")
    if not math.isfinite(single):
        return ".nan" if math.isnan(single) else ".inf" if single > 0 else "-.inf"
    packed = struct.pack("f", single)
    candidates = (f"{single:.{places}e}" for places in range(9))
    shortest = next(text for text in candidates if struct.pack("f", float(text)) == packed)
    digits, exponent = shortest.split("e")
    if -4 <= int(exponent) < 6:
        return f"{float(shortest):.{max(len(digits.lstrip('-').replace('.', '')) - 1 - int(exponent), 0)}f}"
    return f"{digits}e{int(exponent):+03d}"

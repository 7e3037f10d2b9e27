# SPDX-FileCopyrightText: kubestatic.node contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pytest plugin: one junit file for each pytest run of one molecule run, as molecule has no name for them.

REPORT_EACH is the beginning of the path: REPORT_EACH.SCENARIO-1.xml, -2 and so on are written.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Set what --junitxml would set, before pytest looks at it."""
    start = f"{os.environ['REPORT_EACH']}.{os.environ['MOLECULE_SCENARIO_NAME']}"
    number = 1
    while Path(f"{start}-{number}.xml").exists():
        number += 1
    config.option.xmlpath = f"{start}-{number}.xml"

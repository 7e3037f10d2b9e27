# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What kubelet_config shows of files: no header of staticPodURL, however it is written."""

from __future__ import annotations

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_secrets import without_secrets

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    "text",
    [
        f"A=--manifest-url-header=X:{SECRET} --v=2\n",
        f"A='--manifest-url-header=Authorization:Bearer {SECRET}'\n",
        f"A=\"--manifest-url-header 'Authorization:Bearer {SECRET}'\"\n",
        f"A=--manifest_url_header=X:{SECRET}\n",
        f"A=--manifest-url-header  X:{SECRET}\n",
        f"A=--manifest-url-header \\\n  X:{SECRET}\n",
        f"# staticPodURLHeader: {{A: [{SECRET}]}}\n",
        f"# staticPodURLHeader:\n#   A: [{SECRET}]\nstaticPodURLHeader: {{B: [c]}}\n",
        f"staticPodURLHeader:\n  X:\n    - {SECRET}\n",
        f"staticPodURLHeader: {SECRET}\n",
        f"staticPodURLHeader: [{SECRET}\n",
    ],
)
def test_headers_are_hidden(text: str) -> None:
    assert SECRET not in without_secrets(text)


def test_all_else_is_shown() -> None:
    assert without_secrets("maxPods: 7\n") == "maxPods: 7\n"
    assert without_secrets("staticPodURLHeader:\n  X: [a]\nmaxPods: 7\n").endswith("maxPods: 7\n")

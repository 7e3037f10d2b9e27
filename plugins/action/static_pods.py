# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of the module static_pods."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping

from ansible_collections.kubestatic.node.plugins.plugin_utils._action import StaticPodAction

if t.TYPE_CHECKING:
    from ansible_collections.kubestatic.node.plugins.plugin_utils._sources import Sources


class ActionModule(StaticPodAction):
    """Finds and renders the manifests of all pods of the task."""

    MODULE = "kubestatic.node.static_pods"

    def resolved(self, args: dict[str, t.Any], sources: Sources) -> dict[str, t.Any]:
        """Return ``args`` with each pod's manifest as text or mapping; the module refuses what is no list of pods."""
        pods = args.get("pods")
        if isinstance(pods, list):
            args["pods"] = [
                sources.resolve(pod, where=f"pods[{index}]") if isinstance(pod, Mapping) else pod
                for index, pod in enumerate(pods)
            ]
        return args

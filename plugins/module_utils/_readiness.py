# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""Whether the containers of a pod on its way in pass their probes."""

from __future__ import annotations

import time
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _probes
from ansible_collections.kubestatic.node.plugins.module_utils._arrival import PROBES
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._node import Node
from ansible_collections.kubestatic.node.plugins.module_utils._proof import Sight
from ansible_collections.kubestatic.node.plugins.module_utils._runtime import RUNNING, Container, Runtime

# The probes are asked less often than the runtime.
_PROBE_SECONDS = 0.3


class Readiness:
    """The probes of one pod, by the specs of its long-running containers, and how often they have passed."""

    def __init__(self, node: Node, specs: t.Sequence[dict[str, t.Any]]) -> None:
        self._node = node
        self._specs = specs
        self._addresses: dict[str, str] = {}
        self._passed: dict[tuple[str, str], int] = {}
        self._next_probe = 0.0
        self._failing: list[str] = []

    def missing(self, runtime: Runtime, sight: Sight) -> list[str]:
        """The probe that has not passed yet, in one phrase; empty where all have."""
        if time.monotonic() < self._next_probe:
            return self._failing
        self._failing = []
        for spec in self._specs:
            container = sight.containers.get(str(spec.get("name")))
            if container is None or container.state != RUNNING:
                continue
            for kind in PROBES:
                failing = self._probe(runtime, container, spec, kind) if spec.get(kind) else ""
                if failing:
                    self._next_probe = time.monotonic() + _PROBE_SECONDS
                    self._failing = [f"the {kind} of container {container.name} fails ({failing})"]
                    return self._failing
        return []

    def _probe(self, runtime: Runtime, container: Container, spec: dict[str, t.Any], kind: str) -> str:
        """Run a probe that has not passed often enough yet; its description while it still has not."""
        needed = spec[kind].get("successThreshold") or 1
        key = (container.id, kind)
        if self._passed.get(key, 0) < needed:
            try:
                host = self._address(runtime, container.sandbox)
            except KubestaticError as exc:
                return str(exc)
            passed = _probes.passes(spec[kind], spec=spec, container=container.id, host=host, runtime=runtime)
            self._passed[key] = self._passed.get(key, 0) + 1 if passed else 0
        return "" if self._passed[key] >= needed else _probes.describe(spec[kind])

    def _address(self, runtime: Runtime, sandbox: str) -> str:
        if sandbox not in self._addresses:
            self._addresses[sandbox] = runtime.address(sandbox) or _probes.host_of_node(
                self._node.settings.node_name, node_ip=self._node.settings.node_ip
            )
        return self._addresses[sandbox]

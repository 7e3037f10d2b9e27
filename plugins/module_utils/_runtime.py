# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""The container runtime over CRI, driven by crictl: sandboxes, containers, images and logs of static pods.

The runtime is the one witness that works without an API server and whatever the kubelet's authentication is. Labels and
annotations are those that the kubelet sets (pkg/kubelet/kuberuntime/labels.go).
"""

from __future__ import annotations

import json
import os
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils._command import Run
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError

# Where packages, RKE2, k3s, Flatcar and Bottlerocket put crictl when PATH of a non-login shell lacks it.
CRICTL_PATHS = (
    "/usr/local/bin/crictl",
    "/usr/bin/crictl",
    "/opt/bin/crictl",
    "/opt/cni/bin/crictl",
    "/usr/local/sbin/crictl",
    "/var/lib/rancher/rke2/bin/crictl",
)
ENDPOINTS = (
    "/run/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/var/run/crio/crio.sock",
    "/run/cri-dockerd.sock",
    "/run/k3s/containerd/containerd.sock",
)

_POD_NAME = "io.kubernetes.pod.name"
_POD_NAMESPACE = "io.kubernetes.pod.namespace"
_SOURCE = "kubernetes.io/config.source"
_GRACE = "io.kubernetes.pod.terminationGracePeriod"

_ANSWER_TIMEOUT = "10s"

RUNNING, EXITED = "running", "exited"


class Sandbox(t.NamedTuple):
    """One pod sandbox. ``created_at`` is Unix time in seconds; ``source`` is file, http, api or empty."""

    id: str
    pod: str
    namespace: str
    uid: str
    ready: bool
    created_at: float
    source: str


class Container(t.NamedTuple):
    """One container. ``state`` is running, exited, created or unknown; ``attempt`` counts its restarts from 0.

    ``grace`` is the grace period of its pod in seconds as the kubelet knew it when it started the container.
    """

    id: str
    name: str
    sandbox: str
    pod: str
    namespace: str
    state: str
    attempt: int
    created_at: float
    image: str
    grace: int


class Snapshot(t.NamedTuple):
    """All sandboxes and containers that the runtime knew at one moment, newest first, as it lists them."""

    sandboxes: tuple[Sandbox, ...]
    containers: tuple[Container, ...]

    def sandboxes_of(self, namespace: str, pod: str) -> list[Sandbox]:
        """`pod` is the full name with the node's suffix."""
        found = [sandbox for sandbox in self.sandboxes if (sandbox.namespace, sandbox.pod) == (namespace, pod)]
        return sorted(found, key=lambda sandbox: sandbox.created_at, reverse=True)

    def containers_in(self, sandbox: str) -> list[Container]:
        """All containers of one sandbox, newest first."""
        found = [container for container in self.containers if container.sandbox == sandbox]
        return sorted(found, key=lambda container: container.created_at, reverse=True)

    def running_in(self, sandboxes: t.Iterable[str]) -> list[Container]:
        wanted = set(sandboxes)
        return [
            container for container in self.containers if container.sandbox in wanted and container.state == RUNNING
        ]


class Runtime:
    """One node's container runtime. Every failure to get an answer is a KubestaticError."""

    def __init__(self, run: Run, *, crictl: str, endpoint: str) -> None:
        self._run = run
        # Both endpoints are given, else crictl reads /etc/crictl.yaml or guesses, one try after the other.
        self._command = [crictl, "--runtime-endpoint", endpoint, "--image-endpoint", endpoint]
        self.endpoint = endpoint

    def snapshot(self) -> Snapshot:
        return Snapshot(
            sandboxes=self.sandboxes(),
            containers=parse_containers(self._json("ps", "-a", "-o", "json")),
        )

    def sandboxes(self) -> tuple[Sandbox, ...]:
        """Half of a snapshot, for half of its time."""
        return parse_sandboxes(self._json("pods", "-o", "json"))

    def images(self) -> set[str]:
        """The full names and digests of all images on the node."""
        return parse_images(self._json("images", "-o", "json"))

    def pull(self, image: str) -> None:
        self._crictl("pull", image)

    def last_lines(self, container: str, *, lines: int = 10) -> list[str]:
        """The end of a container's log; empty where it cannot be read any more."""
        code, out, err = self._run([*self._command, "logs", f"--tail={lines}", container])
        return (out + err).splitlines()[-lines:] if code == 0 else []

    def execute(self, container: str, command: t.Sequence[str], *, timeout: int) -> bool:
        """Run a command in a container; True where it ends with 0 within `timeout` seconds."""
        code, _out, _err = self._run([*self._command, "exec", "--sync", "--timeout", str(timeout), container, *command])
        return code == 0

    def inspect(self, container: str) -> dict[str, t.Any]:
        """The status of one container: startedAt, finishedAt (RFC 3339), exitCode, reason, message.

        Empty where there is no answer: the kubelet may remove the record between a list and this question.
        """
        try:
            status = self._json("inspect", "-o", "json", container).get("status")
        except KubestaticError:
            return {}
        return status if isinstance(status, dict) else {}

    def address(self, sandbox: str) -> str:
        """The pod's IP address; empty for a pod in the host's network."""
        status = self._json("inspectp", "-o", "json", sandbox).get("status") or {}
        return str((status.get("network") or {}).get("ip") or "")

    def stop(self, container: str, *, grace_seconds: int) -> None:
        # The answer comes when the container is gone, so crictl must wait longer than the grace period.
        self._crictl("stop", "--timeout", str(grace_seconds), container, timeout=f"{grace_seconds + 30}s")

    def stop_sandbox(self, sandbox: str) -> None:
        self._crictl("stopp", sandbox)

    def remove(self, containers: t.Sequence[str]) -> None:
        """Remove the records of containers that have ended, and keep their logs."""
        self._crictl("rm", "--keep-logs", *containers)

    def _json(self, *arguments: str) -> dict[str, t.Any]:
        out = self._crictl(*arguments)
        try:
            data = json.loads(out)
        except ValueError:
            raise KubestaticError(f"crictl {arguments[0]} answered no JSON: {out[:200]!r}") from None
        return data if isinstance(data, dict) else {}

    def _crictl(self, *arguments: str, timeout: str = _ANSWER_TIMEOUT) -> str:
        code, out, err = self._run([*self._command, "--timeout", timeout, *arguments])
        if code != 0:
            raise KubestaticError(
                f"the container runtime at {self.endpoint} did not do 'crictl {arguments[0]}': {_essence(err or out)}"
            )
        return out


def find_crictl(search_path: str) -> str:
    """The crictl of this node: in PATH, else in the usual places; an empty string where there is none."""
    places = [os.path.join(directory, "crictl") for directory in search_path.split(os.pathsep) if directory]
    return next((path for path in [*places, *CRICTL_PATHS] if os.path.isfile(path) and os.access(path, os.X_OK)), "")


def find_endpoint(configured: str) -> str:
    """The runtime's endpoint: the kubelet's own setting, else the first usual socket that is there."""
    if configured:
        return configured if "://" in configured else f"unix://{configured}"
    return "unix://" + next((path for path in ENDPOINTS if os.path.exists(path)), ENDPOINTS[0])


def parse_sandboxes(data: dict[str, t.Any]) -> tuple[Sandbox, ...]:
    """`crictl pods -o json` -> sandboxes."""
    return tuple(
        Sandbox(
            id=item["id"],
            pod=item["metadata"]["name"],
            namespace=item["metadata"]["namespace"],
            uid=item["metadata"]["uid"],
            ready=item["state"] == "SANDBOX_READY",
            created_at=_seconds(item["createdAt"]),
            source=(item.get("annotations") or {}).get(_SOURCE, ""),
        )
        for item in data.get("items") or []
    )


def parse_containers(data: dict[str, t.Any]) -> tuple[Container, ...]:
    """`crictl ps -a -o json` -> containers; those that no kubelet made are left out."""
    return tuple(
        Container(
            id=item["id"],
            name=item["metadata"]["name"],
            sandbox=item["podSandboxId"],
            pod=item["labels"][_POD_NAME],
            namespace=item["labels"][_POD_NAMESPACE],
            state=item["state"].replace("CONTAINER_", "").lower(),
            attempt=int(item["metadata"].get("attempt") or 0),
            created_at=_seconds(item["createdAt"]),
            image=(item.get("image") or {}).get("userSpecifiedImage") or (item.get("image") or {}).get("image") or "",
            grace=int((item.get("annotations") or {}).get(_GRACE) or 0),
        )
        for item in data.get("containers") or []
        if _POD_NAME in (item.get("labels") or {})
    )


def parse_images(data: dict[str, t.Any]) -> set[str]:
    """`crictl images -o json` -> names with tag, names with digest, and ids."""
    names: set[str] = set()
    for item in data.get("images") or []:
        names.update(item.get("repoTags") or [], item.get("repoDigests") or [], [item.get("id") or ""])
    return names


def _seconds(nanoseconds: t.Any) -> float:
    return int(nanoseconds) / 1e9


def _essence(text: str) -> str:
    """The message of crictl's last log line, which stands between quotes after fields of its own."""
    line = (text.strip().splitlines() or ["no answer"])[-1]
    message = line.partition(" msg=")[2] or line
    return message[1:-1].replace('\\"', '"') if message[:1] == message[-1:] == '"' else message

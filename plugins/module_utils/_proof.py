# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""Evidence: what the runtime says about one static pod at one moment, without waiting."""

from __future__ import annotations

import datetime
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils._manifest import Pod
from ansible_collections.kubestatic.node.plugins.module_utils._runtime import (
    EXITED,
    RUNNING,
    Container,
    Runtime,
    Sandbox,
    Snapshot,
)

# Seconds of running that count as proven where no readiness probe tells more.
DEFAULT_SETTLE = 5


class Sight(t.NamedTuple):
    """What is seen of one pod: its newest ready sandbox that counts, older ones, and the newest container by name.

    ``old`` holds sandboxes that must be gone before the pod is proven: they are ready or have running containers.
    """

    sandbox: Sandbox | None
    old: tuple[Sandbox, ...]
    containers: dict[str, Container]


def look(
    snapshot: Snapshot, *, namespace: str, pod: str, before: t.AbstractSet[str] = frozenset(), may_end: bool = False
) -> Sight:
    """See the pod with this full name; sandboxes with an id in `before` are old by definition.

    Where the pod `may_end`, its newest sandbox counts also when the kubelet has stopped it after the last container.
    """
    known = snapshot.sandboxes_of(namespace, pod)
    alive = [sandbox for sandbox in known if sandbox.ready or snapshot.running_in([sandbox.id])]
    new = next((sandbox for sandbox in alive if sandbox.ready and sandbox.id not in before), None)
    if may_end and not alive:
        new = next((sandbox for sandbox in known[:1] if sandbox.id not in before), None)
    old = tuple(sandbox for sandbox in alive if sandbox is not new)
    containers: dict[str, Container] = {}
    for container in snapshot.containers_in(new.id) if new else []:
        containers.setdefault(container.name, container)
    return Sight(sandbox=new, old=old, containers=containers)


def long_running(pod: Pod) -> list[dict[str, t.Any]]:
    """The specs of the containers that run as long as the pod: the main ones, and init containers that are sidecars."""
    sidecars = [spec for spec in pod.init_containers if spec.get("restartPolicy") == "Always"]
    return [*sidecars, *pod.containers]


def may_end(pod: Pod) -> bool:
    """True for a pod whose containers may end for good."""
    return pod.spec.get("restartPolicy") in ("Never", "OnFailure")


def unfinished(pod: Pod, sight: Sight) -> list[str]:
    """Why the pod does not count as running yet, one phrase per reason; empty when every container runs.

    A container that may end (restartPolicy Never or OnFailure) and has ended is left to `ended_badly`.
    """
    if sight.sandbox is None:
        return ["the kubelet has not started it yet"] if not sight.old else ["the old pod still runs"]
    reasons = ["an older copy of the pod still runs"] if sight.old else []
    for spec in long_running(pod):
        container = sight.containers.get(str(spec.get("name")))
        if container is None:
            reasons.append(f"container {spec.get('name')} is not created yet{_init_state(pod, sight)}")
        elif container.state != RUNNING and not (may_end(pod) and container.state == EXITED):
            reasons.append(f"container {container.name} is {container.state}")
    return reasons


def undisturbed_since(pod: Pod, sight: Sight) -> float:
    """Unix time from which on all containers of the pod have been running as they do now."""
    names = {str(spec.get("name")) for spec in long_running(pod)}
    return max((container.created_at for name, container in sight.containers.items() if name in names), default=0.0)


def settle_seconds(pod: Pod, wanted: int | None) -> int:
    """How long the pod must run undisturbed: as asked for, else 0 where every container has a readiness probe."""
    if wanted is not None:
        return wanted
    return 0 if all(spec.get("readinessProbe") for spec in pod.containers) else DEFAULT_SETTLE


def exits(container: Container, *, first_attempt: int) -> int:
    """How often this container has ended since the attempt that was first seen; 0 while its newest one runs."""
    return container.attempt - first_attempt + 1 if container.state == EXITED else 0


def report(snapshot: Snapshot, *, namespace: str, pod: str, manifest: Pod | None = None) -> dict[str, t.Any]:
    """The return value ``pod``: always the same keys; ``phase`` is empty where the runtime knows no such pod.

    Images are named as in `manifest` where that has the container: some runtimes list digests alone.
    """
    specs = [*manifest.init_containers, *manifest.containers] if manifest else []
    images = {str(spec.get("name")): str(spec.get("image")) for spec in specs}
    sight = look(snapshot, namespace=namespace, pod=pod)
    sandboxes = snapshot.sandboxes_of(namespace, pod)
    sandbox = sight.sandbox or (sandboxes[0] if sandboxes else None)
    newest: dict[str, Container] = {}
    for container in snapshot.containers_in(sandbox.id) if sandbox else []:
        newest.setdefault(container.name, container)
    return {
        "name": pod,
        "namespace": namespace,
        "uid": sandbox.uid if sandbox else "",
        "phase": _phase(sandbox, newest),
        "source": sandbox.source if sandbox else "",
        "containers": [
            {
                "name": container.name,
                "state": container.state,
                "started_at": timestamp(container.created_at),
                "image": images.get(container.name, container.image),
                "restarts": container.attempt,
            }
            for container in sorted(newest.values(), key=lambda container: container.created_at)
        ],
    }


def static_pods(snapshot: Snapshot, *, manifests: t.Mapping[tuple[str, str], Pod]) -> list[dict[str, t.Any]]:
    """A report of every pod that a kubelet took from a file or a URL, by namespace and full name.

    `manifests`: (namespace, full name) -> what the file says.
    """
    names = {(box.namespace, box.pod) for box in snapshot.sandboxes if box.source in ("file", "http")}
    return [report(snapshot, namespace=key[0], pod=key[1], manifest=manifests.get(key)) for key in sorted(names)]


def timestamp(seconds: float) -> str:
    """RFC 3339 in UTC with milliseconds."""
    moment = datetime.datetime.fromtimestamp(seconds, tz=datetime.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def unix_time(timestamp_text: str) -> float:
    """Unix time of the runtime's RFC 3339 timestamps (nanoseconds, Z or an offset); 0.0 for none."""
    text, _dot, fraction = timestamp_text.replace("Z", "+00:00").partition(".")
    if not text:
        return 0.0
    digits = "".join(character for character in fraction.partition("+")[0].partition("-")[0] if character.isdigit())
    offset = fraction[len(digits) :] if fraction else ""
    moment = datetime.datetime.fromisoformat(text + offset)
    return moment.timestamp() + (float(f"0.{digits}") if digits else 0.0)


def finished_at(runtime: Runtime, snapshot: Snapshot, sandboxes: t.Iterable[str]) -> float:
    """Unix time at which the last container of these sandboxes (ids) ended, by the runtime's record; 0.0 for none."""
    newest = 0.0
    for sandbox in sandboxes:
        for container in snapshot.containers_in(sandbox):
            newest = max(newest, unix_time(str(runtime.inspect(container.id).get("finishedAt") or "")))
    return newest


def _phase(sandbox: Sandbox | None, newest: dict[str, Container]) -> str:
    if sandbox is None:
        return ""
    if any(container.state == RUNNING for container in newest.values()):
        return "Running"
    # Exit codes are not in the runtime's list, so an ended pod is not told apart further.
    return "Pending" if sandbox.ready else "Stopped"


def _init_state(pod: Pod, sight: Sight) -> str:
    for spec in pod.init_containers:
        container = sight.containers.get(str(spec.get("name")))
        if container is not None and container.state == RUNNING and spec.get("restartPolicy") != "Always":
            return f", init container {container.name} runs"
    return ""

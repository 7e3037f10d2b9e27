# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""What one kubelet thinks of one Pod: the single source of refusals and verdicts.

`findings` is pure. It covers the field table of the kubelet's minor (`_schema`), the parts of ValidatePodCreate
(pkg/apis/core/validation) that people meet, the kubelet's own refusal of API references, and what is legal but bites.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _schema
from ansible_collections.kubestatic.node.plugins.module_utils._api_references import api_references
from ansible_collections.kubestatic.node.plugins.module_utils._errors import (
    DROPPED,
    REFUSED,
    WARNED,
    Finding,
    KubestaticError,
)
from ansible_collections.kubestatic.node.plugins.module_utils._manifest import Pod, mapping

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?\Z")
_DNS_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")
_MAX_SUBDOMAIN = 253
_MAX_LABEL = 63
_MAX_PORT_NAME = 15

# The one pair that a 1.37 kubelet does not warn of (pkg/kubelet/config/common.go).
_CRITICAL_CLASS, _CRITICAL_PRIORITY = "system-node-critical", 2000001000

_REFUSED_BY = {"strict": (REFUSED, DROPPED), "kubelet": (REFUSED,)}

_HANDLERS = ("exec", "grpc", "httpGet", "tcpSocket")


def findings(pod: Pod, *, node_name: str, minor: int) -> list[Finding]:
    """All that the kubelet of Kubernetes 1.`minor` on node `node_name` refuses, drops or that deserves a warning."""
    found = [*_text(pod), *_fields(pod, minor=minor), *_identity(pod, node_name=node_name), *_pod_rules(pod)]
    if not any(finding.level == REFUSED for finding in found):
        # These walk the pod and take the right types for granted.
        found += [*_containers(pod), *_volumes(pod)]
    return [*found, *api_references(pod, minor=minor), *_priority(pod)]


def warnings(pod: Pod, *, validation: str, node_name: str, minor: int) -> tuple[Finding, ...]:
    """The findings that `validation` (strict or kubelet) lets pass; raises KubestaticError with the others."""
    found = findings(pod, node_name=node_name, minor=minor)
    fatal = [finding for finding in found if finding.level in _REFUSED_BY[validation]]
    if fatal:
        raise KubestaticError("; ".join(str(finding) for finding in fatal))
    return tuple(finding for finding in found if finding.level in (WARNED, DROPPED))


def _text(pod: Pod) -> t.Iterator[Finding]:
    for key in pod.document.duplicate_keys:
        yield Finding(DROPPED, key, "this key stands there twice and the kubelet keeps the last one; remove one")
    if pod.document.has_more_documents:
        yield Finding(
            DROPPED,
            "",
            "the file holds more than one YAML document and the kubelet reads only the first; one file per Pod",
        )


def _fields(pod: Pod, *, minor: int) -> t.Iterator[Finding]:
    newest = max(_schema.MINORS)
    for finding in _schema.check(pod.data, root="Pod", minor=minor):
        if finding.level == DROPPED and minor > newest:
            # Our table ends before this kubelet: a field that we do not know may be a new one.
            yield Finding(
                WARNED,
                finding.field,
                f"not a field of kubelet 1.{newest}, the newest known here; 1.{minor} may drop it",
            )
        else:
            yield finding


def _identity(pod: Pod, *, node_name: str) -> t.Iterator[Finding]:
    full_name = f"{pod.name}-{node_name}"
    if not _DNS_SUBDOMAIN.match(pod.name):
        yield Finding(
            REFUSED,
            "metadata.name",
            f"{pod.name!r} is no DNS subdomain; use lower case letters, digits, '-' and '.', first and last a letter or digit",
        )
    elif len(full_name) > _MAX_SUBDOMAIN:
        yield Finding(
            REFUSED,
            "metadata.name",
            f"with the node's suffix the name has {len(full_name)} characters and {_MAX_SUBDOMAIN} are allowed: {full_name};"
            f" shorten it by {len(full_name) - _MAX_SUBDOMAIN}",
        )
    elif "." in pod.name:
        yield Finding(
            WARNED,
            "metadata.name",
            f"{pod.name!r} has a dot, so the pod gets no hostname of that form; use '-' instead",
        )
    if len(pod.namespace) > _MAX_LABEL or not _DNS_LABEL.match(pod.namespace):
        yield Finding(REFUSED, "metadata.namespace", f"{pod.namespace!r} is no DNS label; use a-z, 0-9 and '-'")
    if mapping(pod.data.get("metadata")).get("uid"):
        yield Finding(
            DROPPED,
            "metadata.uid",
            "with a fixed uid the kubelet silently ignores later changes of args, env and volumes; remove it",
        )


def _pod_rules(pod: Pod) -> t.Iterator[Finding]:
    if not isinstance(pod.data.get("spec"), dict):
        yield Finding(REFUSED, "spec", "is missing; it must be a mapping with at least containers")
        return
    if not pod.spec.get("containers"):
        yield Finding(REFUSED, "spec.containers", "is missing or empty; a Pod needs at least one container")
    if pod.spec.get("ephemeralContainers"):
        yield Finding(REFUSED, "spec.ephemeralContainers", "is not allowed in a static pod; remove it")
    if pod.spec.get("schedulingGates"):
        yield Finding(REFUSED, "spec.schedulingGates", "is not allowed in a static pod; remove it")


def _items(value: t.Any) -> list[dict[str, t.Any]]:
    """The entries of a list of objects; null among them is an object without fields, as it is to the kubelet's decoder."""
    return [mapping(item) for item in value] if isinstance(value, list) else []


def _containers(pod: Pod) -> t.Iterator[Finding]:
    seen: dict[str, str] = {}
    volumes = {volume.get("name") for volume in _items(pod.spec.get("volumes"))}
    for kind in ("initContainers", "containers"):
        for index, container in enumerate(_items(pod.spec.get(kind))):
            path = f"spec.{kind}[{index}]"
            name = container.get("name") or ""
            if len(name) > _MAX_LABEL or not _DNS_LABEL.match(name):
                yield Finding(REFUSED, f"{path}.name", f"{name!r} is no DNS label; give the container such a name")
            elif name in seen:
                yield Finding(
                    REFUSED, f"{path}.name", f"{name!r} is the name of {seen[name]} already; names are unique"
                )
            seen.setdefault(name, path)
            if not (container.get("image") or "").strip():
                yield Finding(REFUSED, f"{path}.image", "is missing; name the image to run")
            yield from _ports(container, path=path, host_network=pod.spec.get("hostNetwork") is True)
            yield from _mounts(container, path=path, volumes=volumes)
            yield from _environment(container, path=path)
            yield from _probes(container, path=path)


def _ports(container: dict[str, t.Any], *, path: str, host_network: bool) -> t.Iterator[Finding]:
    names: set[str] = set()
    for index, port in enumerate(_items(container.get("ports"))):
        where = f"{path}.ports[{index}]"
        for field in ("containerPort", "hostPort"):
            value = port.get(field)
            if value is None and field == "hostPort":
                continue
            if not isinstance(value, int) or not (1 <= value <= 65535 or (field == "hostPort" and value == 0)):
                yield Finding(REFUSED, f"{where}.{field}", f"must be from 1 to 65535, found {value}")
        if host_network and port.get("hostPort") not in (None, 0, port.get("containerPort")):
            yield Finding(REFUSED, f"{where}.hostPort", "must equal containerPort with hostNetwork: true")
        name = port.get("name")
        if not name:
            continue
        if len(name) > _MAX_PORT_NAME or not _DNS_LABEL.match(name) or not re.search("[a-z]", name):
            yield Finding(
                REFUSED, f"{where}.name", f"{name!r} is no port name: at most 15 of a-z, 0-9 and '-', one letter"
            )
        elif name in names:
            yield Finding(REFUSED, f"{where}.name", f"{name!r} is there twice in this container")
        names.add(name)


def _mounts(container: dict[str, t.Any], *, path: str, volumes: set[t.Any]) -> t.Iterator[Finding]:
    seen: set[str] = set()
    for index, mount in enumerate(_items(container.get("volumeMounts"))):
        where = f"{path}.volumeMounts[{index}]"
        if mount.get("name") not in volumes:
            yield Finding(REFUSED, f"{where}.name", f"there is no volume {mount.get('name')!r} in spec.volumes; add it")
        target = mount.get("mountPath")
        if not target:
            yield Finding(REFUSED, f"{where}.mountPath", "is missing")
        elif target in seen:
            yield Finding(REFUSED, f"{where}.mountPath", f"{target} is mounted twice in this container")
        seen.add(target or "")


def _environment(container: dict[str, t.Any], *, path: str) -> t.Iterator[Finding]:
    for index, variable in enumerate(_items(container.get("env"))):
        if not variable.get("name"):
            yield Finding(REFUSED, f"{path}.env[{index}].name", "is missing")
        if variable.get("value") and variable.get("valueFrom"):
            yield Finding(REFUSED, f"{path}.env[{index}]", "has both value and valueFrom; keep one")


def _probes(container: dict[str, t.Any], *, path: str) -> t.Iterator[Finding]:
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        probe = container.get(kind)
        if not isinstance(probe, dict):
            continue
        handlers = [handler for handler in _HANDLERS if probe.get(handler) is not None]
        if len(handlers) != 1:
            found = " and ".join(handlers) or "none"
            yield Finding(REFUSED, f"{path}.{kind}", f"needs exactly one of {', '.join(_HANDLERS)}, found {found}")
        if kind != "readinessProbe" and probe.get("successThreshold") not in (None, 0, 1):
            yield Finding(REFUSED, f"{path}.{kind}.successThreshold", "must be 1")


def _volumes(pod: Pod) -> t.Iterator[Finding]:
    seen: set[str] = set()
    for index, volume in enumerate(_items(pod.spec.get("volumes"))):
        where = f"spec.volumes[{index}]"
        name = volume.get("name") or ""
        if len(name) > _MAX_LABEL or not _DNS_LABEL.match(name):
            yield Finding(REFUSED, f"{where}.name", f"{name!r} is no DNS label; give the volume such a name")
        elif name in seen:
            yield Finding(REFUSED, f"{where}.name", f"{name!r} is there twice; names are unique")
        seen.add(name)
        sources = [field for field, value in volume.items() if field != "name" and value is not None]
        if len(sources) > 1:
            yield Finding(REFUSED, where, f"has more than one source ({', '.join(sources)}); keep one")
        host_path = volume.get("hostPath")
        if isinstance(host_path, dict):
            path = host_path.get("path") or ""
            if not path or ".." in path.split("/"):
                yield Finding(REFUSED, f"{where}.hostPath.path", f"must be a path without '..', found {path!r}")


def _priority(pod: Pod) -> t.Iterator[Finding]:
    name, number = pod.spec.get("priorityClassName"), pod.spec.get("priority")
    if (name or None, number) in ((None, None), (_CRITICAL_CLASS, _CRITICAL_PRIORITY)):
        return
    yield Finding(
        WARNED,
        "spec.priorityClassName",
        f"class {name or 'none'} with priority {'none' if number is None else number}: nothing resolves the class for a"
        f" static pod, and at node shutdown the number alone counts; write priorityClassName: {_CRITICAL_CLASS}"
        f" and priority: {_CRITICAL_PRIORITY}",
    )

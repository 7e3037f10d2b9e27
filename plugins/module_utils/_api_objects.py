# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""The module api_objects: its definitions in, each applied by the API server, and what that has changed.

Server-side apply (KEP-555) does the work: the API server merges what is given with what others own, and says in
managedFields whose is what.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import typing as t
import urllib.parse

from ansible_collections.kubestatic.node.plugins.module_utils import _kubeconfig
from ansible_collections.kubestatic.node.plugins.module_utils._api import Api
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

_Object = t.Dict[str, t.Any]

# The first that is there. Until the group of the second one is bound to a role, only the first may do anything.
_KUBECONFIGS = ("/etc/kubernetes/super-admin.conf", "/etc/kubernetes/admin.conf")
# The API server makes them itself, a moment after it is ready (pkg/controlplane/controller/systemnamespaces).
_SYSTEM_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
# What the API server counts and notes, and what controllers report.
_VOLATILE = ("managedFields", "resourceVersion", "generation", "creationTimestamp", "uid", "selfLink")
_COPY_OF_ALL = "kubectl.kubernetes.io/last-applied-configuration"


class Wanted(t.NamedTuple):
    """One definition. ``namespace`` is empty where none is given."""

    data: _Object
    api_version: str
    kind: str
    namespace: str
    name: str

    @property
    def is_node(self) -> bool:
        return (self.api_version, self.kind) == ("v1", "Node")

    @property
    def is_secret(self) -> bool:
        return self.kind == "Secret"

    def __str__(self) -> str:
        return f"{self.kind} {f'{self.namespace}/' if self.namespace else ''}{self.name}"


class Outcome(t.NamedTuple):
    """An object before, None where there was none, and after. `manager` is the field manager that applied it."""

    wanted: Wanted
    before: _Object | None
    after: _Object
    manager: str

    @property
    def is_changed(self) -> bool:
        return self.has_other_content or _owned(self.before or {}, self.manager) != _owned(self.after, self.manager)

    @property
    def has_other_content(self) -> bool:
        return self.before is None or _content(self.before) != _content(self.after)

    def sentence(self, *, check: bool) -> str:
        if self.before is None and self.wanted.is_node:
            return f"would change {self.wanted}, once its kubelet has registered it"
        if not self.has_other_content:
            return f"{'would take' if check else 'took'} {self.wanted} over as it is, for {self.manager}"
        verbs = ("make", "made") if self.before is None else ("change", "changed")
        return f"would {verbs[0]} {self.wanted}" if check else f"{verbs[1]} {self.wanted}"


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Carry out one call. Raises KubestaticError for the first object that cannot be had."""
    params = module.params
    wanted = definitions(params["definitions"], label=params["template"] or "definitions")
    path = params["kubeconfig"] or next(filter(os.path.exists, _KUBECONFIGS), _KUBECONFIGS[-1])
    api = Api(_kubeconfig.read(path), server=params["server"], wait_timeout=params["wait_timeout"])
    apply = Apply(api, manager=params["field_manager"], check=module.check_mode)
    api.wait_until_ready()
    outcomes: list[Outcome] = []
    try:
        for one in wanted:
            outcomes.append(apply.have(one))
    except KubestaticError as error:
        raise KubestaticError(
            str(error), actions=[] if module.check_mode else _actions(outcomes, check=False)
        ) from None
    return {
        "changed": any(one.is_changed for one in outcomes),
        "objects": [
            {
                "kind": one.wanted.kind,
                "namespace": one.after["metadata"].get("namespace", ""),
                "name": one.wanted.name,
                "changed": one.is_changed,
            }
            for one in outcomes
        ],
        "actions": _actions(outcomes, check=module.check_mode),
        **({"diff": _diff(outcomes)} if module._diff else {}),
    }


def definitions(given: t.Any, *, label: str) -> list[Wanted]:
    """Judge what can be judged without an API server. `given` is a list, or that as JSON in base64."""
    items = json.loads(base64.b64decode(given)) if isinstance(given, str) else given
    found: list[Wanted] = []
    for number, item in enumerate(items or ()):
        one = _wanted(item, where=f"{label}[{number}]")
        if any(_key(one) == _key(other) for other in found):
            raise KubestaticError(f"{label}[{number}]: {one} is given twice; make one definition of the two")
        found.append(one)
    return found


class Apply:
    """Applies objects one after the other. In check mode the API server goes all the way but for storing the result."""

    def __init__(self, api: Api, *, manager: str, check: bool) -> None:
        self._api = api
        self._manager = manager
        self._check = check
        self._would_be_there: set[str] = set()
        self._query = urllib.parse.urlencode(
            {
                "fieldManager": manager,
                "force": "true",
                "fieldValidation": "Strict",
                **({"dryRun": "All"} if check else {}),
            }
        )

    def have(self, wanted: Wanted) -> Outcome:
        """Have one object in the cluster. Raises KubestaticError."""
        resource = self._api.resource(wanted.api_version, wanted.kind, what=str(wanted))
        if wanted.namespace and not resource.is_namespaced:
            raise KubestaticError(f"{wanted}: a {wanted.kind} lies in no namespace; remove metadata.namespace")
        if resource.is_namespaced and not wanted.namespace:
            wanted = wanted._replace(namespace="default")
        path = resource.path(wanted.namespace, wanted.name)
        before = self._api.get(path, what=str(wanted))
        while wanted.is_node and before is None and not self._check:
            self._api.pause(f"{wanted}: no kubelet has registered it", advice="look at the kubelet of that node")
            before = self._api.get(path, what=str(wanted))
        after = wanted.data if self._is_to_come(wanted, before) else self._applied(wanted, path, before)
        return Outcome(wanted, before, after, self._manager)

    def _is_to_come(self, wanted: Wanted, before: _Object | None) -> bool:
        """Whether the API server cannot say in check mode what would become of it: what it needs is not there yet."""
        if not self._check or before is not None:
            return False
        if wanted.kind == "Namespace":
            self._would_be_there.add(wanted.name)
        return wanted.is_node or wanted.namespace in self._would_be_there

    def _applied(self, wanted: Wanted, path: str, before: _Object | None) -> _Object:
        data = wanted.data
        if wanted.is_node and before:
            # A Node that was deleted meanwhile is not made: none with this uid is there.
            data = {**data, "metadata": {**data["metadata"], "uid": before["metadata"]["uid"]}}
        body = json.dumps(data, ensure_ascii=False).encode()
        while True:
            answer = self._api.request(
                "PATCH", f"{path}?{self._query}", body, "application/apply-patch+yaml", is_secret=wanted.is_secret
            )
            if answer.status in (http.client.OK, http.client.CREATED):
                return answer.data
            if answer.status != http.client.NOT_FOUND or wanted.namespace not in _SYSTEM_NAMESPACES:
                raise self._api.refused(answer, str(wanted))
            self._api.pause(f"{wanted}: {answer.message}")


def _wanted(item: t.Any, *, where: str) -> Wanted:
    metadata = item.get("metadata") if isinstance(item, dict) else None
    if not isinstance(metadata, dict):
        raise KubestaticError(
            f"{where}: is no object with metadata; give a manifest with apiVersion, kind and metadata.name"
        )
    texts = {"apiVersion": item.get("apiVersion"), "kind": item.get("kind"), "metadata.name": metadata.get("name")}
    for field, value in texts.items():
        if not isinstance(value, str) or not value:
            raise KubestaticError(f"{where}: {field} must be text; got {value!r}")
    namespace = metadata.get("namespace") or ""
    if not isinstance(namespace, str):
        raise KubestaticError(f"{where}: metadata.namespace must be text; got {namespace!r}")
    one = Wanted(item, item["apiVersion"], item["kind"], namespace, metadata["name"])
    if one.is_node and "taints" in (item.get("spec") or {}):
        raise KubestaticError(
            f"{where}: {one} has spec.taints, and applying these would take away all taints of others; let its kubelet register"
            " it with them (registerWithTaints), or use kubectl taint"
        )
    return one


def _key(one: Wanted) -> tuple[str, ...]:
    return one.api_version.rpartition("/")[0], one.kind, one.namespace, one.name


def _actions(outcomes: t.Iterable[Outcome], *, check: bool) -> list[str]:
    return [one.sentence(check=check) for one in outcomes if one.is_changed]


def _content(found: _Object) -> _Object:
    """The object without what no definition has."""
    metadata = {key: value for key, value in found["metadata"].items() if key not in _VOLATILE}
    return {**{key: value for key, value in found.items() if key != "status"}, "metadata": metadata}


def _owned(found: _Object, manager: str) -> list[t.Any]:
    """Which fields this manager has applied."""
    entries = found.get("metadata", {}).get("managedFields") or ()
    return [
        (one.get("apiVersion"), one.get("fieldsV1"))
        for one in entries
        if (one.get("manager"), one.get("operation")) == (manager, "Apply") and not one.get("subresource")
    ]


def _diff(outcomes: t.Iterable[Outcome]) -> list[dict[str, str]]:
    from ansible_collections.kubestatic.node.plugins.module_utils import _yaml_dump

    found = []
    for one in outcomes:
        if one.is_changed:
            before, after = _shown(one.wanted, one.before, {}), _shown(one.wanted, one.after, one.before or {})
            found.append(
                {
                    "before_header": str(one.wanted),
                    "after_header": str(one.wanted),
                    "before": _yaml_dump.dump(before, as_json=False) if before else "",
                    "after": _yaml_dump.dump(after, as_json=False),
                }
            )
    return found


def _shown(wanted: Wanted, found: _Object | None, other: _Object) -> _Object:
    """The content, of a Secret only which keys it has, and which of them differ from the `other` one."""
    if found is None:
        return {}
    shown = _content(found)
    annotations = dict(shown["metadata"].get("annotations") or {})
    if annotations.pop(_COPY_OF_ALL, None):
        shown["metadata"]["annotations"] = annotations
    if wanted.is_secret:
        for field in ("data", "stringData"):
            for key, value in (shown.get(field) or {}).items():
                is_same = value == (other.get(field) or {}).get(key, value)
                shown[field] = {**shown[field], key: "(not shown)" if is_same else "(not shown, differs)"}
    return shown

#!/usr/bin/python
# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a kubelet makes of its manifest directory, and what runs."""

from __future__ import annotations

DOCUMENTATION = r"""
module: static_pod_info
short_description: Tell what a kubelet makes of its manifest directory, and which static pods run
version_added: 0.1.0
author:
  - kubestatic.node contributors (@kubestatic)
description:
  - Reads the manifest directory as this node's kubelet reads it, and gives each entry a verdict. The verdicts come from the
    functions by which M(kubestatic.node.static_pod) refuses a manifest.
  - Lists every static pod that the container runtime has, with the source that the kubelet took it from.
  - Works while the API server is down, and needs no credentials for the kubelet.
extends_documentation_fragment:
  - kubestatic.node._attributes
  - kubestatic.node._attributes.info_module
  - kubestatic.node._attributes.actiongroup_node
requirements:
  - A kubelet that runs as the systemd unit C(kubelet.service), Kubernetes 1.28 or newer.
  - C(crictl) on the node. Without it no pods are listed, and no entry gets the verdict V(runs).
  - PyYAML for any Python on the node.
notes:
  - Needs root on the node, so use C(become) where the connection is not root's.
options:
  manifest_dir:
    description:
      - The manifest directory.
      - By default the one that this node's kubelet reads, from its command line and configuration.
    type: path
seealso:
  - module: kubestatic.node.static_pod
  - module: kubestatic.node.static_pods
"""

EXAMPLES = r"""
- name: Look at the static pods of this node
  kubestatic.node.static_pod_info:
  register: static_pods

- name: Stop where the kubelet does not run what lies in its directory
  ansible.builtin.assert:
    that: static_pods.entries | rejectattr('verdict', 'in', ['runs', 'ignored']) | length == 0
    fail_msg: "{{ static_pods.entries | rejectattr('verdict', 'in', ['runs', 'ignored']) }}"
"""

RETURN = r"""
kubelet:
  description: The kubelet that runs on this node.
  returned: always
  type: dict
  contains:
    version:
      description: Its version.
      type: str
    node_name:
      description: The name that it gives this node, and that ends the name of each static pod.
      type: str
  sample:
    version: 1.37.2
    node_name: node1
manifest_dir:
  description: The manifest directory that was looked at.
  returned: always
  type: str
  sample: /etc/kubernetes/manifests
entries:
  description: Every entry of the directory, in the order in which the kubelet reads them.
  returned: always
  type: list
  elements: dict
  contains:
    filename:
      description: Name of the entry.
      type: str
    path:
      description: Full path.
      type: str
    verdict:
      description:
        - V(runs), V(pending) where the pod does not run (yet), V(shadowed) where another file holds the same pod and wins,
          V(refused) where the kubelet takes no pod from it, or V(ignored) where the kubelet does not read it.
      type: str
    reason:
      description: Why it does not run; empty for V(runs).
      type: str
    remarks:
      description: What the kubelet silently drops, and what it warns of.
      type: list
      elements: str
    name:
      description: Name of the pod without the node's name, where there is one.
      type: str
    namespace:
      description: Namespace of the pod, where there is one.
      type: str
    managed:
      description: Whether this collection placed or changed the file.
      type: bool
  sample:
    - filename: web.yaml
      path: /etc/kubernetes/manifests/web.yaml
      verdict: runs
      reason: ""
      remarks: []
      name: web
      namespace: default
      managed: true
    - filename: web.yaml.bak
      path: /etc/kubernetes/manifests/web.yaml.bak
      verdict: refused
      reason: the manifest is empty; it must hold one v1 Pod
      remarks: []
      name: ""
      namespace: ""
      managed: false
revisions:
  description:
    - The manifests that this collection has seen of each pod on this node, also of pods whose manifest is gone.
    - The texts themselves stay on the node, as they may hold secrets. O(kubestatic.node.static_pod#module:revision) puts one back.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the pod without the node's name.
      type: str
    namespace:
      description: Namespace of the pod.
      type: str
    number:
      description: Counts up from 1 for each pod.
      type: int
    time:
      description: When it was noted, in UTC.
      type: str
    reason:
      description:
        - V(found) where it was there before this collection, V(edited) where somebody has edited it by hand, V(placed),
          V(changed), or V(chosen) by O(kubestatic.node.static_pod#module:revision).
      type: str
    cause:
      description: What the task had it from, such as a template. Empty where it was no file, and where there was no task.
      type: str
    digest:
      description: SHA-256 of the text.
      type: str
    good:
      description: Whether a pod was proven to run from it, and it was not removed since.
      type: bool
    in_force:
      description: Whether it is what the manifest says now.
      type: bool
    fields:
      description:
        - In which fields it differs from the revision before it, of the form of RV(kubestatic.node.static_pod#module:plan.fields). Empty for
          the first, and where the kubelet sees no difference.
      type: list
      elements: dict
    fields_left_out:
      description: How many more there are than the 20 in RV(revisions[].fields).
      type: int
  sample:
    - name: web
      namespace: default
      number: 1
      time: "2026-11-23T12:00:00.123Z"
      reason: placed
      cause: template web.yaml.j2
      digest: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
      good: true
      in_force: true
      fields: []
      fields_left_out: 0
pods:
  description:
    - Every static pod that the container runtime has, also those whose manifest is gone, with the keys that
      M(kubestatic.node.static_pod) returns as RV(kubestatic.node.static_pod#module:pod).
  returned: always
  type: list
  elements: dict
  sample:
    - name: web-node1
      namespace: default
      uid: 5c0a0d3be4a06df4a19b4ed3a8e2e0f5
      phase: Running
      source: file
      containers:
        - name: web
          state: running
          started_at: "2026-11-23T12:00:00.123Z"
          image: nginx
          restarts: 0
"""

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kubestatic.node.plugins.module_utils import (
    _blast_radius,
    _command,
    _manifest,
    _manifest_dir,
    _module,
    _node,
    _plan,
    _proof,
    _verdicts,
)
from ansible_collections.kubestatic.node.plugins.module_utils._store import Revision
from ansible_collections.kubestatic.node.plugins.module_utils._verdicts import Verdict

if t.TYPE_CHECKING:
    from ansible_collections.kubestatic.node.plugins.module_utils._manifest import Key

_EMPTY: dict[str, t.Any] = {"kubelet": {}, "manifest_dir": "", "entries": [], "revisions": [], "pods": []}


def main() -> None:
    module = AnsibleModule(argument_spec={"manifest_dir": {"type": "path"}}, supports_check_mode=True)
    _module.finish(module, lambda: run(module), empty=_EMPTY)


def run(module: AnsibleModule) -> dict[str, t.Any]:
    _module.require_root()
    node = _node.look(
        _command.run,
        search_path=os.environ.get("PATH", ""),
        manifest_dir=module.params["manifest_dir"],
        remember=False,
    )
    snapshot = node.runtime.snapshot() if node.runtime else None
    verdicts = _verdicts.judge(
        _manifest_dir.read(node.manifest_dir),
        node_name=node.settings.node_name,
        minor=node.kubelet.minor,
        snapshot=snapshot,
    )
    pods = {
        (verdict.entry.pod.namespace, node.full_name(verdict.entry.pod.name)): verdict.entry.pod
        for verdict in verdicts
        if verdict.entry.pod
    }
    placed = node.store.placed(node.manifest_dir)
    in_force = {verdict.entry.pod.key: verdict.entry.pod.text for verdict in verdicts if verdict.entry.pod}
    return {
        "changed": False,
        "kubelet": {"version": node.kubelet.version, "node_name": node.settings.node_name},
        "manifest_dir": node.manifest_dir,
        "entries": [_entry(verdict, managed=_plan.is_managed(verdict.entry, placed)) for verdict in verdicts],
        "revisions": [
            one
            for key, kept in node.store.all_revisions().items()
            for one in _revisions(key, kept, in_force=in_force.get(key))
        ],
        "pods": _proof.static_pods(snapshot, manifests=pods) if snapshot else [],
    }


def _entry(verdict: Verdict, *, managed: bool) -> dict[str, t.Any]:
    entry = verdict.entry
    return {
        "filename": entry.filename,
        "path": entry.path,
        "verdict": verdict.verdict,
        "reason": verdict.reason,
        "remarks": list(verdict.remarks),
        "name": entry.pod.name if entry.pod else "",
        "namespace": entry.pod.namespace if entry.pod else "",
        "managed": managed,
    }


def _revisions(key: Key, revisions: t.Sequence[Revision], *, in_force: str | None) -> t.Iterator[dict[str, t.Any]]:
    """`in_force`: the text of the manifest, None where there is none."""
    before = None
    for one in revisions:
        pod = _manifest.parse(one.text)
        yield {
            "name": key[1],
            "namespace": key[0],
            "number": one.number,
            "time": _proof.timestamp(one.time),
            "reason": one.reason,
            "cause": one.cause,
            "digest": one.digest,
            "good": one.good,
            "in_force": one.text == in_force,
            **_blast_radius.fields(before, pod),
        }
        before = pod


if __name__ == "__main__":
    main()

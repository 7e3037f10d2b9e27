#!/usr/bin/python
# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One static pod on one node."""

from __future__ import annotations

DOCUMENTATION = r"""
module: static_pod
short_description: Place, change, restart or remove a static pod
version_added: 0.1.0
author:
  - kubestatic.node contributors (@kubestatic)
description:
  - Puts the manifest of one static pod into the manifest directory of a node's kubelet, changes it there or removes it, and
    returns when the container runtime proves that the pod runs, or is gone.
  - A pod that is there already is found by its namespace and name, also where it was placed by kubeadm or by hand under another
    file name, and is changed in that file.
  - For more than one pod on a node use M(kubestatic.node.static_pods), which needs one call for all of them.
extends_documentation_fragment:
  - kubestatic.node._attributes
  - kubestatic.node._attributes.actiongroup_node
  - kubestatic.node._attributes.action
  - kubestatic.node._attributes.files
  - kubestatic.node._static_pod
  - kubestatic.node._static_pod.shared
  - kubestatic.node._static_pod.pod
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: partial
    details:
      - O(state=restarted) restarts the pod each time.
  safe_file_operations:
    support: full
options:
  manifest_dir:
    description:
      - The manifest directory. It must exist.
      - By default the one that this node's kubelet reads, from its command line and configuration.
    type: path
  revision:
    description:
      - A manifest that this node has kept, in place of one from the task. Needs O(name).
      - V(previous) is the last one before the one in force that a pod was proven to run from, or, where none was, the one before
        it. Where the newest was chosen in this way it is meant, so that a second run changes nothing.
      - Otherwise a number, as M(kubestatic.node.static_pod_info) lists them. What is chosen becomes the newest revision, under
        the next number.
    type: str
seealso:
  - module: kubestatic.node.static_pods
  - module: kubestatic.node.static_pod_info
"""

EXAMPLES = r"""
- name: Each master runs its own proxy, from one template
  kubestatic.node.static_pod:
    template: proxy.yaml.j2
  throttle: 1

- name: The same as a mapping, in a JSON file
  kubestatic.node.static_pod:
    filename: web.json
    definition:
      apiVersion: v1
      kind: Pod
      metadata:
        name: web
      spec:
        containers:
          - name: web
            image: nginx
            imagePullPolicy: IfNotPresent
            ports:
              - name: web
                containerPort: 80
  throttle: 1

- name: Restart the proxy of each master in turn where a file that its manifest names has changed
  kubestatic.node.static_pod:
    template: proxy.yaml.j2
    restart_on: auto
  throttle: 1

- name: Restart the API server of each master in turn, whatever has changed
  kubestatic.node.static_pod:
    name: kube-apiserver
    namespace: kube-system
    state: restarted
  throttle: 1

- name: Go back to what ran before
  kubestatic.node.static_pod:
    name: kube-apiserver
    namespace: kube-system
    revision: previous
  throttle: 1

- name: Remove a pod and wait until it is gone
  kubestatic.node.static_pod:
    name: web
    state: absent
"""

RETURN = r"""
path:
  description: The manifest.
  returned: always, empty where the task failed before it was known
  type: str
  sample: /etc/kubernetes/manifests/web.yaml
pod:
  description:
    - The pod as the container runtime knows it after the task. Without C(crictl) and in check mode the values are empty.
  returned: always
  type: dict
  contains:
    name:
      description: Name with the node's name, as C(kubectl) shows it.
      type: str
      sample: web-node1
    namespace:
      description: Namespace.
      type: str
      sample: default
    uid:
      description: The uid that the kubelet gave the pod.
      type: str
      sample: 5c0a0d3be4a06df4a19b4ed3a8e2e0f5
    phase:
      description: V(Running) where a container runs, V(Pending), V(Stopped), or empty where the runtime has no such pod.
      type: str
      sample: Running
    source:
      description: Where the kubelet has the pod from, V(file), V(http) or V(api).
      type: str
      sample: file
    containers:
      description: The newest container of each name.
      type: list
      elements: dict
      sample:
        - name: web
          state: running
          started_at: "2026-11-23T12:00:00.123Z"
          image: nginx
          restarts: 0
downtime_seconds:
  description:
    - Seconds from the end of the old pod's last container to the start of the new pod's containers. None where nothing was
      replaced, or where it could not be seen.
  returned: always
  type: float
  sample: 0.82
revision:
  description:
    - The number of the revision in force, as M(kubestatic.node.static_pod_info) lists them. None where the pod is removed, and
      in check mode where the node knows none yet.
  returned: always
  type: int
  sample: 2
actions:
  description: What was done, or would be done in check mode, in sentences. Empty where there was nothing to do.
  returned: always
  type: list
  elements: str
  sample:
    - changed /etc/kubernetes/manifests/web.yaml
plan:
  description:
    - What a run would do to the pod, by which fields of the manifest, and for how long the pod would be down.
    - Check mode compares manifests and does not ask the container runtime. What a run that was cut off has left to do, and
      mode and owner of a file that would be set, stand in RV(actions) alone.
  returned: in check mode, unless the task was refused
  type: dict
  contains:
    name:
      description: Name of the pod without the node's name.
      type: str
    namespace:
      description: Namespace of the pod.
      type: str
    path:
      description: The manifest.
      type: str
    effect:
      description:
        - V(nothing), as the manifest is there already, or is gone already with O(state=absent).
        - V(text only), as comments, order or written-out defaults change, which the kubelet does not see. The pod runs on.
        - V(replace), as the manifest changes. The pod is stopped and another one takes its place, with any O(strategy).
        - V(restart), with O(state=restarted), or as a file of O(restart_on) has changed.
        - V(new), as there is no manifest of this pod yet.
        - V(remove), with O(state=absent) or because the pod is pruned.
      type: str
    fields:
      description:
        - The fields because of which V(replace) is due, 20 at most. Empty with any other effect.
        - Fields are compared as the kubelet sees them. Those that it drops are not among them, and a default that comes along
          with another field is, such as C(imagePullPolicy) when the tag C(latest) is left.
      type: list
      elements: dict
      contains:
        path:
          description:
            - The field. Entries of a list are called by their C(name), and by their index where they have none.
            - For command lines and other lists of plain values, and where entries without a name come or go, it is the list.
              There is one entry here for each flag that differs, or one for the whole list where only the order differs.
          type: str
        before:
          description:
            - The value that is in force, as a string; lists and mappings as JSON. None where there is none.
            - After 200 characters it is cut, and says so.
            - As results are registered and logged, V((not shown\)) stands for the values of C(env) and C(httpHeaders), for C(volumeAttributes) of
              C(csi), C(options) of C(flexVolume), for C(kubectl)'s copy of a whole manifest among the annotations, and for
              what follows C(password), C(passwd), C(secret) or C(token) and a space or C(=) in any other text. Users and passwords in
              URLs are left out.
          type: str
        after:
          description: The value that would be in force, in the same form.
          type: str
    fields_left_out:
      description: How many more fields differ.
      type: int
    changed_files:
      description: The files of O(restart_on) because of which V(restart) is due.
      type: list
      elements: str
    expected_downtime_seconds:
      description:
        - The median of what the last changes of this pod on this node have taken, in seconds. Up to five are remembered for
          V(replace) with each O(strategy), and five for V(restart), until the pod is removed.
        - None where this node has no such history, and where nothing is down or the pod does not come back.
      type: float
  sample:
    name: kube-apiserver
    namespace: kube-system
    path: /etc/kubernetes/manifests/kube-apiserver.yaml
    effect: replace
    fields:
      - path: spec.containers[kube-apiserver].command
        before: --v=2
        after: --v=4
    fields_left_out: 0
    changed_files: []
    expected_downtime_seconds: 0.97
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kubestatic.node.plugins.module_utils import _module, _pod_options, _static_pods

_EMPTY: dict[str, t.Any] = {"path": "", "pod": {}, "downtime_seconds": None, "revision": None, "actions": []}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "manifest_dir": {"type": "path"},
            **_pod_options.POD_OPTIONS,
            **_pod_options.SHARED_OPTIONS,
            "revision": {"type": "str"},
        },
        supports_check_mode=True,
    )
    _module.finish(module, lambda: run(module), empty=_EMPTY)


def run(module: AnsibleModule) -> dict[str, t.Any]:
    wanted = _pod_options.wanted_pod(module.params)
    applied = _static_pods.apply(module, [wanted], manifest_dir=module.params["manifest_dir"])
    (result,) = applied.pods
    returned = {key: result[key] for key in ("path", "pod", "downtime_seconds", "revision", "failed")}
    return {
        **returned,
        "changed": applied.changed,
        "actions": applied.actions,
        **({"plan": applied.plan[0]} if module.check_mode else {}),
        **({"diff": applied.diff} if module._diff else {}),
        **({"msg": applied.failure} if result["failed"] else {}),
    }


if __name__ == "__main__":
    main()

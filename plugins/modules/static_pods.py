#!/usr/bin/python
# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole set of static pods of one node."""

from __future__ import annotations

DOCUMENTATION = r"""
module: static_pods
short_description: Place, change and remove all static pods of a node in one call
version_added: 0.1.0
author:
  - kubestatic.node contributors (@kubestatic)
description:
  - Does what M(kubestatic.node.static_pod) does, for any number of pods in one call. The pods change side by side, so a
    call takes about as long as its slowest pod.
  - With O(prune) pods that are no longer listed are removed.
  - All pods are judged before the first one is touched; one bad manifest refuses the whole call.
extends_documentation_fragment:
  - kubestatic.node._attributes
  - kubestatic.node._attributes.actiongroup_node
  - kubestatic.node._attributes.action
  - kubestatic.node._attributes.files
  - kubestatic.node._static_pod
  - kubestatic.node._static_pod.shared
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: partial
    details:
      - Entries with C(state=restarted) restart their pod each time.
  safe_file_operations:
    support: full
options:
  pods:
    description:
      - The pods. Each entry takes the options of M(kubestatic.node.static_pod) but C(manifest_dir) and C(revision); those that are not
        given in an entry are taken from this task's options of the same name.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: As for M(kubestatic.node.static_pod).
        type: str
      namespace:
        description: As for M(kubestatic.node.static_pod).
        type: str
      state:
        description: As for M(kubestatic.node.static_pod).
        type: str
        choices:
          - present
          - absent
          - restarted
        default: present
      content:
        description: As for M(kubestatic.node.static_pod).
        type: str
      definition:
        description: As for M(kubestatic.node.static_pod).
        type: dict
      src:
        description: As for M(kubestatic.node.static_pod).
        type: path
      template:
        description: As for M(kubestatic.node.static_pod).
        type: path
      filename:
        description: As for M(kubestatic.node.static_pod).
        type: str
      depends_on:
        description:
          - Pods of this call that must be done before this one is touched, each as a name in the same namespace or as
            C(namespace/name). That is proven, unless O(wait=false).
        type: list
        elements: str
        default: []
      mode:
        description: By default the value of O(mode).
        type: raw
      owner:
        description: By default the value of O(owner).
        type: str
      group:
        description: By default the value of O(group).
        type: str
      strategy:
        description: By default the value of O(strategy).
        type: str
        choices:
          - swap
          - replace
      wait:
        description: By default the value of O(wait).
        type: bool
      wait_timeout:
        description: By default the value of O(wait_timeout).
        type: int
      settle:
        description: By default the value of O(settle).
        type: int
      validation:
        description: By default the value of O(validation).
        type: str
        choices:
          - strict
          - kubelet
          - none
      rollback:
        description: By default the value of O(rollback).
        type: bool
      keep_revisions:
        description: By default the value of O(keep_revisions).
        type: int
      restart_on:
        description: By default the value of O(restart_on). An empty list takes no files for this pod.
        type: raw
  prune:
    description:
      - Which pods that are not listed in O(pods) are removed from the manifest directory.
      - V(none) leaves them all.
      - V(managed) removes those that this collection placed or changed on this node, but for the pods of a control plane (etcd,
        kube-apiserver, kube-controller-manager and kube-scheduler in kube-system), which the role P(kubestatic.node.control_plane#role)
        may have placed. To remove one of those, list it with C(state=absent).
      - V(all) removes every other pod, whoever placed it, and a control plane with them. It is refused where no listed pod shall stay, as that would remove
        everything from the node.
      - Files that hold no pod are never touched.
    type: str
    choices:
      - none
      - managed
      - all
    default: none
  manifest_dir:
    description:
      - The manifest directory. It must exist.
      - By default the one that this node's kubelet reads, from its command line and configuration.
    type: path
  gate:
    description:
      - What must hold in the rest of the cluster before a pod of this node is disturbed. Without this option nothing is asked.
      - The healthy voting members of etcd without this node's own must be as many as the quorum of all voting members, and another API
        server must be ready. Learners do not count. A member is healthy where its C(/health) says so; that a database is full does not matter.
      - It is asked once for each call, after images were fetched and before any manifest is touched, and only where a pod that is there is
        replaced, restarted or removed. It is not asked in check mode.
      - Where it does not hold, it is asked again each second. Once O(gate.timeout) is over, the task fails with the numbers, and no pod was
        touched.
      - Where the only voting member is this node's, and where O(gate.api_servers) is empty, the task goes on with a warning.
        With two voting members none can be spared, so such a change fails at once.
      - The client certificates are those of kubeadm in C(/etc/kubernetes/pki).
    type: dict
    version_added: 0.2.0
    suboptions:
      etcd_endpoints:
        description:
          - Client URLs of etcd's members. The first one that answers lists the members, all of which are asked for their health.
          - By default V(https://127.0.0.1:2379). Give those of all members, so that this node can be changed when its own member does not
            answer.
        type: list
        elements: str
        default: []
      api_servers:
        description:
          - URLs of the other API servers, such as V(https://192.0.2.12:6443). At least one must answer C(/readyz) with 200.
          - Neither this node's own nor a load balancer may be among them. The empty list stands for a single master.
        type: list
        elements: str
        required: true
      own_api_server:
        description:
          - URL of this node's API server. Where it is not ready, no other one has to be, as nobody loses anything.
        type: str
        default: ""
      timeout:
        description: Seconds to wait until it holds. It is looked at once at least.
        type: int
        default: 120
  disturb:
    description:
      - With V(false) only pods that stay as they are get proven. Where anything else is to be done on the node, nothing is, and RV(due) is true.
      - So many nodes can be asked at the same time, and only those where something is due take turns in the next task. A node is also one of
        those where a pod was never proven to run from its manifest, as this may go back to an older one, and where a run was cut off.
    type: bool
    version_added: 0.2.0
    default: true
seealso:
  - module: kubestatic.node.static_pod
  - module: kubestatic.node.static_pod_info
"""

EXAMPLES = r"""
- name: Two pods, the second one only when the first is proven; what was listed before and is no longer goes
  kubestatic.node.static_pods:
    prune: managed
    pods:
      - template: etcd.yaml.j2
      - template: apiserver.yaml.j2
        depends_on:
          - etcd
  throttle: 1

- name: The API server is restarted after its certificates were renewed, the proxy after one more file was changed, nothing else
  kubestatic.node.static_pods:
    restart_on: auto
    pods:
      - template: apiserver.yaml.j2
      - template: proxy.yaml.j2
        restart_on:
          - /etc/proxy/allowed.txt
  throttle: 1

- name: The API server is changed only while etcd and the other masters can do without this one
  kubestatic.node.static_pods:
    pods:
      - template: apiserver.yaml.j2
    gate:
      etcd_endpoints:
        - https://192.0.2.11:2379
        - https://192.0.2.12:2379
        - https://192.0.2.13:2379
      api_servers:
        - https://192.0.2.12:6443
        - https://192.0.2.13:6443
  throttle: 1

- name: Most runs have nothing to do, and find that out on all nodes at the same time
  kubestatic.node.static_pods:
    pods:
      - template: apiserver.yaml.j2
    disturb: false
  register: asked

- name: Nodes on which something is due take turns
  kubestatic.node.static_pods:
    pods:
      - template: apiserver.yaml.j2
  throttle: 1
  when: asked.due

- name: What shall run here and nothing else, without waiting for any of it
  kubestatic.node.static_pods:
    wait: false
    prune: all
    pods:
      - src: etcd.yaml
      - src: apiserver.yaml
"""

RETURN = r"""
pods:
  description: One result per entry of O(pods), in the same order.
  returned: always
  type: list
  elements: dict
  contains: &contains
    name:
      description: Name of the pod without the node's name.
      type: str
    namespace:
      description: Namespace of the pod.
      type: str
    path:
      description: The manifest.
      type: str
    changed:
      description: Whether this pod or its file was changed.
      type: bool
    failed:
      description: Whether this pod could not be brought to the wanted state.
      type: bool
    msg:
      description: Why it failed and what is in force now; empty where it did not fail.
      type: str
    pod:
      description: The pod as the container runtime knows it, as returned by M(kubestatic.node.static_pod).
      type: dict
    downtime_seconds:
      description: As returned by M(kubestatic.node.static_pod).
      type: float
    revision:
      description: As returned by M(kubestatic.node.static_pod).
      type: int
    actions:
      description: What was done for this pod.
      type: list
      elements: str
  sample:
    - name: web
      namespace: default
      path: /etc/kubernetes/manifests/web.yaml
      changed: true
      failed: false
      msg: ""
      pod:
        name: web-node1
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
      downtime_seconds: 0.82
      revision: 2
      actions:
        - changed /etc/kubernetes/manifests/web.yaml
pruned:
  description: One result per pod that O(prune) removed, of the same form.
  returned: always
  type: list
  elements: dict
  sample: []
actions:
  description: What was done, or would be done in check mode, in sentences. Empty where there was nothing to do.
  returned: always
  type: list
  elements: str
  sample:
    - changed /etc/kubernetes/manifests/web.yaml
due:
  description: Whether something is to be done that was not, because of O(disturb=false). Then RV(pods) is empty.
  returned: always
  type: bool
  sample: false
plan:
  description:
    - What a run would do to each pod, by which fields of the manifest, and for how long the pod would be down. First the pods of
      RV(pods) in their order, then those of RV(pruned).
    - The playbook C(kubestatic.node.plan) prints it for all nodes in one table.
  returned: in check mode, unless the task was refused
  type: list
  elements: dict
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
      description: V(nothing), V(text only), V(replace), V(restart), V(new) or V(remove), as described at M(kubestatic.node.static_pod).
      type: str
    fields:
      description: The fields because of which V(replace) is due, 20 at most, as described at M(kubestatic.node.static_pod).
      type: list
      elements: dict
      contains:
        path:
          description: The field.
          type: str
        before:
          description: The value that is in force, as a string without secrets. None where there is none.
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
        - The median of what the last changes of this pod on this node have taken, in seconds.
        - None where this node has no such history, and where nothing is down or the pod does not come back.
      type: float
  sample:
    - name: kube-apiserver
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
from ansible_collections.kubestatic.node.plugins.module_utils import _module, _pod_list, _pod_options, _static_pods
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError

_EMPTY: dict[str, t.Any] = {"pods": [], "pruned": [], "actions": [], "due": False}


def main() -> None:
    shared = _pod_options.SHARED_OPTIONS
    without_defaults = {
        name: {key: value for key, value in option.items() if key != "default"} for name, option in shared.items()
    }
    module = AnsibleModule(
        argument_spec={
            "pods": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    **_pod_options.POD_OPTIONS,
                    **without_defaults,
                    "depends_on": {"type": "list", "elements": "str", "default": []},
                },
            },
            "prune": {"type": "str", "choices": ["none", "managed", "all"], "default": "none"},
            "manifest_dir": {"type": "path"},
            "gate": {
                "type": "dict",
                "options": {
                    "etcd_endpoints": {"type": "list", "elements": "str", "default": []},
                    "api_servers": {"type": "list", "elements": "str", "required": True},
                    "own_api_server": {"type": "str", "default": ""},
                    "timeout": {"type": "int", "default": 120},
                },
            },
            "disturb": {"type": "bool", "default": True},
            **shared,
        },
        supports_check_mode=True,
    )
    _module.finish(module, lambda: run(module), empty=_EMPTY)


def run(module: AnsibleModule) -> dict[str, t.Any]:
    params = module.params
    if params["prune"] == "all" and all(entry["state"] == "absent" for entry in params["pods"]):
        raise KubestaticError(
            "prune: all with no pod that shall stay would remove every static pod of this node; list what shall stay, or use"
            " prune: managed"
        )
    shared = {name: params[name] for name in _pod_options.SHARED_OPTIONS}
    wanted = [
        _pod_options.wanted_pod(
            {**shared, **{name: value for name, value in entry.items() if value is not None}}, label=f"pods[{index}]"
        )
        for index, entry in enumerate(params["pods"])
    ]
    _pod_list.require_consistent(wanted)
    applied = _static_pods.apply(
        module,
        wanted,
        manifest_dir=params["manifest_dir"],
        prune=params["prune"],
        prune_options=shared,
        gate=params["gate"],
        disturb=params["disturb"],
    )
    return {
        "changed": applied.changed,
        "failed": bool(applied.failure),
        "pods": [_without_diff(result) for result in applied.pods],
        "pruned": [_without_diff(result) for result in applied.pruned],
        "actions": applied.actions,
        "due": applied.due,
        **({"plan": applied.plan} if module.check_mode else {}),
        **({"diff": applied.diff} if module._diff else {}),
        **({"msg": applied.failure} if applied.failure else {}),
    }


def _without_diff(result: dict[str, t.Any]) -> dict[str, t.Any]:
    return {key: value for key, value in result.items() if key != "diff"}


if __name__ == "__main__":
    main()

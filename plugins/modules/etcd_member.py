#!/usr/bin/python
# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One member of an etcd cluster."""

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_member
short_description: Add, promote and remove a member of an etcd cluster without losing its quorum
version_added: 0.2.0
author:
  - kubestatic.node contributors (@kubestatic)
description:
  - Has a node's etcd as a member of the cluster that the other nodes' etcd make up, or no longer has it.
  - A new member is added as a learner, which counts for nothing, and promoted once it has what the others have.
  - What would cost the cluster its quorum is refused with the numbers, after it was waited for members to be healthy again.
  - Where an answer was lost, the list of members says whether the change was made. A run that was cut off is taken up by the next one.
extends_documentation_fragment:
  - kubestatic.node._attributes
  - kubestatic.node._attributes.actiongroup_node
  - kubestatic.node._attributes.action
attributes:
  check_mode:
    support: full
    details:
      - Quorum is judged by the members that are healthy now, without waiting.
  diff_mode:
    support: none
  idempotent:
    support: partial
    details:
      - With O(replace=true) a member that has started is removed and added again each time.
requirements:
  - etcd 3.6 or newer, with its gRPC gateway, which is on by default.
notes:
  - Needs root on the node, so use C(become) where the connection is not root's.
  - The etcd of the node itself is neither started nor stopped. To rebuild a member whose data are lost, take its manifest away, call this
    module with O(replace=true), place the manifest with RV(initial_cluster) and C(--initial-cluster-state=existing), and call it with
    O(state=voter).
  - Where the task fails on a node, the nodes that come to it later in the same run fail untouched.
options:
  name:
    description: Name of the member, as in C(--name) of its etcd. With kubeadm, that is the node's name.
    type: str
    required: true
  peer_url:
    description:
      - The URL by which the other members reach it, such as V(https://192.0.2.11:2380).
      - Needed for O(state=learner). A member that has this URL is taken for the one that is meant, also where it has another name or,
        as it has never started, none.
    type: str
  endpoints:
    description:
      - Client URLs of the other members, such as V(https://192.0.2.12:2379). All are asked for the members, the first that can makes a change.
    type: list
    elements: str
    required: true
  state:
    description:
      - V(learner) has the member in the cluster. One that is there stays as it is, be it a learner or not, unless O(replace=true).
      - V(voter) promotes the learner, waiting until it is in sync with the leader. It must have been added before.
      - V(absent) removes the member.
    type: str
    choices:
      - learner
      - voter
      - absent
    default: learner
  replace:
    description:
      - With O(state=learner), whether a member that is there is removed first. Use it where its data are lost, as a member that
        comes back without what it has acknowledged puts the whole cluster's data at risk.
      - A learner that has never started is kept. That is what a run leaves that was cut off.
    type: bool
    default: false
  data_dir:
    description:
      - Where the etcd of this node has its data. With O(replace=true), what is left there of a member that is no more is moved to
        C(member.TIME) in that directory, as etcd would go on from it. It is never removed.
    type: path
  timeout:
    description:
      - Seconds to wait for what may pass, such as a learner that is not in sync, members that are restarting, and others that are learners
        at the moment, as etcd takes one at a time.
    type: int
    default: 120
  ca_file:
    description: Certificate of the CA that has signed the members' certificates. They must be for the addresses in O(endpoints).
    type: path
    default: /etc/kubernetes/pki/etcd/ca.crt
  cert_file:
    description: Certificate that the members know as a client's.
    type: path
    default: /etc/kubernetes/pki/etcd/healthcheck-client.crt
  key_file:
    description: Key of O(cert_file).
    type: path
    default: /etc/kubernetes/pki/etcd/healthcheck-client.key
seealso:
  - module: kubestatic.node.static_pods
"""

EXAMPLES = r"""
- name: Have the etcd of a master that has lost its data added anew
  kubestatic.node.etcd_member:
    name: node1
    peer_url: https://192.0.2.11:2380
    endpoints:
      - https://192.0.2.12:2379
      - https://192.0.2.13:2379
    replace: true
    data_dir: /var/lib/etcd
  register: member

- name: Start it with what the others have
  kubestatic.node.static_pods:
    pods:
      - template: etcd.yaml.j2
    wait: false
  vars:
    initial_cluster: "{{ member.initial_cluster }}"
    initial_cluster_state: existing

- name: Count on it
  kubestatic.node.etcd_member:
    name: node1
    endpoints:
      - https://192.0.2.12:2379
      - https://192.0.2.13:2379
    state: voter

- name: A master that is given up for good
  kubestatic.node.etcd_member:
    name: node3
    endpoints:
      - https://192.0.2.11:2379
      - https://192.0.2.12:2379
    state: absent
"""

RETURN = r"""
member_id:
  description: The member's id, as C(etcdctl) shows it. Empty where there is none, or it would only be added.
  returned: always
  type: str
  sample: 9a2bd9102c90b36e
initial_cluster:
  description: The value that C(--initial-cluster) of this member's etcd must have to join, from all members, sorted by name.
  returned: always
  type: str
  sample: node1=https://192.0.2.11:2380,node2=https://192.0.2.12:2380,node3=https://192.0.2.13:2380
members:
  description: All members as they are now, or would be in check mode, sorted by name.
  returned: always
  type: list
  elements: dict
  contains:
    id:
      description: Id of the member. Empty for one that would be added.
      type: str
    name:
      description: Name of the member. Empty for one that has not started yet.
      type: str
    peer_urls:
      description: The URLs by which other members reach it.
      type: list
      elements: str
    client_urls:
      description: The URLs by which clients reach it. None for a member that has not started yet.
      type: list
      elements: str
    is_learner:
      description: Whether it is a learner, which has no vote.
      type: bool
  sample:
    - id: 9a2bd9102c90b36e
      name: ""
      peer_urls:
        - https://192.0.2.11:2380
      client_urls: []
      is_learner: true
    - id: 7896e70ccfe11d35
      name: node2
      peer_urls:
        - https://192.0.2.12:2380
      client_urls:
        - https://192.0.2.12:2379
      is_learner: false
actions:
  description: What was done, or would be done in check mode, in sentences. Empty where there was nothing to do.
  returned: always
  type: list
  elements: str
  sample:
    - removed node1, member ce022b1ee1873377
    - added node1 (https://192.0.2.11:2380) as a learner
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kubestatic.node.plugins.module_utils import _etcd, _etcd_member, _module

_EMPTY: dict[str, t.Any] = {"member_id": "", "initial_cluster": "", "members": [], "actions": []}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "peer_url": {"type": "str"},
            "endpoints": {"type": "list", "elements": "str", "required": True},
            "state": {"type": "str", "choices": ["learner", "voter", "absent"], "default": "learner"},
            "replace": {"type": "bool", "default": False},
            "data_dir": {"type": "path"},
            "timeout": {"type": "int", "default": 120},
            "ca_file": {"type": "path", "default": _etcd.KUBEADM.ca_file},
            "cert_file": {"type": "path", "default": _etcd.KUBEADM.cert_file},
            "key_file": {"type": "path", "default": _etcd.KUBEADM.key_file},
        },
        supports_check_mode=True,
    )
    _module.finish(module, lambda: _etcd_member.run(module), empty=_EMPTY)


if __name__ == "__main__":
    main()

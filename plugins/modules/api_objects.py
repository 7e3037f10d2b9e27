#!/usr/bin/python
# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects in the API, in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: api_objects
short_description: Have objects in the Kubernetes API by server-side apply, all in one call
version_added: 0.2.0
author:
  - kubestatic.node contributors (@kubestatic)
description:
  - Waits until an API server is ready, and has a list of objects in it, one after the other in the order given, by server-side apply.
  - Fields that a definition does not have stay as they are, whoever has set them. Fields that it has are taken over from
    others. A field that an earlier definition of the same O(field_manager) had and this one has not is removed, unless somebody
    else owns it, too.
  - It needs nothing on the node but Python with PyYAML, so it works on a master as soon as its API server does.
  - What an API server cannot do at the moment (statuses 429, 500, 502, 503, and 504, and broken connections) is tried again until
    O(wait_timeout) is over.
  - A C(Node) is never made, but waited for, since its kubelet registers it.
  - Nothing is deleted.
extends_documentation_fragment:
  - kubestatic.node._attributes
  - kubestatic.node._attributes.actiongroup_node
  - kubestatic.node._attributes.action
attributes:
  check_mode:
    support: full
    details:
      - The API server does all but store the result, so it must run.
      - An object in a namespace that the same call would make, and a C(Node) that is not registered yet, are not judged. A kind
        that a C(CustomResourceDefinition) of the same call would bring is not known, and the task fails.
  diff_mode:
    support: full
    details:
      - Of a C(Secret) only the names of its keys are shown, and which of them differ.
  idempotent:
    support: full
notes:
  - Use it on one master with C(run_once=true), as the objects are the same whichever API server is asked.
  - Unlike other modules of this collection, it goes on with the next node where the task has failed on one.
  - What is in the definitions is in no result and no log. With C(ANSIBLE_KEEP_REMOTE_FILES) and without pipelining, Ansible
    itself leaves it on the node.
  - Needs to read O(kubeconfig), which is root's as a rule, so use C(become) where the connection is not root's.
  - Where it fails half-way, what was done stays, RV(actions) say what that is, and the next run does the rest.
options:
  definitions:
    description:
      - The objects, a list of mappings with C(apiVersion), C(kind), C(metadata.name), and the fields to be had. Text with YAML documents is
        taken, too.
      - Exactly one of O(definitions) and O(template) is needed.
      - Without C(metadata.namespace), what lies in a namespace lies in C(default).
      - A C(Node) with C(spec.taints) is refused, since all of them belong to whoever has applied them last.
    type: raw
  template:
    description:
      - A Jinja2 template on the controller with one or more YAML documents, found and rendered like the O(ignore:src) of
        M(ansible.builtin.template). It may be vaulted.
    type: path
  kubeconfig:
    description:
      - The file on the node that says who asks, with a client certificate or a token. Files that it names are read, programs that
        it names are not run.
      - By default C(/etc/kubernetes/super-admin.conf), where there is one, else C(/etc/kubernetes/admin.conf).
    type: path
  server:
    description:
      - The URL of the API server, by a name or address that is in its certificate. By default that of the kubeconfig, which may be that of a load
        balancer.
    type: str
    default: ""
  field_manager:
    description: The name under which the API server notes which fields were applied. With another name, fields of the old one stay its own.
    type: str
    default: kubestatic
  wait_timeout:
    description: How many seconds the call may wait altogether, for the API server, for a C(Node), and between tries.
    type: int
    default: 120
seealso:
  - name: Server-side apply
    description: Fields, managers and conflicts, in the documentation of Kubernetes.
    link: https://kubernetes.io/docs/reference/using-api/server-side-apply/
"""

EXAMPLES = r"""
- name: Have a namespace, and a quota in it
  kubestatic.node.api_objects:
    definitions:
      - apiVersion: v1
        kind: Namespace
        metadata:
          name: shop
      - apiVersion: v1
        kind: ResourceQuota
        metadata:
          name: pods
          namespace: shop
        spec:
          hard:
            pods: "50"
  run_once: true

- name: Label a node, once its kubelet has registered it
  kubestatic.node.api_objects:
    definitions:
      - apiVersion: v1
        kind: Node
        metadata:
          name: worker1
          labels:
            example.org/disk: ssd
  run_once: true

- name: Have what is in a template, in the API server of this very master
  kubestatic.node.api_objects:
    template: objects.yaml.j2
    server: https://192.0.2.11:6443
  run_once: true
"""

RETURN = r"""
objects:
  description: The objects in the order of the definitions.
  returned: always
  type: list
  elements: dict
  contains:
    kind:
      description: Its kind.
      type: str
    namespace:
      description: Its namespace, empty where it lies in none.
      type: str
    name:
      description: Its name.
      type: str
    changed:
      description: Whether it was made, changed or taken over, or would be in check mode.
      type: bool
  sample:
    - kind: ConfigMap
      namespace: kube-public
      name: cluster-info
      changed: true
actions:
  description: What was done, or would be done in check mode, in sentences. Empty where there was nothing to do.
  returned: always
  type: list
  elements: str
  sample:
    - made ConfigMap kube-public/cluster-info
    - changed Node master1
    - took ClusterRole kubeadm:get-nodes over as it is, for kubestatic
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kubestatic.node.plugins.module_utils import _api_objects, _module

_EMPTY: dict[str, t.Any] = {"objects": [], "actions": []}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            # The action plugin makes base64 of it: of what Ansible would find in a list, it would blank each text in the result.
            "definitions": {"type": "raw", "no_log": True},
            "template": {"type": "path"},
            "kubeconfig": {"type": "path"},
            "server": {"type": "str", "default": ""},
            "field_manager": {"type": "str", "default": "kubestatic"},
            "wait_timeout": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    _module.finish(module, lambda: _api_objects.run(module), empty=_EMPTY)


if __name__ == "__main__":
    main()

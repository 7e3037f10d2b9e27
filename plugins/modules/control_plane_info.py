#!/usr/bin/python
# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a master holds of its control plane, and what it tells of it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: control_plane_info
short_description: Gather what a master holds and knows of its control plane
version_added: 0.2.0
author:
  - kubestatic.node contributors (@kubestatic)
description:
  - Looks at a master, or at a node that shall be one, for M(kubestatic.node.control_plane_preflight). It tells which of etcd and the
    Kubernetes components have a manifest and what is in it, what etcd says of its members, and what stands in the way.
  - Copies what a master holds of its control plane's keys, certificates and kubeconfigs to the controller, into the temporary
    directory of this run, and returns where they are. M(kubestatic.node.control_plane_certificates) takes them from there.
  - That directory is readable by the user who runs Ansible alone, and Ansible removes it at the end of the run.
  - No result and no variable ever has a secret in it, so the task needs no C(no_log), and no callback, log or cache of facts gets any.
extends_documentation_fragment:
  - kubestatic.node._attributes
  - kubestatic.node._attributes.info_module
  - kubestatic.node._attributes.actiongroup_node
  - kubestatic.node._attributes.action
notes:
  - Needs root on the node, so use C(become) where the connection is not root's.
  - With C(ANSIBLE_DEBUG) Ansible itself prints what each module returns to it, here with the secrets.
  - Where Ansible is killed with SIGKILL, its temporary directory stays, as C(ansible-local-*) in C(~/.ansible/tmp).
options:
  address:
    description:
      - The IP address at which the other masters shall reach this one. RV(facts.address_is_own) tells whether the node has it.
    type: str
  manifest_dir:
    description: The manifest directory of the node's kubelet.
    type: path
    default: /etc/kubernetes/manifests
  etcd_data_dir:
    description: Where etcd has its data.
    type: path
    default: /var/lib/etcd
  ports:
    description: The TCP ports of which RV(facts.listening) tells.
    type: list
    elements: int
    default: [2379, 2380, 2381, 6443, 10250, 10257, 10259]
seealso:
  - module: kubestatic.node.control_plane_preflight
  - module: kubestatic.node.control_plane_certificates
"""

EXAMPLES = r"""
- name: Look at each master
  kubestatic.node.control_plane_info:
    address: "{{ ansible_host }}"
  register: info
"""

RETURN = r"""
held:
  description:
    - The directory on the controller that has the copies.
    - Where the task fails, there is none, so that a master which was not heard is not taken for one that holds nothing.
  returned: success
  type: str
  sample: /home/me/.ansible/tmp/ansible-local-4711x2mdk/kubestatic-held/master1
held_files:
  description: The files that this master has, by their paths on it. Empty on a node that is no master yet.
  returned: always
  type: list
  elements: str
  sample:
    - /etc/kubernetes/pki/ca.key
    - /etc/kubernetes/pki/ca.crt
facts:
  description: What the node tells. Empty where the task fails.
  returned: always
  type: dict
  contains:
    machine_id:
      description: A digest of the machine's id, the same for two names of one machine, and for clones. Empty where it has none.
      type: str
    time:
      description: The time by the node's clock, in seconds since 1970.
      type: float
    clock_offset:
      description:
        - How many seconds the node's clock is ahead of the controller's, negative where it is behind.
        - V(0) where the difference is less than the call took.
      type: float
    address_is_own:
      description: Whether the node has O(address). Null without O(address).
      type: bool
    swap:
      description: The devices and files with swap in use.
      type: list
      elements: str
    ca_directories:
      description: The directories besides C(/etc/ssl/certs) with certificates of CAs, which C(kubeadm) mounts where they are.
      type: list
      elements: str
    kubelet_version:
      description: The version of the kubelet that is installed. Empty where none is.
      type: str
    crictl:
      description: Whether C(crictl) is installed.
      type: bool
    listening:
      description: Those of O(ports) that are taken.
      type: list
      elements: dict
      contains:
        port:
          description: The port.
          type: int
        process:
          description: Name of the process that listens, up to 15 characters. Empty where it cannot be found.
          type: str
    placed:
      description: The components whose manifests this collection has put there.
      type: list
      elements: str
    pods:
      description:
        - The components that have a manifest, which are V(etcd), V(kube-apiserver), V(kube-controller-manager) and V(kube-scheduler), each
          with C(file), C(image), C(flags) and C(problem).
        - C(flags) are those of its command line without dashes. One that is given several times has a list.
        - C(problem) says why the kubelet does not run it. It is empty where all is well.
      type: dict
    etcd:
      description: What the node knows of etcd.
      type: dict
      contains:
        data:
          description:
            - Whether there is a write-ahead log of a member in O(etcd_data_dir), from which etcd goes on.
          type: bool
        remains:
          description:
            - Whether there is a database of a member without a log. etcd would begin anew with it, as where it starts on an empty disk
              and learns that its member was there before.
          type: bool
        proven:
          description: Whether this node remembers, outside that directory, that its etcd had a quorum.
          type: bool
        members:
          description: Its members as the etcd of this node knows them, which may be out of date. Null where it does not answer.
          type: list
          elements: dict
          contains:
            id:
              description: Its id in hexadecimal.
              type: str
            name:
              description: Its name. Empty where it has never started.
              type: str
            peer_urls:
              description: Where other members reach it.
              type: list
              elements: str
            client_urls:
              description: Where clients reach it.
              type: list
              elements: str
            is_learner:
              description: Whether it has no vote yet.
              type: bool
        trouble:
          description: Why etcd does not answer. Empty where it does.
          type: str
    encryption:
      description: How the API server's manifest has it encrypt Secrets in etcd.
      type: dict
      contains:
        state:
          description:
            - V(written) where new Secrets are encrypted, V(readable) where encrypted ones can be read, V(none) where not.
            - Empty where it cannot be told.
          type: str
        keys_in_use:
          description: Digests of the keys that are in use, and V(kms) for each plugin.
          type: list
          elements: str
        key:
          description: A digest of the key in C(/etc/kubernetes/pki/encryption.key). Empty where there is none.
          type: str
        stored:
          description:
            - How many Secrets etcd still holds encrypted, which it is asked where RV(facts.encryption.state) is V(readable).
            - Null elsewhere, and where etcd does not tell.
          type: int
        example:
          description: Namespace and name of one of them. Empty where there is none.
          type: str
        trouble:
          description: Why etcd does not tell RV(facts.encryption.stored). Empty where it does, or is not asked.
          type: str
  sample:
    machine_id: 4c5eee01b72a1ecc0b2f5b5b5c4b0a36
    time: 1795700000.25
    clock_offset: 0.0
    address_is_own: true
    swap: []
    ca_directories: [/usr/share/ca-certificates]
    kubelet_version: 1.37.2
    crictl: true
    listening:
      - port: 2379
        process: etcd
    placed: [etcd, kube-apiserver, kube-controller-manager, kube-scheduler]
    pods:
      etcd:
        file: /etc/kubernetes/manifests/etcd.yaml
        image: registry.k8s.io/etcd:3.7.0-0
        flags:
          name: master1
          initial-cluster: master1=https://192.0.2.11:2380,master2=https://192.0.2.12:2380,master3=https://192.0.2.13:2380
        problem: ""
    etcd:
      data: true
      remains: false
      proven: true
      members:
        - id: 8e9e05c52164694d
          name: master1
          peer_urls: ["https://192.0.2.11:2380"]
          client_urls: ["https://192.0.2.11:2379"]
          is_learner: false
      trouble: ""
    encryption:
      state: readable
      keys_in_use: [3b1f0a9c5d7e2468]
      key: 3b1f0a9c5d7e2468
      stored: 12
      example: kube-system/bootstrap-token-abcdef
      trouble: ""
"""

import os
import shutil
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kubestatic.node.plugins.module_utils import (
    _command,
    _https,
    _kubelet_process,
    _machine,
    _master_facts,
    _module,
    _runtime,
    _store,
)
from ansible_collections.kubestatic.node.plugins.module_utils._control_plane_files import (
    OF_ONE_MASTER,
    SHARED,
    node_path,
)
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_service import KubeletService
from ansible_collections.kubestatic.node.plugins.module_utils._node_files import Tree, require_no_dangling_link

# Where a kubelet may be when PATH of a non-login shell lacks it.
_PROGRAMS = ("/usr/bin", "/usr/local/bin", "/opt/bin")


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "address": {"type": "str"},
            "manifest_dir": {"type": "path", "default": "/etc/kubernetes/manifests"},
            "etcd_data_dir": {"type": "path", "default": "/var/lib/etcd"},
            "ports": {"type": "list", "elements": "int", "default": [2379, 2380, 2381, 6443, 10250, 10257, 10259]},
        },
        supports_check_mode=True,
    )
    _module.finish(module, lambda: _gathered(module.params), empty={"held_files": [], "facts": {}})


def _gathered(params: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return the texts for the controller's half, which keeps them out of the result."""
    _module.require_root()
    tree = Tree()
    texts = {name: tree.text(node_path(name)) for name in (*SHARED, *OF_ONE_MASTER)}
    found = {name: text for name, text in texts.items() if text is not None}
    for name in texts:
        if name not in found:
            require_no_dangling_link(node_path(name))
    store = _store.Store(remember=False)
    return {
        "changed": False,
        "held_files": [node_path(name) for name in found],
        "facts": {**_machine_facts(params, store), **_control_plane_facts(params, store)},
        "texts": found,
    }


def _machine_facts(params: dict[str, t.Any], store: _store.Store) -> dict[str, t.Any]:
    address = params["address"]
    return {
        "machine_id": _machine.machine_id(),
        "time": time.time(),
        "address_is_own": _https.is_own(f"https://[{address}]" if ":" in address else f"https://{address}")
        if address
        else None,
        "swap": _machine.swap(),
        "ca_directories": _machine.ca_directories(),
        "kubelet_version": _kubelet_version(store),
        "crictl": bool(_runtime.find_crictl(os.environ.get("PATH", ""))),
        "listening": _machine.listeners(params["ports"]),
    }


def _control_plane_facts(params: dict[str, t.Any], store: _store.Store) -> dict[str, t.Any]:
    directory = os.path.normpath(params["manifest_dir"])
    pods = _master_facts.pods(directory)
    return {
        "placed": _master_facts.placed(directory, store),
        "pods": pods,
        "etcd": _master_facts.etcd(pods.get("etcd", {}), data_dir=params["etcd_data_dir"], store=store),
        "encryption": _master_facts.encryption(pods.get("kube-apiserver", {}), pods.get("etcd", {})),
    }


def _kubelet_version(store: _store.Store) -> str:
    """The program is started only where it is not the one that the store knows to run."""
    program = shutil.which("kubelet", path=os.pathsep.join([os.environ.get("PATH", ""), *_PROGRAMS]))
    if not program:
        return ""
    known = _kubelet_process.known(store)
    if known and _kubelet_process.is_same_program(known.pid, program):
        return known.version
    return KubeletService(_command.run, store=store).version_of(program)


if __name__ == "__main__":
    main()

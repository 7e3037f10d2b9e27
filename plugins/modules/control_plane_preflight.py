#!/usr/bin/python
# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a control plane's run may begin. The action plugin of the same name is all of its code."""

from __future__ import annotations

DOCUMENTATION = r"""
module: control_plane_preflight
short_description: Judge all masters together before anything is touched on any
version_added: 0.2.0
author:
  - kubestatic.node contributors (@kubestatic)
description:
  - Takes what M(kubestatic.node.control_plane_info) has told of each master, and says for each of them what is to be done with its
    member of etcd. Where something stands in the way, it fails with all reasons on all masters in one message.
  - A new cluster begins only where no master has data of etcd, none answers, and none remembers that its etcd once had a quorum. A disk that
    is not mounted looks like a new node, and is refused. So are new masters beside others that have certificates of the same CA.
  - In the first run all masters must take part at the same time, because no API server gets ready without etcd's quorum.
  - Also refused are leftovers of other clusters, masters in two clusters, changes of the minor version, kubelets that do not
    fit, flags that a running cluster cannot change, missing programs, swap, ports that are taken, addresses of other machines, masters with the
    same name, address or machine, clocks that are far apart, and steps of encryption at rest that would make Secrets unreadable.
    So are runs that hold masters back where no other one has a manifest of an API server, which would tell what the cluster has.
  - An even number of masters, clocks that are some seconds apart, members of etcd that are no masters, and a member that is made anew where a
    disk may only not be mounted, are warned of. So are changes of images of which no version can be told.
extends_documentation_fragment:
  - kubestatic.node._attributes
  - kubestatic.node._attributes.info_module
  - kubestatic.node._attributes.actiongroup_node
  - kubestatic.node._attributes.action
notes:
  - All of it runs on the controller, within Ansible itself. Use C(run_once=true).
options:
  masters:
    description: All masters of the cluster, also those that are not to be changed in this run.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the node in the cluster, which is also that of its member of etcd.
        type: str
        required: true
      address:
        description: The IP address at which the other masters reach this one.
        type: str
        required: true
      host:
        description: Its name in the inventory. Without it, that is O(masters[].name).
        type: str
      sans:
        description: More names and addresses for its certificates. They are compared with O(own.sans).
        type: list
        elements: str
        default: []
      info:
        description:
          - What M(kubestatic.node.control_plane_info) returned there in the same run, the registered result.
          - May be left out for a master that this run holds back.
        type: dict
  own:
    description:
      - The master that this task runs for, as its own tasks see it. Where its entry in O(masters) has something else, that is refused, as other
        masters do not see the variables of a play or role.
    type: dict
    suboptions:
      host:
        description: As O(masters[].host).
        type: str
        required: true
      name:
        description: As O(masters[].name).
        type: str
        required: true
      address:
        description: As O(masters[].address).
        type: str
        required: true
      sans:
        description: As O(masters[].sans).
        type: list
        elements: str
        default: []
  kubernetes_version:
    description: The version of Kubernetes that is wanted, from 1.34 to 1.37, such as V(1.37.2).
    type: str
    required: true
  etcd_data_dir:
    description: Where etcd has its data on each master.
    type: path
    default: /var/lib/etcd
  encryption:
    description:
      - How Secrets in etcd shall be encrypted.
      - From V(none) to V(written) and back there is V(readable) in between, on all masters.
      - From V(readable) to V(none) etcd must hold no Secret encrypted any more, and be able to tell.
      - With V(unmanaged) nothing of that is looked at, but whether an API server has an C(encryption-provider-config) that O(flags) lacks.
    type: str
    choices: [none, readable, written, unmanaged]
    default: written
  kubelet_settings:
    description:
      - Settings of the kubelets, of which C(failSwapOn) and C(port) are looked at, and C(staticPodPath), which has to be the directory that
        C(kubeadm) knows.
    type: dict
    default: {}
  peer_port:
    description: The port at which etcd's members reach each other.
    type: int
    default: 2380
  api_server_port:
    description: The port of each API server.
    type: int
    default: 6443
  flags:
    description:
      - Flags that the manifests shall have, by component, each by its name without dashes. A list gives one several times, null not at all.
      - Where a cluster runs, another C(secure-port), C(service-cluster-ip-range) or C(service-account-issuer) of V(kube-apiserver) is refused, and
        another C(cluster-cidr) of V(kube-controller-manager). A second IP family may be added, C(cluster-cidr) may be set where it was not, and
        of several issuers one has to be that which signs now, and the first, which is to sign, one of those that are accepted now.
      - Subnets with blanks, a service subnet without room, one with the address of a new master, and the first time one that overlaps the pod
        subnet, are refused, too, and flags C(oidc-*) of V(kube-apiserver) beside C(authentication-config). Flags that are not given, and all
        others, are not looked at.
    type: dict
    default: {}
  images:
    description:
      - Whole names of the images that the manifests shall have, by component.
      - Those of V(kube-apiserver), V(kube-controller-manager) and V(kube-scheduler) are refused where their tag is a version of another minor
        than O(kubernetes_version). Where one is to change, and neither the old nor the new name tells a version, there is a warning.
    type: dict
    default: {}
  certificates_directory:
    description:
      - The directory on the controller of M(kubestatic.node.control_plane_certificates).
      - A cluster does not begin where it has certificates of other masters, as theirs has the same CA.
    type: path
  missing:
    description:
      - Names in the inventory of masters that this run holds back.
      - The default are those that are not in this batch of the play, by C(--limit), C(serial), or because they are unreachable.
    type: list
    elements: str
  forks:
    description: On how many masters the run works at the same time. The default is the run's own C(forks).
    type: int
seealso:
  - module: kubestatic.node.control_plane_info
"""

EXAMPLES = r"""
- name: Look at each master
  kubestatic.node.control_plane_info:
    address: "{{ ansible_host }}"
  register: info

- name: Judge all masters before anything is touched
  kubestatic.node.control_plane_preflight:
    kubernetes_version: 1.37.2
    flags:
      kube-apiserver:
        service-cluster-ip-range: 10.96.0.0/12
      kube-controller-manager:
        cluster-cidr: 10.244.0.0/16
    masters:
      - name: master1
        address: 192.0.2.11
        info: "{{ hostvars['master1'].info | default({}) }}"
      - name: master2
        address: 192.0.2.12
        info: "{{ hostvars['master2'].info | default({}) }}"
      - name: master3
        address: 192.0.2.13
        info: "{{ hostvars['master3'].info | default({}) }}"
  run_once: true
  register: plan
"""

RETURN = r"""
phase:
  description:
    - For each master that was heard, by its name, what is to be done.
    - V(bootstrap) is to begin a cluster together with all others. V(keep) is a master that has its member's data.
    - V(join) is to become a further member, or to finish that where it has no vote yet. V(rebuild) is to be made a member anew,
      because etcd knows it and its data is gone.
  returned: always
  type: dict
  sample:
    master1: keep
    master2: keep
    master3: rebuild
initial_cluster:
  description:
    - For the same masters the value of etcd's C(--initial-cluster).
    - For V(keep) it is what the manifest has, as etcd does not look at it any more. For V(join) and V(rebuild) it is null, as it is
      known only once the member was added.
  returned: always
  type: dict
  sample:
    master1: master1=https://192.0.2.11:2380,master2=https://192.0.2.12:2380,master3=https://192.0.2.13:2380
    master2: master1=https://192.0.2.11:2380,master2=https://192.0.2.12:2380,master3=https://192.0.2.13:2380
    master3: null
initial_cluster_state:
  description:
    - For the same masters the value of etcd's C(--initial-cluster-state), V(new) or V(existing), null as in RV(initial_cluster).
    - It is also null where the manifest of a member does not have that flag, as on the first master of C(kubeadm).
  returned: always
  type: dict
  sample:
    master1: new
    master2: new
    master3: null
first_run:
  description: Whether a cluster begins, so that all masters have the phase V(bootstrap).
  returned: always
  type: bool
  sample: false
running:
  description: Whether etcd answers on any master.
  returned: always
  type: bool
  sample: true
etcd_endpoints:
  description: A client URL of each member of etcd that answers.
  returned: always
  type: list
  elements: str
  sample: ["https://192.0.2.11:2379", "https://192.0.2.12:2379"]
cluster_dns:
  description:
    - The address for the service of the cluster's DNS, which is the tenth of the first service subnet, as with C(kubeadm).
    - Empty where O(flags) does not tell that subnet.
  returned: always
  type: str
  sample: 10.96.0.10
actions:
  description: What is to be done with etcd's members, in sentences. Empty where nothing is.
  returned: always
  type: list
  elements: str
  sample:
    - make the member of etcd on master3 anew, which has lost its data
"""

#!/usr/bin/python
# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys, certificates and kubeconfigs of a control plane. The action plugin of the same name is all of its code."""

from __future__ import annotations

DOCUMENTATION = r"""
module: control_plane_certificates
short_description: Make the keys, certificates and kubeconfigs of all masters, on the controller
version_added: 0.2.0
author:
  - kubestatic.node contributors (@kubestatic)
description:
  - Has, in a directory on the controller, all keys, certificates and kubeconfigs that the masters of a stacked control plane
    need. These are three CAs (of the cluster, of etcd, and of the front proxy), the key that signs the tokens of service accounts,
    a key for encryption at rest, and for each master its certificates and kubeconfigs.
  - File names, subjects, alternative names, usages and lifetimes are C(kubeadm)'s, so that C(kubeadm certs check-expiration),
    C(kubeadm join) and C(kubeadm upgrade) work with them. In addition there are C(pki/encryption.key), and C(pki/kubelet.crt), the
    serving certificate of each master's kubelet, which the cluster's CA signs.
  - The certificate with which an API server asks kubelets is in the group C(kubeadm:cluster-admins), as with C(kubeadm) 1.34, which works on
    every minor. One without that group, as C(kubeadm) 1.37 makes it, is kept.
  - What exists is kept. A certificate is made again, with a new key, where it is missing, where it expires within O(renew_before), and
    where it is not as it should be. That is a wrong subject, usage or alternative name, another CA, or another key.
  - Before a certificate is made, the one that the master holds is looked at. Where that is good, it is taken over. So an empty
    directory, as on a colleague's machine, gets everything from a cluster that runs, and nothing in the cluster changes. One that lasts longer
    than the directory's is taken over, too, as C(kubeadm certs renew) makes it, but where somebody else signs.
  - A CA, the service account key and the encryption key are never made anew while a master holds one, and never
    replaced. Nor is a CA made where the directory or a master has a certificate or kubeconfig that needs one already.
    Where two masters, or a master and the directory, hold different ones, nothing is touched and the task fails. With O(first_run)
    more is refused.
  - M(kubestatic.node.node_files) brings the files to the masters, with what is in RV(files).
extends_documentation_fragment:
  - kubestatic.node._attributes
  - kubestatic.node._attributes.actiongroup_node
  - kubestatic.node._attributes.action
  - kubestatic.node._attributes.files
attributes:
  check_mode:
    support: full
    details:
      - What would be made is put into the temporary directory of this run, and RV(files) name it there, so that
        M(kubestatic.node.node_files) can say in check mode what it would change. Ansible removes that directory at the end of the run.
  diff_mode:
    support: full
    details:
      - Shows what certificates and kubeconfigs say, but no key.
  idempotent:
    support: full
    details:
      - Until a certificate is due for renewal.
  safe_file_operations:
    support: full
requirements:
  - The Python library C(cryptography) 42 or newer in the Python that runs Ansible on the controller. Ansible itself brings that library.
notes:
  - All of it runs on the controller, within Ansible itself, as the user who runs Ansible. Use C(run_once=true); C(delegate_to) and
    C(become) make no difference, and no Python is looked for.
  - Keep the directory as safe as the cluster. Who can read C(pki/ca.key), can do anything in it.
  - Files in the directory may be vaulted with C(ansible-vault encrypt). They are decrypted when they are read, and a vaulted file
    that is replaced is vaulted again, with the password that decrypts it and under that password's vault ID. A file that was not there
    before is never vaulted.
  - A symbolic link in the place of a file in the directory is refused. The directory itself may be one.
  - Files are written with mode 0600, directories with 0700, each file in one rename. A run that was killed is
    finished by the next one.
  - To use a CA of your own, put its certificate and key into the directory before the first run, such as C(pki/ca.crt) and C(pki/ca.key). An
    intermediate CA goes first in its file, and those above it follow. Without the key, nothing is signed, and the certificates that somebody
    else has signed must be in the directory with their keys; the error names each that is missing or due.
  - To exchange a CA takes two runs. For the first one put the new certificate behind the old one in its file, and keep the old key. Once all
    components and kubelets have been started again after that, put the new certificate first, with its key, and run again. A new one that
    comes first at once is refused.
  - A CA is never renewed. From O(renew_before) days before its end on, each run warns. A new certificate for the same key is
    accepted as the same CA.
  - Certificates are valid from an hour before they were made, for the sake of clocks that are behind, and never longer than their CA.
  - Certificates of masters that are no longer listed stay in the directory.
options:
  directory:
    description:
      - The directory on the controller, relative to the playbook. It is made where it is not there.
      - What all masters share is in C(pki), what each has for itself in C(masters/NAME), in both as it will be below C(/etc/kubernetes).
    type: path
    required: true
  masters:
    description: All masters of the cluster, also those that are not to be changed in this run.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the node in the cluster, a DNS subdomain. It is in the subjects of its kubelet's and etcd's certificates.
        type: str
        required: true
      address:
        description: The IP address at which the other masters reach this one. C(kubeadm) calls it advertise address.
        type: str
        required: true
      sans:
        description:
          - More names and addresses of this master, for the certificates with which its API server, etcd and kubelet serve.
        type: list
        elements: str
        default: []
      held:
        description:
          - RV(kubestatic.node.control_plane_info#module:held) of this master, gathered in the same run.
          - Without it for each master that is not O(masters[].new), nothing that all masters share is made. What is in O(directory)
            already is used.
        type: path
      new:
        description:
          - Whether this master is not there yet, so that nothing can be gathered from it, and it holds nothing.
          - With V(true) for a machine that does hold a CA of this cluster, another CA may be made.
        type: bool
        default: false
  first_run:
    description:
      - Whether the cluster begins with this run, as RV(kubestatic.node.control_plane_preflight#module:first_run) tells.
      - With V(true), masters may hold only those of the keys and CAs that all masters share which are in O(directory), too. Others are of
        another cluster, whose certificates would be valid in the new one, or of a run with another directory, and the task fails.
      - With V(false), a cluster exists, and no CA and no service account key is made for it. Nor is an encryption key, unless a
        master holds the CA, as those of C(kubeadm) do, which has no such key. Where one of them is neither in O(directory) nor on a
        master, the task fails.
      - Without it, what masters hold is taken over, and what is neither there nor in O(directory) is made, whatever etcd has.
    type: bool
  control_plane_endpoint:
    description:
      - The name or address, with C(:PORT) where that is not O(api_server_port), of what stands before all API servers, such as a
        load balancer. It goes into the certificates of the API servers, and is the server in C(admin.conf) and C(super-admin.conf).
      - Without it, these name the API server of their own master. The other kubeconfigs always do.
    type: str
    default: ""
  api_server_port:
    description: The port of each API server.
    type: int
    default: 6443
  api_server_sans:
    description: More names and addresses for the certificates of all API servers. A name may begin with C(*.).
    type: list
    elements: str
    default: []
  service_subnet:
    description:
      - The addresses of services. The first one is that of the service C(kubernetes), and goes into the certificates of the API servers.
      - Of two subnets with a comma between them, as dual-stack clusters have, the first counts.
    type: str
    default: 10.96.0.0/12
  dns_domain:
    description: The DNS domain of services.
    type: str
    default: cluster.local
  key_algorithm:
    description:
      - How new keys are made. Keys that are there are kept, whatever they are.
      - V(ECDSA-P256) makes the keys of three masters in no time, V(RSA-2048) in one or two seconds. Some services outside a cluster that check
        tokens of service accounts take RSA only.
    type: str
    choices: [RSA-2048, ECDSA-P256]
    default: RSA-2048
  validity:
    description: For how many days a certificate is made, from 1 to 36500.
    type: int
    default: 365
  ca_validity:
    description: For how many days a CA is made, from 1 to 36500.
    type: int
    default: 3650
  renew_before:
    description: How many days before its end a certificate is made again. Must be fewer than O(validity).
    type: int
    default: 90
seealso:
  - module: kubestatic.node.control_plane_info
  - module: kubestatic.node.node_files
"""

EXAMPLES = r"""
- name: Gather what the masters hold
  kubestatic.node.control_plane_info:
  register: info

- name: Have what they need, on the controller
  kubestatic.node.control_plane_certificates:
    directory: certificates
    control_plane_endpoint: api.example.org
    masters:
      - name: master1
        address: 192.0.2.11
        held: "{{ hostvars['master1'].info.held }}"
      - name: master2
        address: 192.0.2.12
        held: "{{ hostvars['master2'].info.held }}"
      - name: master3
        address: 192.0.2.13
        sans: [master3.example.org]
        held: "{{ hostvars['master3'].info.held }}"
  run_once: true
  register: made

- name: Have it on each master
  kubestatic.node.node_files:
    files: "{{ made.files[inventory_hostname] }}"
"""

RETURN = r"""
files:
  description:
    - For each master, by its name, the files that belong on it, as M(kubestatic.node.node_files) takes them.
    - They go to C(/etc/kubernetes), but for the kubelet's serving certificate, which goes to C(/var/lib/kubelet/pki), where a kubelet
      looks for it that has no C(tlsCertFile).
  returned: always
  type: dict
  sample:
    master1:
      - src: /home/me/cluster/certificates/pki/ca.key
        path: /etc/kubernetes/pki/ca.key
        mode: "0600"
certificates:
  description: All certificates in the directory that belong to O(masters), also those in kubeconfigs, by their paths.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: The file on the controller.
      type: str
    common_name:
      description: Its common name.
      type: str
    organizations:
      description: Its organizations, which are groups to Kubernetes.
      type: list
      elements: str
    sans:
      description: Its alternative names, DNS names and IP addresses.
      type: list
      elements: str
    not_after:
      description: Its end, in UTC.
      type: str
  sample:
    - path: /home/me/cluster/certificates/masters/master1/admin.conf
      common_name: kubernetes-admin
      organizations: ["kubeadm:cluster-admins"]
      sans: []
      not_after: "2027-11-26T16:26:40Z"
actions:
  description:
    - What was done, or would be done in check mode, in sentences, with paths below O(directory). Empty where there was nothing to do.
  returned: always
  type: list
  elements: str
  sample:
    - "took pki/ca.crt (from master2:/etc/kubernetes/pki/ca.crt)"
    - "made masters/master1/pki/apiserver.key and masters/master1/pki/apiserver.crt (it lacks 192.0.2.40)"
    - "made masters/master1/admin.conf (it expires on 2027-01-14)"
"""

#!/usr/bin/python
# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A kubelet as it runs, and as it would be started next."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kubelet_info
short_description: Tell how a kubelet is configured, layer by layer, and whether it has to be restarted
version_added: 0.2.0
author:
  - kubestatic.node contributors (@kubestatic)
description:
  - Reads the unit, its environment files, the configuration file and the drop-ins of a kubelet, and gives every setting with the
    layer, the file and the line that it comes from.
  - Tells whether the kubelet is well, and whether it is stale, that is, whether it started before what it reads at its start was
    last changed.
  - Works with the kubelet stopped, without an API server and without credentials.
  - Asks the C(staticPodURL) and the API server that the kubelet is set to use whether they answer, see RV(sources). It waits up to 10
    seconds for the URL and up to 5 seconds for the API server, and goes on without an answer.
  - Where a configuration file is missing or broken, it tells what can be told without that file, and what is wrong in RV(problems).
extends_documentation_fragment:
  - kubestatic.node._attributes
  - kubestatic.node._attributes.info_module
  - kubestatic.node._attributes.actiongroup_node
requirements:
  - A kubelet that is a systemd unit, Kubernetes 1.28 or newer.
  - PyYAML for any Python on the node.
notes:
  - Needs root on the node, so use C(become) where the connection is not root's.
options:
  unit:
    description: The systemd unit of the kubelet.
    type: str
    default: kubelet.service
seealso:
  - module: kubestatic.node.kubelet_config
  - module: kubestatic.node.static_pod_info
"""

EXAMPLES = r"""
- name: Look at the kubelet
  kubestatic.node.kubelet_info:
  register: kubelet

- name: Stop where the kubelet of the next minor version would not start, or something is wrong today
  ansible.builtin.assert:
    that:
      - kubelet.problems | length == 0
      - removed | length == 0
    fail_msg: "{{ kubelet.problems + removed }}"
  vars:
    next_minor: "{{ '1.' ~ (kubelet.version.split('.')[1] | int + 1) }}"
    removed: "{{ kubelet.flags | selectattr('removed_in', 'equalto', next_minor) | map(attribute='name') | list }}"
"""

RETURN = r"""
version:
  description: Version of the kubelet that runs, or of the program that would be started.
  returned: always
  type: str
  sample: 1.37.2
node_name:
  description: The name that the kubelet gives this node, and that ends the name of each static pod.
  returned: always
  type: str
  sample: node1
unit:
  description: The systemd unit.
  returned: always
  type: dict
  contains:
    name:
      description: Its name.
      type: str
    state:
      description: ActiveState and SubState, as C(systemctl show) tells them.
      type: str
    enabled:
      description: Whether it is started at boot (UnitFileState), such as V(enabled).
      type: str
    needs_reload:
      description: Whether systemd has to read its files again (C(systemctl daemon-reload)).
      type: bool
  sample:
    name: kubelet.service
    state: active, running
    enabled: enabled
    needs_reload: false
pid:
  description: Process id of the kubelet, 0 where it does not run.
  returned: always
  type: int
  sample: 812
command_line:
  description: The command line of the next start, the program first.
  returned: always
  type: list
  elements: str
  sample:
    - /usr/bin/kubelet
    - --config=/var/lib/kubelet/config.yaml
files:
  description: Every file that is read at the start, in the order in which they count, the strongest last.
  returned: always
  type: list
  elements: str
  sample:
    - /lib/systemd/system/kubelet.service
    - /etc/default/kubelet
    - /var/lib/kubelet/config.yaml
settings:
  description:
    - Every C(KubeletConfiguration) key that a layer gives, with dots between its parts. What is not listed has its default.
    - Each has an entry.
    - Values of C(staticPodURLHeader) are not shown.
  returned: always
  type: dict
  contains:
    value:
      description: The value, as its layer gives it, of a flag always a string.
      type: raw
    layer:
      description: V(flag), V(drop_in) or V(file).
      type: str
    file:
      description: The file that gives it.
      type: str
    line:
      description: The line in that file, 0 where none is known.
      type: int
  sample:
    staticPodPath:
      value: /etc/kubernetes/manifests
      layer: file
      file: /var/lib/kubelet/config.yaml
      line: 4
flags:
  description: Every flag of the command line.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Its name, without dashes.
      type: str
    value:
      description: Its value.
      type: str
    file:
      description: The file that gives it.
      type: str
    line:
      description: The line in that file.
      type: int
    setting:
      description: The C(KubeletConfiguration) key that is the same setting, empty for none.
      type: str
    deprecated:
      description: Whether this kubelet calls it deprecated.
      type: bool
    removed_in:
      description: The first later minor version that does not start with it, such as V(1.37); empty where none is known.
      type: str
  sample:
    - name: config
      value: /var/lib/kubelet/config.yaml
      file: /usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf
      line: 9
      setting: ""
      deprecated: false
      removed_in: ""
problems:
  description:
    - Keys and flags that this version does not know, and configuration files that are missing or broken, in sentences.
    - The kubelet ignores such a key. It does not start with such a flag or such a file.
  returned: always
  type: list
  elements: str
  sample: []
sources:
  description:
    - Where the kubelet takes pods from. The entries are C(file) (the manifest directory), C(http) (C(staticPodURL)) and C(api) (the
      API server).
    - A source that has not answered since the kubelet started holds back all its deletions of pods, of every source. The kubelet
      tells nobody whether one has; this tells whether it would answer now, asked from the node.
  returned: always
  type: dict
  contains:
    location:
      description: The directory, or the URL without a user and password. Empty for a source that this kubelet does not have.
      type: str
    answers:
      description: Whether the directory is there, the URL gives pods that this kubelet takes, the API server answers.
      type: bool
    trouble:
      description: Why it does not answer, empty otherwise.
      type: str
  sample:
    file:
      location: /etc/kubernetes/manifests
      answers: true
      trouble: ""
    http:
      location: ""
      answers: false
      trouble: ""
    api:
      location: https://192.0.2.10:6443
      answers: false
      trouble: "https://192.0.2.10:6443 does not answer: Connection refused"
healthy:
  description: Whether the kubelet runs and its healthz endpoint says ok. That endpoint says nothing about pods.
  returned: always
  type: bool
trouble:
  description: What is wrong where it is not healthy, empty otherwise.
  returned: always
  type: str
  sample: ""
stale:
  description: Whether the kubelet has to be restarted for its files to take effect.
  returned: always
  type: bool
stale_reasons:
  description: Why, with file and key.
  returned: always
  type: list
  elements: str
  sample: []
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kubestatic.node.plugins.module_utils import _kubelet_report, _module

_EMPTY: dict[str, t.Any] = {
    "version": "",
    "node_name": "",
    "unit": {},
    "pid": 0,
    "command_line": [],
    "files": [],
    "settings": {},
    "flags": [],
    "problems": [],
    "sources": {},
    "healthy": False,
    "trouble": "",
    "stale": False,
    "stale_reasons": [],
}


def main() -> None:
    module = AnsibleModule(
        argument_spec={"unit": {"type": "str", "default": "kubelet.service"}}, supports_check_mode=True
    )
    _module.finish(module, lambda: _kubelet_report.report(unit=module.params["unit"]), empty=_EMPTY)


if __name__ == "__main__":
    main()

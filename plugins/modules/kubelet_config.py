#!/usr/bin/python
# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration of one node's kubelet."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kubelet_config
short_description: Set a kubelet's configuration, and restart it exactly when that is due
version_added: 0.2.0
author:
  - kubestatic.node contributors (@kubestatic)
description:
  - Sets keys of a kubelet's C(KubeletConfiguration) and flags of its command line, each in the file where it takes effect, and
    leaves comments, order and all other keys of that file as they are.
  - Knows the order in which a kubelet's layers count (flags before drop-ins before the configuration file), and refuses to
    write what another layer overrides, with the file and the line that wins.
  - Restarts the kubelet when it is stale, that is, when it started before what it reads at its start was last changed, also
    where that was done by hand or by a run that was cut off. A change of comments alone restarts nothing.
  - Returns when the kubelet has been well for O(settle) seconds. Where it does not come up, the old files are put back, the
    kubelet is restarted on them, and the task fails with the kubelet's own words.
  - Refuses to restart a kubelet that would kill the static pods that run, see O(move_manifests) and O(allow_pod_loss).
extends_documentation_fragment:
  - kubestatic.node._attributes
  - kubestatic.node._attributes.actiongroup_node
  - kubestatic.node._attributes.action
  - kubestatic.node._attributes.files
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: partial
    details:
      - O(restart=always) restarts the kubelet each time.
  safe_file_operations:
    support: full
requirements:
  - A kubelet that is a systemd unit, Kubernetes 1.28 or newer.
  - PyYAML for any Python on the node.
notes:
  - Needs root on the node, so use C(become) where the connection is not root's.
  - Containers keep running while a kubelet restarts.
  - Where the task fails on a node, the nodes after it in the same run fail untouched. Add C(throttle=1) to the task, so that one
    kubelet restarts at a time.
  - On nodes that kubeadm made, C(kubeadm upgrade node) writes the configuration file anew from the cluster's own copy of it.
    Change that copy, too, or use O(layer=drop_in).
  - C(kubeadm) also writes C(/var/lib/kubelet/kubeadm-flags.env). Flags of that file are only touched where O(migrate) or V(null) in
    O(flags) removes them, and the next C(kubeadm join) or C(kubeadm upgrade) may bring them back.
options:
  settings:
    description:
      - Keys of C(KubeletConfiguration) with the kubelet's own names, such as C(staticPodPath).
      - They are merged into what is there, mappings key by key; a list replaces the list that is there.
      - V(null) removes a key from the file that O(layer) chooses. With O(layer=auto) it is taken out of the configuration file where
        that is what gives the key.
      - Keys and types are checked for the version of this node's kubelet.
    type: dict
    default: {}
  static_pod_url_headers:
    description:
      - Headers that the kubelet sends to its C(staticPodURL), name to value or list of values; C(staticPodURLHeader) of the
        configuration. V(null) removes one.
      - The values are kept out of results, diffs and logs of Ansible. B(The kubelet itself writes them to its log) when it
        starts, so a token that is used here can be read by whoever may read the node's journal.
    type: dict
  flags:
    description:
      - Flags of the kubelet's command line, names without dashes, such as C(node-ip).
      - V(null) removes a flag without a replacement, from each environment file of the unit that has it.
      - Lists and mappings are written as the kubelet reads them, with commas.
      - Most flags have a key in O(settings), which is the better place.
    type: dict
    default: {}
  layer:
    description:
      - Where O(settings) go.
      - V(auto) takes a drop-in where the kubelet is started with C(--config-dir) or where O(drop_in_file) is given, else its
        configuration file. What is in force already, wherever it comes from, is not written again.
      - A kubelet without C(--config-dir) that gets its first drop-in also gets that flag, and the directory C(config.conf.d) beside
        its configuration file, such as C(/var/lib/kubelet/config.conf.d). This needs Kubernetes 1.30 or newer.
    type: str
    choices: [auto, file, drop_in]
    default: auto
  migrate:
    description:
      - Remove each flag that overrides one of O(settings). The value that is written, to where O(layer) says, is the one in
        O(settings), not the one of the flag.
      - Where O(settings) names only some keys of a mapping, such as one feature gate, the other keys that the flag gives are written,
        too.
      - A flag that stands in C(ExecStart=) of the unit, or in an C(Environment=) that this module did not write, is not removed. The
        error names its file and line.
      - To drop a flag without a replacement, use V(null) in O(flags).
    type: bool
    default: false
  config_file:
    description:
      - The configuration file, for a kubelet that is started without one. Give the keys of O(settings) that change with the first
        file, too; the error names them.
      - By default the one that the unit names. Where that is not there, as on a node on which C(kubeadm) has not run, it is only made when
        it is named here.
    type: path
  drop_in_file:
    description:
      - Name or path of the drop-in, ending in C(.conf).
      - By default C(90-kubestatic.conf) in the directory of C(--config-dir), or in the one that is set up, see O(layer).
      - With O(layer=auto) it chooses the drop-in layer.
    type: path
  flags_file:
    description:
      - The environment file that gives C(KUBELET_EXTRA_ARGS) to the unit.
      - By default the one that the unit reads, such as C(/etc/default/kubelet) or C(/etc/sysconfig/kubelet), else a drop-in of the
        unit with the name C(90-kubestatic.conf).
    type: path
  unit:
    description: The systemd unit of the kubelet.
    type: str
    default: kubelet.service
  restart:
    description:
      - V(auto) restarts the kubelet when it is stale. A kubelet that does not run or is not well today is an error.
      - V(never) changes files only; RV(restart_reason) says whether a restart is due.
      - V(always) restarts it in any case, and starts one that does not run.
    type: str
    choices: [auto, never, always]
    default: auto
  create_directories:
    description: Make the directory of C(staticPodPath), with mode 0700, before the kubelet is pointed to it.
    type: bool
    default: true
  wait:
    description: Wait until the kubelet is well after a restart. Without it nothing is put back either.
    type: bool
    default: true
  wait_timeout:
    description: How many seconds a kubelet may take to come up.
    type: int
    default: 120
  settle:
    description: How many seconds a kubelet must stay well after a restart.
    type: int
    default: 10
  rollback:
    description:
      - Put the old files back and restart the kubelet on them where it does not come up on the new ones.
    type: bool
    default: true
  allow_pod_loss:
    description:
      - Restart the kubelet even if it will kill static pods that run, with one second of grace and without their C(preStop) hooks.
        It does so after a change of C(staticPodPath) (also to another spelling of the same directory), of C(staticPodURL), of the
        node's name, and on the first start of another minor version. After a change of C(cgroupDriver) or C(cgroupRoot) it does so
        with pods of the API server, too.
      - Where files were changed by hand before this module first saw the kubelet, and it reads another directory than they say, a
        restart is refused in the same way.
    type: bool
    default: false
  move_manifests:
    description:
      - Where C(staticPodPath) becomes another directory, move the manifests there. They are taken out of the old directory, their pods
        stop with their own grace periods and hooks, then the kubelet is restarted on the new directory and starts them there.
      - Files that hold no pod stay where they are.
      - All static pods of the node are stopped for as long as the move takes, on a control plane node also etcd and the API server.
      - B(Do not move the manifests of a node that kubeadm made.) C(kubeadm) always writes to and looks in C(/etc/kubernetes/manifests),
        so its next upgrade, or a restart of pods by hand after C(kubeadm certs renew), uses a directory that no kubelet reads.
    type: bool
    default: false
  disturb:
    description:
      - With V(false) nothing is done where something is due, a file to be written as well as a restart, and RV(due) is true.
      - So many nodes can be asked at the same time, and only those where something is due take turns in the next task.
    type: bool
    default: true
seealso:
  - module: kubestatic.node.kubelet_info
  - module: kubestatic.node.static_pod
"""

EXAMPLES = r"""
- name: Have the kubelet read static pods from a directory
  kubestatic.node.kubelet_config:
    settings:
      staticPodPath: /etc/kubernetes/manifests
  throttle: 1

- name: The same where an old --pod-manifest-path stands in an environment file
  kubestatic.node.kubelet_config:
    settings:
      staticPodPath: /etc/kubernetes/manifests
    migrate: true
  throttle: 1

- name: Move all static pods to another directory, on nodes that were not made by kubeadm
  kubestatic.node.kubelet_config:
    settings:
      staticPodPath: /etc/kubelet.d
    move_manifests: true
  throttle: 1

- name: Allow fewer pods, by a drop-in
  kubestatic.node.kubelet_config:
    settings:
      maxPods: 60
    layer: drop_in
  throttle: 1

- name: Settings of our own in a drop-in that kubeadm leaves alone
  kubestatic.node.kubelet_config:
    layer: drop_in
    drop_in_file: 50-site.conf
    settings:
      shutdownGracePeriod: 60s
      shutdownGracePeriodCriticalPods: 20s
      featureGates:
        GracefulNodeShutdownBasedOnPodPriority: false
  throttle: 1

- name: A flag that has no key in the configuration
  kubestatic.node.kubelet_config:
    flags:
      node-ip: "{{ ansible_host }}"
  throttle: 1

- name: Drop a flag that the next kubelet does not know
  kubestatic.node.kubelet_config:
    flags:
      pod-infra-container-image: null
  throttle: 1

- name: Restart a kubelet that somebody has reconfigured by hand, if that is due
  kubestatic.node.kubelet_config:
  throttle: 1

- name: Most runs have nothing to do, and find that out on all nodes at the same time
  kubestatic.node.kubelet_config:
    settings:
      maxPods: 60
    disturb: false
  register: asked

- name: Nodes on which something is due take turns
  kubestatic.node.kubelet_config:
    settings:
      maxPods: 60
  throttle: 1
  when: asked.due
"""

RETURN = r"""
effective:
  description:
    - The settings and flags that this task names, as they are in force once the task is done (in check mode, as they would be).
    - Each has an entry. That of a setting is named by its keys with dots between them, such as C(authentication.webhook.enabled),
      that of a flag by C(--) and its name, such as C(--node-ip).
    - Values of O(static_pod_url_headers) are not shown.
  returned: always
  type: dict
  contains:
    value:
      description: The value, as its layer gives it, of a flag always a string. V(null) where no layer gives one.
      type: raw
    layer:
      description: V(flag), V(drop_in), V(file) or V(default).
      type: str
    file:
      description: The file that gives it, empty for the default.
      type: str
    line:
      description: The line in that file, 0 where none is known.
      type: int
  sample:
    authentication.webhook.enabled:
      value: true
      layer: file
      file: /var/lib/kubelet/config.yaml
      line: 7
    "--node-ip":
      value: 192.0.2.11
      layer: flag
      file: /etc/default/kubelet
      line: 1
restarted:
  description: Whether the kubelet was restarted, or would be in check mode.
  returned: always
  type: bool
restart_reason:
  description: Why a restart was due, with file and key. Empty where none was. With O(restart=never) it is still due.
  returned: always
  type: str
  sample: staticPodPath in /var/lib/kubelet/config.yaml
journal:
  description: The last lines of the kubelet's log since its start, where it did not come up. Lines that may hold a secret are cut.
  returned: always
  type: list
  elements: str
  sample: []
actions:
  description: What was done, or would be done in check mode, in sentences. Empty where there was nothing to do.
  returned: always
  type: list
  elements: str
  sample:
    - changed /var/lib/kubelet/config.yaml
    - "restarted the kubelet: staticPodPath in /var/lib/kubelet/config.yaml"
due:
  description: Whether something is to be done that was not, because of O(disturb=false). Then RV(effective) is empty.
  returned: always
  type: bool
  sample: false
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kubestatic.node.plugins.module_utils import _kubelet_config_call, _module


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "settings": {"type": "dict", "default": {}},
            "static_pod_url_headers": {"type": "dict", "no_log": True},
            "flags": {"type": "dict", "default": {}},
            "layer": {"type": "str", "choices": ["auto", "file", "drop_in"], "default": "auto"},
            "migrate": {"type": "bool", "default": False},
            "config_file": {"type": "path"},
            "drop_in_file": {"type": "path"},
            "flags_file": {"type": "path"},
            "unit": {"type": "str", "default": "kubelet.service"},
            "restart": {"type": "str", "choices": ["auto", "never", "always"], "default": "auto"},
            "create_directories": {"type": "bool", "default": True},
            "wait": {"type": "bool", "default": True},
            "wait_timeout": {"type": "int", "default": 120},
            "settle": {"type": "int", "default": 10},
            "rollback": {"type": "bool", "default": True},
            "allow_pod_loss": {"type": "bool", "default": False},
            "move_manifests": {"type": "bool", "default": False},
            "disturb": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    _module.finish(module, lambda: _kubelet_config_call.run(module), empty=_kubelet_config_call.EMPTY)


if __name__ == "__main__":
    main()

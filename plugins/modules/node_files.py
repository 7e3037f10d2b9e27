#!/usr/bin/python
# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of one node, in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: node_files
short_description: Put certificates, kubeconfigs and configuration files on a node, all in one call
version_added: 0.2.0
author:
  - kubestatic.node contributors (@kubestatic)
description:
  - Has a list of files on a node, with content, mode and owner, and the directories that they lie in. One call costs about
    as much as one file with M(ansible.builtin.copy) does, however many files there are.
  - Everything is checked before the first file is written. The new files are complete on the disk before the first of them
    takes the place of an old one, each by one rename. What the disk refuses changes nothing.
  - A run that is killed leaves each file as it was or as it shall be, and the next run does the rest.
  - What is in the files is in no result, no diff and no log.
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
    details:
      - Shows mode and owner, and whether the content changes, but never the content.
  idempotent:
    support: full
  safe_file_operations:
    support: full
notes:
  - Needs root on the node, so use C(become) where the connection is not root's.
  - Where the task fails on a node, the nodes that come to it later in the same run fail untouched.
  - A manifest belongs to M(kubestatic.node.static_pod), which also proves that its pod runs. The file of a kubelet's
    configuration belongs to M(kubestatic.node.kubelet_config).
  - With C(ANSIBLE_KEEP_REMOTE_FILES) and without pipelining, Ansible itself leaves the module's arguments, with all content in
    them, on the node.
options:
  files:
    description: The files. No path may be listed twice.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description:
          - Where the file lies on the node, an absolute path.
          - A symbolic link, a directory or anything else but a regular file in its place is refused.
        type: str
        required: true
      content:
        description:
          - What is in the file. Exactly one of O(files[].content) and O(files[].src) is needed.
          - It must be text, so use a filter such as P(ansible.builtin.to_nice_yaml#filter) for a mapping.
        type: str
      encoding:
        description: How O(files[].content) is given. With V(base64), it may hold any bytes.
        type: str
        choices: [text, base64]
        default: text
      src:
        description:
          - A file on the controller, found like the C(src) of M(ansible.builtin.copy). It may be vaulted, and may hold any
            bytes. It is no template.
        type: path
      mode:
        description:
          - Permissions of the file as an octal number. Quote it, as YAML makes other numbers of what has no quotes.
        type: raw
        default: "0600"
      owner:
        description: Name or number of the owner.
        type: str
        default: root
      group:
        description: Name or number of the group.
        type: str
        default: root
  directories:
    description:
      - More directories to have, such as that of a program's data, which nothing lies in yet. Absolute paths.
    type: list
    elements: str
    default: []
  directory_mode:
    description:
      - Permissions of the directories that have to be made, an octal number in quotes. They are owned by root.
      - Directories that are there stay as they are.
    type: raw
    default: "0700"
seealso:
  - module: kubestatic.node.control_plane_certificates
"""

EXAMPLES = r"""
- name: Have the files of a control plane on each master
  kubestatic.node.node_files:
    files:
      - path: /etc/kubernetes/pki/ca.crt
        src: "{{ certificates }}/ca.crt"
        mode: "0644"
      - path: /etc/kubernetes/pki/ca.key
        src: "{{ certificates }}/ca.key"
      - path: /etc/kubernetes/audit-policy.yaml
        content: |
          apiVersion: audit.k8s.io/v1
          kind: Policy
          rules:
            - level: Metadata

- name: Have the certificates that control_plane_certificates has made, with a file rendered from a template
  kubestatic.node.node_files:
    files: "{{ made.files[inventory_hostname] + more }}"
  vars:
    more:
      - path: /etc/kubernetes/encryption.yaml
        content: "{{ lookup('ansible.builtin.template', 'encryption.yaml.j2') }}"
"""

RETURN = r"""
changed_files:
  description: The paths of the files that were made or changed, or would be in check mode, in the order of O(files).
  returned: always
  type: list
  elements: str
  sample:
    - /etc/kubernetes/pki/apiserver.crt
    - /etc/kubernetes/admin.conf
actions:
  description: What was done, or would be done in check mode, in sentences. Empty where there was nothing to do.
  returned: always
  type: list
  elements: str
  sample:
    - made /etc/kubernetes/pki/apiserver.crt (new, mode 0600)
    - changed /etc/kubernetes/admin.conf (content, mode 0644 -> 0600)
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kubestatic.node.plugins.module_utils import _file_set, _module

_EMPTY: dict[str, t.Any] = {"changed_files": [], "actions": []}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "files": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "path": {"type": "str", "required": True},
                    "content": {"type": "str", "no_log": True},
                    "encoding": {"type": "str", "choices": ["text", "base64"], "default": "text"},
                    "src": {"type": "path"},
                    "mode": {"type": "raw", "default": "0600"},
                    "owner": {"type": "str", "default": "root"},
                    "group": {"type": "str", "default": "root"},
                },
            },
            "directories": {"type": "list", "elements": "str", "default": []},
            "directory_mode": {"type": "raw", "default": "0700"},
        },
        supports_check_mode=True,
    )
    _module.finish(module, lambda: _file_set.run(module), empty=_EMPTY)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a master holds of its control plane's keys and certificates."""

from __future__ import annotations

DOCUMENTATION = r"""
module: control_plane_info
short_description: Gather the keys and certificates that a master holds, for control_plane_certificates
version_added: 0.2.0
author:
  - kubestatic.node contributors (@kubestatic)
description:
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
options: {}
seealso:
  - module: kubestatic.node.control_plane_certificates
"""

EXAMPLES = r"""
- name: Gather what the masters hold
  kubestatic.node.control_plane_info:
  register: certificates_info
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
"""

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kubestatic.node.plugins.module_utils import _module
from ansible_collections.kubestatic.node.plugins.module_utils._control_plane_files import (
    OF_ONE_MASTER,
    SHARED,
    node_path,
)
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._node_files import Tree


def main() -> None:
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    _module.finish(module, _gathered, empty={"held_files": []})


def _gathered() -> dict[str, t.Any]:
    """Return the texts for the controller's half, which keeps them out of the result."""
    _module.require_root()
    tree = Tree()
    texts = {name: tree.text(node_path(name)) for name in (*SHARED, *OF_ONE_MASTER)}
    found = {name: text for name, text in texts.items() if text is not None}
    for name in texts:
        if name not in found:
            _require_no_dangling_link(node_path(name))
    return {"changed": False, "held_files": [node_path(name) for name in found], "texts": found}


def _require_no_dangling_link(path: str) -> None:
    """Raise KubestaticError for a file that only seems not to be there, as where a disk is not mounted."""
    while path != "/":
        if os.path.islink(path) and not os.path.exists(path):
            raise KubestaticError(
                f"{path}: is a symbolic link to {os.readlink(path)}, which is not there; mend the link"
            )
        path = os.path.dirname(path)


if __name__ == "__main__":
    main()

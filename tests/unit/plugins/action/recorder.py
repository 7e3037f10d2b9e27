# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node's half for the tests of the controller's half: writes down what arrived, and fails when it is told to.

It stands in for static_pod and static_pods, whose own node side needs a kubelet; everything else is the real Ansible.
``manifest_dir`` is the "node": each call adds a line to ``calls`` there, the files ``fail``, ``fail-once`` and
``fail-NAME`` make it fail, ``hang`` makes it outlast the task's timeout, and in check mode it returns what is in ``plan``.
"""

from __future__ import annotations

import json
import os
import time

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str"},
            "state": {"type": "str", "default": "present"},
            "content": {"type": "raw"},
            "definition": {"type": "raw"},
            "src": {"type": "path"},
            "template": {"type": "path"},
            "pods": {"type": "list", "elements": "raw"},
            "prune": {"type": "str"},
            "strategy": {"type": "str"},
            "wait": {"type": "bool"},
            "wait_timeout": {"type": "int"},
            "validation": {"type": "str"},
            "rollback": {"type": "bool"},
            "keep_revisions": {"type": "int"},
            "restart_on": {"type": "raw"},
            "manifest_dir": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    node = module.params.pop("manifest_dir")
    with open(os.path.join(node, "calls"), "a", encoding="utf-8") as calls:
        calls.write(json.dumps(module.params) + "\n")
    if os.path.exists(os.path.join(node, "hang")):
        time.sleep(20)
    for order in ("fail", "fail-once", f"fail-{module.params['name']}"):
        if os.path.exists(os.path.join(node, order)):
            if order == "fail-once":
                os.unlink(os.path.join(node, order))
            module.fail_json(msg="told to fail", actions=["failed"], downtime_seconds=1.5)
    plan = {}
    if module.check_mode and os.path.exists(os.path.join(node, "plan")):
        with open(os.path.join(node, "plan"), encoding="utf-8") as file:
            plan["plan"] = json.load(file)
    module.exit_json(
        changed=not module.check_mode, diff={"before": "a\n", "after": "b\n"}, received=module.params, **plan
    )


if __name__ == "__main__":
    main()

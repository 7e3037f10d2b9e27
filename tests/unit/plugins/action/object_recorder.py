# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node's half for api_objects: writes down which objects arrived, and fails where the file ``fail`` says so."""

from __future__ import annotations

import base64
import json
import os
import pathlib

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    module = AnsibleModule(
        argument_spec={"definitions": {"type": "raw", "no_log": True}, "template": {"type": "path"}},
        supports_check_mode=True,
    )
    node = pathlib.Path(os.environ["NODE_DIR"])
    with open(node / "calls", "a", encoding="utf-8") as calls:
        calls.write(json.dumps({"objects": json.loads(base64.b64decode(module.params["definitions"]))}) + "\n")
    if (node / "fail").exists():
        module.fail_json(msg="told to fail")
    module.exit_json(changed=True, received=json.dumps(module.params["template"]))


if __name__ == "__main__":
    main()

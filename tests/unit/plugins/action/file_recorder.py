# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node's half for node_files and control_plane_info: a directory of the task's environment is the node."""

from __future__ import annotations

import base64
import json
import os
import pathlib
import time

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "files": {"type": "raw", "no_log": True},
            "directory_mode": {"type": "str"},
            **{name: {"type": "raw"} for name in ("address", "etcd_data_dir", "ports")},
        },
        supports_check_mode=True,
    )
    node = pathlib.Path(os.environ["NODE_DIR"])
    if module.params["files"] is None:
        texts = {
            str(path.relative_to(node)): path.read_text() for path in sorted(node.rglob("*")) if path.name != "calls"
            and path.is_file()
        }  # fmt: skip
        if "answer" in texts:
            print(texts["answer"], flush=True)
            os._exit(0)
        if "nonsense" in texts:
            print(texts["nonsense"], flush=True)
            os._exit(0)
        module.exit_json(changed=False, held_files=list(texts), facts={"time": time.time()}, texts=texts)
    with open(node / "calls", "a", encoding="utf-8") as calls:
        calls.write(json.dumps({"files": module.params["files"]}) + "\n")
    for file in module.params["files"]:
        path = node / os.path.relpath(file["path"], "/etc/kubernetes")
        if not module.check_mode and file["path"].startswith("/etc/kubernetes"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(base64.b64decode(file["content"]))
    module.exit_json(changed=True, changed_files=[file["path"] for file in module.params["files"]])


if __name__ == "__main__":
    main()

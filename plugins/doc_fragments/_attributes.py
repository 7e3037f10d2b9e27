# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""What every module says about itself; the collection's documentation shows it as a table."""

from __future__ import annotations


class ModuleDocFragment:
    """Fragments named ``kubestatic.node._attributes`` and ``kubestatic.node._attributes.NAME`` (lower case)."""

    # For modules that change something: each of them states its own ``support`` and ``details``.
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode and say what would change without changing it.
  diff_mode:
    description: Returns what has changed, or would change in check mode, when run with C(--diff).
  idempotent:
    description:
      - A second run with the same options, on a node that nothing else has changed in between, reports no change.
      - This also holds for check mode.
  platform:
    description: The operating systems that the managed node may run.
    platforms: linux
    support: full
"""

    ACTIONGROUP_NODE = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/kubestatic.node.node) in C(module_defaults) to set defaults for all modules.
    support: full
    membership:
      - kubestatic.node.node
"""

    # For modules that only look. In addition to the first fragment.
    INFO_MODULE = r"""
options: {}
attributes:
  check_mode:
    support: full
    details:
      - This module never changes anything.
  diff_mode:
    support: N/A
    details:
      - This module never changes anything.
  idempotent:
    support: full
    details:
      - This module never changes anything.
"""

    # For modules whose controller half finds and renders files.
    ACTION = r"""
options: {}
attributes:
  action:
    description: Has a part that runs on the controller.
    support: full
  async:
    description: Can be used with C(async).
    support: none
"""

    # For modules that write files on the node.
    FILES = r"""
options: {}
attributes:
  safe_file_operations:
    description: Uses Ansible's strict rules for file operations, so that no reader ever sees half a file.
"""

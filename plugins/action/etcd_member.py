# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of the module etcd_member."""

from __future__ import annotations

from ansible_collections.kubestatic.node.plugins.plugin_utils._action import NodeAction


class ActionModule(NodeAction):
    """Calls the module, except where it failed on another node before."""

    MODULE = "kubestatic.node.etcd_member"

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""What the action plugins of the modules that change a node share."""

from __future__ import annotations

import abc
import typing as t

from ansible import constants as C
from ansible.plugins.action import ActionBase
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.plugin_utils._failure_mark import FailureMark, task_key
from ansible_collections.kubestatic.node.plugins.plugin_utils._sources import Sources

Result = dict[str, t.Any]


class NodeAction(ActionBase):
    """The controller's half of a module that changes a node: where it fails on one, the nodes after it stay untouched."""

    MODULE: t.ClassVar[str]

    def arguments(self, variables: dict[str, t.Any]) -> dict[str, t.Any]:
        """Return the module's arguments. Raises KubestaticError for what cannot be had on the controller."""
        del variables
        return dict(self._task.args)

    def sources(self, variables: dict[str, t.Any]) -> Sources:
        """Return the controller's files as this task sees them."""
        return Sources(
            loader=self._loader,
            templar=self._templar,
            search_path=self._task.get_search_path(),
            variables=variables,
            host=variables.get("inventory_hostname", "this host"),
        )

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> Result:
        """Stop where this task failed on another node, else render and call the module, and mark a failure."""
        super().run(tmp, task_vars)
        variables = task_vars or {}
        if self._task.check_mode:
            return self._outcome(variables)
        mark = self._failure_mark(variables)
        failed = mark.failed_elsewhere()
        if failed:
            return _untouched(mark.node, failed)
        try:
            result = self._outcome(variables)
        except BaseException:  # unreachable, or the task's timeout: both leave the node in an unknown state
            self._leave(mark)
            raise
        if result.get("failed") or result.get("unreachable"):
            self._leave(mark)
        else:
            mark.clear()
        return result

    def _outcome(self, variables: dict[str, t.Any]) -> Result:
        try:
            args = self.arguments(variables)
        except KubestaticError as error:
            return {"failed": True, "changed": False, "msg": str(error)}
        result: Result = self._execute_module(module_name=self.MODULE, module_args=args, task_vars=variables)
        return result

    def _failure_mark(self, variables: dict[str, t.Any]) -> FailureMark:
        # With delegate_to, the node is the delegate: a loop over masters from one host stops after the first failure.
        return FailureMark(
            run_directory=C.DEFAULT_LOCAL_TMP,
            key=task_key(self._task),
            node=self._task.delegate_to or variables.get("inventory_hostname", ""),
            call=repr(self._task.args),
        )

    def _leave(self, mark: FailureMark) -> None:
        try:
            mark.leave()
        except OSError as error:
            self._display.warning(f"The failure of {mark.node} cannot stop the nodes after it: {error}")


class StaticPodAction(NodeAction, abc.ABC):
    """Manifests become text or mappings, then one module call does the work on the node."""

    @abc.abstractmethod
    def resolved(self, args: dict[str, t.Any], sources: Sources) -> dict[str, t.Any]:
        """Return the module's arguments with every ``src`` and ``template`` read or rendered."""

    def arguments(self, variables: dict[str, t.Any]) -> dict[str, t.Any]:
        """Return the module's arguments, with every manifest in them."""
        return self.resolved(dict(self._task.args), self.sources(variables))


def _untouched(node: str, failed: list[str]) -> Result:
    names = " and ".join(failed)
    return {
        "failed": True,
        "changed": False,
        "msg": f"Nothing was touched on {node}, because this task failed on {names} before: "
        f"repair what the message of {failed[0]} names, then run the play again",
    }

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""Rendering of one template file, the same with the templating of ansible-core 2.18 and that of 2.19 and later."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping, Sequence

import jinja2
import jinja2.nodes
from ansible.errors import AnsibleUndefinedVariable
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError

try:
    from ansible.template import trust_as_template
except ImportError:  # ansible-core 2.18
    trust_as_template = None

if t.TYPE_CHECKING:
    from ansible.template import Templar

_TRIM_BLOCKS = True  # as in ansible.builtin.template
# What may stand beside a single expression without making text of it.
_SILENT_NODES = (
    jinja2.nodes.Assign,
    jinja2.nodes.AssignBlock,
    jinja2.nodes.Import,
    jinja2.nodes.FromImport,
    jinja2.nodes.Macro,
)


def render(
    templar: Templar,
    text: str,
    *,
    name: str,
    path: str,
    search_path: Sequence[str],
    variables: Mapping[str, t.Any],
    host: str,
) -> t.Any:
    """Render ``text`` (the file ``name``, found at ``path``) with the variables of ``host``.

    Returns text, or the value itself where the template is one single expression.
    Raises KubestaticError that names the template, the host and the undefined variable or other fault.
    """
    known = {"ansible_managed": "Ansible managed", **variables, "template_path": name, "template_fullpath": path}
    try:
        if trust_as_template is not None:
            copy = templar.copy_with_new_env(searchpath=list(search_path), available_variables=known)
            return copy.template(
                trust_as_template(text), escape_backslashes=False, overrides={"trim_blocks": _TRIM_BLOCKS}
            )
        return _render_2_18(templar, text, search_path=search_path, variables=known)
    except AnsibleUndefinedVariable as error:
        raise KubestaticError(
            f"template {name} needs a variable that {host} does not have: {_reason(error)} ({path})"
        ) from error
    except Exception as error:  # a filter or lookup may raise anything
        raise KubestaticError(f"template {name} cannot be rendered for {host}: {_reason(error)} ({path})") from error


def _render_2_18(templar: t.Any, text: str, *, search_path: Sequence[str], variables: Mapping[str, t.Any]) -> t.Any:
    """Give what 2.19 and later give: its own conversion would read JSON text as Python and print mappings as such."""
    extra: dict[str, t.Any] = {}
    if _is_single_expression(text):
        from ansible.template import AnsibleNativeEnvironment

        extra["environment_class"] = AnsibleNativeEnvironment
    copy = templar.copy_with_new_env(searchpath=list(search_path), available_variables=variables, **extra)
    return copy.template(text, escape_backslashes=False, overrides={"trim_blocks": _TRIM_BLOCKS}, convert_data=False)


def _is_single_expression(text: str) -> bool:
    try:
        body = jinja2.Environment(trim_blocks=_TRIM_BLOCKS).parse(text).body
    except jinja2.TemplateSyntaxError:
        return False  # the real rendering tells it better
    output = [node for node in body if not isinstance(node, _SILENT_NODES)]
    if len(output) != 1 or not isinstance(output[0], jinja2.nodes.Output):
        return False
    parts = output[0].nodes
    return len(parts) == 1 and not isinstance(parts[0], jinja2.nodes.TemplateData)


def _reason(error: BaseException) -> str:
    """Return on one line what was wrong, without the text of the template that 2.18 puts into some messages."""
    told = next((cause for cause in _causes(error) if _tells_all(cause)), error)
    place = f"line {told.lineno}: " if isinstance(told, jinja2.TemplateSyntaxError) else ""
    message = getattr(told, "message", None) or str(told) or type(told).__name__
    return place + " ".join(str(message).removeprefix("Error rendering template: ").split())


def _tells_all(error: BaseException) -> bool:
    return isinstance(error, jinja2.TemplateSyntaxError) or (trust_as_template is None and isinstance(error, TypeError))


def _causes(error: BaseException) -> t.Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or getattr(cause, "orig_exc", None)

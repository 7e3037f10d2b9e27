# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""YAML and JSON as the kubelet reads them: sigs.k8s.io/yaml over go.yaml.in/yaml/v2, then Go's JSON.

PyYAML only cuts the text into events here. What a plain scalar means, how mappings merge and what becomes of a key
follows yaml.v2's resolve.go and decode.go, because a verdict about a manifest must be the kubelet's, not PyYAML's.
"""

from __future__ import annotations

import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._yaml_builder import Builder


class Document(t.NamedTuple):
    """The first document of a text, with what the kubelet passes over in silence.

    ``data`` holds dict (string keys), list, str, int, float, bool and None; aliased parts are shared, so do not change
    it in place. ``duplicate_keys`` are paths with the line of the later key, such as ``spec.hostNetwork (line 7)``
    (JSON: without the line). ``has_more_documents`` says whether a second, non-empty document follows.
    """

    data: t.Any
    is_json: bool
    duplicate_keys: tuple[str, ...]
    has_more_documents: bool


def load(text: str) -> Document:
    """Decode `text` as apimachinery's util/yaml.ToJSON does: JSON where the first non-blank character is ``{``.

    Raises KubestaticError, one sentence with line and column, for what the kubelet cannot decode either.
    """
    if text.lstrip().startswith("{"):
        # Rare enough to be imported only here.
        from ansible_collections.kubestatic.node.plugins.module_utils import _json

        data, repeated = _json.load(text)
        return Document(data=data, is_json=True, duplicate_keys=tuple(repeated), has_more_documents=False)
    return _load_yaml(text)


def pyyaml() -> t.Any:
    """The module yaml. Raises KubestaticError where there is none."""
    try:
        import yaml
    except ImportError:
        raise KubestaticError(
            "PyYAML is missing in the Python that runs this module; install python3-yaml (or PyYAML by pip)"
        ) from None
    return yaml


def _load_yaml(text: str) -> Document:
    yaml = pyyaml()
    builder = None
    try:
        builder = Builder(yaml, parser(yaml, text))
        data = builder.first_document()
    except yaml.YAMLError as error:
        from ansible_collections.kubestatic.node.plugins.module_utils import _yaml_rarities

        raise _yaml_rarities.syntax_error(text, error) from None
    except UnicodeError:
        raise KubestaticError("the text holds half a surrogate pair, which is no character; remove it") from None
    try:
        more = builder.more_documents()
    except yaml.YAMLError:
        more = True  # The kubelet does not even look at it, so it is no error; but there is something.
    return Document(data=data, is_json=False, duplicate_keys=tuple(builder.duplicates), has_more_documents=more)


def parser(yaml: t.Any, text: str) -> t.Any:
    """Something with get_event(): libyaml where PyYAML was built with it, else PyYAML's own (ten times slower)."""
    if yaml.__with_libyaml__:
        return yaml.cyaml.CParser(text)

    class Parser(yaml.reader.Reader, yaml.scanner.Scanner, yaml.parser.Parser):
        def __init__(self) -> None:
            yaml.reader.Reader.__init__(self, text)
            yaml.scanner.Scanner.__init__(self)
            yaml.parser.Parser.__init__(self)

    return Parser()

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the modules in, what is wanted of one pod out."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _pod_options
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._plan import Wanted

DEFINITION: dict[str, t.Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "namespace": "apps"},
    "spec": {"containers": [{"name": "web", "image": "nginx"}]},
}
CONTENT = json.dumps(DEFINITION)

DEFAULTS: dict[str, t.Any] = {
    name: option.get("default") for name, option in {**_pod_options.POD_OPTIONS, **_pod_options.SHARED_OPTIONS}.items()
}


def ask(label: str = "", **options: t.Any) -> Wanted:
    assert set(options) <= {*DEFAULTS, "depends_on"}
    return _pod_options.wanted_pod({**DEFAULTS, **options}, label=label)


def test_defaults() -> None:
    one = ask(content=CONTENT)
    assert one.key == ("apps", "web")
    assert (one.state, one.strategy, one.validation) == ("present", "swap", "strict")
    assert (one.wait, one.wait_timeout, one.settle) == (True, 300, None)
    assert (one.filename, one.depends_on, one.label) == (None, (), "")
    assert one.file_arguments == {"mode": "0600", "owner": "root", "group": "root"}


def test_the_text_is_taken_as_it_is() -> None:
    one = ask(content=CONTENT + "\n\n")
    assert one.pod is not None
    assert one.pod.text == CONTENT + "\n\n"


@pytest.mark.parametrize(
    ("filename", "is_json"), [(None, False), ("web.yaml", False), ("web", False), ("web.json", True)]
)
def test_a_mapping_becomes_yaml_or_json_by_the_file_name(filename: str | None, is_json: bool) -> None:
    one = ask(definition=DEFINITION, filename=filename)
    assert one.pod is not None
    assert one.pod.data == DEFINITION
    assert one.pod.document.is_json is is_json


def test_a_mapping_gives_the_same_text_each_time() -> None:
    first, second = ask(definition=DEFINITION), ask(definition=json.loads(CONTENT))
    assert first.pod is not None and second.pod is not None
    assert first.pod.text == second.pod.text


@pytest.mark.parametrize("options", [{"name": "web"}, {"namespace": "apps"}, {"name": "web", "namespace": "apps"}])
def test_name_and_namespace_may_be_said_twice(options: dict[str, t.Any]) -> None:
    assert ask(content=CONTENT, **options).key == ("apps", "web")


@pytest.mark.parametrize("state", ["absent", "restarted"])
@pytest.mark.parametrize(("namespace", "expected"), [(None, "default"), ("apps", "apps")])
def test_states_that_take_a_name(state: str, namespace: str | None, expected: str) -> None:
    one = ask(state=state, name="web", namespace=namespace)
    assert (one.key, one.state, one.pod) == ((expected, "web"), state, None)


@pytest.mark.parametrize(
    ("value", "expected"), [([], ()), ("auto", "auto"), (["/etc/a", "/etc/../srv//b"], ("/etc/a", "/srv/b"))]
)
def test_restart_on(value: t.Any, expected: tuple[str, ...] | str) -> None:
    assert ask(content=CONTENT, restart_on=value).restart_on == expected


@pytest.mark.parametrize(
    ("depends_on", "keys"),
    [
        (None, ()),
        ([], ()),
        (["etcd"], (("apps", "etcd"),)),
        (["kube-system/etcd", "a"], (("kube-system", "etcd"), ("apps", "a"))),
    ],
)
def test_depends_on(depends_on: list[str] | None, keys: tuple[tuple[str, str], ...]) -> None:
    assert ask(content=CONTENT, depends_on=depends_on).depends_on == keys


CONTRADICTIONS: list[tuple[dict[str, t.Any], str]] = [
    ({}, "exactly one of content, definition, src, template is needed for state: present, found none"),
    ({"name": "web"}, "found none"),
    ({"content": CONTENT, "definition": DEFINITION}, "found content and definition"),
    ({"src": "web.yaml"}, "src is read on the controller"),
    ({"template": "web.yaml.j2"}, "template is read on the controller"),
    ({"content": ""}, "the manifest is empty"),
    ({"definition": {}}, "apiVersion and kind missing"),
    ({"definition": {"apiVersion": "v1", "kind": "PodList"}}, "found v1 PodList"),
    ({"content": CONTENT, "name": "other"}, "name: the task says 'other' and metadata.name of the manifest 'web'"),
    ({"content": CONTENT, "name": ""}, "name: the task says ''"),
    (
        {"content": CONTENT, "namespace": "default"},
        "namespace: the task says 'default' and metadata.namespace of the manifest 'apps'",
    ),
    ({"state": "absent"}, "name is needed for state: absent"),
    ({"state": "absent", "name": ""}, "name is needed for state: absent"),
    ({"state": "restarted"}, "name is needed for state: restarted"),
    (
        {"state": "absent", "name": "web", "content": CONTENT},
        "state: absent takes name and namespace, not content; remove content",
    ),
    ({"state": "restarted", "name": "web", "template": "a"}, "state: restarted takes name and namespace, not template"),
    (
        {"content": CONTENT, "restart_on": "/etc/a"},
        "restart_on: expected auto or a list of files, found the string '/etc/a'",
    ),
    ({"content": CONTENT, "restart_on": True}, "found the boolean true"),
    (
        {"content": CONTENT, "restart_on": ["/etc/a", "b"]},
        "restart_on: expected absolute paths of files on the node, found the string 'b' in the list",
    ),
    ({"content": CONTENT, "restart_on": [None]}, "found nothing in the list"),
]


@pytest.mark.parametrize(("options", "message"), CONTRADICTIONS)
@pytest.mark.parametrize("label", ["", "pods[1]"])
def test_contradictions(options: dict[str, t.Any], message: str, label: str) -> None:
    with pytest.raises(KubestaticError) as failure:
        ask(label=label, **options)
    assert message in str(failure.value)
    assert str(failure.value).startswith("pods[1]") is bool(label)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize(
    ("label", "start"),
    [("", "template a.j2: the manifest is empty"), ("pods[1]", "pods[1], template a.j2: the manifest")],
)
def test_a_refusal_names_the_file_on_the_controller(label: str, start: str) -> None:
    """The action plugin gives the template's name and its text."""
    with pytest.raises(KubestaticError) as failure:
        ask(label=label, template="a.j2", content=" ")
    assert str(failure.value).startswith(start)
    assert ask(label=label, src="web.yaml", content=CONTENT).label.endswith("src web.yaml")


def test_file_arguments_are_passed_on() -> None:
    one = ask(content=CONTENT, mode="u=rw", owner="kube", group="kube")
    assert one.file_arguments == {"mode": "u=rw", "owner": "kube", "group": "kube"}

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images first: which are pulled, which must be there, and what a failed pull does."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _images, _manifest
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._runtime import Runtime

PRESENT = ("docker.io/library/nginx:latest", "docker.io/library/nginx:1", "registry.k8s.io/pause@sha256:" + "a" * 64)


class Node:
    """A runtime that has some images and cannot pull others."""

    def __init__(self, *, broken: t.Sequence[str] = ()) -> None:
        self.pulled: list[str] = []
        self.warnings: list[str] = []
        self.questions = 0
        self._broken = broken

    def __call__(self, args: t.Sequence[str], **_options: t.Any) -> tuple[int, str, str]:
        if "images" in args:
            self.questions += 1
            return 0, json.dumps({"images": [{"id": "x", "repoTags": list(PRESENT), "repoDigests": []}]}), ""
        assert "pull" in args
        self.pulled.append(args[-1])
        return (1, "", 'level=fatal msg="pulling image: no such host"') if args[-1] in self._broken else (0, "", "")

    def fetch(self, *specs: dict[str, t.Any], credential_providers: bool = False) -> list[str]:
        pods = [
            _manifest.parse(json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": spec}))
            for spec in specs
        ]
        runtime = Runtime(self, crictl="/usr/bin/crictl", endpoint="unix:///x")
        return list(
            _images.fetch(pods, runtime=runtime, credential_providers=credential_providers, warn=self.warnings.append)
        )


def spec(image: str, policy: str | None = None, *, kind: str = "containers") -> dict[str, t.Any]:
    container = {"name": "a", "image": image, **({"imagePullPolicy": policy} if policy else {})}
    return {"containers": [], kind: [container]}


@pytest.mark.parametrize(
    ("image", "policy", "pulled"),
    [
        ("nginx:1", None, False),
        ("nginx:1", "IfNotPresent", False),
        ("nginx:1", "Always", True),
        ("nginx:1", "Never", False),
        ("nginx", None, True),
        ("nginx:latest", None, True),
        ("nginx", "IfNotPresent", False),
        ("nginx", "Never", False),
        ("nginx:2", None, True),
        ("nginx:2", "IfNotPresent", True),
        ("docker.io/library/nginx:1", "IfNotPresent", False),
        ("registry.k8s.io/pause:3.10@sha256:" + "a" * 64, None, False),
        ("registry.k8s.io/pause@sha256:" + "b" * 64, None, True),
    ],
)
@pytest.mark.parametrize("kind", ["containers", "initContainers"])
def test_pull_policies(image: str, policy: str | None, pulled: bool, kind: str) -> None:
    node = Node()
    actions = node.fetch(spec(image, policy, kind=kind))
    assert node.pulled == ([image] if pulled else [])
    assert actions == ([f"pulled image {image}"] if pulled else [])


def test_an_image_that_must_be_there_and_is_not() -> None:
    node = Node()
    with pytest.raises(
        KubestaticError, match=r"^image nginx:2 is not on this node and its imagePullPolicy is Never; load it"
    ):
        node.fetch(spec("nginx:2", "Never"))
    assert node.pulled == []


def test_no_pod_asks_for_nothing() -> None:
    node = Node()
    assert node.fetch() == node.fetch({"containers": []}) == []
    assert node.questions == 0


def test_an_image_that_many_want_is_pulled_once() -> None:
    node = Node()
    node.fetch(spec("nginx:2"), spec("nginx:2", "IfNotPresent"), spec("nginx:2", "Always"))
    assert node.pulled == ["nginx:2"]
    assert node.questions == 1


def test_one_that_says_never_has_it_once_another_pulls_it() -> None:
    node = Node()
    assert node.fetch(spec("nginx:2"), spec("nginx:2", "Never")) == ["pulled image nginx:2"]


def test_image_volumes_are_images_too() -> None:
    node = Node()
    node.fetch(
        {
            "containers": [],
            "volumes": [{"name": "v", "image": {"reference": "quay.io/a/b:1"}}, {"name": "w", "emptyDir": {}}],
        }
    )
    assert node.pulled == ["quay.io/a/b:1"]


@pytest.mark.parametrize(
    ("image", "hint"),
    [
        ("nginx:2", "mend the name or the registry's access, or load the image on the node"),
        ("nginx", "nginx is on the node already, and imagePullPolicy IfNotPresent would use it"),
    ],
)
def test_a_pull_that_fails_ends_the_task(image: str, hint: str) -> None:
    node = Node(broken=[image])
    with pytest.raises(KubestaticError) as failure:
        node.fetch(spec(image))
    message = str(failure.value)
    assert message.startswith(f"image {image} cannot be pulled: ")
    assert "pulling image: no such host" in message
    assert hint in message
    assert node.warnings == []


def test_where_the_kubelet_has_credentials_a_failed_pull_is_only_warned_of() -> None:
    node = Node(broken=["nginx:2"])
    assert node.fetch(spec("nginx:2"), spec("nginx:3"), credential_providers=True) == ["pulled image nginx:3"]
    (warning,) = node.warnings
    assert warning.startswith(
        "image nginx:2 could not be pulled with crictl, the kubelet may with its credential providers"
    )


@pytest.mark.parametrize(
    "bad", [{}, {"containers": "text"}, {"containers": [{"name": "a"}, "text"]}, {"volumes": [{"image": "x"}]}]
)
def test_pods_of_any_quality(bad: dict[str, t.Any]) -> None:
    """With validation: none anything comes this way."""
    assert Node().fetch(bad) == []

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubelet settings: command lines and files in, effective values with their layers out."""

from __future__ import annotations

import pathlib
import textwrap

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _kubelet_settings
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._kubelet_settings import Settings, parse_flags


class Node:
    """A directory with the kubelet's files in it; paths in command lines start with it where they say ROOT."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")

    def settings(self, *arguments: str, cwd: str = "/") -> Settings:
        here = [argument.replace("ROOT", str(self.root)) for argument in arguments]
        return _kubelet_settings.effective(["/usr/bin/kubelet", *here], cwd=cwd.replace("ROOT", str(self.root)))

    def inside(self, path: str) -> str:
        return path.replace(str(self.root), "ROOT")


@pytest.fixture
def node(tmp_path: pathlib.Path) -> Node:
    return Node(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "flags"),
    [
        ([], {}),
        (["--config=/a"], {"config": "/a"}),
        (["--config", "/a"], {"config": "/a"}),
        (["--config", "/a", "--v", "2"], {"config": "/a", "v": "2"}),
        (["--fail-swap-on", "--config=/a"], {"fail-swap-on": "true", "config": "/a"}),
        (["--fail-swap-on=false"], {"fail-swap-on": "false"}),
        (["--oom-score-adj", "-999", "-v"], {"oom-score-adj": "-999", "v": "true"}),
        (["--pod_manifest_path=/a"], {"pod-manifest-path": "/a"}),
        (["--config=/a", "--config=/b"], {"config": "/b"}),
        (["--node-labels=a=b,c=d"], {"node-labels": "a=b,c=d"}),
        (["--manifest-url="], {"manifest-url": ""}),
        (["-v=2", "--config=/a"], {"v": "2", "config": "/a"}),
        (["-v2", "-v", "4", "--config=/a"], {"v": "4", "config": "/a"}),
        (["kubelet", "--config=/a"], {"config": "/a"}),
        (["--config"], {"config": "true"}),
    ],
)
def test_flags_are_read_as_pflag_reads_them(arguments: list[str], flags: dict[str, str]) -> None:
    assert parse_flags(arguments) == flags


def test_without_any_configuration_all_is_default(node: Node) -> None:
    settings = node.settings()
    assert settings.manifest_dir == ""
    assert not settings.url_source
    assert not settings.api_source
    assert not settings.credential_providers
    assert {setting.layer for setting in settings.values.values()} == {"default"}


# What each layer says of staticPodPath -> (value, layer, origin) that is in force.
LAYERS: list[tuple[str, dict[str, str], list[str], tuple[str, str, str]]] = [
    ("file", {"config.yaml": "staticPodPath: /file"}, [], ("/file", "file", "ROOT/config.yaml")),
    (
        "drop-in beats file",
        {"config.yaml": "staticPodPath: /file", "conf.d/10.conf": "staticPodPath: /drop"},
        ["--config-dir=ROOT/conf.d"],
        ("/drop", "drop_in", "ROOT/conf.d/10.conf"),
    ),
    (
        "flag beats both",
        {"config.yaml": "staticPodPath: /file", "conf.d/10.conf": "staticPodPath: /drop"},
        ["--config-dir=ROOT/conf.d", "--pod-manifest-path=/flag"],
        ("/flag", "flag", "--pod-manifest-path"),
    ),
    (
        "the last drop-in beats the others",
        {"conf.d/10.conf": "staticPodPath: /ten", "conf.d/9.conf": "staticPodPath: /nine"},
        ["--config-dir=ROOT/conf.d"],
        ("/nine", "drop_in", "ROOT/conf.d/9.conf"),
    ),
    (
        "only .conf counts",
        {
            "config.yaml": "staticPodPath: /file",
            "conf.d/10.yaml": "staticPodPath: /drop",
            "conf.d/x.conf~": "staticPodPath: /x",
            "conf.d/xconf": "staticPodPath: /y",
        },
        ["--config-dir=ROOT/conf.d"],
        ("/file", "file", "ROOT/config.yaml"),
    ),
    (
        "dot-files count in a drop-in directory",
        {"conf.d/.hidden.conf": "staticPodPath: /drop"},
        ["--config-dir=ROOT/conf.d"],
        ("/drop", "drop_in", "ROOT/conf.d/.hidden.conf"),
    ),
    (
        "directories are walked in their place",
        {"conf.d/20/a.conf": "staticPodPath: /nested", "conf.d/10.conf": "staticPodPath: /ten"},
        ["--config-dir=ROOT/conf.d"],
        ("/nested", "drop_in", "ROOT/conf.d/20/a.conf"),
    ),
    (
        "a directory sorts by its own name",
        {"conf.d/20/a.conf": "staticPodPath: /nested", "conf.d/30.conf": "staticPodPath: /thirty"},
        ["--config-dir=ROOT/conf.d"],
        ("/thirty", "drop_in", "ROOT/conf.d/30.conf"),
    ),
    (
        "a drop-in that is silent lets the file speak",
        {"config.yaml": "staticPodPath: /file", "conf.d/10.conf": "staticPodURL: http://x/"},
        ["--config-dir=ROOT/conf.d"],
        ("/file", "file", "ROOT/config.yaml"),
    ),
    (
        "an empty string in a drop-in switches off what the file says",
        {"config.yaml": "staticPodPath: /file", "conf.d/10.conf": 'staticPodPath: ""'},
        ["--config-dir=ROOT/conf.d"],
        ("", "drop_in", "ROOT/conf.d/10.conf"),
    ),
    (
        "a null in a drop-in brings back the default",
        {"config.yaml": "staticPodPath: /file", "conf.d/10.conf": "staticPodPath: null"},
        ["--config-dir=ROOT/conf.d"],
        ("", "", ""),
    ),
    (
        "an empty flag switches off what the file says",
        {"config.yaml": "staticPodPath: /file"},
        ["--pod-manifest-path="],
        ("", "flag", "--pod-manifest-path"),
    ),
    ("an empty string in the file is the default", {"config.yaml": 'staticPodPath: ""'}, [], ("", "", "")),
    ("JSON", {"config.yaml": '{"staticPodPath": "/json"}'}, [], ("/json", "file", "ROOT/config.yaml")),
]


@pytest.mark.parametrize(
    ("files", "arguments", "expected"), [row[1:] for row in LAYERS], ids=[row[0] for row in LAYERS]
)
def test_the_strongest_layer_wins(
    node: Node, files: dict[str, str], arguments: list[str], expected: tuple[str, str, str]
) -> None:
    for name, text in files.items():
        node.write(name, text)
    config = ["--config=ROOT/config.yaml"] if "config.yaml" in files else []
    setting = node.settings(*config, *arguments).values["staticPodPath"]
    value, layer, origin = expected
    assert setting.value == value
    if layer:
        assert (setting.layer, node.inside(setting.origin)) == (layer, origin)


def test_a_drop_in_directory_that_is_a_symbolic_link_is_ignored_as_the_kubelet_does(node: Node) -> None:
    # filepath.WalkDir does not follow its root, so none of the files is met.
    node.write("real.d/10.conf", "staticPodPath: /drop")
    node.write("config.yaml", "staticPodPath: /file")
    (node.root / "conf.d").symlink_to("real.d")
    assert node.settings("--config=ROOT/config.yaml", "--config-dir=ROOT/conf.d").manifest_dir == "/file"


def test_a_drop_in_that_is_a_symbolic_link_is_read(node: Node) -> None:
    node.write("elsewhere", "staticPodPath: /drop")
    (node.root / "conf.d").mkdir()
    (node.root / "conf.d" / "10.conf").symlink_to(node.root / "elsewhere")
    assert node.settings("--config-dir=ROOT/conf.d").manifest_dir == "/drop"


@pytest.mark.parametrize(
    ("files", "arguments", "expected"),
    [
        ({"etc/config.yaml": "staticPodPath: manifests"}, ["--config=ROOT/etc/config.yaml"], "ROOT/etc/manifests"),
        ({"etc/config.yaml": "staticPodPath: ../pods/"}, ["--config=ROOT/etc/config.yaml"], "ROOT/pods"),
        ({"work/etc/config.yaml": "staticPodPath: pods"}, ["--config=etc/config.yaml"], "ROOT/work/etc/pods"),
        ({}, ["--pod-manifest-path=pods"], "ROOT/work/pods"),
        ({}, ["--pod-manifest-path=/a//b/"], "/a/b"),
        ({"etc/conf.d/1.conf": "staticPodPath: pods"}, ["--config-dir=ROOT/etc/conf.d"], "ROOT/work/pods"),
        ({"work/conf.d/1.conf": "staticPodPath: /pods"}, ["--config-dir=conf.d"], "/pods"),
    ],
    ids=["file", "file, upwards", "relative file", "flag", "flag, cleaned", "drop-in", "relative drop-in directory"],
)
def test_relative_paths(node: Node, files: dict[str, str], arguments: list[str], expected: str) -> None:
    for name, text in files.items():
        node.write(name, text)
    assert node.inside(node.settings(*arguments, cwd="ROOT/work").manifest_dir) == expected


@pytest.mark.parametrize(
    ("arguments", "host", "name"),
    [
        ([], "Node1\n", "node1"),
        (["--hostname-override=  Master-1 "], "x", "master-1"),
        (["--hostname-override="], "node2", "node2"),
    ],
)
def test_the_nodes_name(
    node: Node, monkeypatch: pytest.MonkeyPatch, arguments: list[str], host: str, name: str
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: host)
    assert node.settings(*arguments).node_name == name


@pytest.mark.parametrize(
    ("arguments", "config", "api", "url", "credentials"),
    [
        ([], "", False, False, False),
        (["--kubeconfig=/k"], "", True, False, False),
        (["--bootstrap-kubeconfig=/k"], "", True, False, False),
        (["--manifest-url=http://x/"], "", False, True, False),
        ([], "staticPodURL: http://x/", False, True, False),
        (["--image-credential-provider-config=/c", "--image-credential-provider-bin-dir=/b"], "", False, False, True),
    ],
)
def test_sources_and_credential_providers(
    node: Node, arguments: list[str], config: str, api: bool, url: bool, credentials: bool
) -> None:
    if config:
        node.write("config.yaml", config)
        arguments = [*arguments, "--config=ROOT/config.yaml"]
    settings = node.settings(*arguments)
    assert (settings.api_source, settings.url_source, settings.credential_providers) == (api, url, credentials)


def test_a_password_in_the_url_is_not_for_messages(node: Node) -> None:
    settings = node.settings("--manifest-url=https://user:secret@example.com/pods?a=b@c")
    assert settings.url_without_user == "https://example.com/pods?a=b@c"


@pytest.mark.parametrize(
    ("flag", "address"), [("", ""), ("192.0.2.7", "192.0.2.7"), ("192.0.2.7,fd00::7", "192.0.2.7")]
)
def test_the_nodes_address(node: Node, flag: str, address: str) -> None:
    assert node.settings(f"--node-ip={flag}").node_ip == address


def test_a_null_in_the_file_is_the_default(node: Node) -> None:
    node.write("config.yaml", "staticPodPath: null\nstaticPodURL: ~")
    settings = node.settings("--config=ROOT/config.yaml")
    assert (settings.manifest_dir, settings.url_source) == ("", False)


def test_duplicate_keys_in_the_file_count_as_the_kubelet_counts_them(node: Node) -> None:
    # Strict decoding fails and the kubelet falls back to the lenient one, in which the last one wins.
    node.write("config.yaml", "staticPodPath: /a\nstaticPodPath: /b")
    assert node.settings("--config=ROOT/config.yaml").manifest_dir == "/b"


def test_a_file_that_is_missing_is_named(node: Node) -> None:
    with pytest.raises(
        KubestaticError, match=r"/config\.yaml: the kubelet's configuration cannot be read: No such file"
    ):
        node.settings("--config=ROOT/config.yaml")


@pytest.mark.parametrize("content", [b"a: [", b"\xff\xfe", b"{"])
def test_a_file_that_cannot_be_read_is_named(node: Node, content: bytes) -> None:
    (node.root / "config.yaml").write_bytes(content)
    with pytest.raises(KubestaticError, match=r"/config\.yaml: the kubelet's configuration is not readable YAML"):
        node.settings("--config=ROOT/config.yaml")


@pytest.mark.parametrize("content", ["", "- a", "text"])
def test_a_file_that_holds_no_mapping_sets_nothing(node: Node, content: str) -> None:
    node.write("config.yaml", content)
    assert node.settings("--config=ROOT/config.yaml").manifest_dir == ""


def test_a_missing_drop_in_directory_adds_nothing(node: Node) -> None:
    node.write("config.yaml", "staticPodPath: /file")
    assert node.settings("--config=ROOT/config.yaml", "--config-dir=ROOT/none").manifest_dir == "/file"

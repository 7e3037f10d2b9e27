# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our reading of manifests against the kubelet's own code (tests/judge): the tables of the other tests, and random pods."""

from __future__ import annotations

import functools
import importlib.util
import json
import pathlib
import random
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _defaults, _schema, _yaml, _yaml_dump
from ansible_collections.kubestatic.node.plugins.module_utils._errors import DROPPED, REFUSED, KubestaticError

pytestmark = pytest.mark.judge

HERE = pathlib.Path(__file__).resolve().parent
NEWEST = _schema.MINORS[-1]
Verdict = t.Dict[str, t.Any]


def loaded(path: pathlib.Path) -> t.Any:
    spec = importlib.util.spec_from_file_location(f"judged_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


test_yaml = loaded(HERE / "test__yaml.py")
test_defaults = loaded(HERE / "test__defaults.py")


@functools.lru_cache(maxsize=None)
def _judge() -> t.Any:
    return loaded(HERE.parents[2] / "judge" / "judge.py")


def ask(texts: t.Sequence[str]) -> list[Verdict]:
    verdicts: list[Verdict] = _judge().ask(texts)
    assert len(verdicts) == len(texts)
    return verdicts


def same(one: t.Any, other: t.Any) -> bool:
    """Equal, and a number that Go writes as an integer is one here too."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and bool(one == other)


def disagreements(texts: t.Sequence[str]) -> list[tuple[str, t.Any, t.Any]]:
    """(text, what we read, what the kubelet reads) where these differ; an error is read as the string ``error``."""
    found = []
    for text, verdict in zip(texts, ask(texts)):
        try:
            ours: t.Any = _yaml.load(text).data
        except KubestaticError:
            ours = "error"
        theirs = json.loads(verdict["json"]) if verdict["json"] else "error"
        if not same(ours, theirs):
            found.append((text, ours, theirs))
    return found


# ---- YAML


def test_scalars() -> None:
    scalars = [text for text, _value in test_yaml.SCALARS]
    assert disagreements([f"a: {text}\n" for text in scalars]) == []
    assert disagreements([f"{text}: a\n" for text in scalars if text != ""]) == []
    assert disagreements([f"[{text}]\n" for text in scalars]) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# a\n",
        "---\n---\na: 1\n",
        "a: 1\n---\nb: [\n",
        "a: 1\n...\n",
        "a: {a: 1, <<: {a: 2, b: 3}, b: 4}\n",
        "a: {<<: [{a: 1}, {a: 2}]}\n",
        "a: {<<: 1}\n",
        'a: {"<<": {b: 1}}\n',
        "a: &x 1\nb: &x 2\nc: *x\n",
        "a: &x {b: *x}\n",
        "a: *x\n",
        "a: .inf\n",
        ".inf: a\n",
        "~: a\n",
        "? [a]\n: b\n",
        "? {a: b}\n: c\n",
        "18446744073709551615: a\n",
        "1.5: a\n1e6: b\n1e300: c\n0.1: d\n1234567.5: e\n-1e-7: f\n",
        "a: |\n  b\n\n  c\n",
        "a: >-\n  b\n  c\n",
        'a: "\\u00e9\\x41\\n"\n',
        "a: !!binary aGk=\n",
        "a: !!binary '*'\n",
        "a: !!int x\n",
        "a: !!timestamp 2026-01-01\n",
        "a: !!timestamp x\n",
        "%YAML 1.1\n---\na: 1\n",
        "%YAML 1.2\n---\na: 1\n",
        "a:\n\tb: 1\n",
        "a: b: c\n",
        "a: 1\na: 2\n",
        "\ufeffa: 1\n",
        "a: \x00\n",
        "- a\n- b\n",
        "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)),
    ],
)
def test_documents(text: str) -> None:
    assert disagreements([text]) == []


@pytest.mark.parametrize("as_json", [True, False])
def test_what_we_write(as_json: bool) -> None:
    values = test_yaml.DUMPED
    verdicts = ask([_yaml_dump.dump({"a": value, "b": [value]}, as_json=as_json) for value in values])
    for value, verdict in zip(values, verdicts):
        assert json.loads(verdict["json"]) == {"a": value, "b": [value]}


@pytest.mark.parametrize("text", ['{"a": NaN}', '{"a": 1} b', '{"a": 1,}', "{a: 1}", '{"a": "\t"}', "{", '{"a": 01}'])
def test_bad_json(text: str) -> None:
    # Go says so only when it decodes; before, JSON passes as it is.
    (verdict,) = ask([text])
    assert "Object 'Kind' is missing" not in verdict["error"]
    with pytest.raises(KubestaticError):
        _yaml.load(text)


# ---- defaults


@pytest.mark.parametrize("same_pod", [True, False])
def test_what_is_one_pod(same_pod: bool) -> None:
    pairs = test_defaults.SAME if same_pod else test_defaults.DIFFERENT
    verdicts = iter(ask([text for pair in pairs for text in pair]))
    for pair in pairs:
        one, other = next(verdicts), next(verdicts)
        assert (one["hash"] == other["hash"]) is same_pod, pair


def test_pull_policies() -> None:
    texts = [test_defaults.pod(container=f"image: {json.dumps(image)}") for image, _policy in test_defaults.IMAGES]
    for (image, policy), verdict in zip(test_defaults.IMAGES, ask(texts)):
        assert verdict["defaulted"]["spec"]["containers"][0]["imagePullPolicy"] == policy, image


# ---- random pods


class Pods:
    """Random pods by the field table; `wrong` is how many of the values are of any type and how many fields unknown."""

    strings = ("", "a", "b c", "y", "1", "nginx", "nginx:1.2", "v1", "TCP")
    anything: t.Sequence[t.Any] = ("x", 1, 1.5, True, [], {}, ["a"], {"a": "b"}, "1", -1, 1 << 31, 1 << 63)
    leaves: t.Mapping[str, t.Sequence[t.Any]] = {
        "s": strings,
        "b": (True, False),
        "i32": (0, 1, 80, (1 << 31) - 1),
        "i64": (0, 1, 1 << 40),
        "u32": (0, 1),
        "q": ("100m", "1Gi", 1, 0.5, "0", "1.5", "0.1", " 2", "0.0001"),
        "x": (0, 80, "web", "80", ""),
        "t": ("2026-01-31T12:00:00Z",),
        "d": ("1m",),
        "B": ("aGk=",),
        "any": ({"a": 1},),
    }

    def __init__(self, *, seed: int, wrong: float) -> None:
        self.random = random.Random(seed)
        self.wrong = wrong

    def pod(self) -> dict[str, t.Any]:
        spec = {
            **self._struct("PodSpec", depth=1),
            "containers": [self.value("Container", depth=2) for _one in range(2)],
            "volumes": [self.value("Volume", depth=2) for _one in range(2)],
        }
        metadata = {**self._struct("ObjectMeta", depth=1), "name": "a"}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}

    def value(self, kind: str, *, depth: int) -> t.Any:
        chance = self.random.random()
        if chance < self.wrong:
            return self.random.choice(self.anything)
        if chance > 0.96:
            return None
        kind = kind.lstrip("*")
        if kind.startswith("[]"):
            return [self.value(kind[2:], depth=depth + 1) for _one in range(self.random.choice([0, 1, 1, 2]))]
        if kind.startswith("{}"):
            keys = self.random.sample(["a", "b/c", "cpu", "memory"], self.random.choice([0, 1, 2]))
            return {key: self.value(kind[2:], depth=depth + 1) for key in keys}
        if kind.startswith("s="):
            return self.random.choice(_schema._enum(kind[2:], NEWEST))
        return self.random.choice(self.leaves[kind]) if kind in self.leaves else self._struct(kind, depth=depth)

    def _struct(self, kind: str, *, depth: int) -> dict[str, t.Any]:
        fields = _schema.fields(kind, NEWEST)
        names = self.random.sample(list(fields), min(len(fields), self.random.choice([0, 1, 2, 3, 5])))
        unknown = {"noSuchField": 1} if self.random.random() < self.wrong else {}
        return {**{name: self.value(fields[name], depth=depth + 1) for name in names}, **unknown}


@pytest.mark.parametrize("wrong", [0, 0.01, 0.03])
def test_random_pods(wrong: float) -> None:
    generator = Pods(seed=20260101, wrong=wrong)
    # Through YAML once, as that is what makes 1 of 1.0.
    pods = [_yaml.load(_yaml_dump.dump(generator.pod(), as_json=False)).data for _one in range(700)]
    verdicts = ask([_yaml_dump.dump(pod, as_json=False) for pod in pods])
    normal = ask([_yaml_dump.dump(_defaults.with_defaults(pod), as_json=False) for pod in pods])
    decoded = 0
    for pod, verdict, defaulted in zip(pods, verdicts, normal):
        findings = _schema.check(pod, root="Pod", minor=NEWEST)
        refused = [one for one in findings if one.level == REFUSED and "must be one of" not in one.message]
        assert ("error" in verdict) is bool(refused), (pod, verdict.get("error"), refused)
        if refused:
            continue
        decoded += 1
        assert ("strict" in verdict) is any(one.level == DROPPED for one in findings), (pod, verdict, findings)
        assert verdict["hash"] == defaulted.get("hash"), (pod, verdict["defaulted"], defaulted)
    assert decoded > 100  # else nothing was compared


def test_sets_of_values() -> None:
    pod = test_defaults.pod
    texts = {
        "restartPolicy": pod("restartPolicy: Sometimes"),
        "dnsPolicy": pod("dnsPolicy: clusterFirst"),
        "imagePullPolicy": pod(container="image: a\n    imagePullPolicy: always"),
        "protocol": pod(container="image: a\n    ports: [{containerPort: 80, protocol: tcp}]"),
        "terminationMessagePolicy": pod(container="image: a\n    terminationMessagePolicy: Log"),
        "scheme": pod(container="image: a\n    readinessProbe: {httpGet: {port: 80, scheme: http}}"),
        "mountPropagation": pod(
            container='image: a\n    volumeMounts: [{name: v, mountPath: /a, mountPropagation: ""}]'
        ),
        "type": test_defaults.volume(", hostPath: {path: /a, type: directory}"),
        "effect": pod("tolerations: [{key: a, operator: Exists, effect: Never}]"),
        "operator": pod("tolerations: [{key: a, operator: In}]"),
        "preemptionPolicy": pod("preemptionPolicy: Always"),
        "fsGroupChangePolicy": pod('securityContext: {fsGroup: 1, fsGroupChangePolicy: ""}'),
        "procMount": pod(container="image: a\n    securityContext: {procMount: None}"),
    }
    for (field, text), verdict in zip(texts.items(), ask(list(texts.values()))):
        found = _schema.check(_yaml.load(text).data, root="Pod", minor=NEWEST)
        assert [one.field.rpartition(".")[2] for one in found if one.level == REFUSED] == [field]
        assert any(field in problem for problem in verdict["invalid"]), (field, verdict)

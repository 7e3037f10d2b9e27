# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubelets are configured, restarted exactly when that is due, and left as they were where the new configuration is no good."""

from __future__ import annotations

import json
import re
import typing as t

import pytest
from conftest import MANIFESTS, Node, pod, wait_for
from kubelets import (
    CONFIG,
    DROP_INS,
    FLAGS,
    HEAD,
    PLAIN_UNIT,
    STORE,
    UNIT_DIRECTORY,
    configure,
    containers,
    files,
    healthy,
    kept,
    open_change,
    pid,
    start_with_unit,
    write,
)

SLOW_UNIT = "[Service]\nRestartSec=60\n"


@pytest.fixture(name="kubelet")
def _kubelet(node: Node) -> t.Iterator[Node]:
    with kept(node):
        yield node


def untouched(node: Node, message: str, **options: t.Any) -> dict[str, t.Any]:
    """The call is refused with this message, before anything on the node changed."""
    before = (files(node), pid(node), healthy(node))
    result = configure(node, **options)
    assert result["failed"] and not result["changed"], result
    assert re.search(message, result["msg"]), result["msg"]
    assert (files(node), pid(node), healthy(node)) == before
    assert not open_change(node)
    return result


# ---- what it is for


def test_a_setting_is_changed_and_nothing_restarts_but_the_kubelet(kubelet: Node) -> None:
    assert kubelet.module("static_pod", definition=pod("web"))["changed"]
    before = containers(kubelet)
    result = configure(kubelet, settings={"maxPods": 77})
    assert result["changed"] and result["restarted"] and result["restart_reason"] == f"maxPods in {CONFIG}"
    assert result["effective"]["maxPods"]["value"] == 77
    assert containers(kubelet) == before
    assert "# The nodes share the host's kernel" in kubelet.sh(f"cat {CONFIG}"), "comments stay"
    process = pid(kubelet)
    again = configure(kubelet, settings={"maxPods": 77})
    assert not again["changed"] and not again["restarted"] and pid(kubelet) == process
    kubelet.sh(f"echo '# a remark' >> {CONFIG}")
    again = configure(kubelet, settings={"maxPods": 77})
    assert not again["changed"] and pid(kubelet) == process, "a comment is no reason"


def test_check_mode_changes_nothing(kubelet: Node) -> None:
    before = (files(kubelet), pid(kubelet))
    result = configure(
        kubelet, "--check", "--diff", "-vvv", settings={"maxPods": 77, "staticPodPath": "/etc/kubelet2.d"}
    )
    assert result["changed"] and result["actions"][:2] == ["would make /etc/kubelet2.d", f"would change {CONFIG}"]
    assert "+maxPods: 77" in result["output"]
    assert (files(kubelet), pid(kubelet)) == before


def test_what_somebody_changed_by_hand_takes_effect(kubelet: Node) -> None:
    configure(kubelet)
    kubelet.sh(f"echo 'maxPods: 66' >> {CONFIG}")
    info = kubelet.module("kubelet_info")
    assert info["stale"] and info["stale_reasons"] == [f"maxPods in {CONFIG}"]
    result = configure(kubelet)
    assert result["restarted"] and result["restart_reason"] == f"maxPods in {CONFIG}"
    assert not kubelet.module("kubelet_info")["stale"]


def test_a_start_that_nobody_saw_is_judged_by_times(kubelet: Node) -> None:
    kubelet.sh("rm -f /var/lib/kubestatic/kubelet-start.json; systemctl restart kubelet")
    wait_for(lambda: healthy(kubelet), "the kubelet is well")
    assert not kubelet.module("kubelet_info")["stale"]
    kubelet.sh(
        f"cp {CONFIG} /run/moved && echo 'maxPods: 66' >> /run/moved && touch -d yesterday /run/moved && mv /run/moved {CONFIG}"
    )
    assert kubelet.module("kubelet_info")["stale_reasons"] == [
        f"{CONFIG}, which was changed after the kubelet had started"
    ]
    assert configure(kubelet)["restarted"]


def test_restart_never_leaves_it_to_others(kubelet: Node) -> None:
    process = pid(kubelet)
    result = configure(kubelet, settings={"maxPods": 77}, restart="never")
    assert result["changed"] and not result["restarted"] and result["restart_reason"] == f"maxPods in {CONFIG}"
    assert pid(kubelet) == process and kubelet.module("kubelet_info")["stale"]


# ---- layers


def test_a_drop_in_is_set_up(kubelet: Node) -> None:
    result = configure(kubelet, settings={"maxPods": 77}, layer="drop_in")
    assert result["restarted"], result
    assert result["effective"]["maxPods"]["layer"] == "drop_in"
    assert kubelet.sh(f"cat {DROP_INS}/90-kubestatic.conf") == HEAD + "maxPods: 77\n"
    assert f"--config-dir={DROP_INS}" in kubelet.sh(f"cat {FLAGS}")
    assert not configure(kubelet, settings={"maxPods": 77})["changed"]
    # In force from here on, so `auto` goes there as well; a later one wins.
    assert configure(kubelet, settings={"podPidsLimit": 4000})["effective"]["podPidsLimit"]["layer"] == "drop_in"
    write(kubelet, f"{DROP_INS}/99-late.conf", f"{HEAD}maxPods: 55\n")
    untouched(kubelet, rf"^settings\.maxPods: {DROP_INS}/99-late\.conf line 3 overrides it", settings={"maxPods": 77})


def test_a_flag_that_shadows_is_named_and_moved(kubelet: Node) -> None:
    assert configure(kubelet, flags={"max-pods": 44})["restarted"]
    assert kubelet.sh("tr '\\0' ' ' < /proc/$(pidof kubelet)/cmdline").strip().endswith("--max-pods=44")
    untouched(
        kubelet,
        rf"^settings\.maxPods: --max-pods in {FLAGS} line \d overrides it; .* migrate: true",
        settings={"maxPods": 77},
    )
    result = configure(kubelet, settings={"maxPods": 77}, migrate=True)
    assert result["restarted"] and result["effective"]["maxPods"]["layer"] == "file", result
    assert "max-pods" not in kubelet.sh(f"cat {FLAGS}")


def test_quotes_and_spaces_survive(kubelet: Node) -> None:
    write(kubelet, FLAGS, """KUBELET_EXTRA_ARGS="--node-labels=a.example/b=c --v 2 '--vmodule=server=1, file=2'"\n""")
    kubelet.sh("systemctl restart kubelet")
    wait_for(lambda: healthy(kubelet), "the kubelet takes these flags")
    assert not kubelet.module("kubelet_info")["stale"], "they are read as systemd reads them"
    result = configure(kubelet, flags={"node-labels": {"a.example/b": "d", "a.example/e": ""}})
    assert result["restarted"], result
    running = kubelet.sh("cat /proc/$(pidof kubelet)/cmdline").split("\0")
    assert running[2:6] == ["--node-labels=a.example/b=d,a.example/e=", "--v", "2", "--vmodule=server=1, file=2"]


def test_a_unit_without_an_environment_gets_a_drop_in(kubelet: Node) -> None:
    start_with_unit(kubelet, "20-plain.conf", PLAIN_UNIT)
    assert configure(kubelet, flags={"max-pods": 44})["restarted"]
    assert "--max-pods=44" in kubelet.sh("cat /proc/$(pidof kubelet)/cmdline")
    assert not configure(kubelet, flags={"max-pods": 44})["changed"]
    assert configure(kubelet, flags={"max-pods": None})["restarted"]
    assert "--max-pods" not in kubelet.sh("cat /proc/$(pidof kubelet)/cmdline")


def test_the_kubelet_is_asked_where_it_answers(kubelet: Node) -> None:
    """Here it answers everybody on the node. The runtime's cgroup driver wins over the setting where the runtime tells it."""
    anonymous = {"authentication": {"anonymous": {"enabled": True}}}
    result = configure(kubelet, settings={**anonymous, "maxPods": 77, "shutdownGracePeriod": "60s"})
    assert not result["failed"], result
    told = json.loads(kubelet.sh("curl -sk https://127.0.0.1:10250/configz"))["kubeletconfig"]
    assert (told["maxPods"], told["shutdownGracePeriod"]) == (77, "1m0s"), (
        "a duration comes back otherwise, and is no contradiction"
    )


def test_a_kubelet_that_says_otherwise_gets_its_old_files_back(kubelet: Node) -> None:
    """It reads another number than the file has before and after its start; only /configz tells of it."""
    well = "until curl -sf -m 1 http://127.0.0.1:10248/healthz; do sleep 0.1; done"
    start_with_unit(
        kubelet,
        "50-otherwise.conf",
        f"[Service]\nExecStartPre=/bin/sed -i 's/^maxPods: 77$/maxPods: 78/' {CONFIG}\n"
        f"""ExecStartPost=/bin/sh -c "{well}; sed -i 's/^maxPods: 78$/maxPods: 77/' {CONFIG}"\n""",
    )
    before = files(kubelet)
    anonymous = {"authentication": {"anonymous": {"enabled": True}}}
    result = configure(kubelet, settings={**anonymous, "maxPods": 77})
    assert result["failed"] and result["restarted"], result
    assert result["msg"].startswith("the kubelet came up, but its /configz says maxPods: 78, not 77; "), result["msg"]
    assert result["msg"].endswith("the old configuration is in force again and the kubelet is well on it")
    assert files(kubelet) == before and healthy(kubelet) and not open_change(kubelet)
    assert not configure(kubelet)["changed"]


# ---- static pods are safe


def test_running_static_pods_are_not_killed(kubelet: Node) -> None:
    assert kubelet.module("static_pod", definition=pod("web"))["changed"]
    before = containers(kubelet)
    untouched(
        kubelet,
        r"^staticPodPath: a kubelet that is pointed from /etc/kubelet\.d to /etc/kubelet2\.d kills the static pods that run"
        r" \(web\) .* move_manifests: true .* allow_pod_loss: true$",
        settings={"staticPodPath": "/etc/kubelet2.d"},
    )
    kubelet.sh("ln -sfn /etc/kubelet.d /etc/kubelet2.d")
    untouched(kubelet, "another spelling of the same directory", settings={"staticPodPath": "/etc/kubelet2.d"})
    untouched(kubelet, rf"^the node's name changes from {kubelet.name} to other", flags={"hostname-override": "other"})
    untouched(kubelet, r"^the cgroup root changes from / to /pods", settings={"cgroupRoot": "/pods"})
    assert containers(kubelet) == before


def test_manifests_move_along(kubelet: Node) -> None:
    """In order: stopped with their own grace by the kubelet that knows them, and proven where they are afterwards."""
    kubelet.sh("rm -rf /run/witness")
    trap = "trap 'sleep 2; echo orderly > /witness/end; exit 0' TERM; while :; do sleep 0.2; done"
    slow = pod(
        "slow",
        container={"command": ["sh", "-c", trap], "volumeMounts": [{"name": "witness", "mountPath": "/witness"}]},
        volumes=[{"name": "witness", "hostPath": {"path": "/run/witness", "type": "DirectoryOrCreate"}}],
        terminationGracePeriodSeconds=20,
    )
    assert kubelet.module("static_pods", pods=[{"definition": pod("web")}, {"definition": slow}])["changed"]
    result = configure(kubelet, settings={"staticPodPath": "/etc/kubelet2.d"}, move_manifests=True)
    assert not result["failed"] and result["restarted"], result
    assert sorted(kubelet.files("/etc/kubelet2.d")) == ["slow.yaml", "web.yaml"] and kubelet.files() == {}
    assert kubelet.running("web") and kubelet.running("slow")
    assert kubelet.sh("cat /run/witness/end") == "orderly\n", "not killed with one second of grace"
    info = kubelet.module("static_pod_info")
    assert {entry["filename"]: (entry["verdict"], entry["managed"]) for entry in info["entries"]} == {
        "slow.yaml": ("runs", True),
        "web.yaml": ("runs", True),
    }
    back = configure(kubelet, settings={"staticPodPath": MANIFESTS}, move_manifests=True)
    assert not back["failed"], back
    assert sorted(kubelet.files()) == ["slow.yaml", "web.yaml"]


def test_a_move_that_fails_is_undone(kubelet: Node) -> None:
    assert kubelet.module("static_pod", definition=pod("web"))["changed"]
    before = kubelet.files()
    result = configure(kubelet, settings={"staticPodPath": "/etc/kubelet2.d", "maxPods": -5}, move_manifests=True)
    assert (
        result["failed"] and "the old configuration is in force again and the kubelet is well on it" in result["msg"]
    ), result
    assert kubelet.files() == before and kubelet.sh("ls -d /etc/kubelet2.d 2>/dev/null; true") == ""
    wait_for(lambda: kubelet.running("web"), "the pod is back")


# ---- bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"settings": {"maxPodz": 1}},
            r'^settings\.maxPodz: not a field that kubelet 1\.37 knows; did you mean "maxPods"\?',
        ),
        ({"settings": {"maxPods": "many"}}, r"^settings\.maxPods: must be an integer"),
        (
            {"settings": {"authentication": {"anonymous": {"enabled": "nope"}}}},
            r"^settings\.authentication\.anonymous\.enabled: ",
        ),
        ({"settings": {"staticPodURLHeader": {"a": ["b"]}}}, r"use static_pod_url_headers"),
        (
            {"flags": {"boot-id-file": "/x"}},
            r"^flags\.boot-id-file: not a flag of kubelet 1\.37; it was removed in 1\.37",
        ),
        ({"flags": {"max-podz": 1}}, r'did you mean "max-pods"'),
        ({"flags": {"config": "/x"}}, r"use config_file"),
        (
            {"settings": {"maxPods": 7}, "layer": "drop_in", "drop_in_file": "x.yaml"},
            r"reads only names that end in \.conf",
        ),
        (
            {"settings": {"staticPodURL": "http://127.0.0.1:9/pods"}},
            r"^staticPodURL: http://127\.0\.0\.1:9/pods does not answer",
        ),
        ({"settings": {"maxPods": 7}, "config_file": "/etc/x.yaml"}, r"does not read /etc/x\.yaml"),
        ({"flags": {"v": 2}, "flags_file": "/etc/sysconfig/kubelet"}, r"does not read KUBELET_EXTRA_ARGS from"),
        ({"settings": {"staticPodPath": "/etc/hostname"}}, r"is a file"),
        ({"unit": "kubelt.service"}, r"no kubelet is installed here: systemd knows no kubelt\.service"),
    ],
)
def test_bad_input_is_refused(kubelet: Node, options: dict[str, t.Any], message: str) -> None:
    untouched(kubelet, message, **options)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (f"echo '{{' > {CONFIG}", "is not readable YAML"),
        (f"echo 'maxPods: 1' >> {CONFIG} && echo 'maxPods: 2' >> {CONFIG}", "maxPods .* stands there twice"),
        (f"echo 'kind: Other' > {CONFIG}", "does not say apiVersion"),
        (f"rm {CONFIG}", "is missing, and it does not start without it"),
        (
            f"echo KUBELET_EXTRA_ARGS=--boot-id-file=/x > {FLAGS}",
            r"line 1: --boot-id-file is not a flag of kubelet 1\.37",
        ),
        (
            f"mkdir {DROP_INS} && echo KUBELET_EXTRA_ARGS=--config-dir={DROP_INS} > {FLAGS} && touch {DROP_INS}/50-empty.conf",
            r"50-empty\.conf: the kubelet does not start with it",
        ),
        (
            f"mkdir /run/linked; ln -sfn /run/linked {DROP_INS} && echo KUBELET_EXTRA_ARGS=--config-dir={DROP_INS} > {FLAGS}",
            "is a symbolic link",
        ),
    ],
)
def test_a_kubelet_that_would_not_start_again_is_said_so(kubelet: Node, damage: str, message: str) -> None:
    kubelet.sh(damage)
    untouched(kubelet, message, settings={"podPidsLimit": 4000})


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"settings": {"maxPods": -5}}, "must not be a negative number"),
        ({"settings": {"port": 22}}, "address already in use"),
        # Kubelets of 1.34 have it.
        ({"settings": {"featureGates": {"MemoryManager": True}}}, "unrecognized feature gate: MemoryManager"),
        ({"flags": {"max-pods": "many"}}, "invalid argument .*many.* for .*--max-pods"),
    ],
)
def test_a_kubelet_that_does_not_come_up_gets_its_old_files_back(
    kubelet: Node, options: dict[str, t.Any], word: str
) -> None:
    assert kubelet.module("static_pod", definition=pod("web"), settle=0)["changed"]
    running, before = containers(kubelet), files(kubelet)
    result = configure(kubelet, **options, wait_timeout=30, settle=8)
    assert result["failed"] and re.search(word, result["msg"]), result
    assert result["msg"].endswith("the old configuration is in force again and the kubelet is well on it")
    assert files(kubelet) == before and healthy(kubelet) and containers(kubelet) == running
    assert not configure(kubelet)["changed"]


def test_a_unit_that_does_not_come_up_gets_its_old_drop_ins_back(kubelet: Node) -> None:
    start_with_unit(kubelet, "20-plain.conf", PLAIN_UNIT)
    before = files(kubelet)
    result = configure(kubelet, flags={"max-pods": "many"})
    assert result["failed"] and "--max-pods" in result["msg"], result
    assert result["msg"].endswith("the old configuration is in force again and the kubelet is well on it")
    assert files(kubelet) == before and healthy(kubelet)
    assert not kubelet.module("kubelet_info")["unit"]["needs_reload"]
    assert not configure(kubelet)["changed"]


def test_a_kubelet_that_dies_later_gets_its_old_files_back(kubelet: Node) -> None:
    unit = f"""[Service]\nExecStartPost=/bin/sh -c "(sleep 8; grep -q 77 {CONFIG} && kill -KILL $MAINPID) &"\n"""
    start_with_unit(kubelet, "50-dies.conf", unit)
    before = files(kubelet)
    result = configure(kubelet, settings={"maxPods": 77}, settle=10)
    lived = re.search(r"the kubelet ended (\d+) s after its start", result["msg"])
    assert result["failed"] and lived and int(lived[1]) >= 8, result
    assert files(kubelet) == before and healthy(kubelet)


def test_rollback_false_leaves_it_for_a_look(kubelet: Node) -> None:
    # systemd does not start it again while the test looks.
    start_with_unit(kubelet, "20-slow.conf", SLOW_UNIT)
    result = configure(kubelet, settings={"maxPods": -5}, rollback=False)
    assert result["failed"] and result["msg"].endswith("stays in force, as rollback is false")
    assert "maxPods: -5" in kubelet.sh(f"cat {CONFIG}")
    untouched(kubelet, "the kubelet does not run", settings={"maxPods": 9})
    assert configure(kubelet, settings={"maxPods": 9}, restart="always")["restarted"]


@pytest.mark.parametrize(
    ("damage", "repair", "options", "message"),
    [
        (
            "systemctl stop kubelet",
            "systemctl start kubelet",
            {"settings": {"maxPods": 77}},
            r"^the kubelet does not run \(kubelet\.service is inactive, dead\)",
        ),
        (
            "systemctl stop kubelet; systemctl mask --runtime kubelet",
            "systemctl unmask --runtime kubelet; systemctl start kubelet",
            {"settings": {"maxPods": 77}},
            "is masked",
        ),
        (
            "mv /usr/bin/systemctl /usr/bin/.systemctl",
            "mv /usr/bin/.systemctl /usr/bin/systemctl",
            {"settings": {"maxPods": 77}},
            "this node has no systemctl; the kubelet must be a systemd unit",
        ),
        (
            "mount -o bind,ro /var/lib/kubelet /var/lib/kubelet",
            "umount /var/lib/kubelet",
            {"settings": {"maxPods": 77}},
            "cannot be written: Read-only file system",
        ),
        (
            (
                "mkdir -p /run/small && mount -t tmpfs -o size=1m tmpfs /run/small && cp -a /var/lib/kubestatic/. /run/small/ &&"
                " mount --bind /run/small /var/lib/kubestatic && dd if=/dev/zero of=/var/lib/kubestatic/full bs=1k 2>/dev/null; true"
            ),
            "umount /var/lib/kubestatic; umount /run/small",
            {"settings": {"maxPods": 77}},
            "No space left on device",
        ),
        (
            (
                "mount -t tmpfs -o size=64k tmpfs /etc/default && cp -p /run/kept/kubelet /etc/default/ &&"
                " dd if=/dev/zero of=/etc/default/full bs=1k 2>/dev/null; true"
            ),
            "umount /etc/default",
            {"flags": {"max-pods": 44}},
            rf"^{FLAGS}: cannot be written: No space left on device; nothing was changed$",
        ),
        (
            (
                f"mkdir -p {UNIT_DIRECTORY} && printf '[Service]\\nEnvironmentFile=\\nExecStart=\\nExecStart=/usr/bin/kubelet"
                f" --pod-manifest-path={MANIFESTS}\\n' > {UNIT_DIRECTORY}/20-plain.conf && systemctl daemon-reload"
            ),
            f"rm -r {UNIT_DIRECTORY}; systemctl daemon-reload",
            {"settings": {"maxPods": 77}},
            "without --config, and its first configuration file would",
        ),
    ],
    ids=["stopped", "masked", "no systemd", "read-only", "full", "flags full", "no config"],
)
def test_a_node_in_trouble(
    kubelet: Node, undo: t.Callable[[str], None], damage: str, repair: str, options: dict[str, t.Any], message: str
) -> None:
    configure(kubelet)
    undo(f"{repair}; true")
    kubelet.sh(damage)
    untouched(kubelet, message, **options)


def test_killed_between_its_side_effects(kubelet: Node) -> None:
    """SIGKILL while the kubelet is being proven: the next run undoes first, then does it again."""
    run = kubelet.start("kubelet_config", settings={"maxPods": 77}, settle=60)
    wait_for(lambda: "maxPods: 77" in kubelet.sh(f"cat {CONFIG}"), "the file is changed")
    kubelet.kill_run(run, STORE)
    assert "kubelet-change" in kubelet.sh("ls /var/lib/kubestatic")
    check = configure(kubelet, "--check", settings={"podPidsLimit": 4000})
    assert check["actions"][0].startswith("would put the kubelet's old configuration back")
    result = configure(kubelet, settings={"podPidsLimit": 4000})
    assert not result["failed"], result
    assert result["actions"][0] == f"put {CONFIG} back: an earlier run was cut off before the kubelet was proven on it"
    assert "maxPods" not in kubelet.sh(f"cat {CONFIG}") and "podPidsLimit: 4000" in kubelet.sh(f"cat {CONFIG}")


@pytest.mark.parametrize(
    ("options", "command", "when", "restarted"),
    [
        ({"flags": {"max-pods": 44}}, "daemon-reload", "before", False),
        ({"flags": {"max-pods": 44}}, "daemon-reload", "after", False),
        ({"settings": {"maxPods": 77}}, "restart kubelet.service", "before", False),
        ({"settings": {"maxPods": 77}}, "restart kubelet.service", "after", True),
    ],
)
def test_killed_where_it_asks_systemd(
    kubelet: Node,
    undo: t.Callable[[str], None],
    options: dict[str, t.Any],
    command: str,
    when: str,
    restarted: bool,
) -> None:
    """SIGKILL just before and just after systemd does it: the next run has the old configuration whole again."""
    start_with_unit(kubelet, "20-plain.conf", PLAIN_UNIT)
    configure(kubelet)
    before, process = files(kubelet), pid(kubelet)
    undo("rm -f /usr/local/bin/systemctl")
    # It goes away before it kills, as the next run shall live.
    kill = "rm -f /usr/local/bin/systemctl; kill -KILL $PPID; exit 1"
    hit = kill if when == "before" else f'/usr/bin/systemctl "$@"; {kill}'
    wrapper = f"""#!/bin/sh\n[ "$*" != "{command}" ] || {{ {hit}; }}\nexec /usr/bin/systemctl "$@"\n"""
    kubelet.sh("cat > /usr/local/bin/systemctl && chmod +x /usr/local/bin/systemctl", stdin=wrapper)
    assert kubelet.sh("command -v systemctl") == "/usr/local/bin/systemctl\n"
    assert configure(kubelet, **options)["failed"]
    assert kubelet.sh("command -v systemctl") == "/usr/bin/systemctl\n", "it was killed there"
    assert files(kubelet) != before and open_change(kubelet)
    assert (pid(kubelet) != process) == restarted
    process = pid(kubelet)
    result = configure(kubelet)
    assert not result["failed"] and result["changed"] and result["restarted"] == restarted, result
    assert "an earlier run was cut off before the kubelet was proven on it" in result["actions"][0]
    assert files(kubelet) == before and healthy(kubelet) and not open_change(kubelet)
    assert (pid(kubelet) != process) == restarted
    info = kubelet.module("kubelet_info")
    assert not info["stale"] and not info["unit"]["needs_reload"] and "maxPods" not in info["settings"], info


def test_a_lost_connection_does_no_harm(kubelet: Node) -> None:
    """Nothing on this side of it is left by the time the kubelet is being proven; the module goes on by itself."""
    configure(kubelet)
    process = pid(kubelet)
    run = kubelet.start("kubelet_config", settings={"maxPods": 77}, settle=3)
    wait_for(lambda: pid(kubelet) not in (process, "0"), "the kubelet is restarted")
    process = pid(kubelet)
    # It is to be met while it proves, however long it takes to kill all others.
    kubelet.freeze_run(STORE)
    run.lose_connection()
    assert kubelet.lock_holder(STORE) and open_change(kubelet), "it is still under way"
    kubelet.sh(f"kill -CONT {kubelet.lock_holder(STORE)}")
    wait_for(lambda: not kubelet.lock_holder(STORE), "the module has ended by itself")
    assert not open_change(kubelet)
    assert pid(kubelet) == process and healthy(kubelet)
    info = kubelet.module("kubelet_info")
    assert info["settings"]["maxPods"]["value"] == 77 and not info["stale"], info
    assert not configure(kubelet, settings={"maxPods": 77})["changed"]


# ---- secrets


# Every command line on the node but the kubelet's own, also of what lives for some milliseconds.
WATCH = """
import glob, time
seen = set()
with open("/run/seen", "w") as out:
    while True:
        for path in glob.glob("/proc/[0-9]*"):
            try:
                name, words = (open(f"{path}/{file}", errors="replace").read() for file in ("comm", "cmdline"))
            except OSError:
                continue
            if name != "kubelet\\n" and words not in seen:
                seen.add(words)
                print(words.replace("\\0", " "), file=out, flush=True)
        time.sleep(0.002)
"""


def test_a_header_is_told_to_the_kubelet_alone(kubelet: Node, undo: t.Callable[[str], None]) -> None:
    """The kubelet itself writes it to its log at its start; nobody else does, and what is quoted of that log has it cut."""
    secret = "s3cr3t-t0ken"
    serve = (
        "import http.server, sys; H = type('H', (http.server.BaseHTTPRequestHandler,), {'do_GET': lambda s: ("
        "s.send_response(200 if s.headers.get('X-Token') else 403), s.end_headers(), s.wfile.write(open('/run/pod.json','rb').read()))});"
        " http.server.HTTPServer(('127.0.0.1', 8099), H).serve_forever()"
    )
    kubelet.sh("cat > /run/pod.json", stdin=json.dumps(pod("by-url")))
    kubelet.sh("cat > /run/serve.py", stdin=serve)
    undo("systemctl stop serve; systemctl reset-failed serve 2>/dev/null; true")
    kubelet.sh("systemd-run --unit=serve python3 /run/serve.py")
    wait_for(
        lambda: "403" in kubelet.sh("curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:8099/", check=False),
        "it serves",
    )
    undo("systemctl stop watch; systemctl reset-failed watch 2>/dev/null; true")
    kubelet.sh("cat > /run/watch.py", stdin=WATCH)
    kubelet.sh("systemd-run --unit=watch python3 /run/watch.py")
    began = kubelet.now()
    url = {"staticPodURL": "http://127.0.0.1:8099/pods"}
    untouched(kubelet, r"answers 403", settings=url)
    result = configure(kubelet, "--diff", "-vvv", settings=url, static_pod_url_headers={"X-Token": secret})
    assert not result["failed"] and result["restarted"], result
    assert secret not in result["output"]
    assert secret in kubelet.sh(f"cat {CONFIG}") and kubelet.sh(f"stat -c %a {CONFIG}").strip() == "600"
    wait_for(lambda: kubelet.running("by-url"), "the pod of the URL")
    # This kubelet ends when it has just logged it, and systemd does not start it once more meanwhile.
    start_with_unit(kubelet, "20-slow.conf", SLOW_UNIT)
    failed = configure(kubelet, settings={"evictionSoft": {"memory.available": "10%"}})
    assert failed["failed"] and "grace period must be specified" in failed["msg"], failed
    seen = kubelet.sh("cat /run/seen")
    assert "systemctl restart kubelet.service" in seen and secret not in seen
    lines = kubelet.sh(f"journalctl -u kubelet --since=@{began:.0f} -o short --no-pager")
    processes = list(dict.fromkeys(re.findall(rf" kubelet\[(\d+)\]: .*{secret}", lines)))
    assert len(processes) == 4, "two with the URL, the one that ended, one with the URL again"
    ended = kubelet.sh(f"journalctl _PID={processes[2]} -o cat --no-pager").splitlines()[-10:]
    assert [line for line in ended if line not in failed["journal"]] == [line for line in ended if secret in line] != []
    assert secret not in failed["output"]
    others = kubelet.sh(f"journalctl --since=@{began:.0f} -o short --no-pager | grep -v ' kubelet\\['")
    assert secret not in others


# ---- kubelet_info


def test_a_stopped_kubelet_is_told_of(kubelet: Node) -> None:
    kubelet.sh("systemctl stop kubelet")
    before = files(kubelet)
    info = kubelet.module("kubelet_info")
    assert not info["failed"] and not info["changed"] and not info["healthy"] and info["pid"] == 0, info
    assert info["trouble"].startswith("the kubelet does not run (kubelet.service is inactive, dead)")
    assert info["version"].startswith("1.") and info["unit"]["state"] == "inactive, dead" and not info["stale"]
    line = 1 + kubelet.sh(f"cat {CONFIG}").splitlines().index(f"staticPodPath: {MANIFESTS}")
    told = {"value": MANIFESTS, "layer": "file", "file": CONFIG, "line": line}
    assert info["settings"]["staticPodPath"] == told
    assert files(kubelet) == before and pid(kubelet) == "0"


def test_a_deprecated_flag_is_told_of(kubelet: Node) -> None:
    write(kubelet, FLAGS, "# More pods\nKUBELET_EXTRA_ARGS=--max-pods=44\n")
    kubelet.sh("systemctl restart kubelet")
    wait_for(lambda: healthy(kubelet), "the kubelet takes the flag")
    info = kubelet.module("kubelet_info")
    assert info["healthy"] and info["trouble"] == "" and str(info["pid"]) == pid(kubelet) and not info["stale"], info
    assert [one for one in info["flags"] if one["name"] == "max-pods"] == [
        {
            "name": "max-pods",
            "value": "44",
            "file": FLAGS,
            "line": 2,
            "setting": "maxPods",
            "deprecated": True,
            "removed_in": "",
        }
    ]
    assert info["settings"]["maxPods"] == {"value": "44", "layer": "flag", "file": FLAGS, "line": 2}
    none = {"location": "", "answers": False, "trouble": ""}
    assert info["sources"] == {
        "file": {"location": MANIFESTS, "answers": True, "trouble": ""},
        "http": none,
        "api": none,
    }

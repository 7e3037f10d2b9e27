# SPDX-FileCopyrightText: kubestatic.node contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The image of a node: a Debian with systemd, containerd and the pod images (dear), and our files and programs (cheap)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from _common import HERE, Problem, digest, failure_text, need_commands, run, say, tree_digest
from _programs import identity, node_programs, variant

SUITE = "bookworm"
PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "iproute2", "iptables", "openssh-server", "procps", "kmod", "mount"),
    *("python3-minimal", "python3-yaml", "curl", "ca-certificates"),
    *("containerd", "runc", "containernetworking-plugins", "conntrack", "ethtool", "socat"),
)
# Units that a node has no use for, or that would fail in a container.
_MASKED = (
    *("systemd-remount-fs.service", "systemd-sysctl.service", "systemd-logind.service"),
    *("apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer"),
)
_ENABLED = ("kubestatic-network.service", "kubestatic-images.service", "kubelet.service")
_FALLBACK_MIRROR = "http://deb.debian.org/debian"
_DEFAULT_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_REPOSITORY = "localhost/kubestatic"
_SOURCES = ("etc/apt/sources.list", "etc/apt/sources.list.d/*.list", "etc/apt/sources.list.d/*.sources")


def mirror(root: Path = Path("/")) -> str:
    """Return the URL of the Debian mirror in the machine's apt sources: the first whose path ends in /debian."""
    for pattern in _SOURCES:
        for path in sorted(root.glob(pattern)):
            for line in path.read_text().splitlines():
                urls: list[str] = re.findall(r"https?://\S+", line.split("#")[0])
                debian = [url for url in urls if url.rstrip("/").endswith("/debian")]
                if debian:
                    return debian[0].rstrip("/")
    return _FALLBACK_MIRROR


def base_image() -> str:
    """Return the name of the image with all packages: NODE_BASE_IMAGE where set, else one by its recipe."""
    pods = (HERE / "_pod_images.py").read_text()
    recipe = digest(SUITE, *_mmdebstrap_options(), pods, tree_digest(HERE / "pods"))
    return os.environ.get("NODE_BASE_IMAGE") or f"{_REPOSITORY}/base:{recipe}"


def node_image() -> str:
    """Return the name of the image that nodes run; another one as soon as a file or a program in it differs."""
    programs = [part for name, path in node_programs().items() for part in (name, identity(path))]
    return f"{_REPOSITORY}/node-{variant()}:{digest(base_image(), tree_digest(HERE / 'node'), *_ENABLED, *_MASKED, *programs)}"


def exists(image: str) -> bool:
    """Tell whether podman has an image of this name."""
    return subprocess.run(["podman", "image", "exists", image], capture_output=True, check=False).returncode == 0


def build_base() -> None:
    """Make the image with all packages, unless it is there."""
    image = base_image()
    if exists(image):
        return
    if os.environ.get("NODE_BASE_IMAGE"):
        raise Problem(f"NODE_BASE_IMAGE names {image}, which podman does not have. Run: podman pull {image}")
    need_commands({"mmdebstrap": "mmdebstrap", _DEFAULT_KEYRING: "debian-archive-keyring"})
    say("image: Debian with systemd and containerd (1 to 2 minutes, once)")
    hook = f"--customize-hook='{sys.executable}' '{HERE}/_pod_images.py' \"$1\""
    command = ["mmdebstrap", *_mmdebstrap_options(), *_apt_proxy(), hook, SUITE, "-", mirror()]
    _make_and_import(command, image=image)
    _remove_outdated(image)


def _make_and_import(command: list[str], *, image: str) -> None:
    """Run mmdebstrap and hand its tar to podman, without a copy on disk; tell its progress."""
    with (
        tempfile.TemporaryFile() as import_log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as maker,
        subprocess.Popen(
            ["podman", "import", "-", image], stdin=maker.stdout, stdout=import_log, stderr=import_log
        ) as importer,
    ):
        assert maker.stdout and maker.stderr
        maker.stdout.close()
        last: list[str] = []
        for line in maker.stderr:
            last = [*last[-30:], line]
            if line.startswith("I: "):
                say(f"image: {line[3:].strip()[:80]}")
        made, imported = maker.wait(), importer.wait()
        import_log.seek(0)
        last.append(import_log.read().decode(errors="replace"))
    if made or imported:
        subprocess.run(["podman", "rmi", "--force", image], capture_output=True, check=False)
        raise Problem(failure_text(command, code=made or imported, output="".join(last)))


def _mmdebstrap_options() -> list[str]:
    """Return the options that keep the image small and its making quick."""
    excluded = ("man", "locale", "doc", "info", "lintian")
    return [
        "--variant=minbase",
        f"--include={','.join(PACKAGES)}",
        '--aptopt=APT::Install-Recommends "false"',
        '--aptopt=Acquire::Languages "none"',
        "--dpkgopt=force-unsafe-io",
        *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in excluded),
        # Where nodes share a machine id, they share a MAC address too; host keys are made by each node.
        '--customize-hook=: >"$1/etc/machine-id"; rm -f "$1"/etc/ssh/ssh_host_*',
    ]


def _apt_proxy() -> list[str]:
    """Return the machine's proxy for apt, if it has one: mmdebstrap does not read the machine's configuration."""
    lines = run(["apt-config", "dump", "Acquire::http::Proxy", "Acquire::https::Proxy"]).splitlines()
    return [f"--aptopt={line.rstrip(';')}" for line in lines if not line.endswith(' "";')]


def build_node() -> None:
    """Add our files and the programs to the base image, unless that is done."""
    image = node_image()
    if exists(image):
        return
    say("image: adding kubelet, crictl and configuration")
    with tempfile.TemporaryDirectory(prefix="kubestatic-") as directory:
        context = Path(directory)
        _stage(context / "root")
        (context / "Containerfile").write_text(f"FROM {base_image()}\nCOPY root/ /\n")
        run(["podman", "build", "--quiet", "--pull=never", "--layers=false", "--tag", image, context])
    _remove_outdated(image)


def _stage(root: Path) -> None:
    """Lay out what goes over the base image: files, programs, enabled and masked units, empty directories."""
    shutil.copytree(HERE / "node", root)
    for name, path in node_programs().items():
        target = root / ("usr/bin" if name == "kubelet" else "usr/local/bin") / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
        target.chmod(0o755)
    (root / "etc/kubelet.d").mkdir(mode=0o700)
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True)
    for unit in _ENABLED:
        (wants / unit).symlink_to(f"/usr/lib/systemd/system/{unit}")
    for unit in _MASKED:
        (root / "etc/systemd/system" / unit).symlink_to("/dev/null")
    for directory in [root, *(path for path in root.rglob("*") if path.is_dir() and path.name != "kubelet.d")]:
        directory.chmod(0o755)


def _remove_outdated(image: str) -> None:
    """Remove what other recipes of the same image left; what a container still runs stays."""
    repository = image.rpartition(":")[0]
    for other in _listed():
        if other.startswith(f"{repository}:") and other != image:
            run(["podman", "rmi", other], check=False)


def _listed() -> list[str]:
    """Return the names of all images that were made here."""
    names = run(["podman", "images", "--format", "{{.Repository}}:{{.Tag}}"]).split()
    return [name for name in names if name.startswith(f"{_REPOSITORY}/")]


def remove_all() -> None:
    """Remove every image that was made here."""
    images = _listed()
    if images:
        run(["podman", "rmi", "--force", *images])

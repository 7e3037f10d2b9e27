# SPDX-FileCopyrightText: kubestatic.node contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Container images for pods, made of Debian packages: nginx, busybox and a pause image.

mmdebstrap calls this file with the root of the new node, before it packs it. The images are put into that root, as
archives that `ctr images import` reads.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

ARCHIVES = "usr/share/kubestatic/images"
PAUSE_IMAGE = "registry.k8s.io/pause:3.10"
PACKAGES = ("nginx", "nginx-common", "busybox-static")
_OVERLAYS = Path(__file__).resolve().parent / "pods"
_PASSWD = "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www-data:/var/www:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n"
_GROUP = "root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n"
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class ImageConfig:
    """What an image says about how it is run, in the words of the OCI image specification."""

    cmd: list[str]
    entrypoint: list[str] = field(default_factory=list)
    ports: list[str] = field(default_factory=list)
    stop_signal: str = "SIGTERM"


def write_archive(destination: Path, *, root: Path, name: str, config: ImageConfig) -> None:
    """Write the directory `root` as the image `name` of one layer, in the format of `docker save`."""
    layer = _layer(root)
    layer_digest = hashlib.sha256(layer).hexdigest()
    document = json.dumps(
        {
            "architecture": _MACHINES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": {
                "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
                "Cmd": config.cmd,
                "Entrypoint": config.entrypoint or None,
                "ExposedPorts": {port: {} for port in config.ports},
                "StopSignal": config.stop_signal,
            },
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
        }
    ).encode()
    config_name = f"{hashlib.sha256(document).hexdigest()}.json"
    layer_name = f"{layer_digest}/layer.tar"
    index = json.dumps([{"Config": config_name, "RepoTags": [name], "Layers": [layer_name]}]).encode()
    destination.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(destination, "w") as archive:
        for member, data in ((layer_name, layer), (config_name, document), ("manifest.json", index)):
            info = tarfile.TarInfo(member)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def _layer(root: Path) -> bytes:
    """Return the directory as a tar that is the same each time."""

    def plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
        info.uid = info.gid = info.mtime = 0
        info.uname = info.gname = ""
        return info

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as layer:
        for path in sorted(root.rglob("*")):
            layer.add(path, arcname=str(path.relative_to(root)), recursive=False, filter=plain)
    return buffer.getvalue()


def _unpack_packages(node_root: Path, *, work: Path) -> dict[str, Path]:
    """Download the packages with the apt configuration of the new root; return where each is unpacked."""
    # mmdebstrap's configuration of apt: the new root's own sources and lists.
    env = {**os.environ, "APT_CONFIG": os.environ["MMDEBSTRAP_APT_CONFIG"]}
    work.mkdir()
    subprocess.run(
        ["apt-get", "download", "--quiet", "-o", "APT::Sandbox::User=root", *PACKAGES], check=True, env=env, cwd=work
    )
    unpacked = {}
    for package in PACKAGES:
        (archive,) = work.glob(f"{package}_*.deb")
        unpacked[package] = work / package
        subprocess.run(["dpkg-deb", "--extract", archive, unpacked[package]], check=True)
    return unpacked


def _add_base(root: Path, *, busybox: Path) -> None:
    """Put a shell with its usual commands, users and temporary directories into an image."""
    for directory in ("bin", "etc", "root", "run", "tmp", "var/log"):
        (root / directory).mkdir(parents=True, exist_ok=True)
    (root / "tmp").chmod(0o1777)
    (root / "etc/passwd").write_text(_PASSWD)
    (root / "etc/group").write_text(_GROUP)
    shutil.copy2(busybox, root / "bin/busybox")
    applets = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split()
    for applet in applets:
        if applet != "busybox":
            (root / "bin" / applet).symlink_to("busybox")


def _add_nginx(root: Path, *, packages: dict[str, Path], node_root: Path) -> None:
    """Put nginx, the libraries that it is linked with and our configuration into an image."""
    (root / "usr/sbin").mkdir(parents=True)
    program = packages["nginx"] / "usr/sbin/nginx"
    shutil.copy2(program, root / "usr/sbin/nginx")
    inside = "/" + str(program.relative_to(node_root))
    listing = subprocess.run(["chroot", node_root, "ldd", inside], check=True, capture_output=True, text=True).stdout
    for library in {word for line in listing.splitlines() for word in line.split() if word.startswith("/")}:
        target = root / library.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2((node_root / library.lstrip("/")).resolve(), target)
    shutil.copytree(_OVERLAYS / "nginx", root, dirs_exist_ok=True)
    shutil.copy2(packages["nginx-common"] / "etc/nginx/mime.types", root / "etc/nginx/mime.types")
    for directory in ("var/log/nginx", "var/lib/nginx", "var/www"):
        (root / directory).mkdir(parents=True)
    (root / "var/log/nginx/access.log").symlink_to("/dev/stdout")
    (root / "var/log/nginx/error.log").symlink_to("/dev/stderr")


def make_images(node_root: Path) -> None:
    """Put the archives of all images into the root of a node that is being made."""
    work = node_root / "kubestatic-work"
    packages = _unpack_packages(node_root, work=work)
    busybox = packages["busybox-static"] / "bin/busybox"
    if not busybox.exists():
        busybox = packages["busybox-static"] / "usr/bin/busybox"
    archives = node_root / ARCHIVES
    _add_base(work / "image-busybox", busybox=busybox)
    _add_base(work / "image-nginx", busybox=busybox)
    _add_nginx(work / "image-nginx", packages=packages, node_root=node_root)
    (work / "image-pause").mkdir()
    shutil.copy2(busybox, work / "image-pause/busybox")
    write_archive(
        archives / "busybox.tar",
        root=work / "image-busybox",
        name="docker.io/library/busybox:latest",
        config=ImageConfig(cmd=["sh"]),
    )
    write_archive(
        archives / "nginx.tar",
        root=work / "image-nginx",
        name="docker.io/library/nginx:latest",
        config=ImageConfig(cmd=["nginx", "-g", "daemon off;"], ports=["80/tcp"], stop_signal="SIGQUIT"),
    )
    # The sandbox only has to stay; containerd ends it with SIGKILL.
    write_archive(
        archives / "pause.tar",
        root=work / "image-pause",
        name=PAUSE_IMAGE,
        config=ImageConfig(cmd=[], entrypoint=["/busybox", "sleep", "2147483647"]),
    )
    shutil.rmtree(work)


if __name__ == "__main__":
    make_images(Path(sys.argv[1]))

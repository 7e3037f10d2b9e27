# SPDX-FileCopyrightText: kubestatic.node contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a control plane needs on a node besides kubelet and crictl: programs, and images under kubeadm's names.

Both are made in a directory of the cache that every node has mounted. A node takes them from there when it is told
to, as importing the images costs seconds.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import _pod_images
import _programs
from _common import Problem, cache_dir, digest, locked, run, say

MOUNT = "/usr/share/kubestatic/control-plane"
_KUBERNETES = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubeadm", "kubectl")
_ETCD = ("etcd", "etcdctl", "etcdutl")
# What is in each image; the first program is the one that it runs.
_IMAGES = {
    "kube-apiserver": ("kube-apiserver",),
    "kube-controller-manager": ("kube-controller-manager",),
    "kube-scheduler": ("kube-scheduler",),
    "etcd": _ETCD,
}
_COMMANDS = ("kubeadm", "kubectl", "etcdctl", "etcdutl")


def directory() -> Path:
    """Return where a node finds programs and images, once they are made."""
    return cache_dir() / "control-plane" / _programs.variant()


def make() -> None:
    """Build programs and images, as far as they are not there yet."""
    programs = _programs.provide(_programs.kubernetes(), _KUBERNETES)
    names = image_names(programs["kubeadm"])
    programs |= _programs.provide(f"etcd-{_version(names['etcd'])}", _ETCD)
    sources = [Path(file).read_text() for file in (__file__, _pod_images.__file__)]
    recipe = digest(*sources, *names.values(), *map(_programs.identity, programs.values()))
    with locked("control-plane"):
        mark = directory() / "recipe"
        if not (mark.exists() and mark.read_text() == recipe):
            mark.unlink(missing_ok=True)
            _fill(directory(), programs=programs, names=names)
            mark.write_text(recipe)


def image_names(kubeadm: Path) -> dict[str, str]:
    """Return what kubeadm's own version calls its images, by component: `{"etcd": "registry.k8s.io/etcd:3.7.0-0"}`."""
    version = run([kubeadm, "version", "--output=short"]).strip()
    # Without a version it would ask the internet for the newest.
    listed = run([kubeadm, "config", "images", "list", f"--kubernetes-version={version}"]).split()
    return {image.rpartition(":")[0].rpartition("/")[2]: image for image in listed}


def _version(image: str) -> str:
    """Return the version of the program in an image: the tag of etcd's also counts the image's own revisions."""
    return image.rpartition(":")[2].removeprefix("v").partition("-")[0]


def _fill(target: Path, *, programs: Mapping[str, Path], names: Mapping[str, str]) -> None:
    """Write archives of all images, the commands, and the name of the pause image."""
    say("control plane: packing images")
    for image, contents in _IMAGES.items():
        _check_version(programs[image], image=names[image])
        with tempfile.TemporaryDirectory(prefix="kubestatic-") as root:
            _copy([programs[program] for program in contents], Path(root) / "usr/local/bin")
            _pod_images.write_archive(
                target / "images" / f"{image}.tar",
                root=Path(root),
                name=names[image],
                config=_pod_images.ImageConfig(cmd=[], entrypoint=[f"/usr/local/bin/{contents[0]}"]),
            )
    shutil.rmtree(target / "bin", ignore_errors=True)
    _copy([programs[command] for command in _COMMANDS], target / "bin")
    (target / "pause").write_text(names["pause"])


def _check_version(program: Path, *, image: str) -> None:
    """Refuse a program of another version than the name of its image promises."""
    told = run([program, "--version"])
    if _version(image) not in {word.removeprefix("v").partition("-")[0] for word in told.split()}:
        raise Problem(f"{program} is to be {image}, but calls itself {told.strip()!r}")


def _copy(programs: list[Path], target: Path) -> None:
    """Copy programs into a new directory."""
    target.mkdir(parents=True)
    for program in programs:
        shutil.copy2(program, target)
        (target / program.name).chmod(0o755)

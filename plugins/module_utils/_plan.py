# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""Found state and wanted state in, a plan out. Pure: the same with and without check mode."""

from __future__ import annotations

import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _manifest, _manifest_dir
from ansible_collections.kubestatic.node.plugins.module_utils._errors import Finding, KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._manifest import Key, Pod
from ansible_collections.kubestatic.node.plugins.module_utils._manifest_dir import Entry

PRESENT, ABSENT, RESTARTED = "present", "absent", "restarted"
SWAP, REPLACE = "swap", "replace"
PREVIOUS = "previous"
AUTO = "auto"

# What a change does. KEEP and GONE leave the directory as it is, REWRITE changes the text and no pod.
KEEP, REWRITE, PLACE, CHANGE, RESTART, REMOVE, GONE = "keep", "rewrite", "place", "change", "restart", "remove", "gone"


class Wanted(t.NamedTuple):
    """What a user asks for one pod. Times are seconds.

    ``label`` names the entry and its source on the controller in messages, such as ``pods[2], template web.yaml.j2``.
    """

    key: Key
    state: str
    pod: Pod | None
    filename: str | None
    strategy: str
    wait: bool
    wait_timeout: int
    settle: int | None
    validation: str
    depends_on: tuple[Key, ...]
    label: str
    file_arguments: dict[str, t.Any]
    # The user gave a mapping: whether it is written as YAML or as JSON is up to the file's name.
    from_mapping: bool = False
    rollback: bool = True
    keep_revisions: int = 5
    # Which manifest that the node has kept: `previous` or a number; empty where the task brings its own.
    revision: str = ""
    # Files whose change restarts the pod: paths, none, or AUTO for those that the manifest names.
    restart_on: tuple[str, ...] | str = ()

    @property
    def title(self) -> str:
        """The pod in messages."""
        name = "/".join(self.key)
        return f"{self.label} ({name})" if self.label else f"pod {name}"

    @property
    def source(self) -> str:
        """What the manifest comes from, in a few words."""
        return f"revision {self.revision}" if self.revision else self.label


class Change(t.NamedTuple):
    """What happens to one manifest. ``old`` is what the file holds now, ``new`` what it will hold.

    ``baseline``: path -> digest of the files that the pod reads, as they are now. ``changed_files``: those for whose sake alone
    it is restarted.
    """

    wanted: Wanted
    action: str
    filename: str
    old: Pod | None = None
    new: Pod | None = None
    old_text: str = ""
    warnings: tuple[Finding, ...] = ()
    baseline: t.Mapping[str, str] = {}
    changed_files: tuple[str, ...] = ()

    @property
    def touches_directory(self) -> bool:
        return self.action not in (KEEP, GONE)

    @property
    def disturbs(self) -> bool:
        """Whether a pod that is there goes, if only for a moment."""
        return self.action in (CHANGE, RESTART, REMOVE)

    @property
    def kind(self) -> str:
        """In what way the pod is down meanwhile: ``swap``, ``replace``, ``restart``, or empty where it is not, or for good."""
        return {CHANGE: self.wanted.strategy, RESTART: RESTART}.get(self.action, "")

    @property
    def starts_pod(self) -> bool:
        return self.action in (PLACE, CHANGE, RESTART)

    @property
    def writes(self) -> bool:
        """Whether a new text takes the place of the old one."""
        if self.new is None or not self.touches_directory:
            return False
        return self.action != RESTART or self.old is None or self.new.text != self.old.text

    @property
    def cause(self) -> str:
        """Why a pod is restarted that was to stay as it is, for the end of a sentence; else empty."""
        if not self.changed_files:
            return ""
        return f": {have_changed(self.changed_files)}" + ("; the text is replaced, too" if self.writes else "")


def plan(
    wanted: Wanted, entries: t.Sequence[Entry], *, node_name: str, minor: int, placed: t.Mapping[str, str]
) -> Change:
    """Decide what must happen for one wanted pod. `placed`: file name -> namespace/name of what this collection wrote.

    Raises KubestaticError for everything that must be refused before anything is touched.
    """
    found, old = _the_one_entry(wanted, entries)
    new = wanted.pod
    if new and wanted.from_mapping and not wanted.filename and found.endswith(".json"):
        from ansible_collections.kubestatic.node.plugins.module_utils import _yaml_dump

        new = _manifest.parse(_yaml_dump.dump(new.data, as_json=True))
    if wanted.state == ABSENT:
        filename = found or _wanted_filename(wanted)
        _manifest_dir.require_filename(filename)
        return Change(wanted, REMOVE if found else GONE, filename, old=old, old_text=old.text if old else "")
    if new is None:
        if old is None:
            raise KubestaticError(
                f"{wanted.title}: there is no manifest of this pod to restart in the manifest directory; place it first"
            )
        return Change(wanted, RESTART, found, old=old, new=old, old_text=old.text)
    if old is not None and new.text == old.text and placed.get(found) == "/".join(wanted.key):
        # It was judged when this collection placed it.
        return Change(wanted, KEEP, found, old=old, new=new, old_text=old.text)
    filename = found or _wanted_filename(wanted)
    warnings = _warnings(wanted, new, filename=filename, node_name=node_name, minor=minor)
    if old is None:
        _manifest_dir.require_filename(filename)
        old_text = _require_free(wanted, filename, entries, placed=placed)
        return Change(wanted, PLACE, filename, new=new, old_text=old_text, warnings=warnings)
    action = CHANGE if not new.same_as(old) else KEEP if new.text == old.text else REWRITE
    return Change(wanted, action, found, old=old, new=new, old_text=old.text, warnings=warnings)


def have_changed(files: t.Sequence[str]) -> str:
    return f"{', '.join(files)} {'has' if len(files) == 1 else 'have'} changed"


def is_managed(entry: Entry, placed: t.Mapping[str, str]) -> bool:
    """True where this collection wrote the file and the pod in it is still the one that it wrote."""
    return entry.pod is not None and placed.get(entry.filename) == "/".join(entry.pod.key)


def _wanted_filename(wanted: Wanted) -> str:
    return wanted.filename or f"{wanted.key[1]}.yaml"


def _the_one_entry(wanted: Wanted, entries: t.Sequence[Entry]) -> tuple[str, Pod | None]:
    """The name of the file that holds the pod, and the pod as it is there; an empty name and None where there is none."""
    found = _manifest_dir.duplicates(entries, wanted.key)
    if len(found) > 1:
        names = ", ".join(entry.path for entry in found)
        raise KubestaticError(
            f"{wanted.title}: {len(found)} files hold this pod, and the kubelet picks one by chance: {names};"
            " move all but one out of the directory"
        )
    if found and wanted.filename and wanted.filename != found[0].filename:
        raise KubestaticError(
            f"{wanted.title}: this pod is in {found[0].path} already, and filename says {wanted.filename}; leave filename"
            " out, or remove the pod first (another file name gives the pod another uid, so it would be restarted)"
        )
    return (found[0].filename, found[0].pod) if found else ("", None)


def _require_free(wanted: Wanted, filename: str, entries: t.Sequence[Entry], *, placed: t.Mapping[str, str]) -> str:
    """The text that a new file replaces: none, or a broken manifest that is ours or that the user named."""
    taken = next((entry for entry in entries if entry.filename == filename), None)
    if taken is None:
        return ""
    if taken.pod is not None:
        raise KubestaticError(
            f"{wanted.title}: {taken.path} holds the pod {'/'.join(taken.pod.key)}; choose another filename"
        )
    if taken.ignored or not (wanted.filename or filename in placed):
        why = taken.ignored or taken.refused
        raise KubestaticError(
            f"{wanted.title}: {taken.path} is there and holds no pod ({why}); remove it, or name it in filename to replace it"
        )
    return f"# no pod: {taken.refused}\n"


def _warnings(wanted: Wanted, pod: Pod, *, filename: str, node_name: str, minor: int) -> tuple[Finding, ...]:
    if wanted.validation == "none":
        return ()
    # The rules and the field tables cost more to load than all the rest of a run that changes nothing.
    from ansible_collections.kubestatic.node.plugins.module_utils import _rules

    try:
        return _rules.warnings(pod, validation=wanted.validation, node_name=node_name, minor=minor)
    except KubestaticError as exc:
        raise KubestaticError(f"{wanted.title}: kubelet 1.{minor} would not run {filename} as written: {exc}") from None

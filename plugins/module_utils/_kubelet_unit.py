# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""The kubelet's unit as its files say it: the command line of the next start, each word with the line it comes from.

systemd itself tells which files those are and in which order they count; what stands in them is read here, because
systemd does not tell lines, and knows of a changed file only after a daemon-reload.
"""

from __future__ import annotations

import os
import re
import socket
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _environment_file
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._node_files import Tree

# The line of a directive: its section is told apart, since [Unit] and [Install] know none of these names.
_DIRECTIVE = re.compile(r"\s*([A-Za-z][A-Za-z0-9-]*)\s*=[ \t]*(.*?)\s*\Z", re.DOTALL)
# Braces may stand anywhere in a word, and give one word at most; without them a variable is a word of its own.
_REFERENCE = re.compile(r"(?<!\$)\$\{(\w+)\}|\A\$(\w+)")
# Where systemd looks for units, the strongest first, but for those of its own generators (systemd.unit(5)).
_UNIT_DIRECTORIES = (
    *("/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system"),
    *("/usr/lib/systemd/system", "/lib/systemd/system"),
)
# What ends a line for systemd (read_line_full, src/basic/fileio.c), and what goes on in the next one.
_LINE_END = re.compile(r"\r\n|\n|\r")
_GOES_ON = re.compile(r"(?<!\\)(?:\\\\)*\\\Z")


class Directive(t.NamedTuple):
    """One assignment in a unit file. ``line`` is where it begins, 1 for the first."""

    section: str
    name: str
    value: str
    line: int


class Word(t.NamedTuple):
    """One word of the command line, and the file and line that it comes from.

    ``variable`` is the one through which the word got there, empty where it stands in ExecStart= itself.
    """

    text: str
    path: str
    line: int
    variable: str = ""


class EnvironmentFile(t.NamedTuple):
    """One EnvironmentFile= of the unit. Where an ``optional`` one is missing, the unit starts all the same."""

    path: str
    optional: bool


class Unit(t.NamedTuple):
    """What the unit's files say. ``words`` is the command line of the next start, the program first.

    ``references`` are the variables that ExecStart= names as words of their own, in their order; ``exec_start`` is that
    line's words before any variable is put in, ``exec_start_text`` the line itself.
    """

    files: tuple[str, ...]
    environment_files: tuple[EnvironmentFile, ...]
    exec_start: tuple[str, ...]
    exec_start_text: str
    words: tuple[Word, ...]
    environment: dict[str, str]

    @property
    def argv(self) -> tuple[str, ...]:
        return tuple(word.text for word in self.words)

    @property
    def references(self) -> tuple[str, ...]:
        found = (_REFERENCE.fullmatch(word) for word in self.exec_start)
        return tuple(match.group(2) for match in found if match and match.group(2))


class _Value(t.NamedTuple):
    text: str
    path: str
    line: int


def read(files: t.Sequence[str], *, name: str, tree: Tree) -> Unit:
    """The unit with these files, FragmentPath first, then DropInPaths in systemd's order; they count as in the `tree`.

    Raises KubestaticError where a file cannot be read, or where they do not say what is started.
    """
    exec_start: list[str] = []
    line_of_start = _Value("", "", 0)
    variables: dict[str, _Value] = {}
    environment_files: list[EnvironmentFile] = []
    specifiers = _specifiers(name)
    for path in files:
        for one in directives(tree.text(path) or ""):
            if one.section != "Service":
                continue
            if one.name == "ExecStart":
                # An empty one takes back what the files before said (systemd.service(5)).
                exec_start = [specifiers(word) for word in _environment_file.split_exec_start(one.value)]
                line_of_start = _Value(one.value, path, one.line)
            elif one.name == "EnvironmentFile":
                named = _environment_files(specifiers(one.value))
                environment_files = [*environment_files, *named] if one.value else []
            elif one.name == "Environment":
                variables = {**variables, **_assignments(one, path, specifiers=specifiers)} if one.value else {}
    if not exec_start:
        raise KubestaticError(f"{name} has no ExecStart=; systemd cannot start it, mend the unit in {', '.join(files)}")
    for file in environment_files:
        # What stands in these files wins over Environment= (systemd.exec(5)).
        variables.update(_read_environment_file(file, name=name, tree=tree))
    environment = {key: value.text for key, value in variables.items()}
    words = [
        word for part in exec_start for word in _expanded(part, environment, variables=variables, start=line_of_start)
    ]
    return Unit(
        tuple(files), tuple(environment_files), tuple(exec_start), line_of_start.text, tuple(words), environment
    )


def files_on_disk(name: str, files: t.Sequence[str]) -> tuple[str, ...]:
    """The files of this unit as systemd would find them if it looked now; `files` are those that it knows of.

    A drop-in hides those of the same name in the directories behind its own (systemd.unit(5)).
    """
    known = [path for path in files[1:] if os.path.exists(path)]
    drop_ins = {
        os.path.basename(path): path for path in known if os.path.basename(os.path.dirname(path)) != f"{name}.d"
    }
    for directory in reversed(_UNIT_DIRECTORIES):
        below = os.path.join(directory, f"{name}.d")
        names = os.listdir(below) if os.path.isdir(below) else []
        drop_ins.update((one, os.path.join(below, one)) for one in names if one.endswith(".conf"))
    fragments = (os.path.join(directory, name) for directory in _UNIT_DIRECTORIES)
    found = (next(filter(os.path.exists, fragments), files[0]), *(drop_ins[one] for one in sorted(drop_ins)))
    # What systemd calls /lib/... is /usr/lib/... on most nodes: the same file keeps its name.
    spelling = {os.path.realpath(path): path for path in files}
    return tuple(spelling.get(os.path.realpath(path), path) for path in found)


def directives(text: str) -> list[Directive]:
    """The assignments of a unit file (systemd.syntax(7)): comments out, lines that end with a backslash joined."""
    found: list[Directive] = []
    section, pending, began = "", "", 0
    # With an empty line at the end, so that what is left open there ends.
    for number, line in enumerate([*_LINE_END.split(text), ""], start=1):
        if line.lstrip()[:1] in ("#", ";"):
            continue
        began = began if pending else number
        if _GOES_ON.search(line):
            pending += line[:-1] + " "
            continue
        whole, pending = pending + line, ""
        match = _DIRECTIVE.match(whole)
        if re.fullmatch(r"\s*\[[^\]]+\]\s*", whole):
            section = whole.strip()[1:-1]
        elif match:
            found.append(Directive(section, match.group(1), match.group(2), began))
    return found


def _environment_files(value: str) -> list[EnvironmentFile]:
    """The files that one EnvironmentFile= names, with wildcards or without."""
    path = os.path.normpath(value.lstrip("-"))
    paths = [path]
    if any(sign in path for sign in "*?["):
        import glob

        paths = sorted(glob.glob(path)) or paths
    return [EnvironmentFile(one, optional=value.startswith("-")) for one in paths]


def _specifiers(name: str) -> t.Callable[[str], str]:
    """What puts in the specifiers that a kubelet's unit may well use (systemd.unit(5)); others stay as they are."""
    plain = name.rpartition(".")[0]
    prefix, _at, instance = plain.partition("@")
    host = socket.gethostname()
    values = {"%": "%", "n": name, "N": plain, "p": prefix, "i": instance, "H": host, "l": host.partition(".")[0]}
    return lambda text: re.sub("%(.)", lambda match: values.get(match.group(1), match.group(0)), text)


def _assignments(one: Directive, path: str, *, specifiers: t.Callable[[str], str]) -> dict[str, _Value]:
    words = map(specifiers, _environment_file.split_environment(one.value))
    pairs = (word.partition("=") for word in words)
    return {name: _Value(value, path, one.line) for name, equals, value in pairs if equals}


def _read_environment_file(file: EnvironmentFile, *, name: str, tree: Tree) -> dict[str, _Value]:
    text = tree.text(file.path)
    if text is None and not file.optional:
        raise KubestaticError(
            f"{file.path} is missing, and {name} does not start without it (EnvironmentFile=); create it"
        )
    return {one.name: _Value(one.value, file.path, one.line) for one in _environment_file.parse(text or "")}


def _expanded(
    part: str, environment: t.Mapping[str, str], *, variables: t.Mapping[str, _Value], start: _Value
) -> t.Iterator[Word]:
    match = _REFERENCE.search(part)
    variable = (match.group(1) or match.group(2)) if match else ""
    origin = variables.get(variable, start)
    for text in _environment_file.expand([part], environment):
        yield Word(text, origin.path, origin.line, variable if variable in variables else "")

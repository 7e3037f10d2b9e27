# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""The module etcd_member: one member of a cluster from what it is to what it shall be, a step at a time."""

from __future__ import annotations

import datetime
import os
import time
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _etcd, _module
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._etcd import Etcd, Hopeless, Member
from ansible_collections.kubestatic.node.plugins.module_utils._https import Tls

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

LEARNER, VOTER, ABSENT = "learner", "voter", "absent"
ADD, PROMOTE, REMOVE = "add", "promote", "remove"

_POLL_SECONDS = 0.5
_DONE = {ADD: "added", PROMOTE: "promoted", REMOVE: "removed"}

# What etcd refuses until something else has happened (api/v3rpc/rpctypes/error.go) -> what that is.
_HINTS = {
    "in sync with leader": "the learner must run and catch up, see the log of its etcd",
    "too many learner": "another learner must be promoted or removed first",
    "unhealthy cluster": "etcd wants its voting members connected for some seconds; repair or remove those that are down",
}


class Wish(t.NamedTuple):
    """What is asked for. ``replace``: a member that has data is removed first."""

    name: str
    peer_url: str
    state: str
    replace: bool = False


class Step(t.NamedTuple):
    """One change of the cluster. ``member`` is the one it is about; None for one that is to be added."""

    verb: str
    member: Member | None = None

    def sentence(self, wish: Wish, *, done: bool) -> str:
        """What was done, or would be."""
        title = self.member.title if self.member else f"{wish.name} ({wish.peer_url}) as a learner"
        of_id = f", member {self.member.id}" if self.member else ""
        return f"{_DONE[self.verb] if done else f'would {self.verb}'} {title}{of_id}"


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Carry out one call. Raises KubestaticError, with what was done until then as its actions."""
    _module.require_root()
    params = module.params
    if not params["endpoints"]:
        raise KubestaticError("endpoints is empty; give the client URLs of the other members")
    wish = Wish(params["name"], (params["peer_url"] or "").rstrip("/"), params["state"], params["replace"])
    if wish.state == LEARNER and not wish.peer_url:
        raise KubestaticError("state: learner needs peer_url, the URL by which the other members reach the new one")
    context = Tls(params["ca_file"], params["cert_file"], params["key_file"]).context()
    etcd = Etcd(params["endpoints"], context=context)
    if module.check_mode:
        members, actions = _foreseen(etcd, wish)
    else:
        members, actions = _Work(etcd, wish, timeout=params["timeout"]).run()
    found = find(members, wish)
    if wish.replace and params["data_dir"] and (found is None or not found.name):
        actions += _move_aside(params["data_dir"], check_mode=module.check_mode, actions=actions)
    return {
        "changed": bool(actions),
        "member_id": found.id if found else "",
        "initial_cluster": initial_cluster(members, wish),
        "members": [
            {**one._asdict(), "peer_urls": list(one.peer_urls), "client_urls": list(one.client_urls)} for one in members
        ],
        "actions": actions,
    }


def _move_aside(data_dir: str, *, check_mode: bool, actions: t.Sequence[str]) -> list[str]:
    """Have etcd find no data of a member that is no more, from which it would go on. Nothing of it is removed."""
    path = os.path.join(data_dir, "member")
    if not os.path.lexists(path):
        return []
    # etcd takes other names for no data (identifyDataDirOrDie in server/etcdmain/etcd.go).
    target = f"{path}.{datetime.datetime.now(datetime.timezone.utc).strftime('%Y%m%dT%H%M%S.%fZ')}"
    if not check_mode:
        try:
            os.rename(path, target)
        except OSError as exc:
            raise KubestaticError(
                f"{path}: cannot be moved to {target}: {exc.strerror}; move it away yourself and run again",
                actions=actions,
            ) from None
    return [f"{'would move' if check_mode else 'moved'} {path} to {target}"]


def find(members: t.Sequence[Member], wish: Wish) -> Member | None:
    """The member that is meant. Raises Hopeless where the name is one member's and the URL another one's."""
    found = [one for one in members if one.name == wish.name != "" or wish.peer_url in one.peer_urls]
    if len(found) > 1:
        each = " and ".join(f"{member.id} ({member.name}, {', '.join(member.peer_urls)})" for member in found)
        raise Hopeless(
            f"name {wish.name} and peer_url {wish.peer_url} are those of different members: {each}; correct them, or remove the"
            " member that is no more"
        )
    return found[0] if found else None


def next_step(members: t.Sequence[Member], wish: Wish) -> Step | None:
    """What is to be done next, None where nothing is. Raises Hopeless where it cannot be had."""
    found = find(members, wish)
    if wish.state == ABSENT:
        return Step(REMOVE, found) if found else None
    if wish.state == VOTER:
        if found is None:
            raise Hopeless(f"{wish.name} is no member that could be promoted; add it with state: learner")
        return Step(PROMOTE, found) if found.is_learner else None
    if found is None:
        return Step(ADD)
    # A learner without a name has never started: it is what a run has left that was cut off.
    return Step(REMOVE, found) if wish.replace and (found.name or not found.is_learner) else None


def require_quorum(members: t.Sequence[Member], step: Step, troubles: t.Mapping[str, str]) -> None:
    """Raise KubestaticError where the cluster has no quorum after this step. `troubles` as of `Etcd.troubles`."""
    member = step.member
    if member is None or (step.verb == REMOVE and member.is_learner):
        return
    rest = [one for one in _etcd.voters(members) if one.id != member.id]
    after = rest if step.verb == REMOVE else [*rest, member]
    if not after:
        raise Hopeless(
            f"cannot {step.verb} {member.title}: it is the only voting member, so the cluster would be no more"
        )
    if len(_etcd.healthy(after, troubles)) < _etcd.quorum(after):
        preposition = "without" if step.verb == REMOVE else "with"
        raise KubestaticError(
            f"cannot {step.verb} {member.title}: {preposition} it, etcd has {_etcd.tally(after, troubles)}"
        )


def initial_cluster(members: t.Sequence[Member], wish: Wish) -> str:
    """The value of ``--initial-cluster``: etcd compares the URLs of all members, and of the names its own."""
    named = [
        (member.name or (wish.name if wish.peer_url in member.peer_urls else member.id), url)
        for member in members
        for url in member.peer_urls
    ]
    return ",".join(f"{name}={url}" for name, url in sorted(named))


def _foreseen(etcd: Etcd, wish: Wish) -> tuple[list[Member], list[str]]:
    """The members as they would be, and what would be done."""
    members = _members(etcd)
    actions: list[str] = []
    step = next_step(members, wish)
    while step is not None:
        _require_quorum(etcd, members, step)
        actions.append(step.sentence(wish, done=False))
        members = _after(members, step, wish)
        step = next_step(members, wish)
    return members, actions


def _after(members: t.Sequence[Member], step: Step, wish: Wish) -> list[Member]:
    rest = [member for member in members if member != step.member]
    if step.verb == REMOVE:
        return rest
    new = step.member._replace(is_learner=False) if step.member else Member("", "", (wish.peer_url,), (), True)
    return sorted([*rest, new], key=lambda member: (member.name, member.id))


def _members(etcd: Etcd) -> list[Member]:
    try:
        return etcd.members()
    except KubestaticError:
        members = etcd.members(linearizable=False)
        raise KubestaticError(
            f"etcd has no quorum: {_etcd.tally(_etcd.voters(members), etcd.troubles(members))}"
        ) from None


def _require_quorum(etcd: Etcd, members: t.Sequence[Member], step: Step) -> None:
    require_quorum(members, step, {} if step.verb == ADD else etcd.troubles(members))


class _Work:
    """Step after step until the members are as wished, or time is over."""

    def __init__(self, etcd: Etcd, wish: Wish, *, timeout: int) -> None:
        self._etcd = etcd
        self._wish = wish
        self._timeout = timeout
        # A step that was asked for, and nobody has said that it was done.
        self._open: Step | None = None
        self._actions: list[str] = []

    def run(self) -> tuple[list[Member], list[str]]:
        """The members in the end, and what was done. Raises KubestaticError."""
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                members = _members(self._etcd)
                step = self._next_step(members)
                if step is None:
                    return members, self._actions
                self._carry_out(step, members)
            except KubestaticError as exc:
                left = deadline - time.monotonic()
                if isinstance(exc, Hopeless) or left <= 0:
                    raise KubestaticError(self._told(exc), actions=self._actions) from None
                time.sleep(min(left, _POLL_SECONDS))

    def _next_step(self, members: t.Sequence[Member]) -> Step | None:
        step = next_step(members, self._wish)
        if self._open is not None and step != self._open:
            self._done(self._open)
        return step

    def _carry_out(self, step: Step, members: t.Sequence[Member]) -> None:
        _require_quorum(self._etcd, members, step)
        self._open = step
        if step.member is None:
            self._etcd.add_learner(self._wish.peer_url)
        elif step.verb == REMOVE:
            self._etcd.remove(step.member)
        else:
            self._etcd.promote(step.member)
        self._done(step)

    def _done(self, step: Step) -> None:
        self._open = None
        self._actions.append(step.sentence(self._wish, done=True))
        # What comes next is not to be removed again.
        self._wish = self._wish._replace(replace=False)

    def _told(self, exc: KubestaticError) -> str:
        if isinstance(exc, Hopeless):
            return str(exc)
        hint = next((f"; {hint}" for words, hint in _HINTS.items() if words in str(exc)), "")
        done = f"; before that, {', '.join(self._actions)}" if self._actions else ""
        return f"{exc}{hint} (waited {self._timeout} s){done}"

# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a kubelet does with static pods, as a table of cases that is played on a node in memory and on real nodes alike.

So what the other tests take a kubelet for, see world.py, is itself checked against the real one. A case is a list of deeds
and of what is to be seen after each; its pods, called a and b, meet no other case's. Times are seconds since the last deed,
by the runtime's own records where it has any, and are wide enough for a busy node.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils._runtime import EXITED, RUNNING, Container, Snapshot

NAMESPACE = "default"

# Variants of a manifest: two that run, the first one again with a comment, one whose container ends with an error at once,
# one that the kubelet refuses at admission, and one that is no manifest.
ONE, TWO, COMMENTED, CRASHES, REFUSED, BROKEN = "one", "two", "commented", "crashes", "refused", "broken"

# A kubelet that starts what it has been told of has the container made within this time, and stops a pod within it.
_AT_ONCE = (0.0, 8.0)
# A successor that came while the old pod was there: backOffPeriod of 10 s and up to a half of it more (pod_workers.go).
_BACK_OFF = (9.0, 22.0)
# The kubelet looks at the whole directory each 20 s (fileCheckFrequency).
_RELIST = (0.0, 30.0)
# A kubelet that has just been started, on a busy node.
_START = (0.0, 20.0)


class Node(t.Protocol):
    """A node with a kubelet, as the cases see it. Moments are Unix time by the node's own clock, in seconds."""

    def full_name(self, pod: str) -> str: ...

    def now(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...

    def look(self) -> Snapshot: ...

    def put(self, filename: str, text: str) -> None: ...

    def take(self, filename: str) -> None: ...

    def kubelet(self, verb: str) -> None:
        """`start` or `stop` it."""

    def hold_back(self) -> None:
        """Have the kubelet start anew with a source that does not answer."""

    def text(self, pod: str, variant: str) -> str: ...


class Play:
    """One case on one node: what has been seen so far."""

    def __init__(self, node: Node, name: str) -> None:
        self.node = node
        self.name = name
        self.deed_at = node.now()
        # Pod -> the container that was seen to run last.
        self.seen: dict[str, Container] = {}
        self.uids: dict[str, str] = {}
        # For each start that was seen, whether the runtime had the record of an end then.
        self.records: list[bool] = []
        self.story: list[str] = []

    def pod(self, letter: str) -> str:
        return f"{self.name}-{letter}"

    def containers(self, letter: str) -> list[Container]:
        """Newest first, with those of older sandboxes."""
        full_name = self.node.full_name(self.pod(letter))
        found = [one for one in self.node.look().containers if (one.namespace, one.pod) == (NAMESPACE, full_name)]
        return sorted(found, key=lambda one: one.created_at, reverse=True)

    def running(self, letter: str) -> list[Container]:
        return [one for one in self.containers(letter) if one.state == RUNNING]

    def wait(self, condition: t.Callable[[], t.Any], what: str, *, seconds: float) -> t.Any:
        end = self.node.now() + seconds
        while True:
            answer = condition()
            if answer:
                return answer
            assert self.node.now() < end, f"{self.name}: in vain for {seconds:.0f} s: {what}; {self.story}"
            self.node.sleep(0.5)

    def require_within(self, moment: float, within: tuple[float, float], what: str) -> None:
        seconds = moment - self.deed_at
        self.story.append(f"{what} after {seconds:.1f} s")
        assert within[0] <= seconds <= within[1], f"{self.name}: not within {within} s; {self.story}"


if t.TYPE_CHECKING:
    Step = t.Callable[[Play], None]


# ---- deeds


def put(variant: str, *, pod: str = "a", file: str = "") -> Step:
    """Rename a manifest into place, over what is there; ``file`` where it is not the pod's usual one."""

    def step(play: Play) -> None:
        play.deed_at = play.node.now()
        play.story.append(f"{variant} put as {pod}")
        play.node.put(f"{play.name}-{file or pod}.yaml", play.node.text(play.pod(pod), variant))

    return step


def take(*, pod: str = "a") -> Step:
    def step(play: Play) -> None:
        play.deed_at = play.node.now()
        play.story.append(f"{pod} taken away")
        play.node.take(f"{play.name}-{pod}.yaml")

    return step


def kubelet(verb: str) -> Step:
    def step(play: Play) -> None:
        play.deed_at = play.node.now()
        play.story.append(f"kubelet {verb}")
        play.node.kubelet(verb)

    return step


def hold_back(play: Play) -> None:
    play.node.hold_back()


def rest(seconds: float) -> Step:
    """For what the kubelet does and nobody sees."""

    def step(play: Play) -> None:
        play.node.sleep(seconds)

    return step


# ---- what is to be seen


def starts(within: tuple[float, float] = _AT_ONCE, *, pod: str = "a", uid: str = "") -> Step:
    """A container runs that was not there before. ``uid``: `same` or `other` than that of the one seen before."""

    def step(play: Play) -> None:
        before = play.seen.get(pod)

        def found() -> list[Container]:
            return [one for one in play.running(pod) if before is None or one.created_at > before.created_at]

        container = play.wait(found, f"{pod} starts", seconds=within[1] + 10)[0]
        play.seen[pod] = container
        play.records.append(any(one.state == EXITED for one in play.containers(pod)))
        play.require_within(container.created_at, within, f"{pod} started")
        (now,) = [box.uid for box in play.node.look().sandboxes if box.id == container.sandbox]
        assert not uid or (play.uids[pod] == now) == (uid == "same"), f"{play.name}: the uid is not the {uid}"
        play.uids[pod] = now

    return step


def goes(within: tuple[float, float] = _AT_ONCE, *, pod: str = "a") -> Step:
    """No sandbox is ready, and no container runs."""

    def step(play: Play) -> None:
        full_name = play.node.full_name(play.pod(pod))

        def gone() -> bool:
            snapshot = play.node.look()
            boxes = snapshot.sandboxes_of(NAMESPACE, full_name)
            return not [box for box in boxes if box.ready] and not snapshot.running_in(box.id for box in boxes)

        play.wait(gone, f"{pod} goes", seconds=within[1] + 10)
        play.require_within(play.node.now(), within, f"{pod} gone")

    return step


def stays(*, pod: str = "a") -> Step:
    """The container that was seen to run last is the only one that does; to be asked when the kubelet has seen later deeds."""

    def step(play: Play) -> None:
        running = [one.id for one in play.running(pod)]
        assert running == [play.seen[pod].id], f"{play.name}: {pod} did not stay as it was; {play.story}"

    return step


def both_run(play: Play) -> None:
    """The last one that was seen, and one before it."""
    running = [one.id for one in play.running("a")]
    assert len(running) == 2 and running[0] == play.seen["a"].id, f"{play.name}: {running}; {play.story}"


def never_ran(play: Play) -> None:
    assert not play.containers("a"), f"{play.name}: it is not refused; {play.story}"


def restarts_late(play: Play) -> None:
    """The third start of a container that crashes comes 10 s after the second end, the one before at once."""

    def attempts() -> list[Container] | None:
        found = [one for one in play.containers("a") if one.attempt <= 2]
        # The kubelet keeps the record of the last end alone.
        play.seen.update((str(one.attempt), one) for one in found)
        return found if "2" in play.seen else None

    play.wait(attempts, "the third start", seconds=45)
    times = [play.seen[str(number)].created_at for number in range(3)]
    first, second = (after - before for before, after in zip(times, times[1:]))
    play.story.append(f"started again after {first:.1f} and {second:.1f} s")
    assert first <= _AT_ONCE[1] and _BACK_OFF[0] <= second <= _BACK_OFF[1], f"{play.name}: {play.story}"


def starts_late_by_its_records(play: Play) -> None:
    """The back-off for crash loops strikes a pod that ended well, too: its second start in a row comes 10 s after the end.

    But only where the kubelet has removed no record of an end, as it does now and then when a pod is gone.
    """
    starts((0.0, _BACK_OFF[1]), uid="same")(play)
    if all(play.records[-2:]):
        # The end was some seconds before the last deed.
        play.require_within(play.seen["a"].created_at, (4.0, _BACK_OFF[1]), "with records a started")


@dataclasses.dataclass(frozen=True)
class Case:
    """``of_kubelet``: it needs a kubelet that no other case looks at meanwhile."""

    steps: list[Step]
    of_kubelet: bool = False


CASES: dict[str, Case] = {
    "removed": Case([put(ONE), starts(), take(), goes()]),
    "a-comment": Case([put(ONE), starts(), put(COMMENTED), put(ONE, pod="b"), starts(pod="b"), stays()]),
    "renamed-over": Case([put(ONE), starts(), put(TWO), starts(_BACK_OFF, uid="other")]),
    "swapped": Case([put(ONE), starts(), take(), goes(), rest(3), put(TWO), starts(uid="other")]),
    "same-again": Case([put(ONE), starts(), take(), goes(), put(ONE), starts(uid="same")]),
    "again-and-again": Case(
        [
            *(put(ONE), starts(), take(), goes(), rest(3)),
            *(put(ONE), starts(uid="same"), take(), goes(), rest(3)),
            *(put(ONE), starts_late_by_its_records),
        ]
    ),
    "two-files": Case([put(ONE), starts(), put(TWO, file="b"), starts(_BACK_OFF, uid="other")]),
    "broken": Case([put(ONE), starts(), put(BROKEN), goes(_RELIST), put(ONE), starts(uid="same")]),
    "crash-loop": Case([put(CRASHES), restarts_late]),
    "refused": Case([put(REFUSED), put(ONE, pod="b"), starts(pod="b"), never_ran, put(TWO), starts()]),
    "kubelet-restarted": Case(
        [put(ONE), starts(), kubelet("stop"), kubelet("start"), put(ONE, pod="b"), starts(_START, pod="b"), stays()],
        of_kubelet=True,
    ),
    "kubelet-down": Case(
        [
            *(put(ONE), starts(), put(ONE, pod="b"), starts(pod="b")),
            *(kubelet("stop"), put(TWO), take(pod="b"), kubelet("start")),
            *(starts(_START, uid="other"), goes(_START, pod="b")),
        ],
        of_kubelet=True,
    ),
    "held-back": Case(
        [
            *(hold_back, put(ONE), starts(_START), put(TWO), put(ONE, pod="b"), starts(pod="b"), stays()),
            *(kubelet("stop"), kubelet("start"), starts(_START, uid="other"), both_run),
        ],
        of_kubelet=True,
    ),
}


def play(node: Node, name: str) -> list[str]:
    """Play one case; returns what was seen. Raises AssertionError where a kubelet does something else."""
    one = Play(node, name)
    for step in CASES[name].steps:
        step(one)
    return one.story

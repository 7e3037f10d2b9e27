# SPDX-FileCopyrightText: kubestatic.node contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a pod was down, told by the container runtime alone.

The old container's end comes from containerd's event stream, as the kubelet removes an ended container before it could be
asked for; the new one's start comes from `crictl inspect`.
"""

from __future__ import annotations

import datetime
import itertools
import json
import re
from collections.abc import Mapping, Sequence

from _playbook import Problem

_EXIT = re.compile(r" /tasks/exit (?P<event>\{.*\})$")


def exits(events: str) -> dict[str, float]:
    """`ctr events` -> Unix time at which each container's main process ended, by container id."""
    found = [json.loads(hit["event"]) for hit in map(_EXIT.search, events.splitlines()) if hit]
    # The events of `crictl exec` carry the id of their process and the container's.
    return {
        event["container_id"]: unix_time(event["exited_at"]) for event in found if event["id"] == event["container_id"]
    }


def downtimes(containers: Sequence[Mapping[str, str]], ended: Mapping[str, float]) -> list[float]:
    """Seconds between one container's end and the next one's start; ``containers`` have ``id`` and ``startedAt``."""
    times = []
    for old, new in itertools.pairwise(containers):
        if old["id"] not in ended:
            raise Problem(f"the runtime told no end of container {old['id']}")
        times.append(unix_time(new["startedAt"]) - ended[old["id"]])
    return times


def unix_time(text: str) -> float:
    """RFC 3339 with nanoseconds -> seconds."""
    whole, _dot, fraction = text.removesuffix("Z").partition(".")
    moment = datetime.datetime.fromisoformat(whole).replace(tzinfo=datetime.UTC)
    return moment.timestamp() + float(f"0.{fraction or 0}")

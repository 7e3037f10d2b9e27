# SPDX-FileCopyrightText: kubestatic.node contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A client that keeps asking API servers, run on a node: api_client.py ready|write FILE ADDRESS...

It ends with SIGTERM. Each line of FILE is one try as JSON: when it began and ended (`time.time()`), and whether it worked.
Each try is a connection of its own, as a load balancer or a new client makes it.

ready: each API server in turn is asked for /readyz; `address` says which one.
write: the ConfigMap default/written gets one more key, by the first API server that is ready and acknowledges it; `key` says which.
"""

from __future__ import annotations

import http.client
import json
import ssl
import sys
import time
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

PORT = 6443
PKI = "/etc/kubernetes/pki"
PATH = "/api/v1/namespaces/default/configmaps"


def main() -> None:
    mode, file, *addresses = sys.argv[1:]
    context = ssl.create_default_context(cafile=f"{PKI}/ca.crt")
    if mode == "write":
        # In the group of admins.
        context.load_cert_chain(f"{PKI}/apiserver-kubelet-client.crt", f"{PKI}/apiserver-kubelet-client.key")
    tries = write(addresses, context) if mode == "write" else ready(addresses, context)
    with Path(file).open("w", encoding="ascii", buffering=1) as out:
        for one in tries:
            out.write(json.dumps(one) + "\n")


def ready(addresses: list[str], context: ssl.SSLContext) -> Iterator[dict[str, Any]]:
    while True:
        for address in addresses:
            began = time.time()
            status = ask(address, context, "GET", "/readyz")
            yield {"address": address, "began": began, "ended": time.time(), "ok": status == HTTPStatus.OK}
        time.sleep(0.05)


def write(addresses: list[str], context: ssl.SSLContext) -> Iterator[dict[str, Any]]:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "written"}}
    while ask(addresses[0], context, "POST", PATH, body) not in (201, 409):
        time.sleep(0.1)
    number = 0
    while True:
        number += 1
        key = f"n{number}"
        began = time.time()
        # One that starts has its port long before it answers; whoever looks after health does not wait for it.
        healthy = (one for one in addresses if ask(one, context, "GET", "/readyz", timeout=0.5) == HTTPStatus.OK)
        statuses = (ask(one, context, "PATCH", f"{PATH}/written", {"data": {key: str(began)}}) for one in healthy)
        ok = any(status == HTTPStatus.OK for status in statuses)
        yield {"key": key, "began": began, "ended": time.time(), "ok": ok}
        time.sleep(0.05)


def ask(address: str, context: ssl.SSLContext, method: str, path: str, body: Any = None, *, timeout: float = 2) -> int:
    """Return the answer's status; 0 where there is none."""
    connection = http.client.HTTPSConnection(address, PORT, timeout=timeout, context=context)
    kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
    try:
        connection.request(method, path, body=json.dumps(body) if body else None, headers={"Content-Type": kind})
        answer = connection.getresponse()
        answer.read()
        return answer.status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


if __name__ == "__main__":
    main()

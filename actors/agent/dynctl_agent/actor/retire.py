"""Taking a worker out of the frontend's choice before it is told to end.

Of the last worker of a generation:

The frontend chooses a Dynamo namespace for each request and sends it again within that
namespace alone. A worker that hears SIGTERM leaves discovery at once, and so what is on
its way to the last one of a namespace at that moment meets nobody: 503, although another
generation serves (docs/dynamo.md, "Between generations").

The frontend chooses only namespaces in which every type of worker that has a model card
has a worker. So one more card is put beside the worker's own, of a type of which there
is none. What has been sent to the worker, or is about to be, still reaches it.

Any worker of a real engine then leaves discovery as it would at SIGTERM, before it: that
begins a grace period at whose end Dynamo breaks off what runs (docs/dynamo.md, "The end
of a worker").
"""

from __future__ import annotations

import asyncio
import base64
import json
import time

from ..common.deadline import in_time
from ..common.log import log
from . import gateway
from .gateway import Gateway, text

CARDS, INSTANCES = b"v1/mdc/", b"v1/instances/"
SERVED, LEAVING = "generate", "leaving"
TYPE = "encode"  # of worker; dynctl runs none
# How long the frontend may take to hear of it, and a request from its choice to the worker.
SETTLE = 1.5
# The same after etcd was away: the frontend reads its watches again one by one.
BEHIND = 15.0
# How long etcd is waited for. Where it is executed again, that takes about a second.
PATIENCE = 10.0
RETRY = 0.2


async def retire(etcd: Gateway, lease: int, patience: float) -> float:
    """Put that card, on the worker's lease: it goes when the worker leaves. The seconds
    after which the worker may leave; 0 when it has no card, or etcd did not take it in
    patience seconds: it leaves without."""
    settle, end = SETTLE, time.monotonic() + patience
    while True:
        try:
            work = asyncio.get_running_loop().run_in_executor(None, _retire, etcd, lease)
            return settle if await in_time(work, 3 * gateway.TIMEOUT) else 0.0
        except (OSError, ValueError, KeyError, TypeError, asyncio.TimeoutError) as err:
            if time.monotonic() > end:
                log(
                    "warn",
                    "the frontend is not told that a worker is about to leave",
                    lease=f"{lease:x}",
                    error=repr(err)[:300],
                )
                return 0.0
        settle = BEHIND  # nobody would hear that it leaves now
        await asyncio.sleep(RETRY)


def _retire(etcd: Gateway, lease: int) -> bool:
    after = CARDS[:-1] + bytes([CARDS[-1] + 1])
    found = etcd.post("kv/range", {"key": text(CARDS), "range_end": text(after)})
    for kv in found.get("kvs", []):
        parts = base64.b64decode(kv["key"]).decode().split("/")
        if int(kv.get("lease", 0)) != lease or len(parts) != 6 or parts[4] != SERVED:
            continue
        card = json.loads(base64.b64decode(kv["value"]))
        card["endpoint"] = parts[4] = LEAVING
        # Of no kind of request: for chat the frontend would build a pipeline first, and
        # know of the card only then.
        card["card_json"].update(worker_type=TYPE, needs=[], model_type="")
        etcd.post(
            "kv/put",
            {"key": text("/".join(parts).encode()), "value": text(json.dumps(card).encode()), "lease": str(lease)},
        )
        return True
    return False


async def withdraw(etcd: Gateway, lease: int) -> bool:
    """Take a worker out of discovery; it serves on what it has. False if it was not in
    it, or etcd did not take it."""
    try:
        work = asyncio.get_running_loop().run_in_executor(None, _withdraw, etcd, lease)
        return await in_time(work, 4 * gateway.TIMEOUT)
    except (OSError, ValueError, KeyError, TypeError, asyncio.TimeoutError) as err:
        log("warn", "a worker is not taken out of discovery before it ends", lease=f"{lease:x}", error=repr(err)[:300])
        return False


def _withdraw(etcd: Gateway, lease: int) -> bool:
    keys = []
    for prefix in (INSTANCES, CARDS):
        after = prefix[:-1] + bytes([prefix[-1] + 1])
        found = etcd.post("kv/range", {"key": text(prefix), "range_end": text(after), "keys_only": True})
        for kv in found.get("kvs", []):
            parts = base64.b64decode(kv["key"]).decode().split("/")
            if parts[4:] == [SERVED, f"{lease & (1 << 64) - 1:x}"]:
                keys.append(kv["key"])
    # At once, as one revision: an instance without its card, or the reverse, is nothing.
    etcd.post("kv/txn", {"success": [{"request_delete_range": {"key": key}} for key in keys]})
    return bool(keys)

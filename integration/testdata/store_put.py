"""Another program that declares a model: nats-py, and nothing of this project.

store_put.py NATS_URL put KEY < spec    prints the revision
store_put.py NATS_URL delete KEY
"""

import asyncio
import sys

import nats


async def main() -> None:
    url, verb, key = sys.argv[1:]
    nc = await nats.connect(url)
    bucket = await nc.jetstream().key_value("dynctl_specs")
    if verb == "put":
        print(await bucket.put(key, sys.stdin.buffer.read()))
    else:
        await bucket.delete(key)
    await nc.close()


asyncio.run(main())

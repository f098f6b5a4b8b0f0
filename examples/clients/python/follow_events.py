"""Prints events, each once over all runs: a durable consumer remembers how far it got.

    python follow_events.py --durable my-alerts --type unit-exited
    python follow_events.py --durable my-alerts --stop-after 10

Needs nats-py, and in DYNCTL_NATS_URL what this has written:

    dynctl creds add admin --name me --password --out me.url

The name of the consumer is the memory: two processes under one
name share the events, two names get all of them each.
"""

import argparse
import asyncio
import json
import os

import nats
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--durable", required=True, help="name of the consumer")
    parser.add_argument("--type", default="*", help="one type of event, such as unit-exited")
    parser.add_argument("--server", default="*", help="one server; _cluster for events of none")
    parser.add_argument("--stop-after", type=int, default=0, metavar="N", help="0: never")
    args = parser.parse_args()
    nc = await nats.connect(os.environ.get("DYNCTL_NATS_URL", "nats://127.0.0.1:4322"))
    js = nc.jetstream()
    # With a durable name and this configuration the call makes the consumer, or finds it.
    subscription = await js.pull_subscribe(
        f"dynctl.events.{args.server}.{args.type}.>",
        durable=args.durable,
        stream="DYNCTL_EVENTS",
        config=ConsumerConfig(
            deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.EXPLICIT, ack_wait=30, max_ack_pending=1000
        ),
    )
    seen = 0
    try:
        while True:
            try:
                messages = await subscription.fetch(50, timeout=5)
            except asyncio.TimeoutError:
                continue
            for message in messages:
                event = json.loads(message.data)
                data = event["data"]
                print(
                    event["time"],
                    event["type"],
                    f"{data['server']}/{event['subject']}",
                    f"{data['reason']}: {data['message']}",
                    flush=True,
                )
                await message.ack()  # after the work is done: what is not acked comes again
                seen += 1
                if seen == args.stop_after:
                    return
    finally:
        await nc.close()


if __name__ == "__main__":
    asyncio.run(main())

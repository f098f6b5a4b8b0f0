"""Declares a Server or a Model in the spec store and waits until it is Ready.

    python declare.py model.yaml
    python declare.py model.yaml --only-if-revision 17
    python declare.py --delete model.default.tiny

Needs nats-py, and in DYNCTL_NATS_URL what this has written:

    dynctl creds add publisher --server default --password --out publisher.url

A document with one object, in YAML or JSON, is stored as it is
written; what the reconciler says of it stands under the same key in the bucket
dynctl_status.
"""

import argparse
import asyncio
import json
import os
import re
import sys

import nats
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError


def key_of(document: str) -> str:
    """The key of a document: server.NAME, or model.SERVER.NAME.

    A regular expression is enough for documents that are written plainly; use a
    YAML parser for those of others.
    """
    def find(name: str, default: str = "") -> str:
        m = re.search(rf"""["']?\b{name}["']?\s*:\s*["']?([-\w.]+)""", document)
        return m[1] if m else default

    metadata = re.search(r"metadata[\"']?\s*:\s*(\{[^}]*\}|(?:\n[ \t]+.*)+)", document)
    if metadata is None:
        raise SystemExit("the document has no metadata")
    kind, document = find("kind"), metadata[1]
    if kind == "Server":
        return f"server.{find('name')}"
    return f"model.{find('server', 'default')}.{find('name')}"


async def wait_ready(bucket, key: str, revision: int, timeout: float) -> dict:
    """The status once it speaks of this revision and is Ready. Raises SystemExit
    when the revision is rejected, TimeoutError when the time is over.

    It looks once a second, which a publisher may; an admin can watch instead.
    """

    async def look() -> dict:
        said = ""
        while True:
            status = await status_of(bucket, key)
            if status.get("observedRevision") == revision:  # else it speaks of an older spec
                conditions = {c["type"]: c for c in status["conditions"]}
                accepted, ready = conditions["Accepted"], conditions.get("Ready", {})
                if accepted["status"] == "False":
                    raise SystemExit(f"{key}: {accepted['reason']}: {accepted['message']}")
                if ready.get("status") == "True":
                    return status
                why = f"{key}: {ready.get('reason')}: {ready.get('message')}"
                if why != said:
                    print(why, file=sys.stderr)
                    said = why
            await asyncio.sleep(1)

    return await asyncio.wait_for(look(), timeout)


async def status_of(bucket, key: str) -> dict:
    try:
        return json.loads((await bucket.get(key)).value or "{}")
    except KeyNotFoundError:
        return {}


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?")
    parser.add_argument("--delete", metavar="KEY")
    parser.add_argument("--only-if-revision", type=int, help="replace only this revision; 0: only if there is none")
    parser.add_argument("--timeout", type=float, default=300)
    args = parser.parse_args()
    nc = await nats.connect(os.environ.get("DYNCTL_NATS_URL", "nats://127.0.0.1:4322"))
    try:
        js = nc.jetstream()
        if args.delete:
            # A plain delete would be held for 10 s; this header says that it is meant.
            headers = {"KV-Operation": "DEL", "Dynctl-Delete": "now", "Dynctl-Author": "declare.py"}
            await js.publish(f"$KV.dynctl_specs.{args.delete}", b"", headers=headers)
            print(f"{args.delete} deleted")
            return
        with open(args.file, encoding="utf-8") as f:
            document = f.read()
        key, specs = key_of(document), await js.key_value("dynctl_specs")
        try:
            if args.only_if_revision is None:
                revision = await specs.put(key, document.encode())
            else:
                revision = await specs.update(key, document.encode(), last=args.only_if_revision)
        except KeyWrongLastSequenceError:
            raise SystemExit(f"{key} has changed meanwhile: read it again") from None
        print(f"{key} is revision {revision}")
        status = await wait_ready(await js.key_value("dynctl_status"), key, revision, args.timeout)
        print(f"{key} is Ready at {status.get('endpoint', '')}")
    finally:
        await nc.close()


if __name__ == "__main__":
    asyncio.run(main())

"""NATS: the bucket that the agent writes, the stream that it reads and tells facts to."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import nats
from nats.aio.client import Client, Srv
from nats.aio.transport import TcpTransport
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import APIError, KeyNotFoundError, KeyWrongLastSequenceError, NotFoundError

from ..common.log import log, parse_time
from ..common.template import UnitTemplate
from . import values
from .config import Config

BUCKET = "dynctl_observed"
STREAM = "DYNCTL_EVENTS"
SUBJECTS = [f"dynctl.events.*.{verb}.>" for verb in ("start", "stop", "sweep")]
REQUEST_TIMEOUT = 2.0
LISTING_SILENCE = 5.0
TOO_LARGE = 10054  # the stream's bound on one message
CLOSING = 0.5
WITHHELD = "dynctl.reconciler.withheld"


class Conflict(Exception):
    """Somebody else has written the key."""


class Ending(TcpTransport):
    """One whose end is not waited for longer than CLOSING: after a handshake that failed
    it is never told, and the library would wait for ever instead of trying again."""

    def __bool__(self) -> bool:
        return True  # else the library puts one of its own in its place

    async def wait_closed(self) -> None:
        try:
            await asyncio.wait_for(super().wait_closed(), CLOSING)  # type: ignore[no-untyped-call]
        except asyncio.TimeoutError:
            pass


class Connection(Client):
    """The library's, but that it tries again after a handshake that failed, and that it
    tells nothing, its password least of all, to a server without TLS where that is
    demanded: the library would go on in the clear."""

    def __init__(self, demands_tls: bool) -> None:
        super().__init__()
        self._demands_tls = demands_tls

    async def _connect_to_server(self, s: Srv) -> None:
        if self._transport is None and s.uri.scheme in ("nats", "tls"):
            self._transport = Ending()  # type: ignore[no-untyped-call]
        await super()._connect_to_server(s)

    def _connect_command(self) -> bytes:
        server = self._current_server
        over_tls = self._server_info.get("tls_required") or (server and server.uri.scheme == "wss")
        if self._demands_tls and not over_tls:
            raise nats.errors.Error("nats: TLS is demanded, and whoever answers here speaks none")
        return super()._connect_command()


class Bus:
    """One connection, which is made again for ever when it is lost."""

    def __init__(self) -> None:
        self.reconnected = asyncio.Event()
        self.clock_offset = 0.0  # seconds to add to this clock for the server's
        # Keys that somebody else has written to, or tried to, and a wake-up for who looks.
        self.touched: set[str] = set()
        self.touch = asyncio.Event()
        self._set_aside: dict[str, int] = {}  # revisions that were named, by key
        self._stream_made: Any = None  # when the stream was made that is read

    async def connect(self, config: Config) -> None:
        """Connect, however long it takes: the reconciler may be on its way up."""

        async def on_reconnect() -> None:
            log("info", "reconnected to NATS")
            self.reconnected.set()

        async def on_disconnect() -> None:
            log("warn", "lost NATS; units go on")

        async def on_error(err: Exception) -> None:
            log("warn", "NATS error", error=repr(err))

        while True:
            try:
                self._nc = Connection(config.demands_tls())
                await self._nc.connect(
                    config.servers(), name="dynctl-agent", max_reconnect_attempts=-1,
                    reconnect_time_wait=0.25,  # type: ignore[arg-type]
                    ping_interval=5, max_outstanding_pings=2, allow_reconnect=True,
                    reconnected_cb=on_reconnect, disconnected_cb=on_disconnect, error_cb=on_error,
                    no_echo=True,  # what others write is heard, and nothing else
                    **config.nats_options(),
                )
                self._js = self._nc.jetstream(timeout=REQUEST_TIMEOUT)
                self._kv = await self._js.key_value(BUCKET)
                await self._nc.subscribe(f"$KV.{BUCKET}.>", cb=self._touched)
                return
            except (OSError, asyncio.TimeoutError, nats.errors.Error) as err:
                log("warn", "no NATS yet", url=config.nats_url, error=repr(err))
                await asyncio.sleep(0.5)

    async def close(self) -> None:
        """Close the connection; what was published is flushed, if NATS is there."""
        try:
            await self._nc.flush(1)
        except (OSError, asyncio.TimeoutError, nats.errors.Error):
            pass
        await self._nc.close()

    # The bucket.

    async def _touched(self, message: Any) -> None:
        self.touched.add(message.subject[len(f"$KV.{BUCKET}.") :])
        self.touch.set()

    async def read(self, key: str) -> tuple[dict[str, Any] | None, int]:
        """The value and its revision; (None, revision of the marker or 0) if absent, and
        Garbage for one that cannot be read."""
        try:
            entry = await self._kv.get(key, validate_keys=False)
        except KeyNotFoundError as err:
            return None, err.entry.revision if err.entry else 0
        revision = entry.revision or 0
        try:
            return values.read(key, entry.value or b""), revision
        except values.Unreadable as err:
            if self._set_aside.get(key) != revision:
                self._set_aside[key] = revision
                log(
                    "warn",
                    "a value cannot be read and is set aside",
                    key=key,
                    revision=revision,
                    because=str(err)[:300],
                )
            return values.Garbage(), revision

    async def write(self, key: str, value: Mapping[str, object], revision: int) -> int:
        """Write over that revision (0: absent); the new revision. Raises Conflict."""
        try:
            return await self._kv.update(key, json.dumps(value).encode(), last=revision)
        except KeyWrongLastSequenceError as err:
            raise Conflict(key) from err

    async def delete(self, key: str, revision: int) -> None:
        """Delete that revision. Raises Conflict."""
        try:
            await self._kv.delete(key, last=revision, validate_keys=False)
        except KeyWrongLastSequenceError as err:
            raise Conflict(key) from err
        except APIError as err:
            if err.err_code in (10071, 10164):
                raise Conflict(key) from err
            raise

    async def keys(self) -> dict[str, int]:
        """The keys that exist, with their revisions; what they hold is not read. Raises
        asyncio.TimeoutError when none comes for a while: the library's own list waits for ever
        for a server that went away."""
        self._set_aside = {}
        watcher = await self._kv.watchall(ignore_deletes=True, meta_only=True)
        found: dict[str, int] = {}

        async def hear() -> None:
            async for entry in watcher:
                if entry is None:  # that was the last one
                    return
                found[entry.key] = entry.revision or 0

        hearing = asyncio.ensure_future(hear())
        try:
            while not hearing.done():
                before = len(found)
                await asyncio.wait([hearing], timeout=LISTING_SILENCE)
                if not hearing.done() and len(found) == before:
                    raise asyncio.TimeoutError
            hearing.result()
        finally:
            hearing.cancel()
            await watcher.stop()  # type: ignore[no-untyped-call]
        return found

    async def learn_clock(self, revision: int, written: float) -> None:
        """Learn the server's clock from an entry written at that time of ours."""
        reply = await self._nc.request(
            f"$JS.API.STREAM.MSG.GET.KV_{BUCKET}", json.dumps({"seq": revision}).encode(), timeout=REQUEST_TIMEOUT
        )
        stored = json.loads(reply.data).get("message", {}).get("time")
        if stored:
            self.clock_offset = parse_time(stored) - written

    def server_time(self) -> float:
        """Now, on the clock that stamps messages."""
        return time.time() + self.clock_offset

    async def follow(self, key: str, heard: Callable[[dict[str, Any]], None]) -> None:
        """Have each value told that another one writes there; what cannot be read is none."""

        async def on_write(message: Any) -> None:
            try:
                heard(values.read(key, message.data))
            except values.Unreadable:
                pass

        await self._nc.subscribe(f"$KV.{BUCKET}.{key}", cb=on_write)

    # Requests.

    async def listen(self, subject: str, respond: Callable[[Any], Awaitable[None]]) -> None:
        """Have requests answered, also after the connection was lost."""
        await self._nc.subscribe(subject, cb=respond)

    async def withheld(self, command_id: str) -> UnitTemplate | None:
        """The whole template of a start whose secrets are not in the stream; None if nobody
        tells."""
        try:
            reply = await self._nc.request(WITHHELD, command_id.encode(), timeout=REQUEST_TIMEOUT)
            template: UnitTemplate | None = json.loads(reply.data).get("template")
            return template
        except (OSError, asyncio.TimeoutError, nats.errors.Error, ValueError, AttributeError):
            return None

    # The stream.

    async def subscribe(self, name: str, after: int) -> Any:
        """A pull consumer for commands: those to come, or those after a sequence. In a stream
        that was made again sequences begin at 1: there it is all that it has."""
        if not after:
            # In a store that was recreated incarnations begin at 1 again, and the
            # first one's consumer may still be there with what it has not read.
            try:
                await self._js.delete_consumer(STREAM, name)
            except NotFoundError:
                pass
        made = (await self._js.stream_info(STREAM)).created
        start = after + 1 if made == self._stream_made else 1
        policy = DeliverPolicy.BY_START_SEQUENCE if after else DeliverPolicy.NEW
        await self._js.add_consumer(
            STREAM,
            ConsumerConfig(
                name=name, ack_policy=AckPolicy.EXPLICIT, ack_wait=10, inactive_threshold=60,
                deliver_policy=policy, opt_start_seq=start if after else None, filter_subjects=SUBJECTS,
            ),
        )
        self._stream_made = made
        return await self._js.pull_subscribe_bind(consumer=name, stream=STREAM)

    async def publish(self, subject: str, message_id: str, document: dict[str, Any]) -> None:
        """Store one event. Raises ValueError for one that can never be: too large, or about
        what no subject can be named after."""
        try:
            await self._js.publish(subject, json.dumps(document).encode(), headers={"Nats-Msg-Id": message_id})
        except (nats.errors.MaxPayloadError, nats.errors.BadSubjectError) as err:
            raise ValueError(str(err)) from err
        except APIError as err:
            if err.err_code == TOO_LARGE:
                raise ValueError(str(err)) from err
            raise


__all__ = ["APIError", "Bus", "Conflict", "NotFoundError"]

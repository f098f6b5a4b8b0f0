"""The agent's connection to a NATS that speaks TLS: whom it goes on with, and whom it tells
nothing."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import pathlib
import shutil
import socket
import subprocess
import tempfile
import unittest
from unittest import mock

import nats
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from dynctl_agent.job import bus
from dynctl_agent.job.config import Config

SERVER = pathlib.Path(__file__).parents[3] / "bin" / "nats-server"
PATIENCE = 60
HUSH = "hush-hush"


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


class Authority:
    """An authority of a test's own. Its certificates have no extension that they do not
    need, as those of older tools."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.pem = self._sign("authority", self._key, datetime.timedelta(days=1), x509.BasicConstraints(True, None))

    def _sign(self, name: str, key: ec.EllipticCurvePrivateKey, end: datetime.timedelta, extension: x509.ExtensionType) -> str:
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = x509.CertificateBuilder(named("authority"), named(name), key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(days=2)).not_valid_after(now + end)
        cert = builder.add_extension(extension, False).sign(self._key, hashes.SHA256())
        return cert.public_bytes(serialization.Encoding.PEM).decode()

    def issue(self, directory: pathlib.Path, host: str = "127.0.0.1", days: int = 1) -> list[str]:
        """The flags that give a nats-server a certificate."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host)) if host[0].isdigit() else x509.DNSName(host)])
        cert_file, key_file = directory / "tls.crt", directory / "tls.key"
        cert_file.write_text(self._sign("server", key, datetime.timedelta(days=days), names))
        key_file.write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        return ["--tls", "--tlscert", str(cert_file), "--tlskey", str(key_file)]


class TestTLS(unittest.IsolatedAsyncioTestCase):
    def setUp(self) -> None:
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="dynctl-tls-"))
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)

    def start(self, *flags: str) -> str:
        """A nats-server; its address."""
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        store = tempfile.mkdtemp(dir=self.directory)
        command = [str(SERVER), "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", store, "--user", "agent", "--pass", HUSH, *flags]
        server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        self.addCleanup(server.wait, PATIENCE)
        self.addCleanup(server.terminate)
        return f"127.0.0.1:{port}"

    def config(self, url: str, ca: str = "") -> Config:
        creds = {"user": "agent", "password": HUSH}
        if ca:
            creds["ca"] = ca
        return Config(nats_url=url, store_id="s", ray_namespace="n", nats_creds=creds)

    async def refused(self, config: Config, because: str) -> None:
        """The agent tries, is never in, and says why."""
        said: list[str] = []
        told = asyncio.Event()

        def log(_level: str, message: str, **fields: object) -> None:
            said.append(f"{message} {fields}")
            if sum(because in s for s in said) == 2:  # it tries again
                told.set()

        with mock.patch.object(bus, "log", log):
            connecting = asyncio.create_task(bus.Bus().connect(config))
            waiting = asyncio.create_task(told.wait())
            try:
                await asyncio.wait((connecting, waiting), timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
                self.assertFalse(connecting.done(), "it is in")
                self.assertTrue(told.is_set(), f"want {because!r}, got {said[-3:]}")
            finally:
                waiting.cancel()
                while not connecting.done():  # asyncio.wait_for may swallow it before Python 3.12
                    connecting.cancel()
                    await asyncio.wait((connecting,), timeout=0.1)

    async def test_who_is_trusted(self) -> None:
        ours = Authority()
        address = self.start(*ours.issue(self.directory))
        for scheme in ("tls", "nats"):
            config = self.config(f"{scheme}://{address}", ours.pem)
            if scheme == "tls":
                other = await self.until_in(config)
                await other.jetstream().create_key_value(bucket=bus.BUCKET)
                await other.close()
            agent = bus.Bus()
            await asyncio.wait_for(agent.connect(config), PATIENCE)
            value = {"incarnation": 1, "synced": True, "epoch": 0}
            revision = await agent.write("agent", value, (await agent.read("agent"))[1])
            self.assertEqual((value, revision), await agent.read("agent"))
            await agent.close()
            await self.refused(self.config(f"{scheme}://{address}", Authority().pem), "CERTIFICATE_VERIFY_FAILED")
            await self.refused(self.config(f"{scheme}://{address}"), "CERTIFICATE_VERIFY_FAILED")

    async def until_in(self, config: Config) -> nats.NATS:
        async def not_yet(_: Exception) -> None:
            pass

        return await nats.connect(
            config.nats_url, max_reconnect_attempts=-1, reconnect_time_wait=0.05, error_cb=not_yet, **config.nats_options()
        )

    async def test_another_host_and_an_end(self) -> None:
        ours = Authority()
        elsewhere = self.start(*ours.issue(pathlib.Path(tempfile.mkdtemp(dir=self.directory)), "elsewhere.example"))
        await self.refused(self.config(f"tls://{elsewhere}", ours.pem), "IP address mismatch")
        ended = self.start(*ours.issue(pathlib.Path(tempfile.mkdtemp(dir=self.directory)), days=-1))
        await self.refused(self.config(f"tls://{ended}", ours.pem), "certificate has expired")

    async def test_nothing_is_told_without_tls(self) -> None:
        heard = bytearray()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b'INFO {"server_id":"x","version":"2.11.0","max_payload":1048576,"auth_required":true}\r\n')
            try:
                heard.extend(await reader.read(4096))
            finally:
                writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        self.addCleanup(server.close)
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for config in (self.config(f"nats://{address}", Authority().pem), self.config(f"tls://{address}")):
            await self.refused(config, "TLS is demanded")
            self.assertEqual(b"", bytes(heard))


if __name__ == "__main__":
    unittest.main()

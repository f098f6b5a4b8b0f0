"""Who is let in by the etcd and the NATS that a server has for itself: whoever has the
credential that their actor made (docs/adr/0028-data-plane-credentials.md).

It is made once and lies beside the data, for this user alone, so a service that comes back
on its data lets in whom it has let in before. One that is executed beside processes that
have no credential stays open: closed, it would cut them off.

No template has any of it, so that an upgrade restarts nothing, and `dynctl render` shows
none of it; secrets are in files and in environments, never on a command line.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import socket
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ..common.log import log
from ..common.template import ETCD, NATS, service
from . import ownfile
from .gateway import Gateway

if TYPE_CHECKING:
    from ..common.messages import Access, Request
    from ..common.template import ActorTemplate, Text, Variable
    from .process import Process

    Spawn = Callable[[ActorTemplate, dict[str, str]], Process]

# etcd lets nobody but root turn its passwords on, and asks of whoever writes all that
# Dynamo writes no less.
USERS = {ETCD: "root", NATS: "dynamo"}
LISTEN, EVERYWHERE, LOOPBACK = "--listen-client-urls", "0.0.0.0", "127.0.0.1"
# Dynamo's clients log in once and keep what they are given: it has to outlast them, and
# etcd's executions too. So etcd signs it, with a key that lies beside its data.
TOKEN = "jwt,sign-method=HS256,priv-key={key},ttl=876000h"
# A password is a random number, which no dictionary has: no more need be spent on it.
BCRYPT_COST = "4"
# How long etcd may take to start for the first time, and to end.
PATIENCE, ENDS = 20.0, 5.0
POLL = 0.02
# What a Dynamo process is told, by service.
VARIABLES = {
    ETCD: ("ETCD_AUTH_USERNAME", "ETCD_AUTH_PASSWORD"),
    NATS: ("NATS_AUTH_USERNAME", "NATS_AUTH_PASSWORD"),
}
# What a Dynamo process says to an etcd, by the word that the reconciler is told; the
# certificates are PEM, not paths.
LOGIN = {"user": "ETCD_AUTH_USERNAME", "password": "ETCD_AUTH_PASSWORD"}
CERTIFICATES = {"ca": "ETCD_AUTH_CA", "cert": "ETCD_AUTH_CLIENT_CERT", "key": "ETCD_AUTH_CLIENT_KEY"}


class Holder:
    """What one actor has of it: its own credential if its process is a service, those of
    the services that let it in if it is a Dynamo process."""

    def __init__(self, ip: str) -> None:
        self._ip = ip
        self.own: Access | None = None
        self.ids: dict[str, str] = {}  # of the credentials that the process has, by service
        self.hosts = [LOOPBACK, ip]  # where it may listen
        self._given: dict[str, Access] = {}
        self._login: dict[str, str] = {}

    async def prepare(
        self, template: ActorTemplate, request: Request, directory: str, spawn: Spawn
    ) -> ActorTemplate:
        """The template as it is to be executed. Raises OSError, ValueError and KeyError
        where a service cannot be closed."""
        self.hosts, name = [LOOPBACK, self._ip], service(template)
        if not name:
            # An agent of an earlier version says nothing.
            self._given = request.get("access", self._given)
            self.ids = {s: a["id"] for s, a in self._given.items()}
            return with_variables(template, variables(self._given))
        keeper = Keeper(name, directory)
        self.own = keeper.load(self.own, request.get("closes", False))
        self.ids = {name: self.own["id"]} if self.own else {}
        if self.own is None:
            return template
        if name == ETCD:
            await keeper.teach(self.own, template, lambda t: spawn(t, request["resolved"]))
        address = listens_on(self._ip)
        if address != EVERYWHERE:
            self.hosts = [address]  # anybody may listen beside it on another
        return keeper.closed(self.own, template, address)

    def executed_with(self, env: Mapping[str, str]) -> None:
        """Keep how a process is let in by its etcd, which may be somebody else's: who reads
        that etcd has to be let in too, and a secret is read here and nowhere else."""
        self._login = {}
        for variables_of in (LOGIN, CERTIFICATES):
            found = {word: env.get(name, "") for word, name in variables_of.items()}
            if all(found.values()):  # Dynamo takes none of them for less
                self._login.update(found)

    def tell(self) -> Access | dict[str, str]:
        """Of a service its own credential; of a Dynamo process how etcd lets it in. {} if
        nobody is asked."""
        return self.own or self._login


class Keeper:
    """The files of one service's credential. They lie in its unit's directory, in which
    what ends in _data outlives the unit."""

    def __init__(self, name: str, directory: str) -> None:
        self._name, self._directory = name, directory
        self._path = os.path.join(directory, f"{name}_access_data")
        self._config = os.path.join(directory, "nats_config_data")
        self._key = os.path.join(directory, "etcd_key_data")

    def load(self, known: Access | None, closes: bool) -> Access | None:
        """The credential. Where there is none yet, one is made if the service may be closed."""
        try:
            with open(self._path, encoding="utf-8", opener=ownfile.opener) as f:
                found: Access = json.load(f)
                return found
        except FileNotFoundError:
            pass
        if known is None and closes:
            known = {"id": secrets.token_hex(4), "user": USERS[self._name], "password": secrets.token_hex(32)}
        if known is not None:
            ownfile.make_directory(self._directory)
            self._write(self._path, json.dumps(known))
        return known

    def _write(self, path: str, content: str) -> None:
        new = path.removesuffix("_data") + "_new_data"
        with open(new, "w", encoding="utf-8", opener=ownfile.opener) as f:
            f.write(content)
        ownfile.replace(new, path)

    def closed(self, own: Access, template: ActorTemplate, address: str) -> ActorTemplate:
        """How the service is executed so that it lets nobody else in."""
        if self._name == NATS:
            user = f'{{user: "{own["user"]}", password: "{own["password"]}"}}'
            self._write(self._config, f"authorization {{ users: [{user}] }}\n")
            return {**template, "argv": [*template["argv"], "-a", address, "-c", self._config]}
        signed = {"ETCD_AUTH_TOKEN": TOKEN.format(key=self._key), "ETCD_BCRYPT_COST": BCRYPT_COST}
        return {**with_variables(template, signed), "argv": listening(template, address)}

    async def teach(self, own: Access, template: ActorTemplate, spawn: Callable[[ActorTemplate], Process]) -> None:
        """Have etcd's data know the credential, if they do not yet, by a process that
        listens on loopback alone and ends again: others never find it open."""
        if os.path.exists(self._key) and os.path.isdir(os.path.join(self._directory, "etcd_data", "member")):
            return
        once = with_variables(template, {"ETCD_BCRYPT_COST": BCRYPT_COST})
        process = spawn({**once, "argv": listening(template, LOOPBACK)})
        try:
            await _taught(process, own)
        finally:
            process.signal(signal.SIGTERM)
            await asyncio.wait([process.exited], timeout=ENDS)
            await process.end_group(0)
        self._write(self._key, secrets.token_hex(32))


async def _taught(process: Process, own: Access) -> None:
    end, url = time.monotonic() + PATIENCE, _listens(process)
    while True:
        try:
            await asyncio.get_running_loop().run_in_executor(None, _teach, url, own)
            return
        except (OSError, ValueError, KeyError) as err:
            if process.exited.done():
                raise OSError(f"etcd ended with code {process.exited.result()} while its credential was set") from err
            if time.monotonic() > end:
                raise OSError(f"etcd did not take its credential: {err}") from err
        await asyncio.sleep(POLL)


def _listens(process: Process) -> str:
    """Where an etcd was told to listen."""
    return process.argv[process.argv.index(LISTEN) + 1]


def _teach(url: str, own: Access) -> None:
    try:
        Gateway(url, own["user"], own["password"]).log_in()
        return  # it was ended before that could be noted
    except OSError as err:
        if "not enabled" not in str(err):
            raise
    etcd = Gateway(url)
    for user in etcd.post("auth/user/list", {}).get("users", []):
        etcd.post("auth/user/delete", {"name": user})  # made while it was open
    etcd.post("auth/user/add", {"name": own["user"], "password": own["password"]})
    etcd.post("auth/user/grant", {"user": own["user"], "role": own["user"]})
    etcd.post("auth/enable", {})


def listening(template: ActorTemplate, address: str) -> list[Text]:
    """The command line of etcd, for clients at an address alone."""
    argv = list(template["argv"])
    place = argv.index(LISTEN) + 1
    url = argv[place]
    if isinstance(url, str):
        argv[place] = url.replace(EVERYWHERE, address)
    else:
        argv[place] = {"expand": url["expand"].replace(EVERYWHERE, address)}
    return argv


def listens_on(ip: str) -> str:
    """Where a service listens: on the node's address, by which all that need it have it."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET) as s:
            s.bind((ip, 0))
        return ip
    except OSError as err:  # the node is known by an address that it does not have itself
        log("warn", "a service listens on all addresses, for the node's is none of them", ip=ip, error=repr(err)[:200])
        return EVERYWHERE


def variables(given: Mapping[str, Access]) -> dict[str, str]:
    """What a Dynamo process is told of the credentials that it has."""
    told = {}
    for name, access in given.items():
        user, password = VARIABLES[name]
        told.update({user: access["user"], password: access["password"]})
    return told


def with_variables(template: ActorTemplate, more: Mapping[str, str]) -> ActorTemplate:
    """The template with these variables, which count for more than its own."""
    added: list[Variable] = [{"name": name, "value": value} for name, value in more.items()]
    return {**template, "env": [*(template.get("env") or []), *added]} if added else template

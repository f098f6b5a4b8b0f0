"""The settings that the entrypoint carries."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any

from .. import PROTOCOL, PROTOCOL_OLDEST

# Where Ray tells a driver its runtime environment and the metadata of its job.
JOB_CONFIG = "RAY_JOB_CONFIG_JSON_ENV_VAR"
CREDS = "dynctl/nats-creds"


@dataclass
class Config:
    """See docs/protocol.md, "Who makes what"."""

    nats_url: str
    store_id: str
    ray_namespace: str
    nats_creds: dict[str, str] | None = None
    incarnation: int = 0
    bin_dirs: list[str] = field(default_factory=list)
    epoch: int = 0
    cache_dir: str = ""
    programs: str = ""
    job: str = ""  # this agent's submission id
    standby: bool = False  # wait for an order to take charge
    succeeds: int | None = None  # the newest incarnation whose place it takes without one; None: whichever

    @classmethod
    def decode(cls, text: str, creds: str = "") -> Config:
        """From base64 of JSON, and the JSON of the credentials. Raises ValueError that says
        what is missing."""
        raw = json.loads(base64.b64decode(text, validate=True))
        missing = [k for k in ("natsUrl", "storeId", "rayNamespace") if not raw.get(k)]
        if missing:
            raise ValueError(f"--config lacks {', '.join(missing)}")
        check_protocol(raw.get("protocol") or {})
        return cls(
            nats_url=raw["natsUrl"],
            store_id=raw["storeId"],
            ray_namespace=raw["rayNamespace"],
            nats_creds=json.loads(creds) if creds else raw.get("natsCreds"),
            incarnation=int(raw.get("incarnation") or 0),
            bin_dirs=list(raw.get("binDirs") or []),
            epoch=int(raw.get("epoch") or 0),
            cache_dir=str(raw.get("cacheDir") or ""),
            programs=str(raw.get("programs") or ""),
            job=str(raw.get("job") or ""),
            standby=bool(raw.get("standby")),
            succeeds=None if raw.get("succeeds") is None else int(raw["succeeds"]),
        )

    def servers(self) -> list[str]:
        """The URLs of all servers of a cluster: the client takes a list of them alone."""
        return [url.strip() for url in self.nats_url.split(",") if url.strip()]

    def nats_options(self) -> dict[str, Any]:
        """The credentials as nats.connect takes them: user and password, or token; where
        answers to this user go; and the authorities of the server's certificate, where they
        are not the system's."""
        creds = self.nats_creds or {}
        names = {"user": "user", "password": "password", "token": "token", "inboxPrefix": "inbox_prefix"}
        options: dict[str, Any] = {names[k]: v for k, v in creds.items() if k in names and v}
        if creds.get("ca"):
            context = ssl.create_default_context(cadata=creds["ca"])
            # The reconciler has accepted the certificate by these authorities, and Go takes
            # each of them for the end of a chain and asks for no extensions in them.
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
            options["tls"] = context
        return options

    def demands_tls(self) -> bool:
        """Whether nothing is told to a server that speaks no TLS."""
        return bool((self.nats_creds or {}).get("ca")) or "tls://" in self.nats_url


def check_protocol(theirs: dict[str, int]) -> None:
    """Raises ValueError if the reconciler that submits this agent speaks another protocol. One
    that does not say speaks the first."""
    newest, oldest = int(theirs.get("newest", 1)), int(theirs.get("oldest", 1))
    if min(newest, PROTOCOL) < max(oldest, PROTOCOL_OLDEST):
        raise ValueError(
            f"the reconciler speaks versions {oldest} to {newest} of the protocol and this agent "
            f"{PROTOCOL_OLDEST} to {PROTOCOL}: "
            "run the agent that the reconciler brings along"
        )


def take_credentials(environ: MutableMapping[str, str]) -> str:
    """The JSON of the credentials, "" if the job has none; nothing that is executed from
    here, and nothing that Ray is told about this job, has them afterwards."""
    job = json.loads(environ.get(JOB_CONFIG) or "{}")
    creds: str = (job.get("metadata") or {}).pop(CREDS, "")
    if creds:
        environ[JOB_CONFIG] = json.dumps(job)
    return creds

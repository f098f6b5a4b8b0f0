"""etcd's JSON gateway, in which bytes are base64 and numbers strings."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

TIMEOUT = 1.0


class Gateway:
    """One etcd, asked by one who logs in where there is a user. Its calls block; they raise
    OSError, which says what etcd answered, and ValueError."""

    def __init__(self, url: str, user: str = "", password: str = "") -> None:
        self._url, self._user, self._password = url, user, password
        self._token = ""

    @classmethod
    def of(cls, env: Mapping[str, str]) -> Gateway | None:
        """The etcd in which a process with that environment registers, as it is let in
        there; None if it does not."""
        endpoints = env.get("ETCD_ENDPOINTS", "")
        if not endpoints:
            return None
        return cls(endpoints.split(",")[0], env.get("ETCD_AUTH_USERNAME", ""), env.get("ETCD_AUTH_PASSWORD", ""))

    def post(self, call: str, body: dict[str, Any]) -> dict[str, Any]:
        """The answer to a call, such as kv/range."""
        if self._user and not self._token:
            self.log_in()
        try:
            return self._post(call, body)
        except OSError:
            self._token = ""  # the next call logs in again
            raise

    def log_in(self) -> None:
        """Raises OSError where etcd does not let the user in."""
        self._token = self._post("auth/authenticate", {"name": self._user, "password": self._password})["token"]

    def _post(self, call: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"}
        if self._token:
            headers["Authorization"] = self._token
        request = urllib.request.Request(f"{self._url}/v3/{call}", json.dumps(body).encode(), headers)
        # Between a worker and its etcd stands no proxy. An opener cannot be a constant of
        # the module: on Python >= 3.12 it holds an SSLContext, and the actor's class travels
        # by value, with all that its modules hold.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=TIMEOUT) as answer:
                found: dict[str, Any] = json.load(answer)
        except urllib.error.HTTPError as err:
            with err:
                raise OSError(f"{call}: {_said(err)}") from None
        return found


def _said(err: urllib.error.HTTPError) -> str:
    """What etcd says of a call that it refuses."""
    try:
        return str(json.load(err)["message"])[:300]
    except (OSError, ValueError, KeyError, TypeError):
        return f"status {err.code}"


def text(raw: bytes) -> str:
    """Bytes as the gateway has them."""
    return base64.b64encode(raw).decode()

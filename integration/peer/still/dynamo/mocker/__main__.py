"""Stands for a worker where many are to do nothing: a process of 15 MB that says it is well.

It is found because this directory is first on PYTHONPATH and `dynamo` is a namespace package.
It registers nowhere, so no request ever reaches it.
"""

import os
from http.server import BaseHTTPRequestHandler, HTTPServer


class Well(BaseHTTPRequestHandler):
    """Answers every question with nothing to say."""

    def do_GET(self) -> None:
        """Be well."""
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing of it."""


host = os.environ.get("DYN_SYSTEM_HOST", "127.0.0.1")
HTTPServer((host, int(os.environ["DYN_SYSTEM_PORT"])), Well).serve_forever()

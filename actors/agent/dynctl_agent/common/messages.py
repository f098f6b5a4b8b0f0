"""What the job and its actors say to each other."""

from __future__ import annotations

# A number of requests that a worker did not tell.
UNKNOWN = -1

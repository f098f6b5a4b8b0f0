"""The Ray-side agent of dynctl: it carries out what the reconciler decides.

It runs as the driver of a Ray job and keeps no state of its own: what it needs
after a restart is held by the actors (`actor`), which outlive it. The protocol
is docs/protocol.md. It is two programs:

* `job` is what the Ray job runs;
* `actor` is what it sends to the nodes: the actor of each process, and some tasks;
* `common` is what both stand on.

`job` does not import `actor` but where it sends it, and `actor` never imports `job`; a
test holds both to it. `recordflags` is a program of its own, sent as source.
"""

VERSION = "1"
# The versions of the protocol that it speaks, the newest and the oldest; state/protocol.go
# has the reconciler's.
PROTOCOL, PROTOCOL_OLDEST = 1, 1

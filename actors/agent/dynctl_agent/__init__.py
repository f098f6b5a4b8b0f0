"""The Ray-side agent of dynctl: it carries out what the reconciler decides.

It runs as the driver of a Ray job and keeps no state of its own: what it needs
after a restart is held by the actors (`actor.py`), which outlive it. The protocol
is docs/protocol.md. Two kinds of modules live here:

* those of the actor: actor, process, procfs, reaper, ports, environ, logs,
  httpget, health, deadline. They travel to the actors by value and import nothing but the
  standard library, each other and (in actor) ray;
* those of the driver: all others.
"""

VERSION = "1"

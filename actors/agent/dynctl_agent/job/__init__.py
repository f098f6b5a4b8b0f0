"""The program of the Ray job: its loop, its part of NATS, the commands, what it sees of
the cluster, and what it does about each unit.

Nothing here runs on another node. What does is in `actor`, and `ray_api` is the one
module that imports it: to send it there.
"""

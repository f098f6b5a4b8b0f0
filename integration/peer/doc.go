// Command peer measures what docs/benchmarks.md shows, and writes its tables and pictures
// from what it recorded alone: `make bench` and `make bench-peer` (BENCH_RUNS, PART, ACTORS,
// BENCH_RECORD, ADD), `make bench-pictures` (-draw).
//
// It has four parts. ray: starts beside a floor and beside a peer, in turn on one Ray
// cluster. The floor is what `dynctl render` prints, made with Ray's API alone (floor.py).
// The peer is NeMo Curator's InferenceServer on its Dynamo backend (curator.py), with
// dynamo.mocker behind the name dynamo.vllm (shim). Each contender starts the same processes;
// a client asks every 5 ms from the moment that it was told to, and the first token ends the
// measurement. kill: requests around the end of one worker of two, and an agent's end beside
// one that stands by. agent: the agent's process beside many actors whose processes do
// nothing (still). fleet: the benchmarks of the reconciler with fleets of several sizes on a
// simulated Ray, and their floors.
package main

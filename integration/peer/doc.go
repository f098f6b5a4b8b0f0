// Command peer measures starts beside a floor and beside a peer, in turn on one Ray
// cluster, and draws what it found: `make bench-peer` (PEER_RUNS, PART).
//
// The floor is what `dynctl render` prints, made with Ray's API alone (floor.py). The peer
// is NeMo Curator's InferenceServer on its Dynamo backend (curator.py), with dynamo.mocker
// behind the name dynamo.vllm (shim). Each contender starts the same processes; a client
// asks every 5 ms from the moment that it was told to, and the first token ends the
// measurement. What was measured goes to docs/benchmarks.json, and the pictures of
// docs/benchmarks.md are drawn from that file alone (-draw).
package main

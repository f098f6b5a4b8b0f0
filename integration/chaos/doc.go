// Command chaos breaks a real fleet at random, for a while, and then wants it
// whole again: `make chaos` (CHAOS_SECONDS, SEED).
//
// It runs mixed mocker models on three raylets with two clients, and walks
// through faults: what is killed, stopped, emptied, filled, edited, deleted, cut off. The
// walk is decided by the seed, which is printed. A request may fail only while
// the only replica that could serve it, or the frontend, was struck, and for no
// longer than recovery may take (bounds.go); a model that was deleted serves nobody.
// What a network's or a node's short failure alone struck has to be the same execution
// afterwards. Any other failure, whatever comes back late or does not converge to the specs, what
// is Ready at the end and serves no completion, and anything that is left over fails
// the run. The tables at its end count what was excused, and for how long.
package main

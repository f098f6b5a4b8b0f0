// Package door stands before everything that the reconciler answers over HTTP. It
// decides who is let in, and bounds what one client can take from the others.
//
// Nothing that a client says about itself is believed: who it is, is the address
// that its connection comes from. X-Forwarded-For, Forwarded and their like are
// not read, so the clients of a reverse proxy are one.
//
// Whoever comes over loopback is on the machine itself and may read everything; others
// have a token, whose role says what they may read, or learn from /healthz alone that
// the program runs.
//
// Vocabulary: a connection is busy while a request of it is being answered, and
// waits otherwise: before its first byte, in the middle of its header, between two
// requests. A Gate is a number of places, of which one client gets a part only.
package door

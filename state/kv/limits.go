package kv

import (
	"strconv"

	"github.com/nats-io/nats.go/jetstream"
)

// Limits bound the store. Past them writes are refused, and what is there goes on.
// Zero values mean those of [DefaultLimits].
type Limits struct {
	// Objects is how many servers and models there may be together.
	Objects int
	// Servers is how many servers there may be, those that only a model names included.
	Servers int
	// CurrentBytes bounds the newest revisions of all specs together, as they were
	// written. Those over [LargeSpec] may take a quarter of it.
	CurrentBytes int64
	// SpecBytes and StatusBytes bound what the buckets hold, all revisions counted.
	SpecBytes, StatusBytes int64
	// Replicas is how many servers of a NATS cluster hold each bucket; those that have more
	// keep them. 0 leaves what is there, and makes buckets with one.
	Replicas int
}

// DefaultLimits are the limits unless told otherwise.
var DefaultLimits = Limits{Objects: 20_000, Servers: 1000, CurrentBytes: 32 << 20, SpecBytes: 1 << 30, StatusBytes: 1 << 30}

// LargeSpec is the size from which on a spec is a large one, in bytes: those of
// people and programs are a tenth of it.
const LargeSpec = 8 << 10

// WithDefaults fills in what is not set.
func (l Limits) WithDefaults() Limits {
	if l.Objects == 0 {
		l.Objects = DefaultLimits.Objects
	}
	if l.Servers == 0 {
		l.Servers = DefaultLimits.Servers
	}
	if l.CurrentBytes == 0 {
		l.CurrentBytes = DefaultLimits.CurrentBytes
	}
	if l.SpecBytes == 0 {
		l.SpecBytes = DefaultLimits.SpecBytes
	}
	if l.StatusBytes == 0 {
		l.StatusBytes = DefaultLimits.StatusBytes
	}
	return l
}

// metaMaxBytes in a stream's metadata is the bound that was set here: as long as
// the stream has it, it follows the flag, and another one is the operator's.
const metaMaxBytes = "dynctl.max-bytes"

// setMaxBytes gives an existing bucket its bound, and reports whether it changed.
func setMaxBytes(cfg *jetstream.StreamConfig, maxBytes int64) bool {
	ours := cfg.MaxBytes <= 0 || cfg.Metadata[metaMaxBytes] == strconv.FormatInt(cfg.MaxBytes, 10)
	if maxBytes <= 0 || !ours || cfg.MaxBytes == maxBytes {
		return false
	}
	cfg.MaxBytes = maxBytes
	if cfg.Metadata == nil {
		cfg.Metadata = map[string]string{}
	}
	cfg.Metadata[metaMaxBytes] = strconv.FormatInt(maxBytes, 10)
	return true
}

// codeMaxBytes: the stream is at its bound and discards what is new.
const codeMaxBytes jetstream.ErrorCode = 10077

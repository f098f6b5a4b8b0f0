package state

import "fmt"

// Versions of the protocol between reconciler and agent (docs/protocol.md) that this program
// speaks: the newest, and the oldest that it still works with. What the other side may pass
// over makes no new version; what it would get wrong does.
const (
	ProtocolNewest = 1
	ProtocolOldest = 1
)

// Protocol are the versions of the protocol that one side speaks, all from Oldest to Newest.
type Protocol struct {
	Newest int `json:"newest"`
	Oldest int `json:"oldest"`
}

// SpokenProtocol is what this program speaks.
func SpokenProtocol() Protocol { return Protocol{Newest: ProtocolNewest, Oldest: ProtocolOldest} }

// Common is the version in which two sides work together, the newest that both speak; 0:
// there is none.
func (p Protocol) Common(other Protocol) int {
	if newest := min(p.Newest, other.Newest); newest >= max(p.Oldest, other.Oldest) && newest > 0 {
		return newest
	}
	return 0
}

// String is "version 2", or "versions 1 to 2".
func (p Protocol) String() string {
	if p.Oldest == p.Newest {
		return fmt.Sprintf("version %d", p.Newest)
	}
	return fmt.Sprintf("versions %d to %d", p.Oldest, p.Newest)
}

// Speaks is what the agent speaks; one that does not say was made before there was anything
// to say, and speaks the first.
func (a Agent) Speaks() Protocol {
	if a.Protocol == nil {
		return Protocol{Newest: 1, Oldest: 1}
	}
	return *a.Protocol
}

package state

// ValidateServer returns the rules that s breaks, in the order of its fields.
// s has its defaults filled in.
func ValidateServer(s Server) []*Invalid { return nil }

// ValidateModel returns the rules that m breaks, in the order of its fields. m
// has its defaults filled in, and so has server, the spec of its server.
func ValidateModel(m Model, server ServerSpec) []*Invalid { return nil }

// ConflictModels returns the first conflict of m with another model of its server.
func ConflictModels(m Model, others []Model) *Invalid { return nil }

// ConflictServers returns the first conflict of s with another server.
func ConflictServers(s Server, others []Server) *Invalid { return nil }

// CheckMove refuses a revision of a server that would move its etcd or NATS or
// rename its namespace.
func CheckMove(old, new Server, accepted uint64) *Invalid { return nil }

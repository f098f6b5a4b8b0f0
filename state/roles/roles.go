// Package roles says who may do what with the store: which subjects of NATS each role
// publishes to and hears. It is data; the embedded NATS carries it out, and `dynctl creds
// template` prints it for a NATS of one's own (docs/adr/0023).
package roles

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Role is what a user of the store is.
type Role string

// The roles.
const (
	// Admin writes specs, reads everything and asks for everything. Statuses, leases,
	// observations and commands to start or stop are not his to write.
	Admin Role = "admin"
	// Publisher writes the specs of named servers, and reads their specs and statuses.
	Publisher Role = "publisher"
	// Viewer reads what the reconciler tells it: no logs and no values of environments.
	Viewer Role = "viewer"
	// Reconciler alone writes statuses, leases and commands.
	Reconciler Role = "reconciler"
	// Agent reads commands, and writes observations and facts.
	Agent Role = "agent"
)

// All are the roles, in the order in which they are told.
var All = []Role{Admin, Publisher, Viewer, Reconciler, Agent}

// User is one who may log in. Either NKey or Password is set.
type User struct {
	Name string `json:"name"`
	Role Role   `json:"role"`
	// Servers are those whose specs a publisher writes, sorted.
	Servers []string `json:"servers,omitempty"`
	// NKey is the public key of the user's pair; the other half is the user's alone.
	NKey string `json:"nkey,omitempty"`
	// Password is for clients that cannot sign, such as the agent.
	Password string    `json:"password,omitempty"`
	Created  time.Time `json:"created,omitzero"`
}

// Check refuses a user that cannot be; serverName reports whether a text is a server's name.
func (u User) Check(serverName func(string) bool) error {
	switch {
	case !slices.Contains(All, u.Role):
		return fmt.Errorf("role %q: want %s", u.Role, list(All))
	case u.Role == Publisher && len(u.Servers) == 0:
		return fmt.Errorf("a %s writes the specs of named servers: name them with --server", Publisher)
	case u.Role != Publisher && len(u.Servers) > 0:
		return fmt.Errorf("--server is for a %s: a %s is not bound to servers", Publisher, u.Role)
	case !nameOK(u.Name):
		return fmt.Errorf("name %q: want letters, digits, '-' and '_', 63 at most", u.Name)
	}
	for _, s := range u.Servers {
		if !serverName(s) {
			return fmt.Errorf("%q is no name of a server", s)
		}
	}
	return nil
}

func nameOK(name string) bool {
	other := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	}
	return name != "" && len(name) <= 63 && !strings.ContainsFunc(name, other)
}

func list(all []Role) string {
	var names []string
	for _, r := range all {
		names = append(names, string(r))
	}
	return strings.Join(names, ", ")
}

// Import is one subject of the store that a user apart from it reaches.
type Import struct {
	// Subject is what the user calls it, To what it is in the store.
	Subject, To string
}

// Grant is what a user may do.
type Grant struct {
	// Publish and Subscribe are the subjects that a user of the store's own account may
	// publish to and hear; NotPublish are taken out again.
	Publish, Subscribe, NotPublish []string
	// Answers: a request that it has heard may be answered, wherever its reply is to go.
	Answers bool
	// Apart: the user has an account of its own, which holds nothing but what Imports
	// brings into it. A reply then comes back into that account and nowhere else: in the
	// store's own account, whoever asks chooses the subject that the answer is published
	// on, which may be one that a bucket stores.
	Apart   bool
	Imports []Import
}

// InboxPrefix is where the answers to a role's requests go. Each has its own, so that none
// hears those of another.
func InboxPrefix(r Role) string {
	if r == Admin {
		return "_INBOX" // what every client has by itself
	}
	return "_INBOX_" + string(r)
}

// Subjects on which the reconciler answers, and the agent.
const (
	SubjectRead     = "dynctl.reconciler.read"
	subjectChecks   = "dynctl.reconciler.checks"
	subjectWithheld = "dynctl.reconciler.withheld"
	// SubjectCreds is where users are added and removed.
	SubjectCreds    = "dynctl.reconciler.creds"
	subjectsOfAgent = "dynctl.agent.>"
	// SubjectPresence, with the epoch of a term behind it, is where the holder of the lease
	// answers other reconcilers.
	SubjectPresence = "dynctl.reconciler.presence"
	events          = "DYNCTL_EVENTS"
	// userInfo is where a NATS tells a user of its permissions.
	userInfo = "$SYS.REQ.USER.INFO"
	// jetStreamInfo tells how much the store holds.
	jetStreamInfo = "$JS.API.INFO"
)

// Of is what a user may do.
func Of(u User) Grant {
	switch u.Role {
	case Admin:
		return admin()
	case Reconciler:
		return reconciler()
	case Agent:
		return agent(u.Name)
	case Publisher:
		return publisher(u.Servers)
	case Viewer:
		return Grant{Apart: true, Imports: []Import{
			{subjectChecks, subjectChecks},
			{SubjectRead, SubjectRead + "." + string(Viewer)},
		}}
	}
	return Grant{}
}

// admin may do all that dynctl does, backup and restore included; the latter replaces
// buckets as they were saved.
func admin() Grant {
	return Grant{
		Publish: []string{
			"$KV.dynctl_specs.>", "$JS.API.>", "$JS.ACK.>", "$JS.FC.>", "$JS.SNAPSHOT.>",
			"dynctl.events.*.sweep.>", // dynctl sweep, in the epoch of the leader
			subjectChecks, SubjectCreds, subjectsOfAgent, userInfo,
			"$KV.dynctl_lease.restoring", // dynctl restore holds up the reconcilers
		},
		NotPublish: []string{"$KV.dynctl_specs.store.id"},
		Subscribe:  []string{InboxPrefix(Admin) + ".>", "$KV.>", "dynctl.events.>"},
	}
}

func reconciler() Grant {
	return Grant{
		Publish: []string{
			"$KV.dynctl_specs.>", "$KV.dynctl_status.>", "$KV.dynctl_observed.>", "$KV.dynctl_lease.>",
			"$JS.API.>", "$JS.ACK.>", "$JS.FC.>", "dynctl.events.>", subjectsOfAgent, subjectChecks, SubjectPresence + ".*", userInfo,
		},
		// One that dials a NATS of somebody's has the inbox that every client has.
		Subscribe: []string{InboxPrefix(Reconciler) + ".>", InboxPrefix(Admin) + ".>", "$KV.>", "dynctl.reconciler.>", "dynctl.events.>"},
		Answers:   true,
	}
}

// agent's own inbox is that of the user that a reconciler makes for it. Another has the
// inbox that every client has, for nobody tells it of one.
func agent(name string) Grant {
	const observed = "KV_dynctl_observed"
	g := Grant{
		Publish: []string{
			"$KV.dynctl_observed.>", "dynctl.events.>", subjectWithheld,
			jetStreamInfo, "$JS.API.STREAM.INFO." + observed, "$JS.API.STREAM.MSG.GET." + observed,
			"$JS.API.DIRECT.GET." + observed, "$JS.API.DIRECT.GET." + observed + ".>",
			"$JS.API.STREAM.INFO." + events, "$JS.API.STREAM.NAMES",
		},
		NotPublish: []string{"dynctl.events.*.start.>", "dynctl.events.*.stop.>", "dynctl.events.*.sweep.>"},
		Subscribe:  []string{InboxPrefix(Agent) + ".>", "$KV.dynctl_observed.>", subjectsOfAgent},
		Answers:    true,
	}
	for _, stream := range []string{observed, events} {
		g.Publish = append(g.Publish, "$JS.API.CONSUMER.CREATE."+stream, "$JS.API.CONSUMER.CREATE."+stream+".>",
			"$JS.API.CONSUMER.DURABLE.CREATE."+stream+".>", "$JS.API.CONSUMER.INFO."+stream+".*",
			"$JS.API.CONSUMER.DELETE."+stream+".*", "$JS.API.CONSUMER.MSG.NEXT."+stream+".*",
			"$JS.ACK."+stream+".>", "$JS.FC."+stream+".>")
	}
	if name != string(Agent) {
		g.Subscribe = append(g.Subscribe, InboxPrefix(Admin)+".>")
	}
	return g
}

// publisher reads keys one by one, by the API that names the key in the subject; lists,
// which name it in the request, it has from the reconciler.
func publisher(servers []string) Grant {
	g := Grant{Apart: true, Imports: []Import{
		{subjectChecks, subjectChecks},
		{SubjectRead, SubjectRead + "." + string(Publisher) + "." + strings.Join(servers, "_")},
		// Without it a server puts its own API into the account, before what is imported.
		{jetStreamInfo, jetStreamInfo},
		{"$JS.API.STREAM.INFO.KV_dynctl_specs", "$JS.API.STREAM.INFO.KV_dynctl_specs"},
		{"$JS.API.STREAM.INFO.KV_dynctl_status", "$JS.API.STREAM.INFO.KV_dynctl_status"},
	}}
	same := func(subject string) { g.Imports = append(g.Imports, Import{subject, subject}) }
	for _, s := range servers {
		for _, key := range []string{"server." + s, "model." + s + ".>"} {
			same("$KV.dynctl_specs." + key)
			for _, bucket := range []string{"dynctl_specs", "dynctl_status"} {
				same("$JS.API.DIRECT.GET.KV_" + bucket + ".$KV." + bucket + "." + key)
			}
		}
		same("$KV.dynctl_specs.confirm." + s) // dynctl confirm-deletions
	}
	return g
}

// Exports are the subjects of the store that users apart from it may be given.
func Exports() []string {
	return []string{
		subjectChecks, SubjectRead + ".>", "$KV.dynctl_specs.>", jetStreamInfo,
		"$JS.API.STREAM.INFO.KV_dynctl_specs", "$JS.API.STREAM.INFO.KV_dynctl_status",
		"$JS.API.DIRECT.GET.KV_dynctl_specs.>", "$JS.API.DIRECT.GET.KV_dynctl_status.>",
	}
}

// Reader is whom the reconciler answers on a subject below SubjectRead; false for one that
// no user has.
func Reader(subject string) (User, bool) {
	rest, ok := strings.CutPrefix(subject, SubjectRead+".")
	if !ok {
		return User{}, false
	}
	role, servers, _ := strings.Cut(rest, ".")
	switch Role(role) {
	case Viewer:
		return User{Role: Viewer}, servers == ""
	case Publisher:
		return User{Role: Publisher, Servers: strings.Split(servers, "_")}, servers != ""
	}
	return User{}, false
}

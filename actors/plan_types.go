package actors

import (
	"cmp"
	"time"

	"dynctl/state"
)

// Input is the whole of what a decision rests on.
type Input struct {
	Now     time.Time
	Policy  Policy
	Desired Desired
	// Observed is what the agent reports, Registered what Dynamo's etcd holds, and
	// Frontends what the frontends list; the latter two by server.
	Observed   state.Observed
	Registered map[string]state.Registrations
	Frontends  map[string]state.FrontendView
	// Suspects are the sweep candidates of earlier rounds with when they were first
	// seen as such: nothing is swept on a first look.
	Suspects map[state.UnitKey]time.Time
	// Unclaimed is the same for leases that no actor owns: what is observed may be
	// older than what etcd holds.
	Unclaimed map[LeaseKey]time.Time
	// Whole are the generations behind a gate, since when all of it is there.
	Whole map[GenerationKey]Whole
	// AgentFailure is why no agent stays; nil while one does.
	AgentFailure *state.AgentFailure
	// StoreFull is why the store takes no writes, where it is full; empty: it is not.
	// It holds no numbers that change while it stays so.
	StoreFull string
}

// GenerationKey identifies a generation of a model by its Dynamo namespace.
type GenerationKey struct {
	Server    string
	Namespace string
}

// Whole is since when a worker of every role of a generation has been registered in
// etcd, and known to the frontend; zero: not yet.
type Whole struct {
	Registered, Seen time.Time
}

// LeaseKey identifies a lease in the etcd of a server.
type LeaseKey struct {
	Server string
	Lease  int64
}

// Policy is what the flags of the reconciler say.
type Policy struct {
	StoreID      string
	RayNamespace string
	// PlacementTimeout is how long a group may take that does not wait for nodes.
	PlacementTimeout time.Duration
	// DeleteHold is how long a delete that dynctl did not make is held.
	DeleteHold time.Duration
	// SweepLook is the least time between the two looks before a sweep.
	SweepLook time.Duration
	// AgentTimeout is the age of a heartbeat at which what it says is unknown.
	AgentTimeout time.Duration
}

// DefaultRayNamespace is the Ray namespace of everything that is started, unless
// the reconciler is told another.
const DefaultRayNamespace = "nemo_curator_dynamo"

// DefaultPolicy is the policy of a reconciler that was given no flags, for a store.
func DefaultPolicy(storeID string) Policy {
	return Policy{
		StoreID:          storeID,
		RayNamespace:     DefaultRayNamespace,
		PlacementTimeout: 180 * time.Second,
		DeleteHold:       10 * time.Second,
		SweepLook:        time.Second,
		AgentTimeout:     3 * time.Second,
	}
}

// Desired is what is wanted, as accepted.
type Desired struct {
	// Synced is true once the spec and the status bucket are fully loaded.
	Synced bool
	// Awaited are the objects whose history is needed to tell what was accepted of them.
	Awaited []state.Key
	Servers []DesiredServer // by name; also those that exist by default only
	// Models are sorted by server and name. One that is what it was in the round before is
	// at its place in memory; nobody changes what it points to.
	Models []*DesiredModel
}

// DesiredServer is one server with what it runs.
type DesiredServer struct {
	Name string
	// Explicit is true when a Server spec exists (or is still held after a delete).
	Explicit bool
	Revision uint64 // of the spec entry last seen
	Accepted uint64 // of the accepted one; 0: the defaults
	// RevisionIn and AcceptedIn are when the buckets of these revisions were made.
	RevisionIn, AcceptedIn time.Time
	Spec                   state.ServerSpec
	Template               ServerTemplate
	// Router is the answer for the whole server, from all its accepted models.
	Router state.RouterStatus
	// RoutedBy are the models that made the answer, by name; RoutedAnew those that
	// did so or did not when it was last told, with the revision that changed it.
	RoutedBy   []string
	RoutedAnew []ModelRevision
	// Warnings are what the accepted spec says and what does not do what it seems to.
	Warnings []state.Warning
	// Rejected says why the last revision is not the accepted one; nil if it is.
	Rejected *Rejection
	Deleted  *Deletion
	// SpecMissing: what was accepted is not in the spec bucket any more, and nobody
	// deleted it.
	SpecMissing bool
	// Recovering: its status is lost, and what was accepted is not known yet: it is left
	// as it is.
	Recovering bool
	Status     *state.Status // the previous one
}

// DesiredModel is one model with what it runs.
type DesiredModel struct {
	Server   string
	Name     string
	Revision uint64
	Accepted uint64 // 0: never accepted; Spec and Template are zero
	// RevisionIn and AcceptedIn are when the buckets of these revisions were made.
	RevisionIn, AcceptedIn time.Time
	Spec                   state.ModelSpec
	Template               ModelTemplate
	// Previous is the template of the last generation that was Ready, as long as
	// Template never was: what a failed replacement goes back to.
	Previous *ModelTemplate
	// Others are the templates of other generations that still have units: these are
	// executed again by them.
	Others []ModelTemplate
	// Outdated: this program would render another template for the same revision.
	Outdated bool
	Warnings []state.Warning
	// SpecMissing and Recovering are as in [DesiredServer].
	SpecMissing bool
	Recovering  bool
	Rejected    *Rejection
	Deleted     *Deletion
	Router      state.RouterStatus
	// Carries: its own workers carry Router, not the frontend.
	Carries bool
	Status  *state.Status
}

// Compare orders models by server and name, as [Desired.Models] are.
func (m *DesiredModel) Compare(other *DesiredModel) int {
	return cmp.Or(cmp.Compare(m.Server, other.Server), cmp.Compare(m.Name, other.Name))
}

// ModelRevision is a revision of a model's spec, which may be a delete marker.
type ModelRevision struct {
	Name     string
	Revision uint64
}

// Rejection is why a revision is not accepted.
type Rejection struct {
	Reason  string // a constant
	Message string
}

// Deletion is a delete marker of the spec bucket.
type Deletion struct {
	Revision uint64
	At       time.Time
	// Now: dynctl said so; the hold does not apply.
	Now bool
	// Confirmed: the mass-deletion guard was answered.
	Confirmed bool
}

// Result is what to do about it. Every list is sorted, and every action carries
// a constant reason.
type Result struct {
	Starts  []Start
	Stops   []End // of units of accepted specs
	Sweeps  []End // of orphans
	Revokes []Revoke
	// Gates are to stand, Lifts to go.
	Gates []Gate
	Lifts []Lift
	Waits []Wait
	// Statuses are those of servers, by name, then those of models, by server and name. One
	// that is at the place in memory of one of the plan before says the same of an object of
	// which the same is stored; nobody changes what is pointed to.
	Statuses []*state.Status
	// Gone are the objects whose last unit is gone after a delete: their status is
	// to be removed.
	Gone []state.Key
	// Facts are what the stream is told besides the commands.
	Facts []Fact
	// Suspects, Unclaimed and Whole are those of the next round's input.
	Suspects  map[state.UnitKey]time.Time
	Unclaimed map[LeaseKey]time.Time
	Whole     map[GenerationKey]Whole
	// Orphans are what is reported and waits for a person.
	Orphans []Orphan
	// Warm are the idle worker processes of Ray's that are to be kept, by node; nil: what is
	// to be kept is not known, and empty: none.
	Warm map[string]int
	// NextCheck is when a decision falls due by time alone; zero: never.
	NextCheck time.Time
}

// Start asks for a unit to run, and for attempts of its actors: an actor whose
// attempt is lower is executed or restarted, in place.
type Start struct {
	Template UnitTemplate
	// Attempts by actor name. An actor that is not named is left as it is, but
	// created if it does not exist.
	Attempts map[string]Attempt
	// Placement is the attempt at the placement group.
	Placement Attempt
	Reason    string
	Message   string
	Revision  uint64 // of the spec
	// Seen is the revision of the observed entry that the decision rests on.
	Seen uint64
	// Ahead: another unit of its role waits for this one, and is asked for once it serves.
	// What costs time and no GPU may be done for it beforehand.
	Ahead bool
}

// Attempt numbers an execution. Failures is the number of exits in a row that
// count for the backoff.
type Attempt struct {
	Number   int `json:"number"`
	Failures int `json:"failures"`
}

// End asks for a unit to end gracefully.
type End struct {
	Key         state.UnitKey
	Model       string
	Generation  string
	GracePeriod time.Duration
	// Retires: no other worker of its generation serves in its role, and another
	// generation does. It leaves that one's traffic first.
	Retires bool
	// Ahead: a unit that is made alike waits for its place.
	Ahead    bool
	Reason   string
	Message  string
	Revision uint64 // of the spec; 0: none asks for the unit
	// Seen is the revision of the observed entry that the decision rests on.
	Seen uint64
}

// Revoke asks for the lease of a dead attempt to be revoked in a server's etcd.
type Revoke struct {
	Key     state.UnitKey
	Actor   string
	Attempt int
	Lease   int64
	Reason  string
}

// Gate asks for a generation to be kept out of the frontend's choice: for a gate to be
// put, or for the lease of one that stands to be renewed.
type Gate struct {
	Server, Model        string
	ServedName           string
	Namespace, Component string
	Lease                int64 // 0: it is to be put
	Seen                 int64 // the revision of etcd that this rests on
	Reason               string
}

// Lift asks for a gate to go, by its lease.
type Lift struct {
	Server, Model string
	Namespace     string
	Lease         int64
	Reason        string
}

// Wait is a unit that is wanted and cannot be started now.
type Wait struct {
	Key     state.UnitKey
	Model   string
	Reason  string
	Message string
	Until   time.Time // zero: until something changes
}

// Orphan is a unit under our names that no accepted spec asks for and that is not
// swept by itself.
type Orphan struct {
	Key     state.UnitKey
	Reason  string
	Message string
}

// Fact is something to tell the stream: a type of package events, its object and why.
type Fact struct {
	Type       string
	Server     string
	Model      string
	Unit       string
	Generation string
	Revision   uint64
	Reason     string
	Message    string
	// Models are the models that caused it, with commas between. Cause is what it
	// follows from, where that is not the revision of its object.
	Models string
	Cause  string
}

package main

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"dynctl/actors"
	"dynctl/state"
	"dynctl/state/kv"
)

const planLong = `Show what a set of the files would start, stop and roll, what would wait, and
why: the decision is the reconciler's own, made on what the store and the agent
say now. Without files: what is still to be done. Nothing is written.

The steps are numbered. One begins when the one before it is done: what it starts
is ready, what it stops is gone. What is told is how it goes if all goes well.

Exit code 1: something would change.`

func (a *app) planCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "plan [FILE...]",
		Short:   "Show what would start, stop, roll and wait",
		Long:    planLong,
		Example: "  dynctl plan model.yaml\n  dynctl plan models/ -o json\n  dynctl plan",
	}
	rayNamespace := cmd.Flags().String("ray-namespace", actors.DefaultRayNamespace, "the reconciler's Ray namespace")
	out := outputFlag(cmd, formatTable, formatJSON, formatYAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var docs []state.Doc
		if len(args) > 0 {
			sources, err := a.readSources(cmd.Context(), args)
			if err != nil {
				return err
			}
			if docs, err = decodeSources(cmd.Context(), sources); err != nil {
				return err
			}
		}
		return a.withClient(cmd.Context(), func(c *kv.Client) error {
			info, err := a.plan(cmd.Context(), c, docs, *rayNamespace)
			if err != nil {
				return err
			}
			if out.value != formatTable {
				err = a.encode(out.value, info)
			} else {
				a.printWarnings(docs, info.Warnings)
				a.printPlan(info)
			}
			if err == nil && info.changes() {
				err = errDifference
			}
			return err
		})
	}
	return cmd
}

// planInfo is the shape of `dynctl plan -o json`.
type planInfo struct {
	Specs []planSpec `json:"specs"`
	Rolls []planRoll `json:"rolls"`
	// Steps are what is done, in order, if all goes well: a step begins when the one
	// before is done, that is, when what it starts is ready and what it stops is gone.
	Steps []planStep `json:"steps"`
	// More reports whether there are more steps than are shown.
	More bool `json:"more"`
	// Starts and Stops are those of all steps, in their order.
	Starts []planAction `json:"starts"`
	Stops  []planAction `json:"stops"`
	// Waits are what still waits after the last step.
	Waits []planAction `json:"waits"`
	// Orphans are reported and left alone (see dynctl sweep).
	Orphans []planAction `json:"orphans"`
	// Warnings are what the documents say and what does not do what it seems to;
	// without documents, what the store's say.
	Warnings []state.Warning `json:"warnings"`
}

// planSpec is what set would do with one document.
type planSpec struct {
	Object string `json:"object"` // model/NAME or server/NAME
	Server string `json:"server"`
	Change string `json:"change"` // created, configured or unchanged
}

// planRoll is a model whose units are replaced.
type planRoll struct {
	Server string   `json:"server"`
	Model  string   `json:"model"`
	From   []string `json:"from"` // generations
	To     string   `json:"to"`
	Units  []string `json:"units"` // those that are replaced
	// Order is surge (a new one starts before an old one stops), make-room (an old
	// one stops before a new one starts), or stalled (neither can be done).
	Order string `json:"order"`
	// MaxSurge and MaxUnavailable are the budget; MaxUnavailable is null when the
	// spec does not say: one at a time, and only when nothing can surge.
	MaxSurge       int  `json:"maxSurge"`
	MaxUnavailable *int `json:"maxUnavailable"`
	// Steps are the numbers of the steps that belong to the roll.
	Steps []int `json:"steps"`
}

// Orders of a roll.
const (
	orderSurge    = "surge"
	orderMakeRoom = "make-room"
	orderStalled  = "stalled"
)

// planStep is what is done at once.
type planStep struct {
	Number  int          `json:"number"` // from 1
	Actions []planAction `json:"actions"`
}

// planAction is one unit that is started, restarted, stopped, or waits.
type planAction struct {
	// Action is start, restart (in place), stop, sweep, wait or orphan.
	Action     string `json:"action"`
	Server     string `json:"server"`
	Unit       string `json:"unit"`
	Model      string `json:"model"`
	Generation string `json:"generation"`
	Reason     string `json:"reason"`
	Message    string `json:"message"`
}

// Actions of a plan.
const (
	actionStart   = "start"
	actionRestart = "restart"
	actionStop    = "stop"
	actionSweep   = "sweep"
	actionWait    = "wait"
	actionOrphan  = "orphan"
)

func (i planInfo) changes() bool {
	changed := slices.ContainsFunc(i.Specs, func(s planSpec) bool { return s.Change != "unchanged" })
	return changed || len(i.Rolls)+len(i.Starts)+len(i.Stops) > 0
}

func (a *app) plan(ctx context.Context, c *kv.Client, docs []state.Doc, rayNamespace string) (planInfo, error) {
	have, err := loadDeclared(ctx, c)
	if err != nil {
		return planInfo{}, err
	}
	info := planInfo{
		Specs: []planSpec{}, Rolls: []planRoll{}, Starts: []planAction{},
		Steps: []planStep{}, Stops: []planAction{}, Waits: []planAction{}, Orphans: []planAction{},
	}
	for _, doc := range docs {
		old, exists := have.raw[doc.Key()], have.stored[doc.Key()].Revision != 0
		info.Specs = append(info.Specs, planSpec{refOf(doc.Key()).String(), doc.Key().Server, verbFor(exists, string(old) == string(doc.Raw))})
	}
	if err := have.validate(docs); err != nil {
		return info, err
	}
	info.Warnings = have.warnings(docs)
	world, err := loadWorld(ctx, c)
	if err != nil {
		return info, err
	}
	world.now, world.rayNamespace = a.now(), rayNamespace
	in := world.input(docs)
	if err := rejectedBy(in.Desired, docs); err != nil {
		return info, err
	}
	f := world.foresee(in)
	info.add(f)
	info.Rolls = append(info.Rolls, rolls(in)...)
	for i := range info.Rolls {
		info.Rolls[i].conclude(info.Steps)
	}
	info.Rolls = slices.DeleteFunc(info.Rolls, func(r planRoll) bool { return !r.replaces(info.Steps) })
	return info, nil
}

// add takes the steps and what is left after them from a forecast.
func (i *planInfo) add(f *forecast) {
	i.More = f.more
	for n, r := range f.steps {
		step := planStep{Number: n + 1}
		for _, s := range r.Stops {
			step.Actions = append(step.Actions, planAction{actionStop, s.Key.Server, s.Key.Unit, s.Model, s.Generation, s.Reason, s.Message})
		}
		for _, s := range r.Sweeps {
			step.Actions = append(step.Actions, planAction{actionSweep, s.Key.Server, s.Key.Unit, s.Model, s.Generation, s.Reason, s.Message})
		}
		i.Stops = append(i.Stops, step.Actions...)
		for _, s := range r.Starts {
			t := s.Template
			action := planAction{startOrRestart(s), t.Server, t.Unit, t.Model, t.Generation, s.Reason, s.Message}
			step.Actions, i.Starts = append(step.Actions, action), append(i.Starts, action)
		}
		i.Steps = append(i.Steps, step)
	}
	for _, w := range f.last.Waits {
		i.Waits = append(i.Waits, planAction{actionWait, w.Key.Server, w.Key.Unit, w.Model, "", w.Reason, w.Message})
	}
	for _, s := range f.last.Statuses {
		if c, ok := s.Condition(state.CondUpToDate); ok && c.Reason == actors.WaitRolloutStalled {
			i.Waits = append(i.Waits, planAction{actionWait, s.Server, "", s.Name, "", c.Reason, c.Message})
		}
	}
	for _, o := range f.last.Orphans {
		i.Orphans = append(i.Orphans, planAction{Action: actionOrphan, Server: o.Key.Server, Unit: o.Key.Unit, Reason: o.Reason, Message: o.Message})
	}
}

// startOrRestart tells a unit that is made from one that is restarted in place.
func startOrRestart(s actors.Start) string {
	for _, a := range s.Attempts {
		if a.Number > 1 {
			return actionRestart
		}
	}
	return actionStart
}

// rolls are the models that run units of another generation than the wanted one.
func rolls(in actors.Input) []planRoll {
	var found []planRoll
	for _, m := range in.Desired.Models {
		if m.Deleted != nil || m.Accepted == 0 || m.Spec.Suspend {
			continue
		}
		r := planRoll{Server: m.Server, Model: m.Name, To: m.Template.Generation, MaxSurge: 1, MaxUnavailable: m.Spec.Update.MaxUnavailable, Steps: []int{}}
		if surge := m.Spec.Update.MaxSurge; surge != nil {
			r.MaxSurge = *surge
		}
		for _, u := range in.Observed.Units {
			if u.Server == m.Server && u.Model == m.Name && u.Generation != r.To && u.StoreID == in.Policy.StoreID {
				r.From = append(r.From, u.Generation)
				r.Units = append(r.Units, u.Unit)
			}
		}
		if len(r.Units) > 0 {
			r.From = slices.Compact(slices.Sorted(slices.Values(r.From)))
			found = append(found, r)
		}
	}
	return found
}

// replaces tells a roll from old units that stop because none are wanted.
func (r *planRoll) replaces(steps []planStep) bool {
	for _, s := range steps {
		for _, x := range s.Actions {
			if x.Server == r.Server && x.Model == r.Model && x.Action != actionStop {
				return true
			}
		}
	}
	return r.Order == orderStalled
}

// conclude reads from the steps how a roll goes.
func (r *planRoll) conclude(steps []planStep) {
	r.Order = orderStalled
	for _, s := range steps {
		for _, x := range s.Actions {
			if x.Server != r.Server || x.Model != r.Model {
				continue
			}
			if !slices.Contains(r.Steps, s.Number) {
				r.Steps = append(r.Steps, s.Number)
			}
			switch {
			case x.Reason == actors.ReasonMakeRoom:
				r.Order = orderMakeRoom
			case r.Order == orderStalled:
				r.Order = orderSurge
			}
		}
	}
}

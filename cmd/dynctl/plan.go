package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dynctl/actors"
	"dynctl/state"
	"dynctl/state/kv"
)

const planLong = `Show what a set of the files would start, stop and roll, what would wait, and
why: the decision is the reconciler's own, made on what the store and the agent
say now. Without files: what is still to be done. Nothing is written.

Only the first step of a roll is listed in full; the rest follows as the new
workers become ready.

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
			sources, err := a.readSources(args)
			if err != nil {
				return err
			}
			if docs, err = decodeSources(sources); err != nil {
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
	Specs  []planSpec   `json:"specs"`
	Rolls  []planRoll   `json:"rolls"`
	Starts []planAction `json:"starts"`
	Stops  []planAction `json:"stops"`
	Waits  []planAction `json:"waits"`
	// Orphans are reported and left alone (see dynctl sweep).
	Orphans []planAction `json:"orphans"`
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
	Units  []string `json:"units"`
}

// planAction is one unit that is started, stopped, or waits.
type planAction struct {
	Server     string `json:"server"`
	Unit       string `json:"unit"`
	Model      string `json:"model"`
	Generation string `json:"generation"`
	Reason     string `json:"reason"`
	Message    string `json:"message"`
}

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
		Stops: []planAction{}, Waits: []planAction{}, Orphans: []planAction{},
	}
	for _, doc := range docs {
		old, exists := have.raw[doc.Key()], have.stored[doc.Key()].Revision != 0
		info.Specs = append(info.Specs, planSpec{refOf(doc.Key()).String(), doc.Key().Server, verbFor(exists, string(old) == string(doc.Raw))})
	}
	if err := have.validate(docs); err != nil {
		return info, err
	}
	world, err := loadWorld(ctx, c)
	if err != nil {
		return info, err
	}
	world.now, world.rayNamespace = a.now(), rayNamespace
	in := world.input(docs)
	result := actors.Plan(in)
	info.Rolls = append(info.Rolls, rolls(in)...)
	for _, s := range result.Starts {
		info.Starts = append(info.Starts, planAction{s.Template.Server, s.Template.Unit, s.Template.Model, s.Template.Generation, s.Reason, s.Message})
	}
	for _, s := range result.Stops {
		info.Stops = append(info.Stops, planAction{s.Key.Server, s.Key.Unit, s.Model, s.Generation, s.Reason, s.Message})
	}
	for _, s := range result.Sweeps {
		info.Stops = append(info.Stops, planAction{s.Key.Server, s.Key.Unit, s.Model, s.Generation, s.Reason, s.Message})
	}
	for _, w := range result.Waits {
		info.Waits = append(info.Waits, planAction{w.Key.Server, w.Key.Unit, w.Model, "", w.Reason, w.Message})
	}
	for _, o := range result.Orphans {
		info.Orphans = append(info.Orphans, planAction{Server: o.Key.Server, Unit: o.Key.Unit, Reason: o.Reason, Message: o.Message})
	}
	return info, nil
}

// rolls are the models that run units of another generation than the wanted one.
func rolls(in actors.Input) []planRoll {
	var found []planRoll
	for _, m := range in.Desired.Models {
		if m.Deleted != nil || m.Accepted == 0 || m.Spec.Suspend {
			continue
		}
		r := planRoll{Server: m.Server, Model: m.Name, To: m.Template.Generation}
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

func (a *app) printPlan(info planInfo) {
	var t table
	for _, s := range info.Specs {
		if s.Change != "unchanged" {
			t.add("set", s.Object, s.Change)
		}
	}
	for _, r := range info.Rolls {
		t.add(a.style.warn("roll"), "model/"+r.Model, fmt.Sprintf("%s, %s -> %s", plural(len(r.Units), "unit"), strings.Join(r.From, ", "), r.To))
	}
	list := func(verb string, actions []planAction) {
		for _, x := range actions {
			text := x.Reason
			if x.Message != "" {
				text += ": " + firstLine(x.Message)
			}
			t.add(verb, x.Server+"/"+x.Unit, text)
		}
	}
	list(a.style.good("start"), info.Starts)
	list(a.style.bad("stop"), info.Stops)
	list(a.style.warn("wait"), info.Waits)
	list(a.style.dim("orphan"), info.Orphans)
	if len(t.rows) == 0 {
		fmt.Fprintln(a.out, "nothing to do")
		return
	}
	t.write(a.out)
	fmt.Fprintf(a.out, "\n%d to start, %d to stop, %d to roll, %d to wait\n", len(info.Starts), len(info.Stops), len(info.Rolls), len(info.Waits))
}

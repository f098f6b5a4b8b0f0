package registry

import (
	"maps"
	"reflect"
	"slices"
	"time"

	"dynctl/state"
)

// asking is one probe: what is to be asked, and what has been answered so far.
type asking struct {
	target FrontendTarget
	paces  paces
	before state.FrontendView
	listed []string
	// all: the time has come for those that neither move nor rest.
	all bool
	// sameList: the list is that of the probe before, and so are the models.
	sameList bool
	rested   time.Time    // what rests since then is left alone
	turn     map[int]bool // those that are asked for though they rest
	places   []int        // of the models that may be due, rising

	models  map[string]state.FrontendModel // those of before until something has changed
	changed []string
}

// asking decides, after a list has been heard, what to ask for.
func (p *prober) asking(all bool, listed []string) *asking {
	p.mu.Lock()
	a := &asking{target: p.target, paces: p.paces, before: p.current, listed: listed}
	p.mu.Unlock()
	cfg := p.frontends.cfg
	a.all = all || len(a.target.Moving) == 0
	a.sameList = a.before.Known && slices.Equal(listed, p.listed) && slices.Equal(a.target.Models, p.asked)
	a.rested = time.Now().Add(-cfg.Watched)
	if a.models = a.before.Models; !a.before.Known {
		a.models = map[string]state.FrontendModel{}
	}
	a.places = a.inQuestion()
	if n := len(a.target.Models); a.all && n > 0 {
		a.turn = map[int]bool{}
		for range min(n, int(int64(n)*int64(cfg.Settled)/int64(cfg.Resting))+1) {
			p.turn = (p.turn + 1) % n
			a.turn[p.turn] = true
			a.places = append(a.places, p.turn)
		}
	}
	slices.Sort(a.places)
	a.places = slices.Compact(a.places)
	return a
}

// inQuestion are the places of the models that may be due, beside those whose turn it is. As
// long as the list says the same of the same models, what has rested for long is not.
func (a *asking) inQuestion() []int {
	if a.sameList && a.paces.begun.Before(a.rested) {
		return a.paces.stirring()
	}
	all := make([]int, len(a.target.Models))
	for i := range all {
		all[i] = i
	}
	return all
}

// due reports whether the model at a place of the target's is asked for. A model that has
// just come to the list, or left it, is: the list alone does not say which generation.
func (a *asking) due(i int, name string) bool {
	was, x := a.before.Models[name], a.paces.of(name)
	switch {
	case !a.before.Known, was.Namespaces == nil, x.moves, a.lists(name) != was.Listed:
		return true
	case !a.all:
		return false
	}
	return x.rests.IsZero() || x.rests.After(a.rested) || a.turn[i]
}

func (a *asking) lists(name string) bool {
	if a.sameList {
		return a.before.Models[name].Listed
	}
	_, found := slices.BinarySearch(a.listed, name)
	return found
}

// answered notes what is said of a model now.
func (a *asking) answered(name string, now state.FrontendModel) {
	was, known := a.models[name]
	if known && was.Listed == now.Listed && was.Ready == now.Ready && reflect.DeepEqual(was.Namespaces, now.Namespaces) {
		return
	}
	a.change(name)
	a.models[name] = now
}

// change notes that something else is said of a model; what was shown is left as it is.
func (a *asking) change(name string) {
	if len(a.changed) == 0 {
		a.models = maps.Clone(a.models)
	}
	a.changed = append(a.changed, name)
}

// others notes what is listed and not ours, and forgets what is neither.
func (a *asking) others() {
	if a.sameList {
		return
	}
	for _, name := range a.listed {
		if _, ours := a.paces.places[name]; !ours {
			a.answered(name, state.FrontendModel{Listed: true})
		}
	}
	for name := range a.before.Models {
		_, ours := a.paces.places[name]
		if !ours && !a.lists(name) {
			a.change(name)
			delete(a.models, name)
		}
	}
}

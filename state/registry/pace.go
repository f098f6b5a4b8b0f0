package registry

import (
	"maps"
	"slices"
	"time"
)

// pace is how often a model is asked for.
type pace struct {
	moves bool
	// rests is since when nobody has named it among those that are awake, and it answers the
	// same; zero: it is awake.
	rests time.Time
}

// paces say how often each model of a target is asked for. Only those of which something has
// changed of late are in its maps, but for places. It is not changed, but made anew.
type paces struct {
	begun  time.Time // when the first target was named
	places map[string]int
	moving map[string]bool
	awake  map[string]bool
	// rests is since when a model rests that has come to rest after begun.
	rests map[string]time.Time
}

// pacesOf is how often the models of a target are asked for from now on. watched is after
// how long it does not matter any more when a model has come to rest.
func pacesOf(target, before FrontendTarget, was paces, now time.Time, watched time.Duration) paces {
	p := paces{begun: was.begun, places: was.places, moving: setOf(target.Moving), awake: setOf(target.Awake), rests: map[string]time.Time{}}
	if p.begun.IsZero() {
		p.begun = now
	}
	if p.places == nil || !slices.Equal(target.Models, before.Models) {
		p.places = make(map[string]int, len(target.Models))
		for i, name := range target.Models {
			p.places[name] = i
		}
	}
	for name, since := range was.rests {
		if now.Sub(since) <= watched {
			p.rests[name] = since
		}
	}
	for _, stirred := range []map[string]bool{was.moving, was.awake} {
		for name := range stirred {
			p.rests[name] = now
		}
	}
	maps.DeleteFunc(p.rests, func(name string, _ time.Time) bool {
		_, ours := p.places[name]
		return p.moving[name] || p.awake[name] || !ours
	})
	return p
}

func setOf(names []string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, name := range names {
		set[name] = true
	}
	return set
}

// of is how often one model is asked for.
func (p *paces) of(name string) pace {
	if p.moving[name] {
		return pace{moves: true}
	}
	if p.awake[name] {
		return pace{}
	}
	if since, late := p.rests[name]; late {
		return pace{rests: since}
	}
	return pace{rests: p.begun}
}

// answered has models rest since now at the earliest, of which something else is said.
func (p *paces) answered(names []string, now time.Time) {
	p.rests = maps.Clone(p.rests)
	for _, name := range names {
		if _, ours := p.places[name]; ours && !p.awake[name] && !p.moving[name] {
			p.rests[name] = now
		}
	}
}

// stirring are the places of the models that are not known to have rested for long.
func (p *paces) stirring() (places []int) {
	note := func(name string) {
		if i, ours := p.places[name]; ours {
			places = append(places, i)
		}
	}
	for name := range p.moving {
		note(name)
	}
	for name := range p.awake {
		note(name)
	}
	for name := range p.rests {
		note(name)
	}
	return places
}

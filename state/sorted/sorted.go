// Package sorted changes sorted lists that others may still read. It is pure and imports
// state/same alone of ours.
package sorted

import (
	"slices"

	"dynctl/state/same"
)

// Patch is a sorted list that is changed here and there. The list that it began with stays
// as it is, unless it was begun with [Own]: the first change is made in a copy.
type Patch[E any] struct {
	list  []E
	order func(a, b E) int
	own   bool // nobody else reads list
}

// Of begins with a list that order sorts and in which no two elements compare equal.
func Of[E any](list []E, order func(a, b E) int) Patch[E] {
	return Patch[E]{list: list, order: order}
}

// Own is [Of] a list that nobody else reads: it is changed where it lies, so that a change
// costs no copy of all.
func Own[E any](list []E, order func(a, b E) int) Patch[E] {
	return Patch[E]{list: list, order: order, own: true}
}

// Get is the element at the place of e.
func (p *Patch[E]) Get(e E) (at E, found bool) {
	if i, ok := slices.BinarySearchFunc(p.list, e, p.order); ok {
		return p.list[i], true
	}
	return at, false
}

// Put has e at its place, or, unless it is there any more, nothing.
func (p *Patch[E]) Put(e E, there bool) {
	i, found := slices.BinarySearchFunc(p.list, e, p.order)
	if !there && !found {
		return
	}
	if !p.own {
		p.list, p.own = append(make([]E, 0, len(p.list)+1), p.list...), true
	}
	switch {
	case !there:
		p.list = slices.Delete(p.list, i, i+1)
	case found:
		p.list[i] = e
	default:
		p.list = slices.Insert(p.list, i, e)
	}
}

// List is the list as it is now. Where nothing was put it is the one that it began with, at
// its place in memory.
func (p *Patch[E]) List() []E { return p.list }

// near is how many places further than expected an element is looked for.
const near = 8

// Rises reports whether order sorts a list and no two elements of it compare equal. known is
// a list of which that is known, or nil: two elements that follow one another there as well
// are not looked at, for what is pointed to lies anywhere in memory.
func Rises[E any](list, known []*E, order func(a, b *E) int) bool {
	next, stood := 0, false // in known
	for i := 0; i < len(list); i++ {
		if stood {
			n := same.Start(list[i:], known[next:])
			if i, next = i+n, next+n; i == len(list) {
				break
			}
		}
		e := list[i]
		step := slices.Index(known[next:min(next+near, len(known))], e)
		stands := step >= 0
		if i > 0 && (!stands || !stood) && order(list[i-1], e) >= 0 {
			return false
		}
		if stood = stands; stands {
			next += step + 1
		}
	}
	return true
}

// Package same tells cheaply that nothing has changed: two values are compared bit by bit,
// and what they point to by its address alone. It serves memories that spare work, where
// "I cannot tell" costs a computation and no answer. It is pure and imports nothing of ours.
package same

import "unsafe"

// Bits reports whether two values are the same bits: strings, slices, maps and pointers
// in them are the same places in memory. True means that the values are equal, as long
// as nobody changes what is shared; false means nothing. Whoever remembers a value keeps
// what it points to alive, so no place is used again for another.
//
// What lies between the fields counts too. It is copied with a large struct; one of a few
// words may be copied field by field, and is better compared so.
//
// Unlike a comparison written by hand it forgets no field that is added later.
func Bits[T any](a, b *T) bool {
	return bytesOf(a) == bytesOf(b)
}

func bytesOf[T any](v *T) string {
	return unsafe.String((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))
}

// Slice reports whether two slices have the same elements, bit by bit.
func Slice[T any](a, b []T) bool {
	if len(a) != len(b) {
		return false
	}
	if len(a) == 0 || &a[0] == &b[0] {
		return true
	}
	return allOf(a) == allOf(b)
}

func allOf[T any](list []T) string {
	return unsafe.String((*byte)(unsafe.Pointer(&list[0])), uintptr(len(list))*unsafe.Sizeof(list[0]))
}

// Place reports whether two lists are one, in memory.
func Place[T any](a, b []T) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// DiffPointers is [Diff] of what two lists point to. What is at its place is the same.
func DiffPointers[T any](was, now []*T, order func(a, b *T) int, changed func(was, now *T)) {
	to := func(p **T) *T {
		if p == nil {
			return nil
		}
		return *p
	}
	Diff(was, now, func(a, b **T) int { return order(*a, *b) }, func(was, now **T) { changed(to(was), to(now)) })
}

// atOnce is how many elements are compared in one go: of a long list mostly nearly all are the
// same, and one by one they would take ten times as long.
const atOnce = 64

// Start is how many of the first elements of two lists were found to be the same, at one
// glance; 0: look at them one by one.
func Start[T any](a, b []T) int {
	if len(a) < atOnce || len(b) < atOnce || allOf(a[:atOnce]) != allOf(b[:atOnce]) {
		return 0
	}
	return atOnce
}

// Diff finds what two lists do not share, both sorted by order and without two of one
// place: changed is called with what was and with what is now, in that order. One that is
// gone is nil now, and one that has come was nil. Values that are the same bits are not
// compared further.
func Diff[T any](was, now []T, order func(a, b *T) int, changed func(was, now *T)) {
	if Place(was, now) {
		return
	}
	for len(was) > 0 && len(now) > 0 {
		if n := Start(was, now); n > 0 {
			was, now = was[n:], now[n:]
			continue
		}
		a, b := &was[0], &now[0]
		if !Bits(a, b) {
			switch c := order(a, b); {
			case c < 0:
				changed(a, nil)
				was = was[1:]
				continue
			case c > 0:
				changed(nil, b)
				now = now[1:]
				continue
			}
			changed(a, b)
		}
		was, now = was[1:], now[1:]
	}
	for i := range was {
		changed(&was[i], nil)
	}
	for i := range now {
		changed(nil, &now[i])
	}
}

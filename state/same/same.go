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
	for i := range a {
		if !Bits(&a[i], &b[i]) {
			return false
		}
	}
	return true
}

package plan

import "slices"

// Vetoes are the names of the vetoes, in their order.
func Vetoes() (names []string) {
	for _, v := range vetoes {
		names = append(names, v.name)
	}
	return names
}

// WithoutVeto takes a veto away until it is put back.
func WithoutVeto(name string) (putBack func()) {
	all := vetoes
	vetoes = slices.DeleteFunc(slices.Clone(all), func(v veto) bool { return v.name == name })
	return func() { vetoes = all }
}

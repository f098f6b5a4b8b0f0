package engineflags

import "slices"

// Common is what several tables of one program have in common: the flags that all of
// them know, as the first one has them. There is at least one table.
func Common(tables ...*Table) *Table {
	if len(tables) == 1 {
		return tables[0]
	}
	out := *tables[0]
	out.Parsers = slices.Clone(out.Parsers)
	for i := range out.Parsers {
		p := &out.Parsers[i]
		p.Flags = slices.DeleteFunc(slices.Clone(p.Flags), func(f Flag) bool {
			return slices.ContainsFunc(tables[1:], func(t *Table) bool { return !t.has(f) })
		})
	}
	out.index()
	return &out
}

// has reports whether a table has a flag under its name.
func (t *Table) has(f Flag) bool {
	_, ok := t.exact[dashed("--"+f.Name())]
	return ok
}

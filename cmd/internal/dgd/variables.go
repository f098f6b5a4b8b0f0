package dgd

import (
	"regexp"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

// variables are those whose values the document has, by name.
type variables map[string]string

// known are the variables with a value; a later one of a name counts, and one that
// a Secret or a ConfigMap holds makes its name unknown.
func known(lists ...[]envVar) variables {
	out := variables{}
	for _, v := range slices.Concat(lists...) {
		if v.ValueFrom == nil && !v.untold {
			out[v.Name] = v.Value
		} else {
			delete(out, v.Name)
		}
	}
	return out
}

var reference = regexp.MustCompile(`\$\$|\$\([A-Za-z_][A-Za-z0-9_.-]*\)`)

// inWord puts values in place of $(NAME), as Kubernetes does in command and args;
// $$ is a dollar sign. A name without a value stays as it is written: told is false.
func (vars variables) inWord(word string) (text string, told bool) {
	told = true
	text = reference.ReplaceAllStringFunc(word, func(ref string) string {
		if ref == "$$" {
			return "$"
		}
		if value, ok := vars[ref[2:len(ref)-1]]; ok {
			return value
		}
		told = false
		return ref
	})
	return text, told
}

// resolve writes out the references in the values of the variables, each to those
// before it, as Kubernetes does; what came from a ConfigMap stays as it is.
func resolve(before, vars []envVar) {
	for i := range vars {
		if vars[i].ValueFrom == nil && !vars[i].verbatim {
			text, told := known(before, vars[:i]).inWord(vars[i].Value)
			vars[i].Value, vars[i].untold = text, !told
		}
	}
}

// fields are what a shell makes of a word; ok is false where that takes more than
// the values that are known.
func (vars variables) fields(w *syntax.Word) (fields []string, ok bool) {
	simple, references := true, false
	syntax.Walk(w, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.ParamExp:
			references = true
			simple = simple && vars.plain(n)
		case *syntax.CmdSubst, *syntax.ArithmExp, *syntax.ProcSubst, *syntax.ExtGlob:
			simple = false
		}
		return simple
	})
	if !simple {
		return nil, false
	}
	if !references {
		text, err := expand.Literal(nil, w)
		return []string{text}, err == nil
	}
	var pairs []string
	for name, value := range vars {
		pairs = append(pairs, name+"="+value)
	}
	fields, err := expand.Fields(&expand.Config{Env: expand.ListEnviron(pairs...)}, w)
	return fields, err == nil
}

// plain reports whether the reference is $NAME or ${NAME} of a known variable.
func (vars variables) plain(p *syntax.ParamExp) bool {
	if p.Param == nil {
		return false
	}
	_, ok := vars[p.Param.Value]
	text := printed(p)
	return ok && (text == "$"+p.Param.Value || text == "${"+p.Param.Value+"}")
}

// unknownIn reports whether a value of the flag is, or ends in, a word that only the
// running pod can tell.
func (c command) unknownIn(f flag) bool {
	return slices.ContainsFunc(f.values, func(v string) bool {
		return slices.ContainsFunc(c.computed, func(word string) bool {
			_, value, _ := strings.Cut(word, "=")
			return v == word || value != "" && v == value
		})
	})
}

// assigned takes in the assignments whose values are known and returns them; the
// names of the others are no longer known.
func (vars variables) assigned(list []*syntax.Assign) []envVar {
	var out []envVar
	for _, a := range list {
		if a.Name == nil || a.Value == nil {
			continue
		}
		fields, ok := vars.fields(a.Value)
		if !ok {
			delete(vars, a.Name.Value)
			continue
		}
		// An assignment is one word: it is not split.
		value := strings.Join(fields, " ")
		vars[a.Name.Value] = value
		out = append(out, envVar{Name: a.Name.Value, Value: value})
	}
	return out
}

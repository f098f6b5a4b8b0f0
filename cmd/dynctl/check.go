package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/state"
)

// fileCheck is what the documents of files say on their own. It needs no store, so
// that a mistake is told also where NATS does not answer.
type fileCheck struct {
	*declared
	docs []state.Doc
	errs []error
	// first is where each object is declared first.
	first map[state.Key]state.Doc
}

// decodeSources reads the specs of sources and returns every rule that they break
// whatever the store holds, each with its place. Two documents for one object are
// an error, because the last would silently win.
func decodeSources(ctx context.Context, sources []source) ([]state.Doc, error) {
	c := fileCheck{declared: newDeclared(), first: map[state.Key]state.Doc{}}
	each := make([][]state.Decoded, len(sources))
	count := 0
	for i, s := range sources {
		found, err := state.DecodeFile(s.name, s.data)
		if err != nil {
			c.errs = append(c.errs, err)
			continue
		}
		for d := range found {
			if count++; count > state.MaxDocuments {
				return nil, exit.Usagef("%s:%d: with this document there are more than %d, and a store takes no more objects: set fewer of the files at once",
					s.name, d.Doc.Line, state.MaxDocuments)
			}
			each[i] = append(each[i], d)
			c.take(d)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
		}
	}
	for _, found := range each {
		var errs []error
		for _, d := range found {
			errs = append(errs, c.faults(d)...)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
		}
		slices.SortStableFunc(errs, comparePlaces)
		c.errs = append(c.errs, errs...)
	}
	if err := state.JoinFaults(c.errs...); err != nil {
		return nil, exit.Usagef("%w", err)
	}
	if len(c.docs) == 0 {
		return nil, exit.Usagef("no document in %s", sourceNames(sources))
	}
	slices.SortStableFunc(c.docs, func(x, y state.Doc) int { return x.Key().Compare(y.Key()) })
	return c.docs, nil
}

// take adds a document that can be read to the set that the others are judged by.
func (c *fileCheck) take(d state.Decoded) {
	if len(d.Errs) > 0 {
		return
	}
	key := d.Doc.Key()
	if other, ok := c.first[key]; ok {
		c.errs = append(c.errs, fmt.Errorf("%s:%d: %s is already declared at %s:%d: keep one of them",
			d.Doc.File, d.Doc.Line, refOf(key), other.File, other.Line))
		return
	}
	c.first[key] = d.Doc
	c.docs = append(c.docs, d.Doc)
	c.put(d.Doc)
	c.given[key] = true
}

// faults are the places of a document that cannot be read, and those that break a
// rule.
func (c *fileCheck) faults(d state.Decoded) []error {
	errs := slices.Clone(d.Errs)
	for _, invalid := range c.rules(d) {
		errs = append(errs, d.Doc.Place(invalid))
	}
	return errs
}

func (c *fileCheck) rules(d state.Decoded) []*state.Invalid {
	if len(d.Errs) > 0 {
		return rulesOfPart(d.Doc)
	}
	if len(d.Doc.Raw) > state.MaxValueSize {
		return []*state.Invalid{{
			Reason:  state.ReasonTooLarge,
			Message: fmt.Sprintf("the document has %d bytes as JSON; at most %d are taken: move large content into a file that env fromFile names", len(d.Doc.Raw), state.MaxValueSize),
		}}
	}
	key := d.Doc.Key()
	_, known := c.servers[key.Server]
	if key.Kind == state.KindServer || known {
		return c.check(key)
	}
	// The server may stand in the store: what depends on it is judged there.
	m := c.models[key]
	if found := state.ValidateModel(m, c.server(key.Server).Spec); len(found) > 0 {
		return found
	}
	if invalid := c.names.Conflict(m); invalid != nil {
		return []*state.Invalid{invalid}
	}
	return nil
}

// aloneReasons are the rules that one field breaks by itself. The others say
// something wrong of a document of which a part could not be read.
var aloneReasons = []string{
	state.ReasonInvalidName, state.ReasonUnknownEngine, state.ReasonUnknownMode, state.ReasonUnknownRouterMode,
	state.ReasonUnknownPlane, state.ReasonUnknownValue, state.ReasonInvalidNamespace, state.ReasonInvalidAddress,
	state.ReasonNegativeCount, state.ReasonCountTooHigh, state.ReasonManagedFlag, state.ReasonReservedRouterArgs, state.ReasonManagedEnv,
	state.ReasonInvalidEnv, state.ReasonInvalidArgument, state.ReasonInvalidModel, state.ReasonInvalidServedName,
}

// rulesOfPart are the rules that the readable part of a document breaks.
func rulesOfPart(doc state.Doc) []*state.Invalid {
	var found []*state.Invalid
	switch o := doc.Object; {
	case o.Server != nil:
		found = state.ValidateServer(o.Server.WithDefaults())
	case o.Model != nil:
		found = state.ValidateModel(o.Model.WithDefaults(), state.DefaultedServer(state.DefaultServer).WithDefaults().Spec)
	}
	return slices.DeleteFunc(found, func(i *state.Invalid) bool {
		missing := i.Path == "metadata.name" && refOf(doc.Key()).name == ""
		return missing || !slices.Contains(aloneReasons, i.Reason)
	})
}

func comparePlaces(x, y error) int {
	place := func(err error) (line, column int) {
		if e, ok := errors.AsType[*state.SpecError](err); ok {
			return e.Line, e.Column
		}
		return 0, 0
	}
	lineX, columnX := place(x)
	lineY, columnY := place(y)
	return cmp.Or(cmp.Compare(lineX, lineY), cmp.Compare(columnX, columnY))
}

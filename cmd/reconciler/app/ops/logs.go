package ops

import (
	"cmp"
	"net/url"
	"slices"
	"strings"

	"dynctl/cmd/internal/agentlogs"
	"dynctl/state"
)

// logLink leads to the log of one actor; the owner of the page serves it.
type logLink struct {
	Name string // among those beside it
	Of   string // the whole name, for who hears the link alone
	URL  string
	// Previous leads to the log of the attempt before; empty where there is none.
	Previous string
}

func newLogLink(u state.Unit, a state.Actor) logLink {
	l := logLink{Name: agentlogs.ShortName(u, a), Of: u.Key().String()}
	l.URL = "/logs/" + strings.Join([]string{url.PathEscape(u.Server), url.PathEscape(u.Unit), url.PathEscape(a.Name)}, "/")
	if a.Attempt > 1 {
		l.Previous = l.URL + "?previous=1"
	}
	return l
}

// unitLogs are those of the actors in which something was executed. An actor of
// another store is not asked.
func unitLogs(in Input, u state.Unit) []logLink {
	if u.StoreID != in.StoreID {
		return nil
	}
	var out []logLink
	for _, a := range u.Actors {
		if a.Attempt > 0 {
			out = append(out, newLogLink(u, a))
		}
	}
	return out
}

// logsOf are those of a model, or of the infra unit of a server. Where there are
// units of several generations, the names say of which.
func logsOf(in Input, s state.Status) []logLink {
	var out []logLink
	var generations []string
	for _, u := range in.Units {
		if u.Server != s.Server || u.Model != s.Name {
			continue
		}
		for _, l := range unitLogs(in, *u) {
			out, generations = append(out, l), append(generations, u.Generation)
		}
	}
	if len(slices.Compact(slices.Sorted(slices.Values(generations)))) > 1 {
		for i := range out {
			out[i].Name = generations[i] + "/" + out[i].Name
		}
	}
	return out
}

// logOfExit is the log that an exited attempt wrote: it is the current one until
// the actor is executed again.
func logOfExit(in Input, server string, e state.ExitStatus) *logLink {
	for _, u := range in.Units {
		if u.Server != server || u.Unit != e.Unit || u.StoreID != in.StoreID {
			continue
		}
		for _, a := range u.Actors {
			last := cmp.Or(a.Exit, a.LastExit)
			if last == nil || !last.At.Equal(e.At) || a.Attempt > last.Attempt+1 {
				continue
			}
			l := newLogLink(*u, a)
			if a.Attempt > last.Attempt {
				l.URL = l.Previous
			}
			return &l
		}
	}
	return nil
}

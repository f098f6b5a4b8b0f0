package logs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/cmd/dynctl/internal/prose"
	"dynctl/cmd/internal/verdict"
	"dynctl/state"
	"dynctl/state/kv"
)

// nothingRan says why there is no process to read from, after the last words of
// one that is no more.
func (r *Reader) nothingRan(ctx context.Context, sel Selection) error {
	if sel.Key == (state.Key{}) {
		return exit.NotFoundf("%s has no actor: nothing was executed in it", sel.Name)
	}
	s, err := r.Client.GetStatus(ctx, sel.Key)
	if errors.Is(err, kv.ErrNotFound) {
		return exit.NotFoundf("%s runs nothing: the reconciler has not seen it yet (see `dynctl doctor`)", sel.Name)
	}
	if err != nil {
		return exit.Stored(err)
	}
	told := false
	for _, role := range slices.Sorted(maps.Keys(s.Roles)) {
		if e := s.Roles[role].LastExit; e != nil {
			told = true
			r.note("%s is gone; it ended %s ago: code %d, %s", e.Unit, prose.Age(r.Now(), e.At), e.Code, e.Reason)
			r.tail("", e.LogTail)
			if e.Cause != "" {
				r.note("%s ended because of: %s", e.Unit, prose.WithHint(e.Cause, e.Hint))
			}
		}
	}
	if told {
		return nil
	}
	v := verdict.Judge(&s, r.Now())
	text := fmt.Sprintf("%s runs nothing (%s)", sel.Name, v.Word)
	if v.Blocking != nil && v.Word != verdict.Suspended {
		text += ": " + verdict.Describe(*v.Blocking)
	}
	return exit.NotFoundf("%s", text)
}

package exit

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"dynctl/state/kv"
)

func TestCodeOf(t *testing.T) {
	for _, row := range []struct {
		err  error
		want int
	}{
		{nil, OK},
		{Silent(Difference), Difference},
		{fmt.Errorf("a: %w", Usagef("b")), Usage},
		{NotFoundf("a: %w", kv.ErrConflict), NotFound}, // the outer one counts
		{context.Canceled, Interrupted},
		{fmt.Errorf("a: %w", context.DeadlineExceeded), Timeout},
		{errors.New("a socket"), Unreachable},
		{Stored(fmt.Errorf("a: %w", kv.ErrNotFound)), NotFound},
		{Stored(fmt.Errorf("a: %w", kv.ErrConflict)), Conflict},
		{Stored(fmt.Errorf("a: %w", kv.ErrInvalid)), Usage},
		{Stored(errors.New("a")), Unreachable},
		{Stored(Usagef("a: %w", kv.ErrNotFound)), Usage},
		{Stored(context.Canceled), Interrupted},
		{Stored(nil), OK},
	} {
		if got := CodeOf(row.err); got != row.want {
			t.Errorf("%v: %d, want %d", row.err, got, row.want)
		}
	}
}

func TestErrorsKeepTheirTextAndCause(t *testing.T) {
	cause := errors.New("why")
	if err := Errorf(Timeout, "no answer: %w", cause); err.Error() != "no answer: why" || !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
	if err := Silent(Difference); err.Error() != "" {
		t.Errorf("it says %q", err)
	}
}

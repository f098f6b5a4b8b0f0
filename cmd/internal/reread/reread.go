// Package reread keeps what a file of settings says while the file changes: the last
// version that could be read counts, and what is wrong with the one that is there now is
// known. Files are read again every so often and not watched, since a mounted Secret or
// ConfigMap changes by a link to another directory.
package reread

import (
	"context"
	"strings"
	"sync/atomic"
	"time"
)

// Every is how often a file is read.
const Every = time.Second

// Value is what the last version of a file that could be read says. Its methods may be
// called from any goroutine, but Set and Fail from one at a time.
type Value[T any] struct {
	current atomic.Pointer[T]
	wrong   atomic.Pointer[string]
}

// Get is what counts; nil before the first Set.
func (v *Value[T]) Get() *T { return v.current.Load() }

// Set has another version count. Nothing is wrong then.
func (v *Value[T]) Set(x *T) {
	v.current.Store(x)
	v.wrong.Store(nil)
}

// Keep says that the file is as it was when it was read last.
func (v *Value[T]) Keep() { v.wrong.Store(nil) }

// Fail says why the file as it is now does not count, and reports whether that is to be
// told: it was not told before. The text is the first line of the error.
func (v *Value[T]) Fail(err error) (text string, tell bool) {
	text, _, _ = strings.Cut(err.Error(), "\n")
	was := v.wrong.Swap(&text)
	return text, was == nil || *was != text
}

// Wrong is what Fail said last; empty: the file counts.
func (v *Value[T]) Wrong() string {
	if text := v.wrong.Load(); text != nil {
		return *text
	}
	return ""
}

// Follow calls look until ctx ends.
func Follow(ctx context.Context, look func()) {
	again := time.NewTicker(Every)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-again.C:
			look()
		}
	}
}

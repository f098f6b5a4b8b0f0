package reread

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestTheLastVersionThatCouldBeReadCounts(t *testing.T) {
	var v Value[int]
	if v.Get() != nil || v.Wrong() != "" {
		t.Fatalf("before the first: %v %q", v.Get(), v.Wrong())
	}
	v.Set(new(1))
	for i, tell := range []bool{true, false} {
		if text, told := v.Fail(errors.New("broken\nits line")); text != "broken" || told != tell {
			t.Errorf("failure %d: %q, told %v", i, text, told)
		}
	}
	if _, told := v.Fail(errors.New("otherwise broken")); !told {
		t.Error("another fault is not told")
	}
	if *v.Get() != 1 || v.Wrong() != "otherwise broken" {
		t.Errorf("while it is broken: %d %q", *v.Get(), v.Wrong())
	}
	if v.Keep(); *v.Get() != 1 || v.Wrong() != "" {
		t.Errorf("as it was again: %d %q", *v.Get(), v.Wrong())
	}
	v.Fail(errors.New("broken"))
	if v.Set(new(2)); *v.Get() != 2 || v.Wrong() != "" {
		t.Errorf("after the second: %d %q", *v.Get(), v.Wrong())
	}
}

func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*Every+Every/2)
		defer cancel()
		looks := 0
		begin := time.Now()
		Follow(ctx, func() { looks++ })
		if took := time.Since(begin); looks != 10 || took != 10*Every+Every/2 {
			t.Errorf("%d looks in %s", looks, took)
		}
	})
}

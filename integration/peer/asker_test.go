package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestKillsAreKeptAsText(t *testing.T) {
	want := kill{"tcp", requests{{-5, 3.2, false}, {0.1, 8.4, true}, {5, 2.9, false}}}
	data, err := json.Marshal(want)
	if err != nil || string(data) != `{"plane":"tcp","requests":"-5.0+3.2 0.1+8.4! 5.0+2.9"}` {
		t.Fatalf("%s (%v)", data, err)
	}
	var got kill
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(asked{})); diff != "" {
		t.Errorf("read again (-want +got):\n%s", diff)
	}
	if err := json.Unmarshal([]byte(`{"plane":"tcp","requests":"-5.0"}`), &got); err == nil {
		t.Error("no error for half a request")
	}
}

func TestSilenceIsBetweenAnswers(t *testing.T) {
	k := kill{"nats", requests{
		{-30, 4, false}, // answered at -26
		{-20, 3, false}, // at -17: 9 before the kill
		{-2, 42, false}, // at 40
		{5, 10, true},   // no answer
		{30, 20, false}, // at 50
		{60, 10, false}, // at 70, the last
	}}
	if got := k.silence(0, k.lastBegun()); got != 57 {
		t.Errorf("the longest silence is %v ms, want 57: from -17 to 40", got)
	}
	if got := k.silence(-30, 0); got != 17 {
		t.Errorf("before the kill it is %v ms, want 17", got)
	}
	want := map[string]float64{"kill-silence": 57, "silence-before": 17, "kill-slowest": 42, "kill-failed-count": 1, "kill-asked-count": 4}
	if diff := cmp.Diff(want, k.figures()); diff != "" {
		t.Errorf("the figures (-want +got):\n%s", diff)
	}
	if picture := (measured{Kills: []kill{k}}).drawKills(); !strings.Contains(picture, "crosses: 1<") {
		t.Errorf("the picture:\n%s", picture)
	}
}

// What hangs holds up nobody else, and what ends early has failed.
func TestAskerDoesNotWait(t *testing.T) {
	var n atomic.Int64
	release := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		switch n.Add(1) {
		case 1:
			<-release
		case 2:
			w.WriteHeader(http.StatusNotFound)
			return
		case 3:
			return // a stream without its end
		case 10:
			close(release)
		}
		_, _ = w.Write([]byte("data: {}\n\ndata: [DONE]\n\n"))
	}))
	defer s.Close()
	at, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(at.Port())
	if err != nil {
		t.Fatal(err)
	}
	a := newAsker(context.Background(), port, "m")
	select {
	case <-release:
	case <-time.After(time.Minute):
		t.Fatal("the requests behind one that hangs were not asked")
	}
	all := a.stop(time.Now())
	failed := 0
	for _, x := range all {
		if x.failed {
			failed++
		}
	}
	if len(all) < 10 || failed != 2 {
		t.Errorf("%d of %d have failed, want 2 of at least 10: %v", failed, len(all), all)
	}
}

package doctor

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"dynctl/state"
)

// TestFrontendsAreAskedSideBySide: one that does not answer keeps no other from being asked, and
// what they say is told in the order of their servers.
func TestFrontendsAreAskedSideBySide(t *testing.T) {
	const servers = 3
	var all sync.WaitGroup
	all.Add(servers)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		all.Done()
		all.Wait() // each waits for the others
		if strings.HasPrefix(r.URL.Path, "/b/") {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer s.Close()
	d := &Doctor{}
	for _, name := range []string{"a", "b", "c"} {
		d.servers = append(d.servers, Object{Name: name, Status: &state.Status{Endpoint: s.URL + "/" + name + "/v1"}})
	}
	d.servers = append(d.servers, Object{Name: "d", Status: &state.Status{}}) // has none yet
	d.frontends(t.Context())
	var got []string
	for _, f := range d.findings {
		got = append(got, f.Result)
		t.Log(f.Message)
	}
	if want := []string{OK, Fail, OK}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

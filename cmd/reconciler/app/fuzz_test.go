package app

import (
	"net/http"
	"net/url"
	"testing"
)

// FuzzLogQuery: any query is read or refused, in few words.
func FuzzLogQuery(f *testing.F) {
	for _, seed := range []string{"", "lines=10", "lines=-1", "lines=1e9&previous=1", "previous=maybe", "lines=%zz", "a=b;c", "lines=9999999999999999999999"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		lines, _, err := logQuery(&http.Request{URL: &url.URL{RawQuery: query}})
		if err != nil && len(err.Error()) > 512 {
			t.Errorf("%d bytes: %.300v", len(err.Error()), err)
		}
		if err == nil && (lines < 1 || lines > maxLogLines) {
			t.Errorf("%d lines", lines)
		}
	})
}

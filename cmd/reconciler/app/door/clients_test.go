package door

import (
	"os"
	"strings"
	"testing"
	"time"

	"dynctl/state/kv/tlstest"
)

// What clients of the embedded NATS would refuse is refused at the start, but for a
// certificate that has ended, which is renewed without a restart.
func TestServe(t *testing.T) {
	now := time.Now()
	for _, row := range []struct {
		name  string
		hosts []string
		end   time.Duration
		ca    func(f tlstest.Files) string
		want  string
	}{
		{"good", []string{"127.0.0.1", "h.example"}, time.Hour, nil, ""},
		{"one of a wildcard", []string{"a.w.example"}, time.Hour, nil, ""},
		{"ended", []string{"127.0.0.1"}, -time.Hour, nil, ""},
		{"ended, and for another host", []string{"other.example"}, -time.Hour, nil, "is not for other.example"},
		{"another host", []string{"127.0.0.1", "other.example"}, time.Hour, nil, "is not for other.example, under which the embedded NATS is dialled, but for h.example, *.w.example, 127.0.0.1"},
		{"another authority", []string{"127.0.0.1"}, time.Hour, func(tlstest.Files) string { return tlstest.New(t).NewFiles(t.TempDir()).CA }, "not an authority in --tls-ca"},
		{"the system's", []string{"127.0.0.1"}, time.Hour, func(tlstest.Files) string { return "" }, "which this system does not know"},
		{"a key for an authority", []string{"127.0.0.1"}, time.Hour, func(f tlstest.Files) string { return f.Key }, "holds no certificate"},
		{"no file", []string{"127.0.0.1"}, time.Hour, func(f tlstest.Files) string { return f.CA + ".none" }, "no such file"},
	} {
		ca := tlstest.New(t)
		files := ca.NewFiles(t.TempDir())
		cert, key := ca.Issue(1, now.Add(-100*time.Hour), now.Add(row.end), "127.0.0.1", "h.example", "*.w.example")
		ca.Write(files, cert, key)
		c, err := OpenCertificate(files.Cert, files.Key)
		if err != nil {
			t.Fatal(err)
		}
		authority := files.CA
		if row.ca != nil {
			authority = row.ca(files)
		}
		err = c.Serve(row.hosts, authority)
		switch {
		case row.want == "":
			if err != nil || c.Trusted() != ca.PEM || (c.Trouble(now) == "") != (row.end > 0) && row.end < 0 {
				t.Errorf("%s: %v, trusted %q, trouble %q", row.name, err, c.Trusted(), c.Trouble(now))
			}
		case err == nil || !strings.Contains(err.Error(), row.want) || c.Trusted() != "":
			t.Errorf("%s: %v, want %q", row.name, err, row.want)
		}
	}
}

// Authorities travel to the agent in a variable, which has a bound; what stands between the
// certificates does not.
func TestAuthoritiesHaveABound(t *testing.T) {
	ca := tlstest.New(t)
	file := ca.NewFiles(t.TempDir()).CA
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(strings.Repeat("# a comment\n", maxAuthority) + ca.PEM)
	if got, err := ReadAuthorities(file); err != nil || got != ca.PEM {
		t.Errorf("with comments: %q, %v", got, err)
	}
	write(strings.Repeat(ca.PEM, maxAuthority/len(ca.PEM)+1))
	if _, err := ReadAuthorities(file); err == nil || !strings.Contains(err.Error(), "leave out") {
		t.Errorf("too many: %v", err)
	}
}

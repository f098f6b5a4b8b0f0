package doctor

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"dynctl/cmd/dynctl/internal/together"
	"dynctl/cmd/internal/direct"
)

const (
	// frontendPatience is for one answer of a frontend.
	frontendPatience = 3 * time.Second
	// askedAtOnce is how many frontends are asked side by side; each takes a connection.
	askedAtOnce = 32
)

// frontends asks all of them, and tells of them in the order of their servers.
func (d *Doctor) frontends(ctx context.Context) {
	var under together.Reads
	var answers []func() (Finding, error)
	turns := make(chan struct{}, askedAtOnce)
	for _, o := range d.servers {
		if o.Status == nil || o.Status.Endpoint == "" {
			continue
		}
		answers = append(answers, together.Begin(&under, func() (Finding, error) {
			turns <- struct{}{}
			defer func() { <-turns }()
			return frontend(ctx, o.Name, o.Status.Endpoint), nil
		}))
	}
	for _, answer := range answers {
		f, _ := answer()
		d.findings = append(d.findings, f)
	}
	if len(answers) == 0 {
		d.found(CheckFrontend, OK, "", "no server has a frontend yet")
	}
}

// frontend is what the frontend of a server answers.
func frontend(ctx context.Context, server, endpoint string) Finding {
	ctx, cancel := context.WithTimeout(ctx, frontendPatience)
	defer cancel()
	failed := func(format string, args ...any) Finding {
		next := "see `dynctl status server/" + server + "` and `dynctl logs server/" + server + "`"
		return Finding{CheckFrontend, Fail, "server " + server + ": " + fmt.Sprintf(format, args...), next}
	}
	url := strings.TrimRight(endpoint, "/") + "/models"
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return failed("%v", err)
	}
	response, err := direct.Unchecked.Do(r)
	if err != nil {
		return failed("%v", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return failed("%s answers %s", url, response.Status)
	}
	return Finding{CheckFrontend, OK, fmt.Sprintf("server %s answers at %s", server, endpoint), ""}
}

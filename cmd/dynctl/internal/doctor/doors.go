package doctor

import (
	"slices"
	"strings"

	"dynctl/state/kv"
	"dynctl/state/roles"
)

const (
	nextStoreOpen = "docs/operations.md#who-is-let-in"
	nextRights    = "give the user what `dynctl creds template` prints for its role: docs/operations.md#who-is-let-in"
)

// doors tells who is let in to the store, and what this user and the reconciler lack.
func (d *Doctor) doors() {
	if lacks, _ := d.reads.lacks(); len(lacks) > 0 {
		d.found(CheckStore, Warn, nextRights, "the user of this connection lacks rights of an %s: %s", roles.Admin, strings.Join(lacks, ", "))
	}
	answers, _ := d.reads.checks() // none that answers is found out elsewhere
	d.passOn(answers)
	for _, answer := range answers {
		i := slices.IndexFunc(answer.Checks, func(c kv.Check) bool { return c.Name == kv.CheckDoors })
		if i < 0 {
			continue
		}
		switch c := answer.Checks[i]; {
		case c.Reason == kv.ReasonStoreOpen:
			result := Warn
			if c.State == OK { // reached from its own machine alone
				result = OK
			}
			d.found(CheckStore, result, nextStoreOpen, "%s: %s", c.Reason, c.Text)
			return
		case c.State != OK:
			d.found(CheckStore, Warn, nextRights, "%s", c.Text)
			return
		}
	}
}

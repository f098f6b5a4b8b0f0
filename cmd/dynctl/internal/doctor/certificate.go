package doctor

import (
	"slices"
	"time"

	"dynctl/state/kv"
)

const nextCertificate = "renew the files of --tls-cert and --tls-key, which are read again; who is connected stays: docs/operations.md#tls"

// certificate tells of one that is to be renewed: as a reconciler sees its own, or else as
// NATS has shown it here.
func (d *Doctor) certificate(client *kv.Client) {
	answers, _ := d.reads.checks() // none that answers is found out elsewhere
	for _, answer := range answers {
		i := slices.IndexFunc(answer.Checks, func(c kv.Check) bool { return c.Name == kv.CheckCertificate && c.State != OK })
		if i >= 0 {
			d.found(CheckNATS, Warn, nextCertificate, "%s", answer.Checks[i].Text)
			return
		}
	}
	shown, err := client.JetStream().Conn().TLSConnectionState()
	if err != nil { // it speaks no TLS
		return
	}
	if leaf := shown.PeerCertificates[0]; kv.Ending(leaf, d.Now()) {
		d.found(CheckNATS, Warn, "renew it; who is connected stays", "the certificate of %s ends at %s", d.Address, leaf.NotAfter.UTC().Format(time.RFC3339))
	}
}

package contexts

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"dynctl/state/kv"
)

// DialTimeout bounds one attempt to connect.
const DialTimeout = 5 * time.Second

// portsOfOthers are what people take for NATS.
var portsOfOthers = map[string]string{
	":8265": "Ray's dashboard", ":9600": "the reconciler's own page", ":8000": "Dynamo's frontend", ":2379": "etcd", ":6379": "Ray itself",
}

// CheckScheme refuses a URL of something else than NATS, which would only be silent.
func CheckScheme(natsURL string) error {
	for one := range strings.SplitSeq(natsURL, ",") {
		scheme, rest, ok := strings.Cut(strings.TrimSpace(one), "://")
		if !ok || slices.Contains([]string{"nats", "tls", "ws", "wss"}, scheme) {
			continue
		}
		looks := ""
		host, _, _ := strings.Cut(rest, "/")
		for port, what := range portsOfOthers {
			if strings.HasSuffix(host, port) {
				looks = ", and this looks like " + what
			}
		}
		return fmt.Errorf("%s: the scheme %s:// is wrong for NATS%s; want nats://HOST:PORT, such as %s", kv.Redact(one), scheme, looks, DefaultURL)
	}
	return nil
}

// Options are what NATS is dialled with.
func (c Connection) Options() []nats.Option {
	opts := []nats.Option{nats.Name("dynctl"), nats.Timeout(DialTimeout)}
	if c.User != "" {
		opts = append(opts, nats.UserInfo(c.User, c.Password))
	}
	if c.Token != "" {
		opts = append(opts, nats.Token(c.Token))
	}
	if c.CredsFile != "" {
		opts = append(opts, nats.UserCredentials(c.CredsFile))
	}
	if c.CertFile != "" {
		opts = append(opts, nats.ClientCert(c.CertFile, c.KeyFile))
	}
	if c.CAFile != "" {
		opts = append(opts, nats.RootCAs(c.CAFile))
	}
	if c.NKeyFile != "" {
		opts = append(opts, func(o *nats.Options) error {
			option, err := nats.NkeyOptionFromSeed(c.NKeyFile)
			if err != nil {
				return err
			}
			return option(o)
		})
	}
	return opts
}

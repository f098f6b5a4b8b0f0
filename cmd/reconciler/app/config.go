package app

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"

	"dynctl/actors"
	"dynctl/cmd/reconciler/app/door"
	"dynctl/state/kv"
)

// Config is what the flags say.
type Config struct {
	// NATSURL is an external NATS; empty: the embedded one. NATSURLFile names a file that
	// holds it, for one with a password.
	NATSURL     string
	NATSURLFile string
	// DataDir holds the embedded NATS' store and the spool of events.
	DataDir string
	// Repair has the embedded NATS put damaged files aside, instead of ending with
	// what is wrong with them.
	Repair bool
	// Limits bound the store.
	Limits kv.Limits
	// Listen is the address of the embedded NATS.
	Listen string
	// StoreAuth has the embedded NATS let in nobody without a credential.
	StoreAuth bool
	// AdvertiseNATSURL is what the agent in Ray dials; empty: the URL in use here.
	AdvertiseNATSURL string
	// RayAddress is the URL of Ray's dashboard. RayCluster names a RayCluster of KubeRay
	// ("namespace/name") instead, RayService a RayService, whose active cluster counts.
	RayAddress string
	// RayCA is a file with the authorities, as PEM, of the certificate of a RayAddress with
	// https; empty: those that the system knows.
	RayCA      string
	RayCluster string
	RayService string
	// RayNamespace is the namespace of the actors and placement groups.
	RayNamespace string
	// HTTP is the address of /healthz, /readyz, /metrics and the ops page.
	HTTP string
	// HTTPAllowedHosts are host names under which it may be asked besides loopback and
	// HTTP itself; *.NAME are all below a name.
	HTTPAllowedHosts []string
	// HTTPTokenFile holds what clients from other machines prove themselves by.
	HTTPTokenFile string
	// TLSCert and TLSKey are files of what HTTP and the embedded NATS prove themselves by;
	// empty: neither speaks TLS. TLSCA is one of the authorities that NATS, embedded or not,
	// is checked against; empty: the system's.
	TLSCert, TLSKey, TLSCA string
	// Policy is the file of what specs may ask for; empty: the defaults of package policy.
	Policy string
	// BinDirs are directories on the Ray nodes that hold etcd and nats-server.
	BinDirs []string
	// CacheDir is a directory on the Ray nodes for what engines compile; "off": none.
	CacheDir string
	// StandbyAgent has a second agent wait in Ray beside the one in charge.
	StandbyAgent bool
	// ID names this reconciler in the lease and in events.
	ID string
	// OTLPEndpoint is the URL of a receiver of traces; empty: that of OpenTelemetry's
	// environment variables, or none.
	OTLPEndpoint string
	// CheckPlans holds every plan against the planner's invariants before it is carried out.
	CheckPlans bool
	// LogFormat is text or json.
	LogFormat string
	Verbose   bool
	// ShowVersion asks for the version alone; nothing else is checked then.
	ShowVersion bool
}

// ErrUsage means that a flag is wrong.
var ErrUsage = errors.New("usage")

type listFlag struct{ list *[]string }

func (f listFlag) String() string { return "" }
func (f listFlag) Set(s string) error {
	*f.list = append(*f.list, s)
	return nil
}

type commaFlag struct{ list *[]string }

func (f commaFlag) String() string { return "" }
func (f commaFlag) Set(s string) error {
	for name := range strings.SplitSeq(s, ",") {
		*f.list = append(*f.list, strings.TrimSpace(name))
	}
	return nil
}

// cacheDir is CacheDir as the agent takes it.
func (c Config) cacheDir() string {
	if c.CacheDir == "off" {
		return ""
	}
	return c.CacheDir
}

// ParseFlags reads the command line. It fails with flag.ErrHelp when help was
// asked for, and otherwise with an error that names the flag.
func ParseFlags(args []string, out io.Writer) (Config, error) {
	host, err := os.Hostname()
	if err != nil {
		host = "reconciler"
	}
	var c Config
	fs := flag.NewFlagSet("reconciler", flag.ContinueOnError)
	fs.SetOutput(out)
	fs.StringVar(&c.NATSURL, "nats-url", "", "an external NATS with JetStream; empty: an embedded one")
	fs.StringVar(&c.NATSURLFile, "nats-url-file", "", "a file that holds --nats-url, so that a password in it is on no command line")
	fs.StringVar(&c.DataDir, "data-dir", "dynctl-data", "where the embedded NATS keeps specs and events")
	fs.BoolVar(&c.Repair, "repair", false, "move damaged files of the embedded NATS' store to DATA-DIR/nats.broken-TIME and go on with what is whole")
	c.limitFlags(fs)
	fs.StringVar(&c.Listen, "listen", "127.0.0.1:4322", "address of the embedded NATS")
	fs.BoolVar(&c.StoreAuth, "store-auth", true, "let nobody in to the embedded NATS without a credential; those of this machine are made in DATA-DIR/creds; =false: let everybody in")
	fs.StringVar(&c.AdvertiseNATSURL, "advertise-nats-url", "", "the NATS URL that the agent in Ray dials")
	fs.StringVar(&c.RayAddress, "ray-address", "http://127.0.0.1:8265", "URL of Ray's dashboard")
	fs.StringVar(&c.RayCA, "ray-ca", "",
		"file of the authorities, as PEM, that the certificate of an https:// --ray-address is checked against, read again when it changes; empty: the system's")
	fs.StringVar(&c.RayCluster, "raycluster", "", "namespace/name of a KubeRay RayCluster, instead of --ray-address")
	fs.StringVar(&c.RayService, "rayservice", "", "namespace/name of a KubeRay RayService, whose active cluster counts, instead of --ray-address")
	fs.StringVar(&c.RayNamespace, "ray-namespace", actors.DefaultRayNamespace, "Ray namespace of actors and placement groups")
	fs.StringVar(&c.HTTP, "http", "127.0.0.1:9600", "address of /healthz, /readyz, /metrics and the ops page")
	fs.Var(commaFlag{&c.HTTPAllowedHosts}, "http-allowed-hosts",
		"host names, with commas between them, under which --http may be asked besides loopback and its own address; *.NAME: all below a name")
	fs.StringVar(&c.HTTPTokenFile, "http-token-file", "",
		"file (mode 0600) of tokens for --http, one a line, TOKEN or ROLE TOKEN (viewer, viewer-logs, admin), read again when it changes; empty: other machines get /healthz alone")
	fs.StringVar(&c.TLSCert, "tls-cert", "", "file of the certificate of --http and of the embedded NATS, with its chain, as PEM; read again when it changes; empty: no TLS")
	fs.StringVar(&c.TLSKey, "tls-key", "", "file (mode 0600) of its key")
	fs.StringVar(&c.TLSCA, "tls-ca", "", "file of the authorities, as PEM, that the certificate of NATS (with --nats-url: the external one's) is checked against; empty: the system's")
	fs.StringVar(&c.Policy, "policy", "", "file of what specs may ask for, read again when it changes (dynctl schema policy); empty: the defaults, which docs/policy.md lists")
	fs.Var(listFlag{&c.BinDirs}, "bin-dir", "directory on the Ray nodes with etcd and nats-server (may be repeated)")
	fs.StringVar(&c.CacheDir, "cache-dir", "~/.cache/dynctl", "directory on the Ray nodes in which vLLM keeps what it compiles, for the next worker; off: nowhere")
	fs.BoolVar(&c.StandbyAgent, "standby-agent", false,
		"have a second agent wait in Ray, which takes over when the one in charge ends; it holds about 150 MB of the head's memory; without it a successor takes some seconds")
	fs.StringVar(&c.ID, "id", host+"-"+strconv.Itoa(os.Getpid()), "name of this reconciler in the lease and in events")
	fs.StringVar(&c.OTLPEndpoint, "otlp-endpoint", "", "URL of a receiver of traces (OTLP over HTTP), such as http://127.0.0.1:4318; empty: OTEL_EXPORTER_OTLP_ENDPOINT, or no traces")
	fs.BoolVar(&c.CheckPlans, "check-plans", false, "hold every plan against what must hold of all plans, and carry out none that does not; it costs about as much as making the plan")
	fs.StringVar(&c.LogFormat, "log-format", "text", "text or json")
	fs.BoolVar(&c.Verbose, "v", false, "log more")
	fs.BoolVar(&c.ShowVersion, "version", false, "print the version and end")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return c, err
		}
		return c, fmt.Errorf("%w: %w", ErrUsage, err)
	}
	if c.ShowVersion {
		return c, nil
	}
	if fs.NArg() > 0 {
		return c, fmt.Errorf("%w: unexpected argument %q", ErrUsage, fs.Arg(0))
	}
	if err := c.readNATSURL(); err != nil {
		return c, err
	}
	err = c.check()
	return c, err
}

// readNATSURL takes NATSURL from its file.
func (c *Config) readNATSURL() error {
	if c.NATSURLFile == "" {
		return nil
	}
	if c.NATSURL != "" {
		return fmt.Errorf("%w: --nats-url and --nats-url-file both name the NATS: pass one of them", ErrUsage)
	}
	raw, err := os.ReadFile(c.NATSURLFile)
	if err != nil {
		return fmt.Errorf("%w: --nats-url-file: %w", ErrUsage, err)
	}
	if c.NATSURL = strings.TrimSpace(string(raw)); c.NATSURL == "" {
		return fmt.Errorf("%w: --nats-url-file %s is empty: write the URL into it", ErrUsage, c.NATSURLFile)
	}
	return nil
}

func (c *Config) check() error {
	if c.LogFormat != "text" && c.LogFormat != "json" {
		return fmt.Errorf("%w: --log-format %q: want text or json", ErrUsage, c.LogFormat)
	}
	if _, _, err := net.SplitHostPort(c.HTTP); err != nil {
		return fmt.Errorf("%w: --http %q: want HOST:PORT", ErrUsage, c.HTTP)
	}
	if _, err := door.ParseHosts(c.HTTP, c.HTTPAllowedHosts); err != nil {
		return fmt.Errorf("%w: --http-allowed-hosts %w", ErrUsage, err)
	}
	if u, err := url.Parse(c.OTLPEndpoint); c.OTLPEndpoint != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		return fmt.Errorf("%w: --otlp-endpoint %q: want http://HOST:PORT or https://HOST:PORT", ErrUsage, c.OTLPEndpoint)
	}
	if err := c.checkStore(); err != nil {
		return err
	}
	if err := c.checkRay(); err != nil {
		return err
	}
	return c.checkReach()
}

// checkRay refuses what names no object of Kubernetes, or two, and authorities of nothing.
func (c *Config) checkRay() error {
	for flag, ref := range map[string]string{"--raycluster": c.RayCluster, "--rayservice": c.RayService} {
		if ref != "" && !strings.Contains(ref, "/") {
			return fmt.Errorf("%w: %s %q: want NAMESPACE/NAME", ErrUsage, flag, ref)
		}
	}
	if c.RayCluster != "" && c.RayService != "" {
		return fmt.Errorf("%w: --raycluster %s and --rayservice %s: one of them names the Ray cluster", ErrUsage, c.RayCluster, c.RayService)
	}
	if c.RayCA != "" && (c.RayCluster != "" || c.RayService != "" || !strings.HasPrefix(c.RayAddress, "https://")) {
		return fmt.Errorf("%w: --ray-ca %s is for a dashboard behind https: pass --ray-address https://HOST, too", ErrUsage, c.RayCA)
	}
	return nil
}

// checkStore refuses what does not fit the NATS that holds the store, or its bounds.
func (c *Config) checkStore() error {
	if c.NATSURL == "" {
		if _, _, err := net.SplitHostPort(c.Listen); err != nil {
			return fmt.Errorf("%w: --listen %q: want HOST:PORT", ErrUsage, c.Listen)
		}
	}
	if c.Limits.Objects < 1 || c.Limits.Servers < 1 || min(c.Limits.CurrentBytes, c.Limits.SpecBytes, c.Limits.StatusBytes) < 1<<20 {
		return fmt.Errorf("%w: --max-objects and --max-servers have to be at least 1, --max-current-bytes, --max-spec-bytes and --max-status-bytes 1048576", ErrUsage)
	}
	if c.TLSCA != "" && c.NATSURL == "" && c.TLSCert == "" {
		return fmt.Errorf("%w: --tls-ca %s is for a NATS with TLS, and the embedded one has none: pass --tls-cert and --tls-key, too", ErrUsage, c.TLSCA)
	}
	if c.Repair && c.NATSURL != "" {
		return fmt.Errorf("%w: --repair is for the embedded NATS, and --nats-url %s is not: repair its store where it runs", ErrUsage, kv.Redact(c.NATSURL))
	}
	return c.checkReplicas()
}

// checkReach refuses an agent that would dial itself: a loopback address means
// the machine that dials it, and so does one that names no host, which is for
// listening.
func (c *Config) checkReach() error {
	dials := c.AdvertiseNATSURL
	if dials == "" {
		dials = c.NATSURL
	}
	if dials == "" {
		dials = "nats://" + c.Listen
	}
	remote := c.RayCluster != "" || c.RayService != ""
	if u, err := url.Parse(c.RayAddress); !remote && err == nil {
		remote = !isLoopback(u.Hostname())
	}
	for one := range strings.SplitSeq(dials, ",") {
		u, err := url.Parse(strings.TrimSpace(one))
		if err != nil || u.Host == "" {
			return fmt.Errorf("%w: %q is not a NATS URL: want nats://HOST:PORT", ErrUsage, kv.Redact(one))
		}
		if remote && (isLoopback(u.Hostname()) || namesNoHost(u.Hostname())) {
			return fmt.Errorf("%w: Ray runs on another machine, and its agent cannot reach %s: "+
				"pass --advertise-nats-url nats://HOST:PORT with an address of this machine, and --listen 0.0.0.0:PORT for the embedded NATS", ErrUsage, kv.Redact(one))
		}
	}
	return nil
}

func namesNoHost(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

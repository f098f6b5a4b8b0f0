package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"dynctl/state"
	"dynctl/state/kv"
	"dynctl/state/kv/local"
	"dynctl/state/kv/natsd"
	"dynctl/state/roles"
)

// lock has the embedded NATS let in nobody without a credential. It is called once the
// data directory is this reconciler's alone: two could make two of each.
func (a *App) lock(o *natsd.Options) (err error) {
	if !a.cfg.StoreAuth {
		return nil
	}
	if a.creds, err = natsd.OpenCreds(filepath.Join(a.cfg.DataDir, "creds"), time.Now()); err != nil {
		return err
	}
	if o.Login, err = a.creds.Login(); err != nil {
		return err
	}
	o.Doors = a.creds.Doors()
	return nil
}

// agentCreds are what the agent logs in with, and the URL that it dials.
func (a *App) agentCreds() (natsURL string, creds map[string]string) {
	natsURL, creds = splitCredentials(a.advertisedURL())
	if creds == nil && a.creds != nil {
		creds = map[string]string{"user": natsd.UserAgent, "password": a.creds.AgentPassword(), "inboxPrefix": roles.InboxPrefix(roles.Agent)}
	}
	if ca := a.agentAuthorities(); ca != "" {
		if creds == nil {
			creds = map[string]string{}
		}
		creds["ca"] = ca
	}
	return natsURL, creds
}

// leaveContext leaves a context for whoever runs this program, so that dynctl on this
// machine needs no flag. It is a convenience: without a home directory there is none.
func (a *App) leaveContext() {
	if a.creds == nil {
		return
	}
	dir, err := filepath.Abs(a.cfg.DataDir)
	if err != nil {
		dir = a.cfg.DataDir
	}
	seed := filepath.Join(dir, "creds", filepath.Base(a.creds.SeedPath(natsd.UserAdmin)))
	ca := a.contextAuthorities()
	if err := local.LeaveAuthorities(dir, ca); err != nil {
		a.log.Warn("dynctl --data-dir will not know the authority of the store", "err", err, "fix", "see who owns the directory with the credentials")
	}
	name, err := local.Write(a.contextURL(), dir, seed, ca)
	if err != nil {
		flags := " --nkey " + seed
		if ca != "" {
			flags += " --ca " + ca
		}
		a.log.Warn("no context for dynctl on this machine", "err", err, "creds", filepath.Dir(seed),
			"fix", "dynctl context add NAME --nats-url "+a.contextURL()+flags+", or start this and dynctl with the same XDG_CONFIG_HOME, a directory that may be written")
		return
	}
	a.log.Info("the store lets nobody in without a credential; dynctl on this machine has one", "context", name, "creds", filepath.Dir(seed))
}

// dialable is a URL under which a server that listens on all addresses is dialled from its
// own machine.
func dialable(natsURL string) string {
	u, err := url.Parse(natsURL)
	if err != nil || !namesNoHost(u.Hostname()) {
		return natsURL
	}
	u.Host = "127.0.0.1:" + u.Port()
	return u.String()
}

// credsRequest asks for a change of the users. None of the fields: for the list alone.
type credsRequest struct {
	Add    *roles.User `json:"add,omitempty"`
	Remove string      `json:"remove,omitempty"`
}

// serveCreds changes who may log in, as an admin asks for it.
func (a *App) serveCreds() error {
	if a.cfg.NATSURL != "" {
		return nil // another reconciler may have the NATS embedded
	}
	_, err := a.nc.Subscribe(roles.SubjectCreds, func(m *nats.Msg) {
		users, err := a.changeCreds(m.Data)
		reply := kv.CredsReply{Users: users}
		if err != nil {
			reply.Error, reply.NotFound = err.Error(), errors.Is(err, fs.ErrNotExist)
		}
		if data, err := json.Marshal(reply); err == nil {
			_ = m.Respond(data) // whoever asked asks again
		}
	})
	return err
}

func (a *App) changeCreds(data []byte) ([]roles.User, error) {
	var r credsRequest
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	switch {
	case a.creds == nil:
		return nil, errors.New("this store lets everybody in, so there are no credentials: start the reconciler without --store-auth=false")
	case r.Add != nil:
		u := *r.Add
		if err := u.Check(state.ValidServerName); err != nil {
			return nil, err
		}
		u.Created = time.Now().UTC().Truncate(time.Second)
		if err := a.creds.Add(u); err != nil {
			return nil, err
		}
		a.log.Info("a credential was added", "user", u.Name, "role", u.Role, "servers", strings.Join(u.Servers, ","))
	case r.Remove != "":
		if err := a.creds.Remove(r.Remove); err != nil {
			return nil, err
		}
		a.log.Info("a credential was removed", "user", r.Remove)
	}
	return a.creds.Users(), nil
}

// checkDoors tells of a store that lets everybody in.
func checkDoors(a *App, _ *snapshot) check {
	if lacks := a.lacks.Load(); lacks != nil && len(*lacks) > 0 {
		return check{State: checkDegraded, Text: fmt.Sprintf("the user of this reconciler at %s lacks the rights to %s: give it those that `dynctl creds template` prints",
			kv.Redact(a.natsURL()), someOf(*lacks, ", "))}
	}
	if !a.storeOpen() {
		return check{State: checkOK}
	}
	found := check{State: checkDegraded, Reason: kv.ReasonStoreOpen, Text: storeOpenText(a)}
	if a.onLoopback() { // whoever reaches it has an account on this machine
		found.State = checkOK
	}
	return found
}

func storeOpenText(a *App) string {
	way := "start the reconciler without --store-auth=false"
	if a.cfg.NATSURL != "" {
		way = "set the users that `dynctl creds template` prints there"
	}
	return fmt.Sprintf("%s lets everybody in, and whoever may write there can execute anything on the nodes of Ray: %s", kv.Redact(a.natsURL()), way)
}

// storeOpen reports whether somebody without a credential is let in to the store.
func (a *App) storeOpen() bool {
	if a.natsd != nil {
		return a.creds == nil
	}
	return a.open.Load()
}

// onLoopback reports whether the store is reached from this machine alone.
func (a *App) onLoopback() bool {
	for one := range strings.SplitSeq(a.natsURL(), ",") {
		u, err := url.Parse(strings.TrimSpace(one))
		if err != nil || !isLoopback(u.Hostname()) {
			return false
		}
	}
	return true
}

// How often it is looked whether an external store lets everybody in, and how long that
// may take.
const (
	doorsEvery    = time.Minute
	doorsPatience = 5 * time.Second
)

// watchDoors looks from time to time whether an external store lets everybody in.
func (a *App) watchDoors(ctx context.Context) error {
	if a.cfg.NATSURL == "" {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(doorsEvery)
	defer tick.Stop()
	bare, _ := splitCredentials(a.cfg.NATSURL)
	for {
		looking, cancel := context.WithTimeout(ctx, doorsPatience)
		open := kv.Open(looking, bare, a.authorities()...)
		lacks := a.store.MissingRights(looking, roles.User{Name: natsd.UserReconciler, Role: roles.Reconciler})
		a.lacks.Store(&lacks)
		cancel()
		if was := a.open.Swap(open); open && !was {
			a.log.Warn("the store lets everybody in", "reason", kv.ReasonStoreOpen, "what", storeOpenText(a))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

package natsd

import (
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"dynctl/state/roles"
)

// Doors are who may log in to the embedded server. They may be changed while it runs.
type Doors struct {
	mu    sync.RWMutex
	users map[string]roles.User // by name
	ns    *server.Server
}

// NewDoors lets those users in and nobody else.
func NewDoors(users []roles.User) *Doors {
	d := &Doors{users: map[string]roles.User{}}
	for _, u := range users {
		d.users[u.Name] = u
	}
	return d
}

// Set replaces the users. Whoever is connected and may not be any more, or is another one
// by now, is disconnected.
func (d *Doors) Set(users []roles.User) {
	now := NewDoors(users).users
	d.mu.Lock()
	before, ns := d.users, d.ns
	d.users = now
	d.mu.Unlock()
	if ns == nil {
		return
	}
	gone := map[string]bool{}
	for name, u := range before {
		if n, ok := now[name]; !ok || n.NKey != u.NKey || n.Password != u.Password || n.Role != u.Role || !slices.Equal(n.Servers, u.Servers) {
			gone[name], gone[u.NKey] = true, u.NKey != "" // it is known by its key where it has one
		}
	}
	if len(gone) == 0 {
		return
	}
	conns, err := ns.Connz(&server.ConnzOptions{Username: true, Limit: maxConns})
	if err != nil {
		return // it is shutting down
	}
	for _, c := range conns.Conns {
		if gone[c.AuthorizedUser] {
			_ = ns.DisconnectClientByID(c.Cid) // it is gone already
		}
	}
}

// maxConns is more than there are connections.
const maxConns = 1 << 20

// Check implements [server.Authentication].
func (d *Doors) Check(c server.ClientAuthentication) bool {
	o := c.GetOpts()
	d.mu.RLock()
	u, ok := d.find(o)
	ns := d.ns
	d.mu.RUnlock()
	if !ok || ns == nil || u.NKey != "" && !signed(u.NKey, o.Sig, c.GetNonce()) {
		return false
	}
	user, err := d.register(ns, u)
	if err != nil {
		ns.Errorf("account of %s: %v", u.Name, err)
		return false
	}
	c.RegisterUser(user)
	return true
}

// find is the user that a client says it is. A password is compared here, a signature is
// not.
func (d *Doors) find(o *server.ClientOpts) (roles.User, bool) {
	if o.Nkey != "" {
		for _, u := range d.users {
			if u.NKey == o.Nkey {
				return u, true
			}
		}
		return roles.User{}, false
	}
	u, ok := d.users[o.Username]
	same := subtle.ConstantTimeCompare([]byte(u.Password), []byte(o.Password)) == 1
	return u, ok && u.Password != "" && same
}

func signed(nkey, signature string, nonce []byte) bool {
	sig, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil {
		if sig, err = base64.StdEncoding.DecodeString(signature); err != nil {
			return false
		}
	}
	key, err := nkeys.FromPublicKey(nkey)
	return err == nil && len(nonce) > 0 && key.Verify(nonce, sig) == nil
}

// register is the user as the server takes it, in the store's account or in one that holds
// nothing but what the user is given of that.
func (d *Doors) register(ns *server.Server, u roles.User) (*server.User, error) {
	g := roles.Of(u)
	store := ns.GlobalAccount()
	if !g.Apart && len(g.Publish) == 0 { // an empty list would allow everything
		return nil, fmt.Errorf("role %q is not known", u.Role)
	}
	if !g.Apart {
		p := &server.Permissions{
			Publish:   &server.SubjectPermission{Allow: g.Publish, Deny: g.NotPublish},
			Subscribe: &server.SubjectPermission{Allow: g.Subscribe},
		}
		if g.Answers {
			p.Response = &server.ResponsePermission{MaxMsgs: server.DEFAULT_ALLOW_RESPONSE_MAX_MSGS, Expires: time.Minute}
		}
		return &server.User{Username: u.Name, Account: store, Permissions: p}, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	// Two with the same name may be given different things, one after the other.
	account, made := ns.LookupOrRegisterAccount(accountName(u))
	if !made {
		return &server.User{Username: u.Name, Account: account}, nil
	}
	for _, i := range g.Imports {
		if err := account.AddServiceImport(store, i.Subject, i.To); err != nil {
			return nil, fmt.Errorf("%s: %w", i.Subject, err)
		}
	}
	return &server.User{Username: u.Name, Account: account}, nil
}

// accountName tells apart whatever may be given different things.
func accountName(u roles.User) string {
	return fmt.Sprintf("%s/%s/%s", u.Role, u.Name, u.Servers)
}

// open tells of the server that runs. What users apart from the store may be given of it is
// let out of its account.
func (d *Doors) open(ns *server.Server) error {
	for _, subject := range roles.Exports() {
		if err := ns.GlobalAccount().AddServiceExport(subject, nil); err != nil {
			return fmt.Errorf("export %s: %w", subject, err)
		}
	}
	d.mu.Lock()
	d.ns = ns
	d.mu.Unlock()
	return nil
}

// Users are those who may log in, by name.
func (d *Doors) Users() []roles.User {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var out []roles.User
	for _, name := range slices.Sorted(maps.Keys(d.users)) {
		out = append(out, d.users[name])
	}
	return out
}

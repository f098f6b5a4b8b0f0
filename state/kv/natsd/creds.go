package natsd

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"dynctl/state/roles"
)

// Names of the users that a store has from its first start.
const (
	UserAdmin      = "admin"
	UserReconciler = "reconciler"
	UserAgent      = "agent"
)

// ofAnother is what to do about a directory that another user owns.
const ofAnother = "run the reconciler as the user who owns it, or move it aside, and all credentials are made anew"

// ErrCreds means that the directory of credentials cannot be used.
var ErrCreds = errors.New("credentials not usable")

// Creds are the users of a store, kept in a directory that its owner alone may read:
// users.json with the public half of each, and NAME.nk with the seeds of the users that
// the machine itself has.
type Creds struct {
	dir string

	mu    sync.Mutex
	users []roles.User
	doors *Doors
}

// OpenCreds reads the users in dir. In a directory without any it makes those that a store
// has from its first start. One that cannot be read is never made anew over.
func OpenCreds(dir string, now time.Time) (*Creds, error) {
	c := &Creds{dir: dir}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("%w: %w: make it writable or choose another with --data-dir", ErrCreds, err)
	}
	if err := os.Chmod(dir, 0o700); err != nil { //nolint:gosec // a directory
		return nil, fmt.Errorf("%w: %w: %s", ErrCreds, err, ofAnother)
	}
	data, err := os.ReadFile(c.path())
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("%w: %w: %s", ErrCreds, err, ofAnother)
	default:
		if err := json.Unmarshal(data, &c.users); err != nil {
			return nil, fmt.Errorf("%w: %s: %w: correct the file, or move %s aside, and all credentials are made anew", ErrCreds, c.path(), err, dir)
		}
	}
	for _, u := range []roles.User{
		{Name: UserAdmin, Role: roles.Admin}, {Name: UserReconciler, Role: roles.Reconciler}, {Name: UserAgent, Role: roles.Agent},
	} {
		if err := c.own(u, now); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrCreds, err)
		}
	}
	c.doors = NewDoors(c.users)
	return c, nil
}

// own makes a user that the machine itself has, unless it is there with its secret.
func (c *Creds) own(u roles.User, now time.Time) error {
	at := c.find(u.Name)
	u.Created = now.UTC().Truncate(time.Second)
	if u.Role == roles.Agent {
		if at >= 0 && c.users[at].Password != "" {
			return nil
		}
		u.Password = rand.Text()
	} else {
		seed, err := os.ReadFile(c.SeedPath(u.Name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			if u.NKey, err = c.makeSeed(u.Name); err != nil {
				return err
			}
		case err != nil:
			return err
		default:
			if u.NKey, err = publicOf(seed); err != nil {
				return fmt.Errorf("%s: %w: remove it, and another is made", c.SeedPath(u.Name), err)
			}
			if at >= 0 && c.users[at].NKey == u.NKey {
				return nil
			}
		}
	}
	if at >= 0 {
		c.users = slices.Delete(c.users, at, at+1)
	}
	return c.save(append(c.users, u))
}

func publicOf(seed []byte) (string, error) {
	key, err := nkeys.FromSeed([]byte(strings.TrimSpace(string(seed))))
	if err != nil {
		return "", err
	}
	defer key.Wipe()
	return key.PublicKey()
}

func (c *Creds) makeSeed(name string) (public string, err error) {
	key, err := nkeys.CreateUser()
	if err != nil {
		return "", err
	}
	defer key.Wipe()
	seed, err := key.Seed()
	if err != nil {
		return "", err
	}
	if public, err = key.PublicKey(); err != nil {
		return "", err
	}
	return public, writeSynced(c.SeedPath(name), append(seed, '\n'))
}

func (c *Creds) path() string { return filepath.Join(c.dir, "users.json") }

// SeedPath is where the seed of a user lies that the machine itself has.
func (c *Creds) SeedPath(name string) string { return filepath.Join(c.dir, name+".nk") }

func (c *Creds) find(name string) int {
	return slices.IndexFunc(c.users, func(u roles.User) bool { return u.Name == name })
}

// save keeps the users, and puts them in force.
func (c *Creds) save(users []roles.User) error {
	data, err := json.MarshalIndent(users, "", "  ")
	if err != nil {
		return err
	}
	if err := writeSynced(c.path(), append(data, '\n')); err != nil {
		return err
	}
	c.users = users
	if c.doors != nil {
		c.doors.Set(users)
	}
	return nil
}

// Doors let in those users, also after they have changed.
func (c *Creds) Doors() *Doors { return c.doors }

// Login is how the reconciler itself logs in.
func (c *Creds) Login() (nats.Option, error) {
	return nats.NkeyOptionFromSeed(c.SeedPath(UserReconciler))
}

// AgentPassword is that of the agent's user. The agent has no library to sign with: those
// are not in the images of Ray (docs/adr/0023).
func (c *Creds) AgentPassword() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.users[c.find(UserAgent)].Password
}

// Users are those who may log in, sorted by name, without their passwords.
func (c *Creds) Users() []roles.User {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := slices.Clone(c.users)
	for i := range out {
		if out[i].Password != "" {
			out[i].Password = "hidden"
		}
	}
	slices.SortFunc(out, func(a, b roles.User) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Add lets one more in. Its name must be free.
func (c *Creds) Add(u roles.User) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.find(u.Name) >= 0 {
		return fmt.Errorf("there is a user %s already: remove it with `dynctl creds rm %s`, or give another --name", u.Name, u.Name)
	}
	if (u.NKey == "") == (u.Password == "") {
		return errors.New("want either an nkey or a password")
	}
	if u.NKey != "" && !nkeys.IsValidPublicUserKey(u.NKey) {
		return fmt.Errorf("%q is no public nkey of a user", u.NKey)
	}
	return c.save(append(slices.Clone(c.users), u))
}

// Remove has one let in no more, and disconnects it. [fs.ErrNotExist] where there is none.
func (c *Creds) Remove(name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.find(name)
	switch {
	case name == UserReconciler, name == UserAgent, name == UserAdmin:
		return fmt.Errorf("%s is a user that the reconciler itself has: end the reconciler, remove %s, and start it again to give it another credential", name, c.dir)
	case at < 0:
		return fmt.Errorf("user %s: %w", name, fs.ErrNotExist)
	}
	return c.save(slices.Delete(slices.Clone(c.users), at, at+1))
}

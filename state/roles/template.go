package roles

import (
	"fmt"
	"strings"
)

// StoreAccount is the account that holds the store in a [Template].
const StoreAccount = "DYNCTL"

// Template is a piece of a configuration for a NATS of one's own: the accounts and users
// with their permissions. Passwords come from the environment of that server; whoever
// prefers keys puts an nkey in the place of user and password.
func Template(users []User) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("accounts {")
	p("  %s {", StoreAccount)
	p("    jetstream: enabled")
	p("    exports: [")
	for _, s := range Exports() {
		p("      {service: %q}", s)
	}
	p("    ]")
	p("    users: [")
	for _, u := range users {
		g := Of(u)
		if g.Apart {
			continue
		}
		p("      {%s, permissions: {", login(u))
		p("        publish: {allow: %s%s}", quoted(g.Publish), denied(g.NotPublish))
		p("        subscribe: {allow: %s}", quoted(g.Subscribe))
		if g.Answers {
			p("        allow_responses: {max: 1, expires: \"1m\"}")
		}
		p("      }}")
	}
	p("    ]")
	p("  }")
	for _, u := range users {
		g := Of(u)
		if !g.Apart {
			continue
		}
		p("  %s_%s {", StoreAccount, strings.ToUpper(u.Name))
		p("    imports: [")
		for _, i := range g.Imports {
			p("      {service: {account: %s, subject: %q}, to: %q}", StoreAccount, i.To, i.Subject)
		}
		p("    ]")
		p("    users: [{%s}]", login(u))
		p("  }")
	}
	p("}")
	return b.String()
}

// PasswordVariable is where the server of a [Template] finds the password of a user.
func PasswordVariable(name string) string {
	return "DYNCTL_PASSWORD_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

func login(u User) string {
	if u.NKey != "" {
		return fmt.Sprintf("nkey: %q", u.NKey)
	}
	return fmt.Sprintf("user: %q, password: $%s", u.Name, PasswordVariable(u.Name))
}

func quoted(subjects []string) string {
	all := make([]string, len(subjects))
	for i, s := range subjects {
		all[i] = fmt.Sprintf("%q", s)
	}
	return "[" + strings.Join(all, ", ") + "]"
}

func denied(subjects []string) string {
	if len(subjects) == 0 {
		return ""
	}
	return ", deny: " + quoted(subjects)
}

package ray

import (
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"unicode/utf8"

	"dynctl/state"
)

const (
	// maxCause bounds a cause, in bytes.
	maxCause = 600
	// messageLines is how many lines below an exception belong to its message.
	messageLines = 6
)

var (
	traceback = regexp.MustCompile(`Traceback \(most recent call last\):\s*$`)
	exception = regexp.MustCompile(`^(?:[A-Za-z_]\w*\.)*([A-Za-z_]\w*(?:: .*)?)$`)
	// ofWorker is what Ray puts before what another process of the job wrote.
	ofWorker = regexp.MustCompile(`^\((?:[\w.:@/-]+ )?pid=\d+(?:, ip=[\w.:]+)?\) ?`)
	// spoken are lines that say by themselves why a process ended.
	spoken = regexp.MustCompile(`^(?:Fatal Python error: |Segmentation fault|Killed\b|Bus error|MemoryError\b)` +
		`|(?i:command not found|python[\w.]*: not found|permission denied)\s*$` +
		`|: No module named \S+$` +
		`|error while loading shared libraries: `)
	// announced is what Ray says of a job before anything runs: its whole command line.
	announced = regexp.MustCompile(`Running entrypoint for job \S+: `)
	// handled begins the traceback of what ended nothing.
	handled = regexp.MustCompile(`^(?:Exception ignored in|--- Logging error ---|.*exception was never retrieved)`)
)

// direct is between an exception and the one that was raised from it.
const direct = "The above exception was the direct cause of the following exception:"

// causeOf is the line that says best why the agent's job ended, from its log or from
// Ray's message about it: the exception, what the shell said, what the agent said last
// as an error; else the last line. Empty where there is none.
func causeOf(text string) string {
	r := readCause(text)
	return clipCause(orElse(r.fatal, orElse(r.logged, r.last)))
}

// causeOfSilence is the line that says best why a job that lives sends no heartbeat: what
// the agent tries again and warns of counts, too.
func causeOfSilence(text string) string {
	r := readCause(text)
	return clipCause(orElse(r.fatal, orElse(r.logged, orElse(r.warned, r.last))))
}

func readCause(text string) causeReader {
	var r causeReader
	for raw := range strings.Lines(text) {
		r.read(strings.TrimRight(ofWorker.ReplaceAllString(raw, ""), " \t\r\n"))
	}
	return r
}

// causeReader looks for the cause in a log, line by line.
type causeReader struct {
	fatal  string // the last exception, or line that says why a process ended
	logged string // the agent's last error
	warned string // the agent's last warning that names an error
	last   string // the last line that is neither part of a traceback nor the agent's

	inFrames bool // of a traceback, whose exception follows
	harmless bool // what is raised next ended nothing
	chained  bool // what is raised next came from the exception before, which counts
	goesOn   int  // so many lines more may belong to the exception
}

func (r *causeReader) read(line string) {
	switch {
	case strings.TrimSpace(line) == "", announced.MatchString(line):
		return
	case traceback.MatchString(line):
		r.inFrames = true
		return
	case r.inFrames && strings.ContainsAny(line[:1], " \t^~|+["):
		return
	case r.inFrames:
		r.raised(line)
	case r.goesOn > 0 && !strings.HasPrefix(line, "{"):
		r.fatal += " " + strings.TrimSpace(line)
		r.goesOn--
	case line == direct:
		r.chained = true
	case handled.MatchString(line):
		r.harmless = true
	case spoken.MatchString(line):
		r.fatal = line
	case strings.HasPrefix(line, "{"):
		r.saidByAgent(line)
		return
	}
	r.last = line
}

// raised takes the line below the frames of a traceback.
func (r *causeReader) raised(line string) {
	r.inFrames, r.goesOn = false, 0
	if m := exception.FindStringSubmatch(line); m != nil && !r.harmless && !r.chained {
		r.fatal = m[1]
		if strings.HasSuffix(line, ":") { // its message is the lines below
			r.goesOn = messageLines
		}
	}
	r.harmless, r.chained = false, false
}

// saidByAgent takes a line of the agent's own log.
func (r *causeReader) saidByAgent(line string) {
	var said struct{ Level, Msg, Error, Reason string }
	if json.Unmarshal([]byte(line), &said) != nil {
		return
	}
	text := said.Msg
	if why := orElse(said.Error, said.Reason); why != "" {
		text += ": " + why
	}
	switch {
	case said.Level == "error":
		r.logged = text
	case said.Level == "warn" && said.Error != "":
		r.warned = text
	}
}

// clipCause makes one line of it, no longer than a cause may be.
func clipCause(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) <= maxCause {
		return s
	}
	cut := maxCause
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// ways are what to do about a cause that is known; the first that matches.
var ways = []struct {
	cause *regexp.Regexp
	way   string
}{
	{regexp.MustCompile(`No module named '?nats`), wayDeps},
	{regexp.MustCompile(`No module named '?dynctl_agent|Failed to download runtime_env file package|prematurely been deleted`),
		"Ray has lost the agent's package; it is uploaded again with the next job"},
	{regexp.MustCompile(`No module named '?ray\b|python[\w.]*: (?:command )?not found`),
		"`python` on the PATH of the Ray head has to be the one that Ray runs with: start Ray with the directory of its Python first on PATH"},
	{regexp.MustCompile(`(?i)version mismatch`),
		"`python` on the PATH of the Ray head is another one than the cluster's: start Ray with the directory of its Python first on PATH"},
	{regexp.MustCompile(`^SyntaxError|annotations is not defined|^AttributeError: module 'asyncio'`),
		"the agent needs Python 3.10 to 3.14; `python` on the PATH of the Ray head is another one"},
	{regexp.MustCompile(`No module named`), "put the module into the Python of the Ray head"},
	{regexp.MustCompile(`(?i)cannot pickle|PicklingError|Could not serialize|RecursionError`),
		"the agent cannot send its actors to Ray under this Python: run Ray with a Python from 3.10 to 3.14, and report this line with the version"},
	{regexp.MustCompile(`(?i)No space left on device`), "make room on the disk of the Ray head"},
	{regexp.MustCompile(`(?i)certificate.verify.failed|SSLError|SSLCert|TLS is demanded`),
		"NATS does not prove to the agent what it is: see --tls-cert and --tls-ca, and that the host in --advertise-nats-url is one that the certificate names"},
	{regexp.MustCompile(`(?i)authorization violation|permissions violation|nats: .*auth`),
		"NATS refuses the agent: see the user and password in --advertise-nats-url, or in --nats-url"},
	{regexp.MustCompile(`(?i)NoServersError|no servers available|Connect(?:ion)? ?(?:call failed|refused|RefusedError)|TimeoutError|Name or service not known`),
		"the Ray head has to reach the reconciler's NATS: see --advertise-nats-url, and what lies between them"},
	{regexp.MustCompile(`(?i)MemoryError|out of memory|exit code -9|exit code 137|^Killed`),
		"the Ray head has too little memory, or somebody killed the job: see dmesg there"},
	{regexp.MustCompile(`(?i)runtime_env|runtime environment`), "see runtime_env_setup-*.log and dashboard_agent.log in the Ray session on the head"},
	{regexp.MustCompile(`(?i)supervisor actor|waiting for resources|No available agent`),
		"see that the raylet of the Ray head runs and that its node is not full of processes or out of memory (`ray status`, dashboard_agent.log)"},
}

// wayDeps is for a cluster without nats-py and a build that carries none.
const wayDeps = "the cluster's Python has no nats-py and this build carries none: build it with `make`, or put nats-py into the Ray image"

// wayOf is what to do about a cause; empty where that is not known.
func wayOf(cause string) string {
	for _, w := range ways {
		if w.cause.MatchString(cause) {
			return w.way
		}
	}
	return ""
}

// endError says why a job of the agent's is no more, or does not come up.
type endError struct {
	job   string
	what  string // became of it: "ended (FAILED)"
	cause string
	way   string // out of it; empty where none is known
	kind  error  // ErrDeps, ErrNoPackage, ErrNoAgent or nil
}

func (e *endError) Error() string {
	text := "the agent's job " + e.job + " " + e.what
	for _, part := range []string{e.cause, orElse(e.way, "see `ray job logs "+e.job+"`")} {
		if part != "" {
			text += ": " + part
		}
	}
	return text
}

func (e *endError) Unwrap() error { return e.kind }

// failureOf tells an error without what is another with each job, so that it stays the
// same for as long as its cause does.
func failureOf(err error, job string) state.AgentFailure {
	e := new(endError)
	if !errors.As(err, &e) {
		return state.AgentFailure{Message: state.HideSecrets(clipCause(err.Error())), Way: wayOf(err.Error()), Job: job}
	}
	message := "the agent's job " + e.what
	if e.cause != "" {
		message += ": " + e.cause
	}
	return state.AgentFailure{Message: state.HideSecrets(message), Way: e.way, Job: e.job}
}

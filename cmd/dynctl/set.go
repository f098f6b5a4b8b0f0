package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"dynctl/actors"
	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/state"
	"dynctl/state/kv"
)

const setLong = `Declare servers and models: write the documents of files, directories, glob
patterns or standard input (-) to the store. A file may hold many documents, in
YAML or JSON, or what dynctl get -o yaml printed, edited or not.

Everything is checked before anything is written, also against what the store
holds: one bad document, and nothing changes. Documents are stored as they are
written; defaults are not filled in. What somebody else writes while this is
checked is not overwritten (exit code 4).

--wait ends well only if what was written here is ready: it ends with 4 if somebody
else writes something else meanwhile (other counts and a restart are none).`

const setExample = `  dynctl set model.yaml
  dynctl set models/ --dry-run
  dynctl set model.yaml --wait --timeout 10m
  dynctl convert curator.yaml | dynctl set -`

type setFlags struct {
	dryRun   bool
	wait     bool
	timeout  time.Duration
	revision uint64
	comment  string
}

func (a *app) setCmd() *cobra.Command {
	var f setFlags
	cmd := &cobra.Command{
		Use:     "set FILE...",
		Aliases: []string{"apply"},
		Short:   "Declare servers and models",
		Long:    setLong,
		Example: setExample,
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			sources, err := a.readSources(cmd.Context(), args)
			if err != nil {
				return err
			}
			docs, err := decodeSources(cmd.Context(), sources)
			if err != nil {
				return err
			}
			if cmd.Flags().Changed("if-revision") && len(docs) != 1 {
				return exit.Usagef("--if-revision goes with one document, got %d", len(docs))
			}
			return a.withClient(cmd.Context(), func(c *kv.Client) error {
				s := setter{app: a, client: c, setFlags: f, conditional: cmd.Flags().Changed("if-revision")}
				return s.set(cmd.Context(), docs)
			})
		},
	}
	fs := cmd.Flags()
	fs.BoolVar(&f.dryRun, "dry-run", false, "check and say what would change, but write nothing")
	fs.BoolVar(&f.wait, "wait", false, "wait until every server and model is ready")
	patienceVar(fs, &f.timeout, "timeout", 10*time.Minute, "how long to wait")
	fs.Uint64Var(&f.revision, "if-revision", 0, "write only if this is still the revision; 0: only if there is none")
	fs.StringVarP(&f.comment, "comment", "m", "", "why; shown by history")
	return cmd
}

// setter writes documents.
type setter struct {
	*app
	setFlags
	client      *kv.Client
	conditional bool
	// stored are the revisions that everything was checked against, and that are
	// replaced; 0, as of a key that is not there: there was none.
	stored map[state.Key]kv.SpecEntry
}

func (s *setter) set(ctx context.Context, docs []state.Doc) error {
	have, err := loadDeclared(ctx, s.client)
	if err != nil {
		return err
	}
	s.stored = have.stored
	before := map[state.Key][]byte{}
	for key := range have.stored {
		before[key] = have.raw[key]
	}
	if err := have.validate(docs); err != nil {
		return err
	}
	s.printWarnings(docs, have.warnings(docs))
	for _, doc := range docs {
		if err := s.checkRevision(doc.Key()); err != nil {
			return err
		}
	}
	written := map[state.Key]uint64{}
	for _, doc := range docs {
		key := doc.Key()
		old, exists := before[key]
		if written[key], err = s.write(ctx, doc, verbFor(exists, bytes.Equal(old, doc.Raw))); err != nil {
			return err
		}
	}
	if !s.wait || s.dryRun {
		return nil
	}
	return s.waitReady(ctx, docs, written)
}

func verbFor(exists, same bool) string {
	switch {
	case !exists:
		return "created"
	case same:
		return "unchanged"
	}
	return "configured"
}

// checkRevision refuses before anything is written; PutSpec refuses again if
// somebody is faster.
func (s *setter) checkRevision(key state.Key) error {
	if have := s.stored[key].Revision; s.conditional && have != s.revision {
		return exit.Errorf(exit.Conflict, "%s is at revision %d, not %d: look at it with `dynctl history %s`, then set it again", refOf(key), have, s.revision, refOf(key))
	}
	return nil
}

// write stores one document, unless that is what stands there, and returns its revision.
func (s *setter) write(ctx context.Context, doc state.Doc, verb string) (revision uint64, err error) {
	key := doc.Key()
	suffix := ""
	revision = s.stored[key].Revision
	if s.dryRun {
		suffix = " (dry run)"
	} else if verb != "unchanged" {
		if revision, err = s.put(ctx, doc, revision); err != nil {
			return 0, err
		}
	}
	_, err = fmt.Fprintf(s.out, "%s %s%s\n", refOf(key), verb, suffix)
	return revision, err
}

// put replaces the revision that the document was checked against, and no other. That
// somebody else wrote the very same meanwhile is no conflict.
func (s *setter) put(ctx context.Context, doc state.Doc, replaces uint64) (uint64, error) {
	key := doc.Key()
	revision, err := s.client.PutSpec(ctx, key, doc.Raw, kv.PutOptions{IfRevision: &replaces, Author: author(), Comment: s.comment})
	if !errors.Is(err, kv.ErrConflict) {
		return revision, exit.Stored(err)
	}
	if e, err := s.client.GetSpec(ctx, key); err == nil && bytes.Equal(e.Value, doc.Raw) {
		return e.Revision, nil
	}
	return 0, changedMeanwhile(ctx, s.client, key)
}

// waitReady waits for servers and models, for the revisions that stand there since
// they were written; what is suspended, or asks for no replica, only has to be seen as such.
func (s *setter) waitReady(ctx context.Context, docs []state.Doc, written map[state.Key]uint64) error {
	w := waiter{app: s.app, client: s.client, timeout: s.timeout, asked: map[state.Key]asked{}}
	var ready, suspended, none []state.Key
	for _, doc := range docs {
		w.asked[doc.Key()] = asked{revision: written[doc.Key()], doc: doc}
		switch m := doc.Object.Model; {
		case m != nil && m.Spec.Suspend:
			suspended = append(suspended, doc.Key())
		case m != nil && m.Spec.Replicas != nil && *m.Spec.Replicas == 0:
			none = append(none, doc.Key())
		default:
			ready = append(ready, doc.Key())
		}
	}
	if err := w.all(ctx, ready, goal{typ: state.CondReady, status: state.StatusTrue}); err != nil {
		return err
	}
	if err := w.all(ctx, none, goal{typ: state.CondReady, status: state.StatusTrue, reason: actors.CondScaledToZero}); err != nil {
		return err
	}
	return w.all(ctx, suspended, goal{typ: state.CondSuspended, status: state.StatusTrue})
}

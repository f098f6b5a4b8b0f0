package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/state/kv"
	"dynctl/state/kv/natsd"
)

const restoreLong = `Put a backup in place of the store: through NATS, with a reconciler running or not,
or with --data-dir into the files of a reconciler that does not start. The file is
checked first. A store that holds anything is replaced with --overwrite alone; files
are then moved aside, to DIR/nats.replaced-TIME.

It is the same store afterwards, under its own id: what runs goes on, and nothing is
restarted that the backup knows. What was changed since rolls back, within its update
budget, and what was deleted since starts again. What was declared since is not in the
backup: it runs on, says SpecMissing, and is there to be set again or deleted.`

func (a *app) restoreCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "restore FILE", Short: "Put a backup in place of the store", Long: restoreLong,
		Example: "  dynctl restore dynctl.backup\n  dynctl restore dynctl.backup --data-dir /var/lib/dynctl --overwrite",
		Args:    cobra.ExactArgs(1),
	}
	overwrite := cmd.Flags().Bool("overwrite", false, "replace a store that is not empty")
	dataDir := cmd.Flags().String("data-dir", "", "restore the files below a reconciler's --data-dir, which must not run")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		f, err := os.Open(args[0])
		if err != nil {
			return exit.Usagef("%w", err)
		}
		defer f.Close()
		ctx := cmd.Context()
		if *dataDir != "" {
			return a.restoreFiles(ctx, f, *dataDir, *overwrite)
		}
		return a.withClient(ctx, func(c *kv.Client) error {
			info, err := c.Restore(ctx, f, *overwrite)
			if err != nil {
				return restoreErr(args[0], err)
			}
			fmt.Fprintf(a.out, "restored: %s, as of %s\n", holds(info), info.Taken.Format(time.RFC3339))
			return nil
		})
	}
	return cmd
}

func restoreErr(file string, err error) error {
	switch {
	case errors.Is(err, kv.ErrBadBackup):
		return exit.Errorf(exit.Usage, "%s: %w; nothing was changed", file, err)
	case errors.Is(err, kv.ErrNotEmpty):
		return exit.Errorf(exit.Conflict, "%w; nothing was changed: --overwrite replaces it, and `dynctl backup` saves it before", err)
	case errors.Is(err, kv.ErrHalfRestored):
		return exit.Errorf(exit.Unreachable, "%w; reconcilers let the store be until it is whole, and what runs goes on: `dynctl restore %s --overwrite` again", err, file)
	}
	return exit.Stored(err)
}

// restoreFiles restores below dataDir by an embedded NATS of its own, beside what is
// there, which makes way only once that is complete.
func (a *app) restoreFiles(ctx context.Context, f io.ReadSeeker, dataDir string, overwrite bool) error {
	store := filepath.Join(dataDir, "nats")
	unlock, err := lockStore(store)
	if err != nil {
		return err
	}
	defer unlock()
	there, err := filepath.Glob(filepath.Join(store, "jetstream", "*", "streams", "*"))
	if err != nil {
		return exit.Usagef("--data-dir: %w", err)
	}
	if len(there) > 0 && !overwrite {
		return restoreErr("", fmt.Errorf("%w: there is %s", kv.ErrNotEmpty, there[0]))
	}
	made := store + ".restoring"
	if err := os.RemoveAll(made); err != nil {
		return exit.Usagef("%w", err)
	}
	info, err := restoreInto(ctx, f, made)
	if err != nil {
		return errors.Join(restoreErr("the backup", err), os.RemoveAll(made))
	}
	aside := store + ".replaced-" + a.now().UTC().Format("20060102T150405Z")
	if err := os.Rename(store, aside); err == nil {
		fmt.Fprintf(a.err, "what was there is in %s\n", aside)
	} else if !errors.Is(err, os.ErrNotExist) {
		return exit.Usagef("%w", err)
	}
	if err := os.Rename(made, store); err != nil {
		return exit.Usagef("%w", err)
	}
	fmt.Fprintf(a.out, "restored: %s, as of %s; start the reconciler\n", holds(info), info.Taken.Format(time.RFC3339))
	return nil
}

// lockStore holds the lock that the embedded NATS holds while it runs.
func lockStore(store string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(store, "dynctl.lock"), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return func() {}, nil
	}
	if err != nil {
		return nil, exit.Usagef("%w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, exit.Errorf(exit.Conflict, "%s is in use by a reconciler: end it, or restore through it without --data-dir", store)
	}
	return func() { _ = f.Close() }, nil
}

func restoreInto(ctx context.Context, f io.ReadSeeker, dir string) (info kv.BackupInfo, err error) {
	if info, err = kv.CheckBackup(f); err != nil {
		return info, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return info, err
	}
	server, err := natsd.Start(natsd.Options{StoreDir: dir, Port: -1})
	if err != nil {
		return info, err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, server.Shutdown(closing), server.Sync())
	}()
	nc, err := server.Connect()
	if err != nil {
		return info, err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return info, err
	}
	return kv.New(js).Restore(ctx, f, false)
}

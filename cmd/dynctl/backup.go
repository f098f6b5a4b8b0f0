package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/state"
	"dynctl/state/kv"
)

const backupLong = `Write one file with the specs (every revision that is kept), the statuses with what
was accepted, and the store id, with a checksum over all of it. The file holds what
the specs hold: keep it as you keep them. - is standard output.`

func (a *app) backupCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "backup FILE", Short: "Write the store to one file", Long: backupLong,
		Example: "  dynctl backup dynctl-$(date +%F).backup",
		Args:    cobra.ExactArgs(1),
	}
	overwrite := cmd.Flags().Bool("overwrite", false, "replace FILE if it is there")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		return a.withClient(ctx, func(c *kv.Client) error {
			if args[0] == "-" {
				_, err := c.Backup(ctx, a.out, a.now())
				return exit.Stored(err)
			}
			info, size, err := a.backupTo(ctx, c, args[0], *overwrite)
			if err != nil {
				return err
			}
			fmt.Fprintf(a.out, "%s written: %s, %d bytes\n", args[0], holds(info), size)
			return nil
		})
	}
	return cmd
}

// replaceable is the file that a backup is renamed to: where path is a symbolic link, what that
// leads to. Nothing but a file makes way for one, no device and no pipe.
func replaceable(path string, overwrite bool) (string, error) {
	there, err := os.Lstat(path)
	if err == nil && there.Mode()&os.ModeSymlink != 0 {
		led, err := filepath.EvalSymlinks(path)
		if err != nil {
			return "", exit.Usagef("%s is a symbolic link that leads nowhere: %w", path, err)
		}
		path = led
		there, _ = os.Lstat(path)
	}
	switch {
	case err != nil:
		return path, nil //nolint:nilerr // it is not there, or cannot be written, which is told then
	case !there.Mode().IsRegular():
		return "", exit.Usagef("%s is no file that can be replaced (%s): name another, or - for standard output", path, there.Mode().Type())
	case !overwrite:
		return "", exit.Usagef("%s is there already: name another file, or pass --overwrite", path)
	}
	return path, nil
}

// backupTo writes a backup that is there whole or not at all.
func (a *app) backupTo(ctx context.Context, c *kv.Client, path string, overwrite bool) (info kv.BackupInfo, size int64, err error) {
	if path, err = replaceable(path, overwrite); err != nil {
		return info, 0, err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".tmp-*") // readable by its owner alone
	if err != nil {
		return info, 0, exit.Usagef("%w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	info, err = c.Backup(ctx, f, a.now())
	if err != nil {
		return info, 0, errors.Join(exit.Stored(err), f.Close())
	}
	size, err = f.Seek(0, io.SeekEnd)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return info, 0, exit.Errorf(exit.Unreachable, "write %s: %w", path, err)
	}
	return info, size, os.Rename(f.Name(), path)
}

func holds(info kv.BackupInfo) string {
	text := "store " + info.StoreID
	for _, b := range info.Buckets {
		what := "spec"
		if b.Name == kv.BucketStatus {
			what = "status"
		}
		text += fmt.Sprintf(", %s (%s)", state.Counted(int(max(b.Keys, 1)-1), what), state.Counted(int(max(b.Revisions, 1)-1), "revision"))
	}
	return text
}

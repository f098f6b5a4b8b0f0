package local

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// Helper is a program in Python beside a stack that takes a command a line and answers each
// with a line of JSON. An answer with a field "error" is one.
type Helper struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// StartHelper starts a script with some variables beside those of this process, and waits
// for the line by which it says that it is ready. What it writes to stderr goes to log.
func (c Config) StartHelper(log io.Writer, env []string, script string, args ...string) (*Helper, error) {
	cmd := exec.Command(filepath.Join(c.Venv, "bin", "python"), append([]string{script}, args...)...)
	cmd.Env = append(append(os.Environ(), MarkEnv+"="+c.TempDir, "RAY_USAGE_STATS_ENABLED=0"), env...)
	cmd.Stderr = log
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	h := &Helper{cmd, in, bufio.NewReader(out)}
	if err := h.answer(&struct{}{}); err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

// Ask sends a command and decodes the answer.
func (h *Helper) Ask(command []byte, answer any) error {
	if _, err := h.in.Write(append(command, '\n')); err != nil {
		return err
	}
	return h.answer(answer)
}

func (h *Helper) answer(into any) (err error) {
	var line []byte
	for !bytes.HasPrefix(line, []byte("{")) { // Ray prints what it likes in between
		if line, err = h.out.ReadBytes('\n'); err != nil {
			return err
		}
	}
	var failed struct{ Error string }
	if err := json.Unmarshal(line, &failed); err != nil {
		return err
	}
	if failed.Error != "" {
		return errors.New(failed.Error)
	}
	return json.Unmarshal(line, into)
}

// Close ends the program, whatever it waits for.
func (h *Helper) Close() {
	_ = h.in.Close()
	_ = h.cmd.Process.Kill()
	_ = h.cmd.Wait()
}

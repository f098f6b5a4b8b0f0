package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/cmd/internal/direct"
	"dynctl/cmd/internal/verdict"
	"dynctl/state"
	"dynctl/state/kv"
)

const chatLong = `Ask a model, through its server's OpenAI endpoint, and print the answer as it
comes. Without a prompt: a conversation, line by line, at a terminal; else all
of standard input is the prompt.`

func (a *app) chatCmd() *cobra.Command {
	var chat conversation
	cmd := &cobra.Command{
		Use:               "chat MODEL [PROMPT]",
		Short:             "Ask a model something",
		Long:              chatLong,
		Example:           "  dynctl chat qwen3-8b \"Why is the sky blue?\"\n  git diff | dynctl chat qwen3-8b --system \"Review this\"\n  dynctl chat qwen3-8b",
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: a.completingFirst(state.KindModel),
	}
	cmd.Flags().IntVar(&chat.maxTokens, "max-tokens", 0, "the most tokens of an answer; 0: the model's own limit")
	system := cmd.Flags().String("system", "", "system prompt")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if chat.maxTokens < 0 {
			return exit.Usagef("--max-tokens: want 0 or more, got %d", chat.maxTokens)
		}
		err := a.onObject(cmd.Context(), args[0], func(c *kv.Client, key state.Key) (err error) {
			chat.endpoint, chat.model, err = a.servedAt(cmd.Context(), c, key)
			return err
		})
		if err != nil {
			return err
		}
		chat.app = a
		if *system != "" {
			chat.messages = append(chat.messages, message{"system", *system})
		}
		if len(args) == 2 {
			return chat.ask(cmd.Context(), args[1])
		}
		return chat.read(cmd.Context())
	}
	return cmd
}

// servedAt finds where a model is served and under which name, or says why not.
func (a *app) servedAt(ctx context.Context, c *kv.Client, key state.Key) (endpoint, model string, err error) {
	if key.Kind != state.KindModel {
		return "", "", exit.Usagef("%s is no model: want dynctl chat MODEL", refOf(key))
	}
	s, err := c.GetStatus(ctx, key)
	if errors.Is(err, kv.ErrNotFound) {
		return "", "", exit.Errorf(exit.Unreachable, "%s has no status yet: is the reconciler running? (see `dynctl doctor`)", refOf(key))
	}
	if err != nil {
		return "", "", exit.Stored(err)
	}
	if available := condition(&s, state.CondAvailable); available == state.StatusFalse {
		v := judge(&s, a.now())
		text := fmt.Sprintf("%s does not serve (%s)", refOf(key), v.Word)
		if v.Blocking != nil {
			text += ": " + verdict.Describe(*v.Blocking)
		}
		if v.next != "" {
			text += "; next: " + v.next
		}
		return "", "", exit.Errorf(exit.Unreachable, "%s", text)
	}
	if endpoint = s.Endpoint; endpoint == "" {
		server, err := c.GetStatus(ctx, state.ServerKey(key.Server))
		if err != nil || server.Endpoint == "" {
			return "", "", exit.Errorf(exit.Unreachable, "server/%s has no endpoint yet: its frontend is not up (see `dynctl status`)", key.Server)
		}
		endpoint = server.Endpoint
	}
	doc, err := state.DecodeValue(key, s.AcceptedSpec)
	if err != nil {
		return "", "", exit.Errorf(exit.Unreachable, "%s: no accepted spec in its status: %w", refOf(key), err)
	}
	return endpoint, doc.Object.Model.Spec.ServedNameOrModel(), nil
}

// message is one turn of a conversation.
type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// conversation keeps the turns and sends them all with each question.
type conversation struct {
	*app
	endpoint  string
	model     string
	maxTokens int
	messages  []message
}

// read asks line by line at a terminal, else all of standard input at once.
func (c *conversation) read(ctx context.Context) error {
	in := interruptible{ctx, c.in}
	if !isTerminal(c.in) {
		data, err := io.ReadAll(in)
		if err != nil {
			return exit.Usagef("read the prompt: %w", err)
		}
		prompt := strings.TrimSpace(string(data))
		if prompt == "" {
			return exit.Usagef("no prompt: give one as an argument or on standard input")
		}
		return c.ask(ctx, prompt)
	}
	lines := bufio.NewScanner(in)
	for c.progressPrompt(); lines.Scan(); c.progressPrompt() {
		prompt := strings.TrimSpace(lines.Text())
		if prompt == "" {
			continue
		}
		if err := c.ask(ctx, prompt); err != nil {
			return err
		}
	}
	fmt.Fprintln(c.err)
	return lines.Err()
}

func (c *conversation) progressPrompt() { fmt.Fprint(c.err, c.style.bold("> ")) }

// ask sends one question and prints the answer as it comes.
func (c *conversation) ask(ctx context.Context, prompt string) error {
	c.messages = append(c.messages, message{"user", prompt})
	request := struct {
		Model     string    `json:"model"`
		Messages  []message `json:"messages"`
		Stream    bool      `json:"stream"`
		MaxTokens int       `json:"max_tokens,omitempty"`
	}{c.model, c.messages, true, c.maxTokens}
	body, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	url := strings.TrimRight(c.endpoint, "/") + "/chat/completions"
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return exit.Errorf(exit.Unreachable, "endpoint %s: %w", c.endpoint, err)
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := direct.Client.Do(r)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return exit.Errorf(exit.Unreachable, "cannot reach the frontend at %s: %w; see `dynctl status`", c.endpoint, errors.Unwrap(err))
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return refused(c.model, response)
	}
	answer, err := c.stream(response.Body)
	c.messages = append(c.messages, message{"assistant", answer})
	return err
}

// refused is the frontend's own word on a request that failed.
func refused(model string, r *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(r.Body, 4<<10))
	return exit.Errorf(exit.Unreachable, "the frontend answered %s for %s: %s", r.Status, model, reasonIn(body))
}

// reasonIn is what an error of the frontend says, in either of its shapes; all of it
// where it has none.
func reasonIn(body []byte) string {
	text := strings.TrimSpace(string(body))
	var parsed struct {
		Message string          `json:"message"`
		Error   json.RawMessage `json:"error"`
	}
	if json.Unmarshal(body, &parsed) == nil {
		var inner struct {
			Message string `json:"message"`
		}
		switch {
		case json.Unmarshal(parsed.Error, &inner) == nil && inner.Message != "":
			text = inner.Message
		case parsed.Message != "":
			text = parsed.Message
		}
	}
	return text
}

// stream prints the text of a server-sent event stream and returns all of it.
func (c *conversation) stream(body io.Reader) (string, error) {
	var answer strings.Builder
	done := false
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data:")
		if !ok {
			continue
		}
		data = strings.TrimSpace(data)
		if data == "[DONE]" {
			done = true
			break
		}
		finished, err := c.show(data, &answer)
		if err != nil {
			if answer.Len() > 0 {
				fmt.Fprintln(c.out)
			}
			return answer.String(), err
		}
		done = done || finished
	}
	fmt.Fprintln(c.out)
	if err := lines.Err(); err != nil || !done {
		return answer.String(), exit.Errorf(exit.Unreachable, "the answer broke off: the connection to %s ended", c.endpoint)
	}
	return answer.String(), nil
}

// show prints what one chunk of an answer says, adds it to the answer, and reports
// whether the answer ends with it. An error may come in a chunk, too: the frontend has
// answered 200 before it knows of the worker's.
func (c *conversation) show(data string, answer *strings.Builder) (finished bool, err error) {
	var chunk struct {
		Choices []struct {
			Delta struct {
				Content   string `json:"content"`
				Reasoning string `json:"reasoning_content"`
			} `json:"delta"`
			FinishReason *string `json:"finish_reason"`
		} `json:"choices"`
		Error json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal([]byte(data), &chunk); err != nil {
		return false, exit.Errorf(exit.Unreachable, "the frontend sent what is no completion chunk: %w", err)
	}
	if len(chunk.Error) > 0 && string(chunk.Error) != "null" {
		return false, exit.Errorf(exit.Unreachable, "the frontend answered for %s: %s", c.model, reasonIn([]byte(data)))
	}
	for _, choice := range chunk.Choices {
		if _, err := fmt.Fprint(c.out, c.style.dim(choice.Delta.Reasoning), choice.Delta.Content); err != nil {
			return false, err
		}
		answer.WriteString(choice.Delta.Content)
		finished = finished || choice.FinishReason != nil
	}
	return finished, nil
}

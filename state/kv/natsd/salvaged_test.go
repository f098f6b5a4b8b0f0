package natsd

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
)

// TestARepairNamesTheKeys: the keys of records that are set aside stand in the log,
// whichever record of a block is damaged, and where in it; apart those of which a newer
// record is whole.
func TestARepairNamesTheKeys(t *testing.T) {
	store := filled(t)
	whole, err := os.ReadFile(firstBlock(t, store, "specs"))
	if err != nil {
		t.Fatal(err)
	}
	var starts []int
	for at := 0; at < len(whole); at += recordSize(whole[at:]) {
		starts = append(starts, at)
	}
	places := map[string]func(record []byte){
		"length":   func(r []byte) { r[1] ^= 0x55 },
		"sequence": func(r []byte) { r[5] ^= 0x01 },
		"value":    func(r []byte) { r[len(r)-recordHash-1] ^= 0x01 },
		"checksum": func(r []byte) { r[len(r)-1] ^= 0x01 },
	}
	const rewritten = 10 // the first keys, in the second block
	for _, i := range []int{0, 1, len(starts) / 2, len(starts) - 1} {
		for place, spoil := range places {
			dir := copied(t, store)
			b := bytes.Clone(whole)
			record := b[starts[i]:][:recordSize(b[starts[i]:])]
			key := strings.TrimPrefix(string(record[recordHead:][:binary.LittleEndian.Uint16(record[20:])]), kvPrefix+"specs.")
			spoil(record)
			if err := os.WriteFile(firstBlock(t, dir, "specs"), b, 0o600); err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			s := start(t, Options{StoreDir: dir, Repair: true, Log: slog.New(slog.NewTextHandler(&log, nil))})
			stop(t, s)
			want := fmt.Sprintf("keysSetAside=%s\n", key)
			if i < rewritten {
				want = fmt.Sprintf("olderRevisionsOf=%s keysSetAside=none\n", key)
			}
			if !strings.Contains(log.String(), want) {
				t.Errorf("%s of record %d: no %q in\n%s", place, i, want, &log)
			}
		}
	}
}

func TestSubjectsInAnything(t *testing.T) {
	for region, want := range map[string]string{
		"": "", "$KV.": "", "no head $KV.specs.a": "",
		strings.Repeat("x", 30) + "$KV.specs.model.default.a\x00rest":     "model.default.a",
		strings.Repeat("\x00", 20) + "\x0b\x00$KV.specs.abc":              "a",
		strings.Repeat("\x00", 30) + "dynctl.events.default.start.infra ": "dynctl.events.default.start.infra",
	} {
		got := keys(subjectsIn([]byte(region)))
		if want == "" {
			want = keys(nil)
		}
		if got != want {
			t.Errorf("%q: %q, want %q", region, got, want)
		}
	}
	var many []string
	for i := range 50 {
		many = append(many, fmt.Sprintf("$KV.specs.k%02d", i%45))
	}
	if got := keys(many); !strings.HasSuffix(got, "k19 and 25 more") {
		t.Errorf("many keys: %q", got)
	}
}

// TestOlderRevisionsAreToldApart: what counts is whether something whole of the same key
// comes after the last that is damaged.
func TestOlderRevisionsAreToldApart(t *testing.T) {
	record := func(subject string) []byte {
		r := make([]byte, recordHead, recordHead+len(subject))
		binary.LittleEndian.PutUint16(r[recordHead-2:], uint16(len(subject)))
		return append(r, subject...)
	}
	const a, b, event = "$KV.specs.model.a", "$KV.specs.model.b", "dynctl.events.default.start.infra"
	var s salvaged
	s.note(block{sound: [][]byte{record(b), record(a), record(event)}, damaged: [][]byte{record(event), record(a), record(a)}, before: []int{0, 1, 2}})
	if got := fmt.Sprint(s.told()); got != "[records 3 keysSetAside dynctl.events.default.start.infra, model.a]" {
		t.Errorf("while the newest is damaged: %s", got)
	}
	s.note(block{sound: [][]byte{record(a)}})
	if got := fmt.Sprint(s.told()); got != "[records 4 olderRevisionsOf model.a keysSetAside dynctl.events.default.start.infra]" {
		t.Errorf("with a newer one: %s", got)
	}
	s.note(block{damaged: [][]byte{record(a)}, before: []int{0}})
	if got := fmt.Sprint(s.told()); got != "[records 4 keysSetAside dynctl.events.default.start.infra, model.a]" {
		t.Errorf("with one after that which is damaged: %s", got)
	}
}

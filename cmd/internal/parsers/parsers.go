// Package parsers makes of what the nodes tell the command lines that the programs of
// Dynamo take there.
package parsers

import (
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"dynctl/state"
	"dynctl/state/engineflags"
)

// maxTable is the length of the longest table, unpacked, in bytes.
const maxTable = 2 << 20

// packages are those that a node has where it runs a program, by the names of
// [state.Node.Versions].
var packages = map[string][]string{
	engineflags.Mocker: {"dynamo"}, engineflags.Frontend: {"dynamo"},
	engineflags.VLLM: {"dynamo", "vllm"}, engineflags.SGLang: {"dynamo", "sglang"}, engineflags.TRTLLM: {"dynamo", "tensorrt_llm"},
}

// Cache unpacks tables when they change and not in every round. The zero value is
// ready; it is for one goroutine.
type Cache struct {
	tables map[string]*engineflags.Table // by program and digest; nil: it cannot be read
	common map[string]*engineflags.Table // by program and digests
}

// Of is what the programs take on the nodes that live: of each program the flags that
// all nodes know that have it. A program is left out while the table of one of its
// nodes is not known. The same tables are the same pointers in every call.
func (c *Cache) Of(nodes []state.Node) engineflags.Set {
	if c.tables == nil {
		c.tables, c.common = map[string]*engineflags.Table{}, map[string]*engineflags.Table{}
	}
	packed := map[string]string{}
	for _, n := range nodes {
		for program, p := range n.Parsers {
			if p.Table != "" {
				packed[program+" "+p.Digest] = p.Table
			}
		}
	}
	c.keep(packed)
	var out engineflags.Set
	for program := range packages {
		if t := c.of(program, nodes, packed); t != nil {
			if out == nil {
				out = engineflags.Set{}
			}
			out[program] = t
		}
	}
	return out
}

// keep forgets what no node tells any more.
func (c *Cache) keep(packed map[string]string) {
	before := len(c.tables)
	maps.DeleteFunc(c.tables, func(key string, _ *engineflags.Table) bool { return packed[key] == "" })
	if len(c.tables) != before {
		clear(c.common)
	}
}

func (c *Cache) of(program string, nodes []state.Node, packed map[string]string) *engineflags.Table {
	var digests []string
	for _, n := range nodes {
		if !n.Alive || slices.ContainsFunc(packages[program], func(name string) bool { return n.Versions[name] == "" }) {
			continue
		}
		digest := n.Parsers[program].Digest
		if digest == "" {
			return nil
		}
		if !slices.Contains(digests, digest) {
			digests = append(digests, digest)
		}
	}
	if len(digests) == 0 {
		return nil
	}
	slices.Sort(digests)
	name := program + " " + strings.Join(digests, " ")
	if t, known := c.common[name]; known {
		return t
	}
	var tables []*engineflags.Table
	for _, digest := range digests {
		key := program + " " + digest
		if _, known := c.tables[key]; !known && packed[key] != "" {
			c.tables[key], _ = Unpack(program, packed[key])
		}
		if c.tables[key] == nil {
			return nil
		}
		tables = append(tables, c.tables[key])
	}
	t := engineflags.Common(tables...)
	c.common[name] = t
	return t
}

// Unpack reads a table as a node tells it.
func Unpack(program, packed string) (*engineflags.Table, error) {
	unzipped, err := gzip.NewReader(base64.NewDecoder(base64.StdEncoding, strings.NewReader(packed)))
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(unzipped, maxTable+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxTable {
		return nil, fmt.Errorf("the table of %s has more than %d bytes", program, maxTable)
	}
	t, err := engineflags.Parse(data)
	if err != nil {
		return nil, err
	}
	if t.Program != program || len(t.Flags()) == 0 {
		return nil, fmt.Errorf("the table of %s is one of %q with %d flags", program, t.Program, len(t.Flags()))
	}
	t.FromNodes = true
	return t, nil
}

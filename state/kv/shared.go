package kv

import (
	"strings"
	"sync"

	"dynctl/state"
)

// sharedAtMost bounds the names that are kept, some 100 bytes each: whoever may write into a
// bucket may write any.
const sharedAtMost = 1 << 16

// sharedNames are the names that stand at one place in memory.
var sharedNames = struct {
	sync.Mutex
	names map[string]string
}{names: map[string]string{}}

// shared is a name at the place in memory where all that are equal to it are. What refers to
// an object by its name does so thousands of times in each round: two that are at one place
// are compared without being read, which for most of them means fetched from memory first.
func shared(name string) string {
	sharedNames.Lock()
	defer sharedNames.Unlock()
	if one, known := sharedNames.names[name]; known {
		return one
	}
	if len(sharedNames.names) >= sharedAtMost {
		clear(sharedNames.names)
	}
	name = strings.Clone(name)
	sharedNames.names[name] = name
	return name
}

// sharedKey reads a key, with its names at their places.
func sharedKey(key string) (state.Key, error) {
	k, err := state.ParseKey(key)
	if err == nil {
		k.Server, k.Name = shared(k.Server), shared(k.Name)
	}
	return k, err
}

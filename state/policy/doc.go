// Package policy says what specs may ask for: which engines and models, which arguments,
// variables and keys of runtimeEnv, which files and variables of the nodes, how many
// GPUs. Whoever may write specs chooses what runs on the GPU nodes; a policy is what
// whoever owns the nodes has to say about it.
//
// It is pure, and imports package state and its engineflags. Whether a spec is valid is
// not asked here: what is judged is valid, and has its defaults filled in.
//
// Vocabulary: a Denial is one place of a spec that a rule denies. A rule stands in the
// policy's file, or is one of the defaults, which hold without a file and beside one. A
// way in is a name by which a program is made to execute what the spec says: the
// defaults are a list of those. A pattern is a name in which * stands for any text.
package policy

// Package engineflags knows the command lines that the programs of Dynamo take:
// the engines' workers and the frontend. A [Table] is what a program's own parser
// says of its flags; recorded ones are embedded, and others can be read on the
// nodes. From a table come how an argument of a spec is written, whether its value
// can be one, under which names a flag is known, and what editors and the command
// line show of it.
//
// It is pure, and imports no other package of this module.
//
// Vocabulary: a key is what a spec writes ("tensor_parallel_size", "tp"); an
// option is what a command line has ("--tensor-parallel-size"); a flag has one or
// several options; a word is one element of a command line.
package engineflags

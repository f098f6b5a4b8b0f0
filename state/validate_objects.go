package state

import "dynctl/state/engineflags"

// roleObjects adds a fault where a role's own arguments and its model's set an object
// and one of its keys: the engines take the last of the two alone.
func (f *faults) roleObjects(sp ModelSpec, table *engineflags.Table) {
	if table == nil {
		return
	}
	told := map[string]bool{}
	for _, role := range sp.Roles() {
		before := earlier{table: table}
		places := map[string]string{}
		for _, x := range sp.commandArgs(role) {
			found, known := table.Find(x.Key)
			if !known || found.Ambiguous != nil || f.has(x.path) {
				continue
			}
			if other, clashes := before.objects(found); clashes && !told[x.path] {
				told[x.path] = true
				f.add(ReasonInvalidArgument, x.path, "%s sets --%s as well, and only the last would count; write both in one object, or take the other away with null",
					places[other], found.Name())
			}
			before.add(found, x.Key)
			if _, has := places[x.Key]; !has {
				places[x.Key] = x.path
			}
		}
	}
}

// trtllmObjects adds the faults of the two arguments of trtllm that go around its
// parser: one takes an object, the other the name of a file.
func (f *faults) trtllmObjects(engine string, field argField) {
	if engine != EngineTRTLLM {
		return
	}
	for _, x := range field.args {
		at := field.path + "." + x.Key
		_, isObject := objectOrText(x.Value)
		switch name := aliased(engine, x.Key); {
		case f.has(at) || isNull(x.Value):
		case name == "override-engine-args" && !isObject:
			f.add(ReasonInvalidArgument, at, "--%s takes an object of TensorRT-LLM's options, and this is none", name)
		case name == "extra-engine-args" && x.Value[0] != '"':
			f.add(ReasonInvalidArgument, at, "--%s names a file on the node; write options here as %s", name, trtllmNamed)
		}
	}
}

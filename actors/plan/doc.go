// Package plan compares what is wanted with what is, and says what to do. It is pure:
// no clock, no randomness, no IO, no goroutines, no logger. It may import actors, router
// and state.
//
// A plan is made in four steps, none of which looks back:
//
//   - classify (classify.go, unit.go): each unit gets one phase and one standing, and
//     keeps both for the whole round.
//   - propose (propose_*.go): small rules look at one classified model, its server and
//     the time, and return wishes, each with its constant reason. They see no room, no
//     other model and none of what was granted.
//   - admit (admit_*.go, vetoes.go, ledger.go): model by model, by priority, the wishes
//     are granted or not. The ledger knows what room is left; the table of vetoes says
//     who may leave, and a veto's text is what a stalled roll says.
//   - emit (emit.go and the files of statuses): what was granted becomes commands, what is
//     observed becomes statuses, and both are sorted.
//
// [Check] states what must hold of every result.
package plan

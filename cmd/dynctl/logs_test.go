package main

import (
	"encoding/json"

	"github.com/rogpeppe/go-internal/testscript"

	"dynctl/cmd/internal/agentlogs/agentlogstest"
)

func serveLogs(ts *testscript.TestScript, _ bool, args []string) {
	f := &agentlogstest.Agent{Piece: 7}
	ts.Check(json.Unmarshal(fixture(ts, args[0]), &f.Logs))
	ts.Check(f.Serve(clientOf(ts).JetStream().Conn()))
}

// Package integration runs the programs in bin/ against a real Ray, real etcd,
// NATS and Dynamo, whose mocker stands for an engine that needs a GPU. Nothing is
// mocked here. `make test-integration` builds what it needs.
//
// Each environment has its own Ray, ports and directories, so a demo that runs
// beside it is never touched, and a guard process ends all of it when the test
// binary goes away in whatever manner. The logs of a failed test are kept below
// .run/integration/.
package integration

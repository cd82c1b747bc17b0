# Every target sets up what it needs. `make PYTHON=/path/to/python3.11` chooses the interpreter.

# Debian's is built with profile-guided optimization, a plain build is not: a hub on Debian's needs a sixth less processor
# time (docs/performance.md, "The interpreter").
SYSTEM_PYTHON := /usr/bin/python3.11
PYTHON ?= $(if $(shell $(SYSTEM_PYTHON) -c 'import ensurepip, venv' 2>/dev/null && echo fits),$(SYSTEM_PYTHON),python3)

BIN    := .venv/bin
READY  := .venv/.ready
STUBS  := sdk/python/appset_hub/v1
IMAGE  := proto/appset_hub.binpb
PROTOS := $(sort $(wildcard proto/appset_hub/v1/*.proto))

# $(call generate,FOLDER): write the stubs of every .proto below FOLDER.
generate = $(BIN)/python -m grpc_tools.protoc --proto_path=proto \
	--plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy \
	--plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc \
	--python_out=$(1) --grpc_python_out=$(1) --mypy_out=quiet:$(1) --mypy_grpc_out=quiet:$(1) $(PROTOS)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

##### Set up and run

.PHONY: setup
setup: $(READY) ## Make .venv and install the hub, the SDK and the tools from the hashed lock
	@echo 'ready: run "make run" to start a hub, or "make test"'

.PHONY: run
run: $(READY) ## Run an example hub with two backends in the foreground; Ctrl-C ends all
	@exec $(BIN)/appset-hub quickstart --config examples/quickstart/hub.yaml

##### Test and check

.PHONY: test
test: $(READY) ## Run the tests side by side, with the coverage that is asked for
	$(BIN)/pytest -n auto --cov --cov-report=term --cov-report=json:.cache/coverage.json
	$(BIN)/python tools/branches.py .cache/coverage.json hub/core hub/service

.PHONY: test-tools
test-tools: $(READY) ## Fetch what the tests of deploy/ need beside Python: kustomize, schemas, a policy scanner
	$(BIN)/python tests/deploy/install.py

.PHONY: test-image
test-image: test-tools ## Build the image without a daemon and start hub and backend from it; as root on Debian
	APPSET_HUB_TEST_IMAGE=1 $(BIN)/pytest tests/deploy/test_image.py

.PHONY: test-wheels
test-wheels: $(READY) ## Install the built wheels and a new backend into fresh environments, with pip and pipx
	APPSET_HUB_TEST_WHEELS=1 $(BIN)/pytest tests/deploy/test_wheels.py

.PHONY: test-install
test-install: $(READY) ## Install every lock from an index with newer versions of all packages, with old and new pips
	APPSET_HUB_TEST_INSTALL=1 $(BIN)/pytest tests/install --ignore tests/install/test_debian.py -n auto

.PHONY: test-debian
test-debian: $(READY) ## Time the README's quick start of the last commit on a new, small Debian; as root on Debian
	APPSET_HUB_TEST_DEBIAN=1 $(BIN)/pytest tests/install/test_debian.py

.PHONY: test-argocd
test-argocd: $(READY) ## Run the real ApplicationSet controller of two Argo CDs against the hub (NEWEST=1: of one)
	tests/argocd/run.sh $(if $(NEWEST),--newest)

.PHONY: trust
trust: $(READY) ## Tell a hundred thousand scripted answers to a hub; ANSWERS=5000000 for a night
	APPSET_HUB_ANSWERS=$(or $(ANSWERS),100000) $(BIN)/pytest tests/trust/test_mass.py -n 2

.PHONY: campaign
campaign: $(READY) ## Break files, folders and limits under load for two minutes; prints the wrong 200s (SECONDS=600)
	APPSET_HUB_CAMPAIGN_S=$(or $(SECONDS),120) $(BIN)/pytest tests/e2e/test_reload_campaign.py -q -n 0 --timeout 3600

.PHONY: campaign-backends
campaign-backends: $(READY) ## Kill, freeze and cut off backends under load for two minutes; prints the outages (SECONDS=600)
	APPSET_HUB_CAMPAIGN_S=$(or $(SECONDS),120) $(BIN)/pytest tests/e2e/test_backend_campaign.py -q -n 0 --timeout 3600

.PHONY: campaign-kills
campaign-kills: $(READY) ## Kill hub and backends at random under load, 600 times; prints the wrong 200s and the outages (KILLS=60)
	APPSET_HUB_KILLS=$(or $(KILLS),600) $(BIN)/pytest tests/e2e/test_kill_campaign.py -q -s -n 0 --timeout 7200

.PHONY: campaign-rolling
campaign-rolling: $(READY) ## Restart two hubs in turn 100 times under load, and two plain servers; prints what failed (RESTARTS=10)
	APPSET_HUB_RESTARTS=$(or $(RESTARTS),100) $(BIN)/pytest tests/e2e/test_rolling_campaign.py -q -s -n 0 --timeout 7200

.PHONY: campaign-dns
campaign-dns: $(READY) ## Move, hang, kill and forget addresses of a backend under load; prints each outage (SECONDS=600)
	APPSET_HUB_CAMPAIGN_S=$(or $(SECONDS),60) $(BIN)/pytest tests/e2e/test_dns_campaign.py -q -n 0 --timeout 3600

.PHONY: campaign-slow
campaign-slow: $(READY) ## Open ten thousand slow connections of four kinds beside honest requests; prints how long each lasts
	APPSET_HUB_SLOW_CONNECTIONS=$(or $(CONNECTIONS),10000) $(BIN)/pytest tests/e2e/test_slow_campaign.py -q -s -n 0 --timeout 3600

.PHONY: fuzz
fuzz: $(READY) ## Try changed inputs at each place where bytes enter: SECONDS=600 or INPUTS=10000000 for each, SEED=1
	$(BIN)/python -m tests.fuzz.campaign --seed $(or $(SEED),1) \
		$(if $(INPUTS),--inputs $(INPUTS),--seconds $(or $(SECONDS),60))

.PHONY: fuzz-guided
fuzz-guided: $(READY) ## The same, guided by coverage (atheris; Linux on x86-64): SECONDS=600 or INPUTS=10000000, SEED=1
	@$(BIN)/python tools/environment.py .cache/fuzz requirements/fuzz.txt --editable .
	.cache/fuzz/bin/python -m tests.fuzz.guided --seed $(or $(SEED),1) \
		$(if $(INPUTS),--inputs $(INPUTS),--seconds $(or $(SECONDS),60))

.PHONY: fuzz-api
fuzz-api: $(READY) ## Send requests made from the OpenAPI document to a running hub: EXAMPLES=5000 per operation, SEED=1
	APPSET_HUB_API_EXAMPLES=$(or $(EXAMPLES),1000) APPSET_HUB_SEED=$(or $(SEED),1) \
		$(BIN)/pytest tests/fuzz/test_api.py -q -s -n 0 --timeout 0

.PHONY: test-pythons
test-pythons: $(READY) ## Run the tests on each supported Python found here; OTHERS=1 leaves out that of .venv
	$(BIN)/python tools/pythons.py $(if $(OTHERS),--others) $(TESTS)

.PHONY: test-lowest
test-lowest: $(READY) ## Run the tests with the lowest allowed version of each direct dependency
	$(BIN)/python tools/pythons.py --only 3.11 --lock requirements/lowest.txt --home .cache/lowest \
		$(addprefix tests/,unit component contract sdk backends) \
		$(addprefix tests/e2e/test_,commands.py quickstart.py reload.py telemetry.py tls.py)

.PHONY: mutants
mutants: $(READY) ## Make the hub fail open in eighty small ways, one by one; the tests have to see each
	$(BIN)/python tools/mutants.py

.PHONY: check
check: check-rest test ## All that CI runs before the long tests

.PHONY: check-rest
check-rest: lint types layers proto-check docs-check lock-check ## All that CI runs, but for the tests

.PHONY: fmt
fmt: $(READY) ## Format the code and fix what can be fixed by itself
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

.PHONY: lint
lint: $(READY) ## Check style and format (ruff)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

.PHONY: types
types: $(READY) ## Check types (mypy, strict)
	$(BIN)/mypy

.PHONY: layers
layers: $(READY) ## Check who may import whom (import-linter)
	$(BIN)/lint-imports --no-logo

##### The contract

.PHONY: proto
proto: $(READY) ## Write the SDK's stubs from proto/
	rm -f $(STUBS)/*_pb2*
	$(call generate,sdk/python)

.PHONY: proto-check
proto-check: $(READY) ## Check the contract: lint, breaking changes, stubs up to date
	$(BIN)/buf lint
	$(BIN)/buf breaking --against $(IMAGE)
	@rm -rf .cache/stubs && mkdir -p .cache/stubs
	@$(call generate,.cache/stubs)
	@diff -ru --exclude=__init__.py --exclude=__pycache__ $(STUBS) .cache/stubs/appset_hub/v1 || { \
		echo '$(STUBS) is not what proto/ says: run "make proto" and commit what it writes' >&2; exit 1; }

.PHONY: proto-image
proto-image: $(READY) ## Accept the contract as it is now: later changes are compared to it
	$(BIN)/buf build --exclude-source-info --output $(IMAGE)

##### Docs, measurements, locks, packages

.PHONY: docs
docs: $(READY) ## Write the pages that are made from the code
	$(BIN)/python tools/docs.py

.PHONY: docs-check
docs-check: $(READY) ## Check that those pages are up to date
	$(BIN)/python tools/docs.py --check

.PHONY: bench
bench: $(READY) ## Measure the hub under load
	$(BIN)/python bench/run.py

.PHONY: bench-quick
bench-quick: $(READY) ## Measure it shortly: does the benchmark still run?
	$(BIN)/python bench/run.py --quick

.PHONY: bench-overload
bench-overload: $(READY) ## Ask ten times more than the hub can answer, beside a polite client; BASE=COMMIT: of both versions
	$(BIN)/python bench/overload.py $(if $(BASE),--base $(BASE))

.PHONY: bench-paired
bench-paired: $(READY) ## Measure this version beside an earlier one: BASE=COMMIT
	$(BIN)/python bench/paired.py $(or $(BASE),HEAD~1)

.PHONY: before-after
before-after: $(READY) ## Play releases, losses and outages with an earlier version and this one: BASE=COMMIT GROUP=guard
	$(BIN)/python bench/before_after.py $(if $(BASE),--base $(BASE)) $(if $(GROUP),--group $(GROUP))

.PHONY: lock
lock: $(READY) ## Write requirements/ from the pyproject files; UPGRADE=1 takes newer versions
	$(BIN)/python tools/lock.py $(if $(UPGRADE),--upgrade)
	$(BIN)/python tools/lowest.py

.PHONY: lock-check
lock-check: $(READY) ## Check that requirements/ holds what the pyproject files declare
	$(BIN)/python tools/lock.py --check
	$(BIN)/python tools/lowest.py --check

.PHONY: sbom
sbom: $(READY) ## Write a bill of materials (CycloneDX) of what a deployed hub consists of: dist/appset-hub.cdx.json
	$(BIN)/python tools/sbom.py dist/appset-hub.cdx.json

# The same commit gives the same wheels: their files have the time of the commit.
dist: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 315532800)

.PHONY: dist
dist: $(READY) ## Build the wheels and source archives of both distributions into dist/, with a bill of materials
	rm -rf dist build sdk/python/build
	$(BIN)/python -m build --no-isolation --outdir dist .
	$(BIN)/python -m build --no-isolation --outdir dist sdk/python
	$(BIN)/python tools/sbom.py dist/appset-hub.cdx.json
	rm -rf build sdk/python/build

.PHONY: clean
clean: ## Remove what tools and builds left, but not .venv
	rm -rf .cache .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	rm -rf build dist sdk/python/build
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

.PHONY: distclean
distclean: clean ## Remove .venv too
	rm -rf .venv

# A checkout that was moved, or a Python that was upgraded, leaves a .venv that does not work. It is made again.
ifneq ($(wildcard $(READY)),)
STALE := $(shell $(BIN)/python -I tools/environment.py --check .venv requirements/dev.txt >/dev/null 2>&1 || echo stale)
endif
.PHONY: stale

$(READY): requirements/dev.txt pyproject.toml sdk/python/pyproject.toml $(STALE)
	@command -v $(PYTHON) >/dev/null || { \
		echo '$(PYTHON) is not here: install Python 3.11 or newer, or name it: make PYTHON=/path/to/python3.11' >&2; \
		exit 1; }
	@$(PYTHON) tools/python_version.py
	@$(PYTHON) tools/environment.py .venv requirements/dev.txt --editable .

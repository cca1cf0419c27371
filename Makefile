# The commands of the project; 'make' alone explains them.
SHELL := /bin/sh
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOG := .run/setup.log
# extra options of pip for torch and torchvision, such as another index
TORCH_ARGS ?=
export TORCH_ARGS

STACK := $(BIN)/python -m local.stack $(if $(ONCE),--once) $(if $(NO_SAMPLE),--no-sample) \
	$(if $(IMAGE),--image "$$IMAGE") $(if $(filter func auto,$(HOST)),--host $(HOST)) \
	$(if $(STORAGE),--storage $(STORAGE))
export IMAGE

# keys, photos and logs: their owner's alone
PRIVATE_RUN := mkdir -p .run && chmod go= .run

# $(call step,what it does,command): quiet, timed, and with the end of the log when it fails
define step
	@$(PRIVATE_RUN); printf '%s ... ' "$(1)"; start=$$(date +%s); \
	if ( $(2) ) >>$(LOG) 2>&1; then echo "$$(( $$(date +%s) - start )) s"; else \
	echo failed; tail -n 25 $(LOG); echo "The whole log is $(LOG). 'make doctor' names what is missing."; exit 1; fi
endef

# $(call need,program,way out)
need = @command -v $(1) >/dev/null || { echo "$(1) is missing: $(2). 'make doctor' names all that is."; exit 1; }

define need_node
	$(call need,npm,install node 20 or newer with npm)
	@node -e 'process.exit(parseInt(process.versions.node) >= 20 ? 0 : 1)' || \
	{ echo "node is $$(node --version): it must be 20 or newer. 'make doctor' names all that is missing."; exit 1; }
endef

# what the dashboard is built from
FRONTEND := frontend/index.html frontend/vite.config.ts local/samples/coffee.jpg \
	$(shell find frontend/src frontend/public -type f 2>/dev/null)

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14
	@echo
	@echo "make run takes ONCE=1 IMAGE=path NO_SAMPLE=1 STORAGE=azurite|local HOST=local|func|auto ENV=DEV|PROD"
	@echo "DATABASE_URL=, every setting of imagery/settings.py, and the ports PORT GPU_PORT NANO_BANANA_PORT"
	@echo "AZURITE_BLOB_PORT AZURITE_QUEUE_PORT AZURITE_TABLE_PORT. PYTHON=python3.11 names the Python to use."

.PHONY: run
run: setup ## set everything up, start the stack, run a picture, keep serving until Ctrl-C
	@exec $(STACK)

.PHONY: setup
setup: $(VENV)/.packages $(VENV)/.models local/azurite/node_modules/.installed frontend/dist/.built ## packages, models, Azurite and the dashboard

# workers of pytest: more than processors, since tests also wait
WORKERS ?= 5
# the tests start some hundred processes: none of them compiles anew what an earlier one has compiled
unexport PYTHONDONTWRITEBYTECODE
PYTEST := $(BIN)/python -m pytest
DEV := setup $(VENV)/.dev tests/infra/kusto/node_modules/.installed

.PHONY: check
check: $(DEV) ## for every save: lint, types, and the tests that need no server, in two minutes
	@$(MAKE) --no-print-directory -j3 --output-sync=target lint frontend-lint unit

.PHONY: unit
unit: $(DEV) ## the quick tests that need no server
	$(PYTEST) -q -n $(WORKERS) -m "unit and not slow and not drill" $(PYTEST_ARGS)

.PHONY: test
test: $(DEV) ## all checks and all tests
	@$(PRIVATE_RUN); echo "lint, lint-infra and frontend-test run beside the tests; what they say comes last"; \
	$(MAKE) --no-print-directory --keep-going lint lint-infra frontend-test >.run/checks.log 2>&1 & checks=$$!; \
	$(PYTEST) -n $(WORKERS) -m "not drill" $(PYTEST_ARGS); tests=$$?; \
	wait $$checks; checks=$$?; cat .run/checks.log; [ $$tests = 0 ] && [ $$checks = 0 ]

.PHONY: test-again
test-again: $(DEV) ## the tests that failed last, one after the other
	$(BIN)/python -m pytest --last-failed --last-failed-no-failures none $(PYTEST_ARGS)

.PHONY: drill-tests
drill-tests: $(DEV) ## the tests of the drills themselves, and CONTRIBUTING's recipes followed
	$(PYTEST) -q -n 2 -m drill tests/drills tests/docs

.PHONY: frontend-lint
frontend-lint: frontend/dist/.built ## eslint and prettier
	cd frontend && npm run --silent lint

.PHONY: frontend-test
frontend-test: frontend-lint ## lint, unit tests and size of the dashboard
	cd frontend && npm run --silent test && npm run --silent size

.PHONY: e2e
e2e: setup $(VENV)/.dev ## the dashboard in a real browser; leaves its screenshots in docs/images
	SCREENSHOTS=docs/images $(BIN)/python -m pytest tests/dashboard $(PYTEST_ARGS)

.PHONY: lint
lint: $(VENV)/.dev ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.PHONY: lint-infra
lint-infra: $(VENV)/.dev ## Bicep, Dockerfiles, compose.yaml, workflows and hooks
	$(BIN)/python -m infra.settings_page --check
	@PYTHON=$(BIN)/python sh infra/lint.sh

.PHONY: lock
lock: setup $(VENV)/.dev ## after a change of a requirements*.in: every package with its hashes (ARGS="--upgrade-package idna")
	@$(BIN)/python -m infra.locks $(ARGS)

.PHONY: pin
pin: ## the digests of the base images beside their tags; asks the registries
	@$(PYTHON) -m infra.pin_images

.PHONY: sbom
sbom: setup $(VENV)/.dev ## the bills of materials of the images and the dashboard, into build/sbom
	@$(BIN)/python -m infra.sbom

.PHONY: audit
audit: setup $(VENV)/.dev ## known vulnerabilities of the locked packages (ARGS=--strict: also fails without a database)
	@$(BIN)/python -m local.audit $(ARGS)

.PHONY: drill
drill: $(if $(NAME),setup $(VENV)/.dev) ## programs that are not tests: 'make drill' lists them, NAME=chaos ARGS=... runs one
	@$(if $(NAME),$(BIN)/python,$(PYTHON)) -m drills $(NAME) $(ARGS)

.PHONY: bench
bench: setup ## the drill gpu-bench: the GPU stages against the usual script (QUICK=1: under five minutes)
	@$(BIN)/python -m drills gpu-bench $(if $(QUICK),--quick) $(ARGS)

.PHONY: doctor
doctor: ## name what is missing and how to fix it
	$(call need,$(PYTHON),install Python 3.11 to 3.13)
	@$(PYTHON) -m local.doctor

.PHONY: users
users: $(VENV)/.packages ## users, keys and quotas of the running stack: make users ARGS="create ann"
	@$(BIN)/python -m local.users $(ARGS)

.PHONY: gpu
gpu: setup ## the GPU service alone
	@exec $(BIN)/python -m gpu_container

.PHONY: simulator
simulator: setup ## the simulator of the paid service alone
	@exec $(BIN)/python -m local.nano_banana_simulator

.PHONY: clean
clean: ## remove what was built and what ran, results too (not the models in the user's cache)
	rm -rf $(VENV) .run local/azurite/node_modules tests/infra/kusto/node_modules
	rm -rf frontend/node_modules frontend/dist .mypy_cache .ruff_cache .pytest_cache

$(VENV)/bin/python:
	$(call need,$(PYTHON),install Python 3.11 to 3.13)
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	{ echo "$(PYTHON) is $$($(PYTHON) --version 2>&1): it must be 3.11 to 3.13, such as make PYTHON=python3.11"; exit 1; }
	@echo "First run: this installs about 3.3 GB into this folder (Python packages 2.5 GB, more with CUDA; Azurite"
	@echo "0.4 GB; the dashboard's packages 0.3 GB) and 40 MB of models into your cache. On a fast connection it takes"
	@echo "about 2 minutes; later runs start at once. The log is $(LOG)."
	$(call step,virtual environment,$(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); exit 1; })

# whole locks: nothing is resolved, and a file with another hash is refused
LOCKED := $(BIN)/python -m pip install --disable-pip-version-check --no-deps --require-hashes

$(VENV)/.packages: requirements.txt requirements-local.txt client/pyproject.toml gpu_container/requirements.txt gpu_container/requirements-sources.txt gpu_container/requirements-torch.in gpu_container/install.sh gpu_container/build/sitecustomize.py | $(VENV)/bin/python
	$(call step,packages of the GPU service (PyTorch: 0.8 GB, several GB with CUDA),sh gpu_container/install.sh $(BIN)/python)
	$(call step,packages of the app and the host,$(LOCKED) -r requirements.txt -r requirements-local.txt && $(BIN)/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation -e ./client)
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.packages
	$(call step,packages of the tests,$(LOCKED) -r requirements-dev.txt)
	@touch $@

$(VENV)/.models: gpu_container/models.py gpu_container/fetch_models.py $(VENV)/.packages
	$(call step,models (40 MB),$(BIN)/python -m gpu_container.fetch_models)
	@touch $@

local/azurite/node_modules/.installed: local/azurite/package.json local/azurite/package-lock.json
	$(need_node)
	$(call step,Azurite (0.4 GB),cd local/azurite && npm ci --no-progress)
	@touch $@

frontend/node_modules/.installed: frontend/package.json frontend/package-lock.json
	$(need_node)
	$(call step,packages of the dashboard (0.3 GB),cd frontend && npm ci --no-progress)
	@touch $@

frontend/dist/.built: frontend/node_modules/.installed $(FRONTEND)
	$(call step,dashboard,cd frontend && npm run build)
	@touch $@

tests/infra/kusto/node_modules/.installed: tests/infra/kusto/package.json tests/infra/kusto/package-lock.json
	$(need_node)
	$(call step,parser of Kusto queries,cd tests/infra/kusto && npm ci --no-progress)
	@touch $@

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
	$(if $(IMAGE),--image "$(IMAGE)") $(if $(filter func,$(HOST)),--host func) \
	$(if $(STORAGE),--storage $(STORAGE))

# $(call step,what it does,command): quiet, timed, and with the end of the log when it fails
define step
	@mkdir -p .run; printf '%s ... ' "$(1)"; start=$$(date +%s); \
	if ( $(2) ) >>$(LOG) 2>&1; then echo "$$(( $$(date +%s) - start )) s"; else \
	echo failed; tail -n 25 $(LOG); echo "The whole log is $(LOG). 'make doctor' names what is missing."; exit 1; fi
endef

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14
	@echo
	@echo "make run takes ONCE=1 IMAGE=path STORAGE=azurite|local HOST=func NO_SAMPLE=1 and the ports"
	@echo "PORT GPU_PORT NANO_BANANA_PORT AZURITE_BLOB_PORT AZURITE_QUEUE_PORT AZURITE_TABLE_PORT."

.PHONY: run
run: setup ## set everything up, start the stack, run a picture, keep serving until Ctrl-C
	@exec $(STACK)

.PHONY: setup
setup: $(VENV)/.packages $(VENV)/.models local/azurite/node_modules/.installed ## packages, models and Azurite

.PHONY: test
test: setup $(VENV)/.dev lint ## all checks and all tests
	$(BIN)/python -m pytest $(PYTEST_ARGS)

.PHONY: lint
lint: $(VENV)/.dev ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.PHONY: doctor
doctor: ## name what is missing and how to mend it
	@$(PYTHON) -m local.doctor

.PHONY: gpu
gpu: setup ## the GPU service alone
	@exec $(BIN)/python -m gpu_container

.PHONY: simulator
simulator: setup ## the simulator of the paid service alone
	@exec $(BIN)/python -m local.nano_banana_simulator

.PHONY: clean
clean: ## remove what was built and what ran (not the models in the user's cache)
	rm -rf $(VENV) .run local/azurite/node_modules .mypy_cache .ruff_cache .pytest_cache

$(VENV)/bin/python:
	$(call step,virtual environment,$(PYTHON) -m venv $(VENV))

$(VENV)/.packages: requirements.txt requirements-local.txt gpu_container/requirements.txt gpu_container/install.sh | $(VENV)/bin/python
	$(call step,packages of the GPU service (torch is large),sh gpu_container/install.sh $(BIN)/python)
	$(call step,packages of the app and the host,$(BIN)/python -m pip install --disable-pip-version-check -r requirements.txt -r requirements-local.txt)
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.packages
	$(call step,packages of the tests,$(BIN)/python -m pip install --disable-pip-version-check -r requirements-dev.txt)
	@touch $@

$(VENV)/.models: gpu_container/models.py gpu_container/fetch_models.py $(VENV)/.packages
	$(call step,models,$(BIN)/python -m gpu_container.fetch_models)
	@touch $@

local/azurite/node_modules/.installed: local/azurite/package-lock.json
	$(call step,Azurite,cd local/azurite && npm ci --no-progress)
	@touch $@

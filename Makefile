# One command does everything: the environment is made, filled with pinned, tested versions, and used.
#   make search                        the main job on the embedded example
#   make search TORCH_INDEX=<url>      the same with torch from another wheel index (e.g. CPU-only wheels)
#   make check                         what CI runs
PYTHON      ?= python3
VENV        ?= .venv
TORCH_INDEX ?=
BUDGET      ?= 0.5flops
SHARE       ?= 1
PYTEST_ARGS ?= -n auto --dist loadfile

BIN     := $(VENV)/bin
PIP     := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
INDEX    = $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
RUNTIME := $(VENV)/.runtime
DEV     := $(VENV)/.dev
MODELS  := $(VENV)/.models
DOCS    := $(VENV)/.docs

.DEFAULT_GOAL := help
.PHONY: help search models docs test torture lint format rooms check clean

help:  ## Show this list
	@echo "usage: make <target> [PYTHON=python3.12] [TORCH_INDEX=<wheel index>]"; echo
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

search: $(RUNTIME)  ## Set up and prune the embedded example to BUDGET (default 0.5flops)
	$(BIN)/autoprune search --budget $(BUDGET)

test: $(DEV)  ## Set up and run the whole test suite
	$(BIN)/python -m pytest $(PYTEST_ARGS)

models: $(MODELS)  ## Set up the libraries whose networks are tested, too (timm, transformers, ...)

docs: $(DOCS)  ## Set up and build the documentation site into build/site, warnings as errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

torture: $(DEV)  ## Set up and kill, damage and flood runs for an hour or two (SHARE=0.1: a tenth)
	$(BIN)/python -m benchmarks.torture --share $(SHARE)

lint: $(DEV)  ## Set up and run the linters and the type checker
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy --config-file examples/mypy.ini examples/*.py examples/*/*.py

format: $(DEV)  ## Format the code and apply the safe fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

rooms:  ## Print how many imports there are between rooms, and how many go against their order
	@$(PYTHON) tests/rooms.py

check: lint test  ## Everything that must pass before a change lands

clean:  ## Remove the environment and everything generated except logs/
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "autoprune needs Python 3.11 or newer, but '$(PYTHON)' is missing or older;" \
	       "name one with: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# torch goes first and alone, so that TORCH_INDEX is asked for torch and nothing can shadow the rest.
$(RUNTIME): $(BIN)/python pyproject.toml constraints.txt
	@echo "installing autoprune and its pinned dependencies into $(VENV) (minutes the first time)"
	$(PIP) pip
	$(PIP) $(INDEX) torch
	$(PIP) --build-constraint constraints.txt --editable .
	@touch $@

$(DEV): $(RUNTIME)
	$(PIP) --build-constraint constraints.txt --editable '.[data,onnx]' --group dev
	@touch $@

# torchvision goes alone: its wheel asks for another build of torch than a CPU index has. The detectors
# ask for OpenCV with windows, which needs libraries of a desktop.
$(MODELS): $(DEV)
	$(PIP) --no-deps torchvision
	$(PIP) timm transformers segmentation-models-pytorch diffusers
	$(PIP) accelerate pytorch-lightning optuna pandas
	$(PIP) opencv-python-headless polars psutil py-cpuinfo requests
	$(PIP) --no-deps ultralytics ultralytics-thop
	@touch $@

$(DOCS): $(DEV)
	$(PIP) --group docs
	@touch $@

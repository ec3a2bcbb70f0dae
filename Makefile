# Two commands: `make demo` and `make test`. Each sets up .venv by itself, once.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
VREX := $(BIN)/vrex
TRACE := examples/video-layer1.safetensors

.DEFAULT_GOAL := help
.PHONY: help demo test soak verilog sim formal bitstream bench lint clean

help: ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: .venv/installed ## a trained model through three engines, the last one its Verilog, compared bit for bit
	$(VREX) demo

test: .venv/installed ## every test (under 15 minutes on two cores)
	$(BIN)/pytest -n 2

soak: .venv/installed ## ten million random beats through a compiled 64-wide tree
	$(BIN)/python -m vrex_sim.soak

verilog: .venv/installed ## Verilog, manifest and header of the paper's core
	$(VREX) generate --config core --top core -o build/verilog

sim: .venv/installed ## the shipped trace through the emitted Verilog (minutes)
	$(VREX) run $(TRACE) --engine compiled -o build/run.safetensors

formal: .venv/installed ## the proofs
	$(VREX) formal

bitstream: .venv/installed ## a self-checking bitstream for the ULX3S 85F
	$(VREX) synth --board ulx3s-85f

bench: .venv/installed ## the figures, as JSON
	$(VREX) bench --json

lint: .venv/installed ## ruff and mypy
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

clean: ## delete what was built, keep .venv
	rm -rf build

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "vrex needs Python 3.11 or newer: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

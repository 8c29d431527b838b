# Everything starts here; each target sets up what it needs in .venv. `make help` lists them.

PYTHON ?= python3
BIN := .venv/bin
# One setting for all: two busy processes on few cores make timings worthless.
export TOKENIZERS_PARALLELISM := false

.PHONY: help demo test check verify reference bench clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

demo: .venv/ready-demo ## a whole search on this machine: teacher, distillation, latency, front, checkpoints (<= 10 minutes)
	@$(BIN)/stillhouse run examples/demo.yaml $(if $(AGAIN),--again)

test: .venv/ready-dev ## the tests (< 10 minutes)
	@$(BIN)/python -m pytest -m "not browser and not chaos and not fuzz" --numprocesses 2 --dist loadfile

check: .venv/ready-dev ## format, lint, types, import rules, migrations in sync
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m service.store.migrate --check

verify: .venv/ready-dev ## what is long: killed processes, fuzzing of the API, a real browser, the installed wheel
	@$(BIN)/python -m pytest -m "browser or chaos or fuzz" -o addopts="--import-mode=importlib -v --strict-markers -p no:schemathesis"

reference: .venv/ready-dev ## write docs/reference anew, from the code
	@for page in $(notdir $(wildcard docs/reference/*)); do \
	  $(BIN)/python -m cli.reference $$page > .venv/page && mv .venv/page docs/reference/$$page || exit 1; done

bench: .venv/ready-dev ## the benchmarks that need nothing but this machine, quiet; the others say what they need
	@for script in encoder_speed distillation_speed space_columns initialisation docstrings_students latency_repeatability \
	  runtimes suggest_speed; do echo "== $$script"; $(BIN)/python benchmarks/$$script.py || exit 1; done

clean: ## remove .venv and caches; studies in .stillhouse stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Stillhouse needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 2; }
	@$(PYTHON) -m venv .venv

.venv/ready-demo: EXTRAS := server,worker,jax
.venv/ready-dev: EXTRAS := server,worker,jax,onnx,cuda,pandas,optuna,mlflow,dev
.venv/ready-demo .venv/ready-dev: pyproject.toml constraints.txt | .venv/bin/python
	@echo "installing Stillhouse [$(EXTRAS)] into .venv (a few minutes the first time)"
	@# torch first and by its exact version, so that no other package's range chooses another build
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt torch
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

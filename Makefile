# Every target does its own set-up. `make help` lists them.
.POSIX:
.PHONY: help serve test test-slow test-long storm check bench bench-peers bench-train lock venv

PYTHON_BIN = .venv/bin/python
# manage.py writes a key and a database where it runs: checks get a folder of their own.
MANAGE = RECOGNIZER_DATA_DIR=build/check $(PYTHON_BIN) manage.py
COMPILE = .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	--no-emit-index-url --no-annotate

help: ## this list
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## (.*)/make \1|\2/' | awk -F'|' '{ printf "%-15s %s\n", $$1, $$2 }'

serve: ## set up what is missing, then run the whole service on http://127.0.0.1:8000 (PORT=..., RECOGNIZER_DATA_DIR=...)
	@requirements/install.sh runtime ml
	@exec $(PYTHON_BIN) -m recognizer.supervisor

# One more test process than cores: the one that tests the running service mostly waits for it.
PYTEST = $(PYTHON_BIN) -m pytest -q -n $$(($$(getconf _NPROCESSORS_ONLN) + 1)) --maxprocesses 4 --dist loadgroup \
	--no-loadscope-reorder

test: ## the tests (ARGS="-k upload" for some of them)
	@requirements/install.sh runtime ml dev
	@$(PYTEST) -m "not slow and not long" $(ARGS)

test-slow: ## the rest of what a change must pass: every family of networks, every command of the manual, the benches
	@requirements/install.sh runtime ml dev
	@$(PYTEST) -m "slow and not long" $(ARGS)

test-long: ## all tests, those that take minutes each too
	@requirements/install.sh runtime ml dev
	@$(PYTHON_BIN) -m pytest $(ARGS)

storm: ## ten minutes of killing under load, then every promise checked (ARGS="--minutes 3 --database postgres --seed 7"; --help)
	@requirements/install.sh runtime ml dev
	@exec $(PYTHON_BIN) -m tests.storm $(ARGS)

check: ## format, lint, types, layers, templates, migrations
	@requirements/install.sh runtime ml dev
	@mkdir -p build/check
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/djlint templates --check --quiet
	.venv/bin/djlint templates --lint --quiet
	$(MANAGE) check --fail-level WARNING
	$(MANAGE) makemigrations --check --dry-run

bench: ## requests a second of a fresh service, beside the limit of this machine (ARGS=--help: its parts, and the admin list's bench)
	@requirements/install.sh runtime ml dev
	@exec $(PYTHON_BIN) -m bench $(ARGS)

bench-peers: ## the same beside LitServe and BentoML on the same model, machine and run (ARGS=--help)
	@requirements/install.sh runtime ml dev
	@RECOGNIZER_VENV=build/peers-venv requirements/install.sh peers
	@exec $(PYTHON_BIN) -m bench.peers $(ARGS)

bench-train: ## photos a second of training, beside torchvision's reference loop (ARGS=--help)
	@requirements/install.sh runtime ml dev
	@exec $(PYTHON_BIN) -m bench.training $(ARGS)

lock: ## compile requirements/*.in to exact, hashed files
	@requirements/install.sh runtime ml dev
	cd requirements && for name in runtime ml dev peers; do ../$(COMPILE) $$name.in -o $$name.txt || exit 1; done

venv: ## only install the packages, for the editor
	@requirements/install.sh runtime ml dev

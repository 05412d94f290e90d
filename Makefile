# The project's verbs. `make run` and `make test` need Python 3.11+ and a package registry, nothing else. `make run` installs
# what the package itself needs, `make test` the development tools, too.
PYTHON ?= python3
RUNS := .venv/.runs
READY := .venv/.ready
NODE := .cache/node/.ready
OASDIFF := .cache/go/bin/oasdiff
ACTIONLINT := .cache/go/bin/actionlint
REUSE := .cache/reuse/tools/.ready
BENCH := .cache/bench/.ready
DOCS := .venv/.docs
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# $(call steps,a b c): make each, and print how many seconds it took.
steps = @set -e; for step in $(1); do start=$$(date +%s); $(MAKE) --no-print-directory $$step; \
	echo "== $$step: $$(($$(date +%s) - start)) s"; done

tools := PYTHONPATH=tools python -m

help: # list the verbs
	@awk -F ':.*## ' '/^##@ / {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-16s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ User: try it, test it, read it, use the documents with other generators

run: $(RUNS) ## a key, an event, a gap: from the sandbox, or from Binance when BINANCE_API_KEY is set
	@PYTHONPATH=.:generated python tools/run/demo.py

test: $(READY) ## everything that needs Python alone
	$(call steps,lint types drift unit)

docs: $(DOCS) $(NODE) ## build/site/: these pages and the references as a site, with a search. Offline
	@$(tools) pages.site

reuse: $(READY) $(REUSE) ## openapi.yaml in other languages, DOC=another document, ONLY="language/generator ..."
	@PATH="$$PATH:$(CURDIR)/$(dir $(REUSE))bin" pytest tests/reuse/clients.py -n 2 --timeout 3600 -q -rfsx \
		$(if $(DOC),--document $(DOC)) --only "$(ONLY)"

bench: $(BENCH) ## our client beside its peers, in CPU, time and memory; ARGS="--only import --samples 3": a part of it
	@PYTHONPATH=$(CURDIR):$(CURDIR)/generated:tools .cache/bench/venv/bin/python -m bench $(ARGS)

##@ Maintainer: change a document, the code or a page

lint: $(READY) ## style, and the house's import rules
	ruff check . && ruff format --check .

types: $(READY) ## mypy --strict
	mypy

types-elsewhere: $(READY) ## mypy --strict, as on Windows and macOS
	@for platform in win32 darwin; do \
		mypy --platform $$platform --cache-dir .mypy_cache/$$platform listenkey generated || exit 1; done

unit: $(READY) ## the tests, but for the long ones; TESTS="tests/test_x.py -k word": these alone
	pytest -q $(or $(TESTS),-n 8 -m "not toolchain and not long")

coverage: $(READY) ## the tests again, with branch coverage of listenkey, but for the simulations
	coverage erase && coverage run -m pytest -q -n 6 -m "not toolchain and not simulation" && \
		coverage combine -q && coverage report

simulations: $(READY) ## a thousand days of keepers, and of streams
	SIMULATED_DAYS=250 pytest -n 2 --timeout 900 tests/keeper/test_simulation.py tests/stream/test_simulation.py tests/limits/test_turns.py

generate: $(READY) ## write generated/ from openapi.yaml and asyncapi.yaml
	$(tools) generate

drift: $(READY) ## fail unless generated/ is exactly what make generate writes
	$(tools) generate --check

lint-spec: $(NODE) ## the three documents by the rules of Redocly and Spectral, examples too
	REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true $(dir $(NODE))node_modules/.bin/redocly lint openapi.yaml account.yaml \
		--config tools/lint/redocly.yaml
	$(dir $(NODE))node_modules/.bin/spectral lint openapi.yaml account.yaml asyncapi.yaml --fail-severity hint \
		--ruleset tools/lint/spectral.yaml

docs-check: $(READY) ## compare PAGE="page.md …" SCHEMA="schema.yaml …" FORMAT=text|json|markdown; none: the sources
	@$(tools) docs_check check $(PAGE) --schema $(SCHEMA) --format $(or $(FORMAT),text)

docs-accept: $(READY) ## write what differs to pages.lock.json: PAGE, SCHEMA, REASON="why", ROWS="digests": these rows alone
	@$(tools) docs_check accept $(PAGE) --schema $(SCHEMA) --reason "$$REASON" --only "$(ROWS)"

watch: $(READY) $(OASDIFF) ## what the daily watch runs, on PAGE="page.md …" SCHEMA="schema.yaml …"; none: what Binance publishes today
	@mkdir -p build/watch && $(tools) docs_check.watch $(or $(FOLDER),build/watch) $(SCHEMA) $(PAGE)

facts: $(READY) ## print what is read of PAGE="page.md …"
	@$(tools) docs_check facts $(PAGE)

twins: $(READY) ## record that the Chinese pages say what the English say; SAME=1: a change of one needs none of the other
	@SAME="$(SAME)" python tools/pages/twins.py

pages: $(READY) ## write docs/events.md from asyncapi.yaml, and docs/other-languages.md from the programs of make reuse
	@$(tools) pages

workflows: $(READY) $(ACTIONLINT) ## the files for the public forge, by the rules of actionlint and zizmor
	$(ACTIONLINT) .github/workflows/*.yml
	zizmor --offline --quiet --pedantic .github/workflows

toolchain: docs $(OASDIFF) $(BENCH) chromium ## the tests that need Node, Go or Chromium
	pytest -m toolchain tests/toolchain

chromium: # from Debian, where it is missing and root may install it; the tests fail without it
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && apt-get update -qq && \
		apt-get install -y -qq --no-install-recommends chromium; } || echo "chromium is missing: apt-get install chromium" >&2

bench-accounts: $(READY) ## 10,000 keepers on one address; fails when a key is lost; ARGS="--accounts 200 --life 20": fewer
	@$(tools) bench.accounts $(ARGS)

bench-lock: $(READY) ## pin the peers of `make bench` anew
	uv pip compile -q --universal --python-version 3.11 --no-emit-index-url --no-annotate --upgrade --extra stream \
		--custom-compile-command "make bench-lock" pyproject.toml tools/bench/requirements.in -o tools/bench/requirements.txt

lock: $(READY) ## pin the development tools and the needs of `make run` anew; no release that is younger than a week
	uv pip compile -q --group dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --upgrade --exclude-newer '1 week' \
		--custom-compile-command "make lock" -o requirements-dev.txt
	uv pip compile -q pyproject.toml --extra stream --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-annotate -c requirements-dev.txt --custom-compile-command "make lock" -o tools/run/requirements.txt
	uv pip compile -q --group docs -c requirements-dev.txt --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--exclude-newer '1 week' --custom-compile-command "make lock" -o tools/pages/requirements.txt

##@ Release: what breaks, and whether all holds

breaking: $(READY) $(OASDIFF) ## what changed in openapi.yaml since BASE (default: the last tag), and the versions it asks for
	@$(tools) release.breaking $(BASE)

api: $(READY) ## what broke in listenkey's own Python API since BASE (default: the last tag)
	@base="$(or $(BASE),$$(git describe --tags --abbrev=0 2>/dev/null))"; \
		if [ -n "$$base" ]; then griffe check listenkey --search . --against "$$base"; \
		else echo "no tag yet: there is nothing to compare with"; fi

matrix: $(READY) ## the tests on each Python that pyproject.toml names and this machine has: TESTS="tests/test_x.py ..."
	nox -f tools/release/noxfile.py -- $(TESTS)

test-all: $(READY) ## everything, with Node, Go and Chromium, on every Python; CI runs it
	$(call steps,test types-elsewhere coverage simulations lint-spec breaking api workflows toolchain reuse matrix bench-accounts)

# What the verbs need

$(NODE): tools/lint/package.json tools/lint/package-lock.json
	mkdir -p $(dir $@) && cp $^ $(dir $@)
	npm ci --prefix $(dir $@) --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

$(OASDIFF): Makefile
	GOPATH=$(CURDIR)/.cache/go GOBIN=$(dir $(CURDIR)/$@) GOFLAGS=-modcacherw go install github.com/oasdiff/oasdiff@v1.35.0
	@touch $@

$(BENCH): tools/bench/requirements.txt
	@echo "setting up .cache/bench, which takes about a minute"
	@$(PYTHON) -m venv --clear .cache/bench/venv
	@.cache/bench/venv/bin/pip install -q --disable-pip-version-check -r $<
	@touch $@

$(REUSE): tests/reuse/requirements.txt $(READY)
	python -m venv --clear $(dir $@) && $(dir $@)bin/pip install -q --disable-pip-version-check -r $<
	@touch $@

$(DOCS): tools/pages/requirements.txt $(READY)
	@pip install -q --disable-pip-version-check --require-hashes -r $<
	@touch $@

$(ACTIONLINT): Makefile
	GOPATH=$(CURDIR)/.cache/go GOBIN=$(dir $(CURDIR)/$@) GOFLAGS=-modcacherw go install github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
	@touch $@

$(RUNS): tools/run/requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer: make PYTHON=python3.12")'
	@echo "setting up .venv, which takes some seconds"
	@$(PYTHON) -m venv --clear .venv
	@pip install -q --disable-pip-version-check --require-hashes -r $<
	@touch $@

.venv/.pinned: requirements-dev.txt $(RUNS)
	@echo "installing the development tools, which takes about a minute"
	@pip install -q --disable-pip-version-check --require-hashes -r $<
	@touch $@

$(READY): .venv/.pinned pyproject.toml
	@pip install -q --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

.PHONY: help run test docs reuse bench lint types types-elsewhere unit coverage simulations generate drift lint-spec docs-check docs-accept watch facts twins pages workflows toolchain chromium bench-accounts bench-lock lock breaking api matrix test-all

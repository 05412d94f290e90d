# The project's verbs. `make run` and `make test` need Python 3.11+ and a package registry, nothing else.
PYTHON ?= python3
READY := .venv/.ready
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# $(call steps,a b c): make each, and print how many seconds it took.
steps = @set -e; for step in $(1); do start=$$(date +%s); $(MAKE) --no-print-directory $$step; \
	echo "== $$step: $$(($$(date +%s) - start)) s"; done

help: ## list the verbs
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

run: $(READY) ## get a listen key: from the sandbox, or from Binance when BINANCE_API_KEY is set
	@python tools/demo.py

test: $(READY) ## everything that needs Python alone
	$(call steps,lint types drift unit)

lint: $(READY) ## style, and the house's import rules
	ruff check . && ruff format --check .

types: $(READY) ## mypy --strict
	mypy

unit: $(READY) ## the tests, with branch coverage of listenkey
	coverage erase && coverage run -m pytest && coverage combine -q && coverage report

generate: $(READY) ## write generated/ from openapi.yaml
	python tools/generate.py

drift: $(READY) ## fail unless generated/ is exactly what make generate writes
	python tools/generate.py --check

reuse: $(READY) ## openapi.yaml in other languages, DOC=another document, ONLY="language/generator ..."
	python tests/reuse/run.py $(if $(DOC),--document $(DOC)) $(ONLY)

lock: $(READY) ## pin the development tools of pyproject.toml anew
	uv pip compile -q --group dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --upgrade \
		--custom-compile-command "make lock" -o requirements-dev.txt

$(READY): requirements-dev.txt pyproject.toml
	$(PYTHON) -m venv --clear .venv
	pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.txt
	pip install -q --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

.PHONY: help run test lint types unit generate drift lock reuse

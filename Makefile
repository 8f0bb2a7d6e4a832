# `make app` starts the page, `make test` runs every test; `make help` lists the rest.
# The interpreter of the venv is always called as `python -m …`, which also works in folders with spaces.

PORT ?= 8501
HOST ?= 127.0.0.1
# Processes for the tests without a browser.
JOBS ?= 2
# How often a browser test that failed is tried again, which the report tells: a busy machine loses clicks.
RERUNS ?= 2

VENV := .venv
RUN := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev
REQUIREMENTS := requirements.txt constraints-cuda.txt
# The pins also hold for what builds openai-whisper, which is published as source alone.
PIP_INSTALL := PIP_CONSTRAINT=requirements.txt PIP_BUILD_CONSTRAINT=requirements.txt $(RUN) -m pip install

.DEFAULT_GOAL := help
.PHONY: help app venv test lint bench clean

help:  ## this list
	@echo "PYTHON=…, PORT=8501, HOST=127.0.0.1 and CHROMIUM=… can be given. Targets:"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile

app: $(INSTALLED)  ## start the page on http://localhost:8501
	$(RUN) -m streamlit run app.py --server.address "$(HOST)" --server.port "$(PORT)"

venv: $(INSTALLED)  ## install what the page needs into .venv

test: $(INSTALLED_DEV)  ## run every test, the browser's own after the others
	$(RUN) -m pytest -m "not browser" -n $(JOBS) --dist loadfile
	CHROMIUM="$$($(RUN) tools/find_chromium.py)" && export CHROMIUM && $(RUN) -m pytest -m browser --reruns $(RERUNS)

lint: $(INSTALLED_DEV)  ## ruff and mypy
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

bench: $(INSTALLED_DEV)  ## measure speed, memory and words into results/bench.json
	CHROMIUM="$$($(RUN) tools/find_chromium.py)" && export CHROMIUM && $(RUN) -m benchmarks.bench

clean:  ## remove .venv and the tools' caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps are younger than the requirements exactly while nothing is left to install.
$(INSTALLED): $(REQUIREMENTS) | $(RUN)
	$(PIP_INSTALL) -r requirements.txt
	@touch $@

$(INSTALLED_DEV): requirements-dev.txt $(REQUIREMENTS) | $(RUN)
	$(PIP_INSTALL) -r requirements-dev.txt
	@touch $(INSTALLED) $@

# `tools/find_python.sh` answers with an interpreter, or with a sentence that ends in an advice about PYTHON=.
$(RUN):
	$(eval CHOSEN := $(shell sh tools/find_python.sh "$(PYTHON)"))
	$(if $(findstring PYTHON=,$(CHOSEN)),$(error $(CHOSEN)))
	"$(CHOSEN)" -m venv $(VENV)

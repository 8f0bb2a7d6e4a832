# `make app` starts the page, `make test` runs every test; `make help` lists the rest.
# The interpreter of the venv is always called as `python -m …`, which also works in folders with spaces.

PORT ?= 8501
HOST ?= 127.0.0.1
# Processes for the tests without a browser.
JOBS ?= 2
# How often a browser test that failed is tried again, which the report tells: a busy machine loses clicks.
RERUNS ?= 2

# Where pip also looks for torch. On Linux without a GPU: the builds without CUDA, which is 3 GB; unless pip is already
# configured with places to look.
TORCH_INDEX ?= $(if $(PIP_INDEX_URL)$(PIP_EXTRA_INDEX_URL)$(PIP_FIND_LINKS),,$(shell \
	[ "$$(uname)" != Linux ] || command -v nvidia-smi >/dev/null || echo https://download.pytorch.org/whl/cpu))

VENV := .venv
RUN := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev
LOCKS := requirements.txt constraints-cuda.txt
LOCKS_DEV := requirements-dev.txt requirements-train.txt requirements-service.txt $(LOCKS)
# The pins also hold for what builds openai-whisper, which is published as source alone.
PIP_INSTALL := PIP_CONSTRAINT=requirements.txt PIP_BUILD_CONSTRAINT=requirements.txt $(RUN) -m pip install
# torch goes first, with what its build needs: NVIDIA's packages and triton for one with CUDA, neither for one without.
# The rest is installed exactly as locked: openai-whisper would ask for triton, which it uses on a GPU alone.
INSTALL_TORCH := $(PIP_INSTALL) torch $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

.DEFAULT_GOAL := help
.PHONY: help app venv test quick slow lint wheels bench clean

help:  ## this list
	@echo "PYTHON=…, PORT=8501, HOST=127.0.0.1, TORCH_INDEX=… and CHROMIUM=… can be given. Targets:"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile

app: $(INSTALLED)  ## start the page on http://localhost:8501
	$(RUN) -m streamlit run app.py --server.address "$(HOST)" --server.port "$(PORT)"

venv: $(INSTALLED)  ## install what the page needs into .venv

test: quick  ## run the tests, those in a browser after the others; not the slow ones
	CHROMIUM="$$($(RUN) tools/find_chromium.py)" && export CHROMIUM && \
		$(RUN) -m pytest -m "browser and not slow" --reruns $(RERUNS)

quick: $(INSTALLED_DEV)  ## run the tests that are neither slow nor in a browser
	$(RUN) -m pytest -m "not browser and not slow" -n $(JOBS) --dist loadfile

slow: $(INSTALLED_DEV)  ## run the slow tests, which take a minute or more each
	CHROMIUM="$$($(RUN) tools/find_chromium.py)" && export CHROMIUM && $(RUN) -m pytest -m slow

lint: $(INSTALLED_DEV)  ## ruff, mypy, generated documents and the layers of the engine
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(RUN) -m tools.generate_docs --check
	$(RUN) -c "from importlinter.cli import lint_imports_command as lint; lint()"

wheels: $(INSTALLED_DEV)  ## resolve every pin for each Python and platform, with wheels alone
	$(RUN) tools/resolve_wheels.py

bench: $(INSTALLED_DEV)  ## measure speed, memory and words into results/bench.json
	CHROMIUM="$$($(RUN) tools/find_chromium.py)" && export CHROMIUM && $(RUN) -m benchmarks.bench

clean:  ## remove .venv and the tools' caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps are younger than the requirements exactly while nothing is left to install.
# Without bytecode, which Python writes when a module is first imported: the page imports a fraction of what is here.
$(INSTALLED): $(LOCKS) | $(RUN)
	$(INSTALL_TORCH) --no-compile
	$(PIP_INSTALL) --no-compile --no-deps -r requirements.txt
	@touch $@

$(INSTALLED_DEV): $(LOCKS_DEV) | $(RUN)
	$(INSTALL_TORCH)
	$(PIP_INSTALL) --no-deps -r requirements-dev.txt
	@touch $(INSTALLED) $@

# `tools/find_python.sh` answers with an interpreter, or with a sentence that ends in an advice about PYTHON=.
$(RUN):
	$(eval CHOSEN := $(shell sh tools/find_python.sh "$(PYTHON)"))
	$(if $(findstring PYTHON=,$(CHOSEN)),$(error $(CHOSEN)))
	"$(CHOSEN)" -m venv $(VENV)

# The book's commands. `make` alone lists them. Works with GNU make 3.81 and newer.
#
#   PYTHON=python3.12 make book     another Python (3.11 or newer)
#   PORT=9000 make serve            another port

VENV := .venv
BIN := $(VENV)/bin
MINIMUM := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	if $$p -c '$(MINIMUM)' 2>/dev/null; then echo $$p; break; fi; done)
PORT ?= 8000
TEST_WORKERS ?= 2
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile \
	-c constraints.txt
# pip would compile the packages' files one after the other; so all cores do it, but for the half
# that is hardly ever imported: Python compiles a file of those when it is
SELDOM := tests?|testing|models|_inductor|_vendor(ed)?|networkx|sqlalchemy|debugpy|pip|setuptools
COMPILE := $(BIN)/python -m compileall -qq -j 0 -x '/($(SELDOM)|physics|lexers)/'
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help book test unit serve notebooks lint links lighthouse benchmark constraints clean distclean

help:
	@echo "make book        set up everything, execute every notebook, build the site"
	@echo "make test        set up everything, run every check there is"
	@echo "make unit        the fast part of it: unit and property tests"
	@echo "make serve       build and open the site at http://localhost:$(PORT)"
	@echo "make notebooks   open the chapters in JupyterLab"
	@echo "make lint        format, lint, strip outputs, check spelling"
	@echo "make links       check the links that leave the site (needs the network)"
	@echo "make lighthouse  measure three pages with Lighthouse (needs Node and Chromium)"
	@echo "make benchmark   measure our GPT beside the transformers implementation"
	@echo "make clean       remove what was built; make distclean removes $(VENV) too"

# ---- environment: one .venv, one stamp for each set of extras -------------------------------

$(BIN)/python:
	@if [ -z "$(PYTHON)" ]; then \
	  echo "The book needs Python 3.11 or newer and found none."; \
	  echo "Install one and name it: PYTHON=/path/to/python3.12 make book"; exit 1; fi
	@$(PYTHON) -c '$(MINIMUM)' || { \
	  echo "The book needs Python 3.11 or newer; $(PYTHON) is `$(PYTHON) -V 2>&1`."; \
	  echo "Name a newer one: PYTHON=/path/to/python3.12 make book"; exit 1; }
	@echo "Making $(VENV) with `$(PYTHON) -V`"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "Could not make a virtual environment (on Debian and Ubuntu: apt-get install python3-venv)."; \
	  exit 1; }

$(VENV)/.stamp-%: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing the pinned packages for '$*' into $(VENV) (the first time takes minutes)"
	@$(INSTALL) -e ".[$*]"
	@$(COMPILE) $(VENV)/lib || true  # a few packages carry files that no Python compiles
	@touch $@

# ---- the two commands -----------------------------------------------------------------------

book: $(VENV)/.stamp-book
	@$(BIN)/python tools/execute.py
	@$(BIN)/python tools/build_site.py --port $(PORT)

unit: $(VENV)/.stamp-test
	@echo "== unit and property tests"
	@$(BIN)/python -m pytest -q -n $(TEST_WORKERS) -m "not site and not browser"

# Fast checks first. The notebooks are executed once; the site and its tests use that execution.
test: unit
	@echo "== notebooks"
	@$(BIN)/python tools/execute.py
	@echo "== site"
	@$(BIN)/python tools/build_site.py --port $(PORT)
	@echo "== tests of the executed notebooks, of the site and of the live figures"
	@$(BIN)/python -m pytest -q -n $(TEST_WORKERS) --dist loadscope -m "site or browser" \
	  tests/live tests/notebooks tests/site

# ---- for readers and authors ----------------------------------------------------------------

serve: book
	@$(BIN)/python tools/serve.py --port $(PORT)

notebooks: $(VENV)/.stamp-notebooks
	$(BIN)/jupyter lab notebooks

lint: $(VENV)/.stamp-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/nbstripout --keep-id --extra-keys "metadata.widgets metadata.language_info.version" notebooks/*.ipynb
	$(BIN)/codespell

links: book
	@$(BIN)/python tools/links.py

lighthouse: book
	@$(BIN)/python tools/lighthouse.py

benchmark: $(VENV)/.stamp-test
	$(BIN)/python -m benchmarks.speed

constraints: $(VENV)/.stamp-dev
	$(BIN)/python tools/pin.py

clean:
	rm -rf _build _work

distclean: clean
	rm -rf $(VENV)

# Two commands do all the set-up: `make demo` and `make test`. `make help` lists the others.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
AUDITING := $(VENV)/audit
SERVING := $(VENV)/.serving
READS := web,serving
EXTRAS := web,emotion,recommender,research,dev

.PHONY: help install demo test fuzz audit run worker beat lint format schema

help:
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

define install
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.11 …" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -qq --disable-pip-version-check -c constraints.txt -e ".[$(1)]"
endef

$(INSTALLED): pyproject.toml constraints.txt
	$(call install,$(EXTRAS))
	@touch $@ $(SERVING)

$(SERVING): pyproject.toml constraints.txt  # what the demo needs: no torch
	$(call install,$(READS))
	@touch $@

install: $(INSTALLED)  ## make .venv, install the tested set, write fresh secrets to var/env
	@$(BIN)/python -m mhealth.newenv

demo: $(SERVING)  ## play a study through the real HTTP API; DEMO=once ends after the story; FACE=, VOICE= take yours
	@$(BIN)/python -m mhealth.newenv
	@$(BIN)/python manage.py demo $(if $(FACE),--face "$(FACE)") $(if $(VOICE),--voice "$(VOICE)") $(if $(filter once,$(DEMO)),--once)

test: $(INSTALLED)  ## the quick suite and the fault test; also against PostgreSQL and Redis where they answer
	@$(BIN)/python -m tests.run

fuzz: $(INSTALLED)  ## the API against 100 made-up requests for each operation and caller; FUZZ_EXAMPLES=, FUZZ_SEED= choose
	FUZZ_EXAMPLES=$(or $(FUZZ_EXAMPLES),100) FUZZ_SEED=$(or $(FUZZ_SEED),$(shell date +%Y%m%d)) \
	  $(BIN)/python -m pytest tests/platform/test_fuzz.py

audit: $(AUDITING)/.installed  ## dangerous calls, the list of components in var/sbom.json, and published advisories
	@bash .ci/audit $(AUDITING)/bin $(BIN)/python

$(AUDITING)/.installed: pyproject.toml constraints.txt $(INSTALLED)
	$(PYTHON) -m venv $(AUDITING)
	$(AUDITING)/bin/pip install -qq --disable-pip-version-check -c constraints.txt -e ".[audit]"
	@touch $@

run: install  ## the web process on http://127.0.0.1:8000, with the embedded worker where no broker is configured
	$(BIN)/python manage.py migrate --no-input
	HTTPS=0 $(BIN)/gunicorn mhealth.wsgi --no-control-socket --bind 127.0.0.1:8000 --threads 8

worker: install  ## one worker for all queues
	$(BIN)/celery -A mhealth worker --queues media,decide,export,notify,training --concurrency 1 --loglevel info

beat: install  ## the schedule, where a broker is configured
	$(BIN)/celery -A mhealth beat --loglevel info --schedule var/celerybeat-schedule

lint: $(INSTALLED)  ## everything that reads code and changes nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

format: $(INSTALLED)  ## let ruff put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

schema: install  ## write docs/openapi.yaml anew
	$(BIN)/python manage.py spectacular --validate --fail-on-warn --file docs/openapi.yaml

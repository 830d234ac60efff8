# `make demo` and `make test` do all that is needed, from a fresh clone on. `make PYTHON=/path/to/python3.12 ...` chooses the interpreter.

# the tested ones, as in pyproject.toml, then whatever there is
TESTED := python3.14 python3.13 python3.12 python3.11
PYTHON := $(TESTED) python3 $(notdir $(wildcard $(addsuffix /python3.[1-9][0-9],$(subst :, ,$(PATH)))))
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
USABLE := import sys, ensurepip; sys.exit(sys.version_info < (3, 11))
NO_PYTHON := Python 3.11 or later with its venv module is needed, found none among: $(PYTHON). \
	Do 'apt install python3-venv' (for another Python than the system's: python3.12-venv, say) or name one, 'make PYTHON=/path/to/python3.12'.
# the tests that say that what is installed is what constraints.txt has
PINNED := --deselect tests/test_packaging.py::test_the_tested_versions_are_the_installed_ones \
	--deselect tests/test_packaging.py::test_every_package_that_an_install_brings_is_pinned
# what grad-cam needs of its dependencies: all of them would bring a second OpenCV
CAMS := grad-cam==1.5.7 ttach==0.0.3 scikit-learn==1.9.1 cloudpickle==3.1.2 joblib==1.6.0 narwhals==2.29.0 threadpoolctl==3.8.0
# one each for two workers on two cores
THREADS := 1
PYTEST := OMP_NUM_THREADS=$(THREADS) $(BIN)/python -m pytest -n 2

.PHONY: help install demo evidence docs test test-full test-cams test-minimum lint audit clean

help:
	@echo 'make demo       install, simulate leaves, train, compare, and say where the page is: minutes'
	@echo 'make evidence   the same at full size, three seeds, with every control: hours'
	@echo 'make docs       install and build the pages: build/site/index.html'
	@echo 'make test       install and run the suite without its slow tests'
	@echo 'make test-full  install and run all of the suite'
	@echo 'make test-cams  the tests of the maps by the library grad-cam, which is no part of the install'
	@echo 'make test-minimum  the suite without its slow tests, with the oldest versions that pyproject.toml allows'
	@echo 'make lint       install, then ruff, mypy and import-linter'
	@echo 'make audit      look the tested versions up among known vulnerabilities (needs PyPI itself)'
	@echo 'make install    make $(VENV) with the tested versions'
	@echo 'make clean      remove $(VENV), builds and caches; data and results stay'

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@for python in $(PYTHON); do \
		if $$python -c '$(USABLE)' 2>/dev/null; then exec $$python tools/install.py $(VENV); fi; \
	done; echo "$(NO_PYTHON)" >&2; exit 1
	@touch $@

demo: install
	@echo 'Four to five minutes of two cores: leaves are simulated, a teacher and two students are trained, a page is written.'
	$(BIN)/python datasets/leafsim/prepare.py --out data/demo/leafsim --seed 0 --sensors rgb thermal --num-scenes 1650 --difficulty easy
	XKD_DATA_ROOT=data/demo $(BIN)/xkd compare configs/rgb_thermal/leafsim_demo.py --seeds 1 --arms teacher alone distilled --work-dir work_dirs/demo

evidence: install
	$(BIN)/python datasets/leafsim/prepare.py --out data/leafsim --seed 0 --sensors rgb thermal
	XKD_DATA_ROOT=data $(BIN)/xkd compare configs/rgb_thermal/leafsim.py --seeds 3 --controls --work-dir work_dirs/evidence

# the variable silences material's notice about mkdocs 2, which pyproject.toml keeps out
docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build
	@echo 'build/site/index.html; to search it: $(BIN)/python -m http.server --directory build/site'

test: install
	$(PYTEST) -m 'not slow'

test-full: install
	$(PYTEST)

test-cams: install
	$(BIN)/pip install --quiet --upgrade --target build/cams --no-deps $(CAMS)
	PYTHONPATH=build/cams $(BIN)/python -c 'import pytorch_grad_cam'  # without it the tests would be skipped
	PYTHONPATH=build/cams $(BIN)/python -m pytest -q tests/attention/test_library.py

# uv, since pip cannot ask for the lowest versions; what they warn of about each other is theirs
test-minimum: install
	$(BIN)/python -m venv build/minimum
	build/minimum/bin/pip install --quiet uv
	build/minimum/bin/uv pip install --python build/minimum/bin/python --resolution lowest-direct --editable '.[dev]'
	OMP_NUM_THREADS=$(THREADS) build/minimum/bin/python -m pytest -n 2 -m 'not slow' $(PINNED)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# what cannot be looked up is a failure too
audit: install
	$(BIN)/python -m venv build/audit
	build/audit/bin/pip install --quiet pip-audit
	build/audit/bin/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .import_linter_cache .pytest_cache
	find configs datasets tests tools xkd -name __pycache__ -prune -exec rm -rf {} +

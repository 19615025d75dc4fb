# make demo   train on real extreme multi-label data, with progress and a picture
# make test   the tests, without the slow ones
# make fuzz   damaged files into each reader of data, for FUZZ_SECONDS, ten minutes if not set
# make sanitize   the kernels' tests under AddressSanitizer and UBSan
# make docs   the documentation site, in docs/_build; runs the examples, and warnings are errors
# make profile   where the time of a training step goes, part by part, each against its bound
# All set themselves up in .venv from Python 3.11 or later and a C compiler.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
KERNEL_TESTS := tests/kernels
KERNELS := $(wildcard sklsh/_kernels/*.pyx sklsh/_kernels/*.pxd sklsh/_kernels/*.h)

# The fast tests run in a process for each core. Their threads, then more than there are cores,
# sleep while they wait.
test: export OMP_WAIT_POLICY ?= passive

# The data that tests, demo and docs make from the installed sources stay in the environment.
export SCIKIT_LEARN_DATA ?= $(abspath $(VENV))/data

.NOTPARALLEL:
.PHONY: demo test test-all fuzz sanitize docs profile lint clean

demo: $(VENV)/demo
	$(BIN)/python docs/examples/plot_python_calls.py

test: $(VENV)/test
	$(BIN)/python -m pytest -q -n auto --dist worksteal -m "not slow"

test-all: $(VENV)/test
	$(BIN)/python -m pytest -q

fuzz: $(VENV)/test
	$(BIN)/python tests/fuzz_xmc.py --seconds $(or $(FUZZ_SECONDS),600)
	$(BIN)/python tests/fuzz_fasta.py --seconds $(or $(FUZZ_SECONDS),600)

# The kernels' tests in a build that traps bad memory accesses and undefined behaviour.
sanitize: $(VENV)/test
	rm -rf $(VENV)/sanitized && mkdir $(VENV)/sanitized
	cp -r setup.py pyproject.toml MANIFEST.in README.md LICENSE sklsh $(VENV)/sanitized
	rm -f $(VENV)/sanitized/sklsh/_kernels/*.so
	SKLSH_SANITIZE=1 $(BIN)/python -m pip install --quiet --no-deps \
		--target $(VENV)/sanitized/lib $(VENV)/sanitized
	LD_PRELOAD="$$($(CC) -print-file-name=libasan.so) $$($(CC) -print-file-name=libubsan.so)" \
	ASAN_OPTIONS=detect_leaks=0 PYTHONPATH=$(VENV)/sanitized/lib \
		$(BIN)/pytest -q $(KERNEL_TESTS)

docs: $(VENV)/docs
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going docs docs/_build

profile: $(VENV)/test
	$(BIN)/python benchmarks/profile_step.py

lint: export PATH := $(abspath $(BIN)):$(PATH)
lint: $(VENV)/lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/cython-lint sklsh
	$(BIN)/codespell sklsh tests docs benchmarks README.md

# One stamp for each set of extras; all are renewed when the build changes.
$(VENV)/%: pyproject.toml setup.py $(KERNELS)
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[$*]"
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info demo docs/examples/demo
	rm -rf docs/_build docs/gallery docs/api/generated
	find sklsh -name "*.so" -delete

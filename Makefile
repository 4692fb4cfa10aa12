# make run · make test · make check · make bench · make soak · make fuzz · make test-all      (what each does: README.md)

VENV := .venv
PYTHON := $(VENV)/bin/python
PYTEST := $(PYTHON) -m pytest
# Without what setuptools says of its own plans.
PIP := PYTHONWARNINGS=ignore $(PYTHON) -m pip install --quiet
# How many at once, each with a network of its own: tests/conftest.py says what stays together.
BESIDE := -n 4 --dist loadscope --no-loadscope-reorder

# Python keeps what it has compiled, whatever this shell's habits: each daemon that a test starts would compile all anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: run test test-all test-oldest test-python sanitize wheels deb generated pictures check bench soak fuzz system-packages clean

run: $(VENV)/.installed
	@exec $(PYTHON) scripts/run.py $(ARGS)

# Completions and manuals, of what the commands may be told.
generated: $(VENV)/.installed-test
	$(VENV)/bin/python scripts/generate.py

# What the documents show of our pages, in docs/images: due when tests/test_pictures.py says so.
pictures: $(VENV)/.installed-test system-packages
	HARDLINE_TEST_FULL=1 HARDLINE_PICTURES=1 $(PYTEST) -q tests/pictures

check: $(VENV)/.installed-test
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/ruff check
	$(VENV)/bin/mypy
	$(PYTEST) -q $(BESIDE) -m pure

test: $(VENV)/.installed-test system-packages
	$(PYTEST) -q $(BESIDE) $(ARGS)

# The same tests at their full size: 1 GB where `make test` moves 200 MB.
test-all: export HARDLINE_TEST_FULL = 1
test-all: $(VENV)/.installed-test system-packages
	$(PYTEST) -q $(BESIDE) $(ARGS)

# What calls C functions under pyOpenSSL, against the oldest versions that pyproject.toml allows.
test-oldest: $(VENV)-oldest/.installed
	$(VENV)-oldest/bin/python -m pytest -q tests/transport tests/tunnel/test_dialer.py tests/tunnel/test_host.py

# Without the part in C: what carries bytes, by Python alone.
test-python: $(VENV)/.installed-test
	HARDLINE_NATIVE=0 $(PYTEST) -q $(BESIDE) tests/transport tests/session tests/tunnel tests/door $(ARGS)

# The part in C with every warning an error, under AddressSanitizer and UBSan, with the tests that drive it.
sanitize: $(VENV)/.installed-test
	sh scripts/sanitize.sh $(PYTHON) $(ARGS)

# For Linux on x86_64 and aarch64, any Python from 3.11 on, in build/wheels.
wheels: $(VENV)/.installed-wheels
	sh scripts/wheels.sh $(PYTHON)

# A Debian package for this machine's Python, in build.
deb: $(VENV)/.installed-deb
	sh packaging/deb.sh $(PYTHON)

$(VENV)-oldest/.installed: pyproject.toml $(wildcard hardline/native/*.[ch])
	python3 -m venv $(VENV)-oldest
	$(VENV)-oldest/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(VENV)-oldest/bin/python -m pip install --quiet --group test --editable . 'pyopenssl==26.2.*' 'cryptography==48.*'
	@touch $@

# Looks for bytes that break a parser, TIME seconds for each target or for TARGET; MERGE=1 keeps what it found.
fuzz: $(VENV)/.installed-fuzz
	$(PYTHON) -m tests.fuzz.run --time $(or $(TIME),60) $(if $(TARGET),--target $(TARGET)) $(if $(MERGE),--merge)

# Mixed traffic for TIME seconds while daemons die, cables are cut and clocks jump; SEED repeats a run: docs/SOAK.md.
soak: $(VENV)/.installed-test system-packages
	$(PYTHON) -m tests.soak.run --time $(or $(TIME),180) $(if $(SEED),--seed $(SEED)) $(ARGS)

# All that is measured, more than an hour, or what BENCH="loopback relay" names; with ARGS or PROFILE=1 one run of bench/run.py.
bench: $(VENV)/.installed-test system-packages
	$(PYTHON) bench/$(if $(ARGS)$(PROFILE),run.py $(ARGS),families.py $(BENCH))

system-packages:
	@sh tests/support/install.sh

$(VENV)/.made:
	python3 -m venv $(VENV)
	$(PIP) --upgrade 'pip>=25.1'
	@touch $@

$(VENV)/.installed: $(VENV)/.made pyproject.toml $(wildcard hardline/native/*.[ch])
	$(PIP) --editable .
	@ls hardline/native/*.so >/dev/null 2>&1 || echo "no C compiler or no headers of Python here: it runs without its part in C, see README.md"
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed pyproject.toml
	$(PIP) --group test
	@touch $@

$(VENV)/.installed-wheels: $(VENV)/.installed pyproject.toml
	$(PIP) --group wheels
	@touch $@

$(VENV)/.installed-deb: $(VENV)/.installed pyproject.toml
	$(PIP) --group deb
	@touch $@

$(VENV)/.installed-fuzz: $(VENV)/.installed-test pyproject.toml
	$(PIP) --group fuzz
	@touch $@

clean:
	rm -rf $(VENV) $(VENV)-oldest build run *.egg-info hardline/native/*.so .mypy_cache .ruff_cache .pytest_cache .hypothesis

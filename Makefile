# The two commands of the README are `make run` and `make test`; everything else serves them.
PYTHON ?= python3
CORES ?= 2
BIN := .venv/bin
UV := $(shell command -v uv || echo .tools/bin/uv)
# uv does not read pip's own settings; where a site sets an index for pip, uv is told of it.
ifdef PIP_INDEX_URL
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif

.PHONY: run plan test test-slow test-cluster lint format bench env env-dev pins schemas clean
.DELETE_ON_ERROR:

# Matrices here are small: threads of the linear algebra only wait for one another.
test test-slow: export OMP_NUM_THREADS ?= 1

run: env
	$(BIN)/snakemake --cores $(CORES) --keep-going --rerun-incomplete --quiet host
	@for report in results/*/report.html; do echo "Report: $$report"; done

# What a run would do and cost: `make plan ARGS="--configfile mine.yaml"`.
plan: env
	@$(BIN)/python workflow/plan.py $(ARGS)

test: env-dev lint
	$(BIN)/pytest -n $(CORES) --dist loadfile -m "not slow and not cluster"

test-slow: env-dev
	$(BIN)/pytest -m "not cluster"

# An hour: everything that goes wrong on a cluster, on a SLURM of our own. Takes root and Debian's slurm-wlm.
test-cluster: env-dev
	$(BIN)/pytest -m cluster -rs tests/cluster

lint: env-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/mypy
	$(BIN)/snakemake --lint

format: env-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

# Half an hour: see benchmarks/README.md.
bench: env
	{ $(BIN)/python benchmarks/machine.py "$(NOTE)" && echo && \
	  $(BIN)/python benchmarks/lmm.py && echo && \
	  $(BIN)/python benchmarks/glmm.py && echo && \
	  $(BIN)/python benchmarks/inference.py && echo && \
	  $(BIN)/python benchmarks/gee.py && echo && \
	  $(BIN)/python benchmarks/impute.py && echo && \
	  $(BIN)/python benchmarks/joint.py && echo && \
	  $(BIN)/python benchmarks/recovery.py && echo && \
	  $(BIN)/python benchmarks/memory.py && echo && \
	  $(BIN)/python benchmarks/gallery.py && echo && \
	  $(BIN)/python benchmarks/scale.py tables benchmarks/scale.jsonl; } > benchmarks/results.md.partial
	mv benchmarks/results.md.partial benchmarks/results.md

env: .venv/.run
env-dev: .venv/.dev

.tools/bin/uv:
	$(PYTHON) -m venv .tools
	.tools/bin/python -m pip install --quiet uv

.venv/.run: envs/requirements.txt pyproject.toml .python-version | $(filter .tools/bin/uv,$(UV))
	test -x $(BIN)/python || $(UV) venv --quiet .venv
	$(UV) pip install --quiet --compile-bytecode --requirement envs/requirements.txt
	$(UV) pip install --quiet --no-deps --editable .
	touch $@

.venv/.dev: envs/requirements-dev.txt .venv/.run
	$(UV) pip install --quiet --compile-bytecode --requirement envs/requirements-dev.txt
	touch $@

# Pins carry versions only: no index, no url, so that they serve every mirror.
pins: | $(filter .tools/bin/uv,$(UV))
	for set in requirements requirements-dev; do \
	  $(UV) pip compile --quiet --no-header --no-annotate \
	    --upgrade envs/$$set.in --output-file envs/$$set.txt; done
	$(BIN)/python -m nestwise.environment envs/requirements.txt envs

schemas: env
	$(BIN)/python -m nestwise.config.schema workflow/schemas

clean:
	rm -rf results/* .snakemake

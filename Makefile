# Set-up needs python3 (3.11 or newer), make and git; everything else is installed from the hashed lock files.
PYTHON ?= python3
TARGET ?= all
BIN := .venv/bin
DEMO := results/demo
SMOKE := results/smoke
PROFILE ?= profiles/local
CAMPFIRE := $(BIN)/python -m campfire
SNAKEMAKE := $(BIN)/snakemake --profile $(PROFILE)
# The terminal shows a line per stage, warnings and errors; what jobs print is in their logs.
BRIEFLY := $(SNAKEMAKE) --logger campfire
SERVED := $(CAMPFIRE) serve $(DEMO)-screen/s3 --

# Kernels and the number of threads change sums in their last bit, and training makes hundredths of an accuracy of that
# (docs/statistics.md). The demo therefore computes with the instructions of AVX2; its config trains with one thread.
SAME_SUMS := demo compare claims figure report
$(SAME_SUMS): export ATEN_CPU_CAPABILITY := avx2
$(SAME_SUMS): export MKL_CBWR := AVX2
$(SAME_SUMS): export ONEDNN_MAX_CPU_ISA := AVX2
$(SAME_SUMS): export OPENBLAS_CORETYPE := Haswell
$(SAME_SUMS): export NPY_DISABLE_CPU_FEATURES := AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL
# Those of profiles/local, which the option replaces, and that of the training, which has one thread.
DEMO_THREADS := --set-threads images=1 embed=1 embed_transfer=1 transfer_head=1 pretrain_run=1
# Most of the demo waits for its model, so the plates that the model is trained on go first.
MODEL_FIRST := --prioritize $(DEMO)/pretrain/campfire/model.safetensors

# A mistyped variable (config= for CONFIG=) would silently plan or run the default.
VARIABLES := REPORT PYTHON TARGET BIN DEMO SMOKE MIRROR PROFILE CAMPFIRE SNAKEMAKE BRIEFLY SERVED CONFIG NAME RESULTS CANCEL NF1 SERVE TORCH26 GPU_PYTHON REHEARSE
STRANGE := $(strip $(foreach v,$(.VARIABLES),$(if $(filter command line,$(origin $v)),$(filter-out $(VARIABLES),$v))))
$(if $(STRANGE),$(error no variable $(STRANGE); the Makefile knows $(VARIABLES), in capitals))


.PHONY: help setup site demo compare claims smoke plan status pilot nf1 test test-slow test-torch26 test-slurm slurm-orphans verify lint lint-style lint-types format bench bench-gpu figure screenshots report has-demo clean-demo lock envs config-table

help: ## list the targets
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14
	@echo "Targets marked (shared) read data that is not in the repository; without it they say where it comes from."

NOT_IN_PATHS := $(or $(word 2,$(CURDIR)),$(findstring ',$(CURDIR)),$(findstring ",$(CURDIR)))

setup: $(BIN)/.ready ## make the environment in .venv

$(BIN)/.ready: requirements-uv.lock requirements-dev.lock pyproject.toml
	$(if $(NOT_IN_PATHS),$(error the path $(CURDIR) has a space or a quote, and Snakemake starts its jobs with the path unquoted; move the project to another folder))
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12) and "campfire needs Python 3.11 or 3.12 (Cellpose 3 has no NumPy for newer ones); set PYTHON=python3.12, say")'
	@test ! -L .venv || rm .venv  # --clear would empty the environment that a link points to
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-uv.lock
	$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements-dev.lock
	$(BIN)/python -c 'import pathlib, site; (pathlib.Path(site.getsitepackages()[0]) / "campfire.pth").write_text("../../../../src\n")'  # relative: Python reads it in the locale's encoding
	$(BIN)/python -m compileall -q src  # where PYTHONDONTWRITEBYTECODE is set, every job would compile its modules anew
	@printf '#!/bin/sh\nexec "$$(dirname "$$0")/python" -m campfire "$$@"\n' > $(BIN)/campfire && chmod +x $(BIN)/campfire
	@touch $@

$(DEMO)-screen/.done: $(BIN)/.ready config/demo-screen.yaml $(wildcard src/campfire/simulate/*.py)
	@echo "== Simulating a JUMP-like screen into $(DEMO)-screen"
	$(CAMPFIRE) simulate config/demo-screen.yaml $(DEMO)-screen
	@touch $@

demo: $(DEMO)-screen/.done ## run the whole chain on a simulated screen (two cores, no GPU)
	@echo "== Running the workflow: images from a local S3 server, to tables, figures and a report"
	$(SERVED) $(BRIEFLY) $(DEMO_THREADS) $(MODEL_FIRST) --configfile config/demo.yaml --report-after-run --report $(DEMO)/report.html -- all
	@$(CAMPFIRE) summary $(DEMO)

compare: $(DEMO)-screen/.done ## Campfire and its relatives trained on the demo's screen, three seeds each
	$(SERVED) $(BRIEFLY) $(DEMO_THREADS) --configfile config/demo.yaml config/compare.yaml -- tables figures
	@cat results/compare/tables/seeds.md results/compare/tables/seed_differences.md

claims: setup has-demo ## the demo's claims over five pretraining seeds: about 45 minutes of one core
	nice -n 5 $(BIN)/python bench/claims.py --demo $(DEMO) --out results/claims

$(SMOKE)-screen/.done: $(BIN)/.ready config/smoke-screen.yaml $(wildcard src/campfire/simulate/*.py)
	$(CAMPFIRE) simulate config/smoke-screen.yaml $(SMOKE)-screen
	@touch $@

smoke: $(SMOKE)-screen/.done ## run every rule on the smallest possible screen
	$(SNAKEMAKE) --configfile config/smoke.yaml -- all check_source bundle ablation

plan: setup ## print the remaining jobs and their cost: make plan [CONFIG=config/demo.yaml] [PROFILE=profiles/slurm]
	@$(CAMPFIRE) plan --profile $(PROFILE) $(if $(CONFIG),--configfile $(CONFIG)) -- $(TARGET)

status: setup ## how far a run is, while it runs: make status [RESULTS=results/demo]
	@$(CAMPFIRE) status $(or $(RESULTS),results)

# needs FOLDER,WHERE ITS DATA COME FROM: ends a target whose data are not there.
needs = @test -d $(1) || { printf '%s\n' "make $@ needs $(1), which is not in the repository: $(2)"; exit 1; }
MIRROR := ../shared/data/images/s3_mirror

pilot: setup ## images to tiles on one real JUMP field (shared)
	$(call needs,$(MIRROR),well A01 site 1 of plate BR00117035 (source_4; 19 MB) of s3://cellpainting-gallery/cpg0016-jump with its load_data under their own keys. \`make smoke\` runs all rules without it.)
	$(CAMPFIRE) serve $(MIRROR) -- \
		$(BRIEFLY) --configfile config/pilot.yaml -- tiles

NF1 := ../shared/data/images/nf1_plate2/images
nf1: setup ## local TIFFs of another cell type to embeddings (shared)
	$(call needs,$(NF1),plate 2 of NF1_cellpainting_data_shrunken in github.com/cytomining/CytoDataFrame (tests/data/cytotable); or give the folder: make nf1 NF1=FOLDER)
	$(CAMPFIRE) arrange $(NF1) results/nf1-images --plate NF1P2 \
		--channels DAPI=DNA,GFP=ER,RFP=AGP --pattern '(?P<well>[A-H][0-9]+)_.*_(?P<channel>[A-Z]+)_[0-9]+[.]tif'
	$(BRIEFLY) --configfile config/nf1.yaml -- all

has-demo:
	@test -f $(DEMO)-screen/.done || { echo "There is no demo yet: run \`make demo\` first."; exit 1; }

figure: setup has-demo ## remake one demo figure: make figure NAME=figure_3_4
	@test -n "$(NAME)" || { echo "Which one? For example: make figure NAME=figure_3_4"; exit 1; }
	$(BRIEFLY) --configfile config/demo.yaml -- $(DEMO)/figures/$(NAME).pdf

screenshots: setup has-demo ## photograph the demo's page for the README (needs Chromium)
	$(BIN)/python tools/screenshots.py $(DEMO) docs/images

REPORT ?= $(DEMO)/report.html
report: setup $(if $(CONFIG),,has-demo) ## write a report, after making what is outstanding: make report [CONFIG=mine.yaml REPORT=results/mine/report.html]
	@echo "== Making what is outstanding first: a report never shows stale results"
	$(if $(CONFIG),,$(SERVED)) $(BRIEFLY) --configfile $(or $(CONFIG),config/demo.yaml) -- all
	$(BRIEFLY) --configfile $(or $(CONFIG),config/demo.yaml) --report $(REPORT) -- all
	@echo "Open in a browser: $(REPORT)"

test: setup ## unit and workflow tests, without linting
	$(BIN)/python -m pytest -q -n auto --dist loadfile --no-loadscope-reorder -m "not slow and not slurm"

test-slow: setup ## minutes each: faults on the one-node Slurm, training a small Cellpose model
	$(BIN)/python -m pytest -q -m slow

TORCH26 := .venv-torch26
test-torch26: setup ## the tests of everything that uses torch, with the oldest supported torch and all else as locked
	$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python $(TORCH26)
	$(BIN)/uv pip install --quiet --python $(TORCH26)/bin/python "torch==2.6.*" torchvision
	$(BIN)/uv pip freeze --quiet --python $(BIN)/python \
		| grep -vE '^(torch|torchvision|triton|nvidia-.*|cuda-.*|sympy|cfn-lint)==' > $(TORCH26)/rest.txt
	$(BIN)/uv pip install --quiet --no-deps --python $(TORCH26)/bin/python -r $(TORCH26)/rest.txt
	PYTHONPATH=src $(TORCH26)/bin/python -m pytest -q -n auto --dist loadfile -m "not slow" tests/model tests/training tests/encoders tests/evaluation/test_probes.py tests/evaluation/test_transfer.py

test-slurm: setup ## the smoke run on a real one-node Slurm (root; shared)
	$(call needs,../shared/slurm,scripts that start a Slurm on one machine; on a cluster use \`make smoke PROFILE=profiles/slurm\`.)
	$(BIN)/python -m pytest -q -m "slurm and not slow"

slurm-orphans: setup ## list the Slurm jobs that a dead run left behind; CANCEL=1 cancels them
	$(CAMPFIRE) orphans $(if $(CANCEL),--cancel)

verify: setup ## find results that were altered after they were made: make verify RESULTS=results/demo
	$(CAMPFIRE) verify $(or $(RESULTS),$(DEMO))

site: setup ## build the documentation as a site in results/site; SERVE=1 serves it at http://127.0.0.1:8000
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "Open results/site/index.html"; $(if $(SERVE),$(BIN)/python -m http.server --directory results/site --bind 127.0.0.1)

lint: lint-style lint-types ## ruff, snakefmt, snakemake --lint, mypy; `make -j 2 lint` uses two cores

lint-style: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

lint-types: setup
	$(BIN)/mypy
	$(BIN)/python tools/check_scripts.py

format: setup ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

bench: setup ## every benchmark, in its quick form
	@for bench in $(filter-out bench/gpu.py bench/step_phases.py bench/stages.py,$(wildcard bench/*.py)); do echo "== $$bench"; $(BIN)/python $$bench --quick || exit 1; done

GPU_PYTHON ?= $(BIN)/python
bench-stages: setup ## every stage against its bound and its best alternative, in some 10 minutes on one core
	$(BIN)/python bench/stages.py --out results/stages

bench-gpu: ## all checks that need a GPU, in 9 minutes: make bench-gpu [GPU_PYTHON=python3] [REHEARSE=1]
	$(GPU_PYTHON) bench/gpu.py --out results/gpu $(if $(REHEARSE),--rehearse)

lock: setup ## re-resolve the dependencies
	$(BIN)/uv pip compile pyproject.toml --universal --generate-hashes --python-version 3.11 --quiet -o requirements.lock
	$(BIN)/uv pip compile pyproject.toml --extra dev -c requirements.lock --universal --generate-hashes --python-version 3.11 --quiet -o requirements-dev.lock
	$(MAKE) envs

config-table: setup ## write the table of options in config/README.md from the option classes
	$(BIN)/python -m campfire.runs.config.table config/README.md

envs: setup ## write envs/*.yaml from requirements.lock
	$(BIN)/python envs/generate.py

clean-demo: ## remove the results of the demo and the smoke run
	rm -rf $(DEMO) $(DEMO)-screen logs/demo $(SMOKE) $(SMOKE)-screen logs/smoke

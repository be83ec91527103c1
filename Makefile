# Everything a fresh clone needs: each target makes .venv and installs into it by itself.
PYTHON  ?= python3
WORKERS ?= 2
BIN     := .venv/bin
READY   := .venv/.ready

# What `make demo` asks; give your own like this: make demo MODEL=m.gguf MMPROJ=p.gguf IMAGE=photo.jpg PROMPT="How many?"
RANDOM  := tests/golden/idefics3
MODEL   ?= $(RANDOM)/text.gguf
MMPROJ  ?= $(RANDOM)/mmproj.gguf
IMAGE   ?= tests/golden/images/test-1.jpeg
PROMPT  ?= What is in this picture?
OPTIONS ?= --temp 0 -n 24

.DEFAULT_GOAL := help
.PHONY: demo test lint style types layers format docs clean help

demo: $(READY)  ## answer a question about a picture that lies in the repository
	@test "$(MODEL)" != $(RANDOM)/text.gguf || \
	  echo "This model is tiny and its weights are random: all parts work together here, but the words mean nothing."
	$(BIN)/mtmd-cli -m "$(MODEL)" --mmproj "$(MMPROJ)" --image "$(IMAGE)" -p "$(PROMPT)" $(OPTIONS)

test: $(READY)  ## run every test that needs no GPU, and hold coverage at 90 percent or more
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --cov --cov-report=term

lint: style types layers  ## check style, types and layers

style: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(READY)
	$(BIN)/mypy

layers: $(READY)
	$(BIN)/lint-imports

format: $(READY)  ## put the code in the house style
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(READY)  ## write the generated pages anew
	$(BIN)/python scripts/write_docs.py

clean:  ## remove .venv and what the tools left
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .coverage

help:  ## list the targets
	@awk -F ':.*  ## ' '/^[a-z]+:.*  ## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# The stamp is newer than what it was made from, so a second `make test` installs nothing.
$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

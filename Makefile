# Everything a fresh clone needs: each target makes .venv and installs into it by itself.
PYTHON  ?= python3
WORKERS ?= 2
BIN     := .venv/bin
READY   := .venv/.ready

# What `make demo` asks of each picture, and which; others like this: make demo IMAGES=cat.png PROMPT="How many?"
IMAGES  ?= models/demo/things.png models/demo/shapes.png models/demo/word.png
PROMPT  ?= What is in this picture?
OPTIONS ?= --temp 0

.DEFAULT_GOAL := help
.PHONY: demo test lint style types layers format docs clean help

demo: $(READY)  ## ask the model of the package about pictures that lie in the repository
	@for image in $(IMAGES); do \
	  echo "$$image: $(PROMPT)"; \
	  $(BIN)/mtmd-cli --image "$$image" -p "$(PROMPT)" $(OPTIONS) || exit; \
	done

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

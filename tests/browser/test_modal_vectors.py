"""The maths of the live widgets, as the server serves it, against the numbers that gid_core made (tests/vectors)."""

import pytest

from comfy_server import PACK
from modal_vectors import read_vectors

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
    """A page of the server's that is not ComfyUI's: enough to import its files."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{server_for().url}/gid/live/none")
    yield page
    context.close()


def test_page_computes_what_gid_core_does(plain_page):
    vectors = read_vectors()
    worst, counts = plain_page.evaluate(COMPARE, [f"/extensions/{PACK}", vectors])
    expected = set(vectors) - {"about", "volume"} | {"still"}
    assert set(worst) == expected and all(counts.values())
    assert {name: difference for name, difference in worst.items() if difference > 1e-4} == {}


def test_modules_have_no_side_effects(plain_page):
    before = "document.documentElement.outerHTML"
    html = plain_page.evaluate(before)
    plain_page.evaluate(
        """async (base) => {
          for (const name of ["modal", "modes", "poke_motion", "pokes", "wind_motion", "live_packet", "modal_view",
                              "live_style", "live_panel", "poke_timeline", "poke_editor", "wind_editor"])
            await import(`${base}/${name}.js`);
        }""",
        f"/extensions/{PACK}",
    )
    assert plain_page.evaluate(before) == html

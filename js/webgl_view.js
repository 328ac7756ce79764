// A photo moved by its modes in WebGL2: a mesh on the volume's grid whose vertices are displaced by the one sum
// F(p) = Re sum_k S_k(p) q_k. Pure drawing: no ComfyUI, no clock.

const STILL = -1; // depth of the photo behind the mesh, which shows where the mesh leaves the frame
const STRIP = 8; // vertices
const SLOW = /swiftshader|llvmpipe|softpipe|basic render/i; // drivers that draw on the processor
const SLOW_CELLS = 54; // across, at most: there every triangle costs, more than the sum at its corners

const VERTEX = (bins) => `#version 300 es
precision highp float;
precision highp sampler2DArray;
layout(location = 0) in vec3 vertex;  // place in the picture, 0..1, and how far in front
uniform vec4 modes[${bins}];
uniform sampler2DArray slices;
out vec2 place;
void main() {
  place = vertex.xy;
  vec2 moved = vec2(0.0);
  if (vertex.z >= 0.0) {
    ivec2 size = textureSize(slices, 0).xy;
    ivec2 cell = clamp(ivec2(vertex.xy * vec2(size)), ivec2(0), size - 1);
    for (int k = 0; k < ${bins}; k++) {
      vec4 s = texelFetch(slices, ivec3(cell, k), 0);
      moved += vec2(dot(s.xy, modes[k].xy), dot(s.zw, modes[k].zw));
    }
  }
  vec2 at = vertex.xy + moved;
  gl_Position = vec4(at.x * 2.0 - 1.0, 1.0 - at.y * 2.0, -0.9 * vertex.z, 1.0);
}`;

const FRAGMENT = `#version 300 es
precision mediump float;
uniform sampler2D photo;
in vec2 place;
out vec4 color;
void main() { color = vec4(texture(photo, place).rgb, 1.0); }`;

export class ModalView {
  /** @param {HTMLCanvasElement} canvas  belongs to the view from now on */
  constructor(canvas) {
    this.canvas = canvas;
    this.objects = new Set(); // GPU objects alive: [kind, object]
    this.frames = 0;
    this.packet = null;
    this.listening = new AbortController();
    const { signal } = this.listening;
    canvas.addEventListener("webglcontextlost", (event) => this.#lost(event), { signal });
    canvas.addEventListener("webglcontextrestored", () => this.#restored(), { signal });
    this.onrestored = () => {};
    this.gl = canvas.getContext("webgl2", { alpha: false, antialias: false, powerPreference: "low-power" });
    this.cells = SLOW.test(driverOf(this.gl)) ? SLOW_CELLS : Infinity;
  }

  /** Whether something can be drawn. */
  get ready() {
    return this.objects.size > 0 && !this.gl.isContextLost();
  }

  /** Show another photo with its motion (see live_packet.js). */
  load(packet) {
    this.packet = packet;
    this.#free();
    if (this.gl && !this.gl.isContextLost()) this.#build();
  }

  /** Size of the drawing in device pixels. */
  resize(width, height) {
    if (this.canvas.width !== width) this.canvas.width = width;
    if (this.canvas.height !== height) this.canvas.height = height;
  }

  /** Draw with modal coordinates q: Float32Array or Float64Array [n, 2]. */
  draw(q) {
    if (!this.ready) return;
    const { gl, uniforms, weights, factors } = this;
    for (let k = 0; k < q.length; k += 2) {
      const i = 2 * k;
      factors[i] = weights[i] * q[k];
      factors[i + 1] = -weights[i + 1] * q[k + 1];
      factors[i + 2] = weights[i + 2] * q[k];
      factors[i + 3] = -weights[i + 3] * q[k + 1];
    }
    gl.viewport(0, 0, this.canvas.width, this.canvas.height);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.uniform4fv(uniforms.modes, factors);
    gl.drawElements(gl.TRIANGLES, this.count, gl.UNSIGNED_SHORT, 0);
    this.frames += 1;
  }

  /** Give everything on the GPU back, the context too. The view cannot be used again. */
  dispose() {
    this.listening.abort();
    this.#free();
    this.gl?.getExtension("WEBGL_lose_context")?.loseContext();
    this.packet = null;
  }

  #build() {
    const { gl } = this;
    const { header, levels, picture } = this.packet;
    const [height, width] = header.grid;
    const bins = Math.max(1, header.bins);

    const program = this.#own("Program", gl.createProgram());
    for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX(bins)], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = this.#own("Shader", gl.createShader(kind));
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) {
      if (gl.isContextLost()) return;
      throw new Error(`gid: the preview's program does not link: ${gl.getProgramInfoLog(program)}`);
    }
    gl.useProgram(program);
    this.uniforms = { modes: gl.getUniformLocation(program, "modes") };
    gl.uniform1i(gl.getUniformLocation(program, "slices"), 0);
    gl.uniform1i(gl.getUniformLocation(program, "photo"), 1);

    this.#texture(0, gl.TEXTURE_2D_ARRAY, gl.NEAREST, gl.NEAREST);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    const texels = header.bins ? levels : new Int8Array(width * height * 4);
    gl.texImage3D(gl.TEXTURE_2D_ARRAY, 0, gl.RGBA8_SNORM, width, height, bins, 0, gl.RGBA, gl.BYTE, texels);
    this.#texture(1, gl.TEXTURE_2D, gl.LINEAR_MIPMAP_LINEAR, gl.LINEAR);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, picture);
    gl.generateMipmap(gl.TEXTURE_2D);

    // Factors that take a texel (-1 to 1) to a fraction of the picture; draw multiplies them by q.
    const [fullHeight, fullWidth] = header.volume_size;
    this.weights = new Float32Array(4 * bins);
    this.factors = new Float32Array(4 * bins);
    header.scales.forEach((scales, k) =>
      scales.forEach((scale, i) => (this.weights[4 * k + i] = scale / (i < 2 ? fullWidth : fullHeight))),
    );
    this.#mesh(width, height);
    gl.enable(gl.DEPTH_TEST);
    gl.depthFunc(gl.LEQUAL);
    gl.clearColor(0, 0, 0, 1);
  }

  /** Vertices at the pixels' centers with a ring around them on the frame, behind them the still photo. */
  #mesh(width, height) {
    const { gl } = this;
    const front = frontness(this.packet);
    const step = Math.max(1, Math.ceil(Math.max(width, height) / this.cells)); // pixels from vertex to vertex
    const columns = stations(width, step);
    const rows = stations(height, step);
    const vertices = [0, 0, STILL, 1, 0, STILL, 0, 1, STILL, 1, 1, STILL];
    const indices = [0, 1, 2, 2, 1, 3];
    // In strips a few vertices wide, numbered row by row: two rows fit into the small vertex cache of GPUs and of what
    // stands in for them, so that the sum is computed about once a vertex.
    for (let left = 0; left < columns.length - 1; left += STRIP - 1) {
      const strip = columns.slice(left, left + STRIP);
      const first = vertices.length / 3;
      rows.forEach((y, row) => {
        strip.forEach((x, column) => {
          const pixel = between(y, 0, height - 1) * width + between(x, 0, width - 1);
          vertices.push(between(x + 0.5, 0, width) / width, between(y + 0.5, 0, height) / height, front[pixel]);
          if (row === 0 || column === 0) return;
          const corner = first + row * strip.length + column;
          const [a, b] = [corner - strip.length - 1, corner - 1];
          indices.push(a, a + 1, b, b, a + 1, corner);
        });
      });
    }
    this.count = indices.length;
    this.#own("VertexArray", gl.createVertexArray());
    gl.bindVertexArray(this.#last);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.#own("Buffer", gl.createBuffer()));
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array(vertices), gl.STATIC_DRAW);
    gl.enableVertexAttribArray(0);
    gl.vertexAttribPointer(0, 3, gl.FLOAT, false, 0, 0);
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, this.#own("Buffer", gl.createBuffer()));
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, new Uint16Array(indices), gl.STATIC_DRAW);
  }

  #texture(unit, target, minify, magnify) {
    const { gl } = this;
    gl.activeTexture(gl.TEXTURE0 + unit);
    gl.bindTexture(target, this.#own("Texture", gl.createTexture()));
    gl.texParameteri(target, gl.TEXTURE_MIN_FILTER, minify);
    gl.texParameteri(target, gl.TEXTURE_MAG_FILTER, magnify);
    gl.texParameteri(target, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
    gl.texParameteri(target, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
  }

  #last = null;

  #own(kind, object) {
    this.objects.add([kind, object]);
    this.#last = object;
    return object;
  }

  #free() {
    for (const [kind, object] of this.objects) this.gl[`delete${kind}`](object);
    this.objects.clear();
  }

  #lost(event) {
    event.preventDefault(); // asks for the context back
    this.objects.clear(); // they went with it
  }

  #restored() {
    if (this.packet) this.#build();
    this.onrestored();
  }
}

/** The pixels that carry vertices along one side: the frame at -1 and `size`, first and last, and every step-th. */
function stations(size, step) {
  const found = [-1];
  for (let pixel = 0; pixel < size - 1; pixel += step) found.push(pixel);
  return [...found, size - 1, size];
}

const between = (value, low, high) => Math.min(Math.max(value, low), high);

function driverOf(gl) {
  const info = gl?.getExtension("WEBGL_debug_renderer_info");
  return info ? String(gl.getParameter(info.UNMASKED_RENDERER_WEBGL)) : "";
}

/** How far in front each pixel is, 0 to 1: what moves more is nearer. Float32Array [h, w]. */
function frontness({ header, values }) {
  const [height, width] = header.grid;
  const plane = height * width;
  const front = new Float32Array(plane);
  for (let k = 0; k < header.bins; k++) {
    for (let p = 0; p < plane; p++) {
      const i = 4 * (k * plane + p);
      front[p] += values[i] ** 2 + values[i + 1] ** 2 + values[i + 2] ** 2 + values[i + 3] ** 2;
    }
  }
  const most = Math.sqrt(front.reduce((a, b) => Math.max(a, b), 1e-12));
  for (let p = 0; p < plane; p++) front[p] = Math.sqrt(front[p]) / most;
  return front;
}

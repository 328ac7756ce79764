// Draws a photo moved by its modes in WebGL2: a mesh on the volume's grid, whose vertex shader displaces each vertex by
// F(p) = Re sum_k S_k(p) q_k. It has no clock and knows nothing of ComfyUI.

const BACKGROUND_DEPTH = -1; // of the static photo behind the mesh, which shows where the mesh leaves the frame
const STRIP_WIDTH = 8; // vertices
const MIRROR = 0.125; // of the image: how far the photo, mirrored at its edges, goes on outside the frame
const SOFTWARE_DRIVERS = /swiftshader|llvmpipe|softpipe|basic render/i; // drivers that render on the CPU
const SOFTWARE_MAX_CELLS = 54; // per side with such a driver, where triangles cost more than the sums at their corners

const VERTEX = (bins) => `#version 300 es
precision highp float;
precision highp sampler2DArray;
layout(location = 0) in vec3 vertex;  // position in the image, 0..1, and depth; larger is nearer
uniform vec4 modes[${bins}];
uniform sampler2DArray slices;
out vec2 uv;
void main() {
  uv = vertex.xy;
  vec2 displacement = vec2(0.0);
  if (vertex.z >= 0.0) {
    ivec2 size = textureSize(slices, 0).xy;
    ivec2 cell = clamp(ivec2(vertex.xy * vec2(size)), ivec2(0), size - 1);
    for (int k = 0; k < ${bins}; k++) {
      vec4 s = texelFetch(slices, ivec3(cell, k), 0);
      displacement += vec2(dot(s.xy, modes[k].xy), dot(s.zw, modes[k].zw));
    }
  }
  vec2 position = vertex.xy + displacement;
  gl_Position = vec4(position.x * 2.0 - 1.0, 1.0 - position.y * 2.0, -0.9 * vertex.z, 1.0);
}`;

const FRAGMENT = `#version 300 es
precision mediump float;
uniform sampler2D photo;
in vec2 uv;
out vec4 color;
void main() { color = vec4(texture(photo, uv).rgb, 1.0); }`;

export class WebGLView {
  /** @param {HTMLCanvasElement} canvas  used by this view only */
  constructor(canvas) {
    this.canvas = canvas;
    this.objects = new Set(); // existing GPU objects: [kind, object]
    this.frames = 0;
    this.packet = null;
    this.abortController = new AbortController();
    const { signal } = this.abortController;
    canvas.addEventListener("webglcontextlost", (event) => this.#onContextLost(event), { signal });
    canvas.addEventListener("webglcontextrestored", () => this.#onContextRestored(), { signal });
    this.onRestored = () => {};
    this.gl = canvas.getContext("webgl2", { alpha: false, antialias: false, powerPreference: "low-power" });
    this.maxCells = SOFTWARE_DRIVERS.test(driverName(this.gl)) ? SOFTWARE_MAX_CELLS : Infinity;
  }

  /** Whether the view can draw. */
  get ready() {
    return this.objects.size > 0 && !this.gl.isContextLost();
  }

  /** Show another photo with its motion (see live_packet.js). */
  load(packet) {
    this.packet = packet;
    this.#deleteObjects();
    if (this.gl && !this.gl.isContextLost()) this.#build();
  }

  /** Set the size of the canvas in device pixels. */
  resize(width, height) {
    if (this.canvas.width !== width) this.canvas.width = width;
    if (this.canvas.height !== height) this.canvas.height = height;
  }

  /** Draw with modal coordinates q: Float32Array or Float64Array [n, 2]. */
  draw(q) {
    if (!this.ready) return;
    const { gl, uniforms, scales, modes } = this;
    for (let k = 0; k < q.length; k += 2) {
      const i = 2 * k;
      modes[i] = scales[i] * q[k];
      modes[i + 1] = -scales[i + 1] * q[k + 1];
      modes[i + 2] = scales[i + 2] * q[k];
      modes[i + 3] = -scales[i + 3] * q[k + 1];
    }
    gl.viewport(0, 0, this.canvas.width, this.canvas.height);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.uniform4fv(uniforms.modes, modes);
    gl.drawElements(gl.TRIANGLES, this.indexCount, gl.UNSIGNED_SHORT, 0);
    this.frames += 1;
  }

  /** Free all GPU objects and the context. The view cannot be used afterwards. */
  dispose() {
    this.abortController.abort();
    this.#deleteObjects();
    this.gl?.getExtension("WEBGL_lose_context")?.loseContext();
    this.packet = null;
  }

  #build() {
    const { gl } = this;
    const { header, levels, bitmap } = this.packet;
    const [height, width] = header.grid;
    const bins = Math.max(1, header.bins);

    const program = this.#track("Program", gl.createProgram());
    for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX(bins)], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = this.#track("Shader", gl.createShader(kind));
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
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
    gl.generateMipmap(gl.TEXTURE_2D);

    // Scales convert a texel (-1 to 1) to a fraction of the image; draw() multiplies them by q.
    const [fullHeight, fullWidth] = header.volume_size;
    this.scales = new Float32Array(4 * bins);
    this.modes = new Float32Array(4 * bins);
    header.scales.forEach((scales, k) =>
      scales.forEach((scale, i) => (this.scales[4 * k + i] = scale / (i < 2 ? fullWidth : fullHeight))),
    );
    this.#buildMesh(width, height);
    gl.enable(gl.DEPTH_TEST);
    gl.depthFunc(gl.LEQUAL);
    gl.clearColor(0, 0, 0, 1);
  }

  /**
   * Build the mesh: vertices at pixel centers, a ring around them on the frame, a ring outside of it, up to which the
   * photo is mirrored, so that nothing is smeared where motion leaves the edge; and behind them the static photo.
   */
  #buildMesh(width, height) {
    const { gl } = this;
    const depth = depthMap(this.packet);
    const step = Math.max(1, Math.ceil(Math.max(width, height) / this.maxCells)); // pixels from vertex to vertex
    const columns = vertexPositions(width, step);
    const rows = vertexPositions(height, step);
    const vertices = [0, 0, BACKGROUND_DEPTH, 1, 0, BACKGROUND_DEPTH, 0, 1, BACKGROUND_DEPTH, 1, 1, BACKGROUND_DEPTH];
    const indices = [0, 1, 2, 2, 1, 3];
    // The mesh consists of strips a few vertices wide, numbered row by row. Two rows fit into the small vertex cache of
    // GPUs and software renderers, so that the sum is computed about once per vertex.
    for (let left = 0; left < columns.length - 1; left += STRIP_WIDTH - 1) {
      const strip = columns.slice(left, left + STRIP_WIDTH);
      const first = vertices.length / 3;
      rows.forEach((y, row) => {
        strip.forEach((x, column) => {
          const pixel = clamp(y, 0, height - 1) * width + clamp(x, 0, width - 1);
          vertices.push(vertexCoordinate(x, width), vertexCoordinate(y, height), depth[pixel]);
          if (row === 0 || column === 0) return;
          const corner = first + row * strip.length + column;
          const [a, b] = [corner - strip.length - 1, corner - 1];
          indices.push(a, a + 1, b, b, a + 1, corner);
        });
      });
    }
    this.indexCount = indices.length;
    this.#track("VertexArray", gl.createVertexArray());
    gl.bindVertexArray(this.#lastObject);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.#track("Buffer", gl.createBuffer()));
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array(vertices), gl.STATIC_DRAW);
    gl.enableVertexAttribArray(0);
    gl.vertexAttribPointer(0, 3, gl.FLOAT, false, 0, 0);
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, this.#track("Buffer", gl.createBuffer()));
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, new Uint16Array(indices), gl.STATIC_DRAW);
  }

  #texture(unit, target, minify, magnify) {
    const { gl } = this;
    gl.activeTexture(gl.TEXTURE0 + unit);
    gl.bindTexture(target, this.#track("Texture", gl.createTexture()));
    gl.texParameteri(target, gl.TEXTURE_MIN_FILTER, minify);
    gl.texParameteri(target, gl.TEXTURE_MAG_FILTER, magnify);
    gl.texParameteri(target, gl.TEXTURE_WRAP_S, gl.MIRRORED_REPEAT);
    gl.texParameteri(target, gl.TEXTURE_WRAP_T, gl.MIRRORED_REPEAT);
  }

  #lastObject = null;

  #track(kind, object) {
    this.objects.add([kind, object]);
    this.#lastObject = object;
    return object;
  }

  #deleteObjects() {
    for (const [kind, object] of this.objects) this.gl[`delete${kind}`](object);
    this.objects.clear();
  }

  #onContextLost(event) {
    event.preventDefault(); // asks the browser to restore the context
    this.objects.clear(); // the context took them with it
  }

  #onContextRestored() {
    if (this.packet) this.#build();
    this.onRestored();
  }
}

/**
 * Pixels with vertices along one side: every `step`-th, the first and the last, the frame at -1 and `size`, and the ring
 * outside of it at -2 and `size + 1`.
 */
function vertexPositions(size, step) {
  const positions = [-2, -1];
  for (let pixel = 0; pixel < size - 1; pixel += step) positions.push(pixel);
  return [...positions, size - 1, size, size + 1];
}

/** Where the vertex of a pixel lies, as a fraction of the side. */
function vertexCoordinate(pixel, size) {
  if (pixel < -1) return -MIRROR;
  if (pixel > size) return 1 + MIRROR;
  return clamp(pixel + 0.5, 0, size) / size;
}

const clamp = (value, min, max) => Math.min(Math.max(value, min), max);

/** Name of the graphics driver, or "" if the browser hides it. */
function driverName(gl) {
  const info = gl?.getExtension("WEBGL_debug_renderer_info");
  return info ? String(gl.getParameter(info.UNMASKED_RENDERER_WEBGL)) : "";
}

/** Depth of each pixel, 0 to 1: pixels that move more are nearer. Float32Array [h, w]. */
function depthMap({ header, values }) {
  const [height, width] = header.grid;
  const plane = height * width;
  const depth = new Float32Array(plane);
  for (let k = 0; k < header.bins; k++) {
    for (let p = 0; p < plane; p++) {
      const i = 4 * (k * plane + p);
      depth[p] += values[i] ** 2 + values[i + 1] ** 2 + values[i + 2] ** 2 + values[i + 3] ** 2;
    }
  }
  const maximum = Math.sqrt(depth.reduce((a, b) => Math.max(a, b), 1e-12));
  for (let p = 0; p < plane; p++) depth[p] = Math.sqrt(depth[p]) / maximum;
  return depth;
}

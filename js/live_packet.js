// Fetches and parses the packet that nodes/live_preview.py serves (layout: gid_core/rendering/live_packet.py). It uses
// neither the DOM nor ComfyUI.

import { PACKET_VERSION } from "./constants.js";

const MAX_CACHED_PACKETS = 4; // so that undo and tab changes need no second fetch

/** Parse a packet: its header, the photo's JPEG file, the quantized slices, and the frequencies in Hz. */
export function parsePacket(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  if (header.version !== PACKET_VERSION) throw new Error(`live packet of version ${header.version}`);
  const [height, width] = header.grid;
  const photo = new Uint8Array(buffer, 4 + length, header.photo_bytes);
  const levels = new Int8Array(buffer, 4 + length + header.photo_bytes, header.bins * height * width * 4);
  const frequencies = Float64Array.from({ length: header.bins }, (_, k) => ((k + 1) * header.fps) / header.period);
  return { header, photo, levels, frequencies };
}

/** Dequantize the slices: Float32Array [n, h, w, 4] in pixels of the volume's own grid. */
export function dequantize({ header, levels }) {
  const plane = header.grid[0] * header.grid[1] * 4;
  const values = new Float32Array(levels.length);
  header.scales.forEach((scales, k) => {
    for (let i = 0; i < plane; i++) values[k * plane + i] = (levels[k * plane + i] * scales[i & 3]) / 127;
  });
  return values;
}

const cache = new Map(); // packets by digest

/**
 * Fetch a packet. Returns null if the server no longer has it.
 * @param {string} digest  the packet's name
 * @param {(path: string) => Promise<Response>} fetchApi  ComfyUI's fetch function
 */
export async function fetchPacket(digest, fetchApi) {
  if (!cache.has(digest)) {
    const response = await fetchApi(`/gid/live/${encodeURIComponent(digest)}`);
    if (!response.ok) return null;
    const packet = parsePacket(await response.arrayBuffer());
    // Decoding the photo here needs no URL, which ComfyUI's content security policy might refuse.
    packet.bitmap = await createImageBitmap(new Blob([packet.photo], { type: "image/jpeg" }));
    packet.values = dequantize(packet);
    cache.set(digest, packet);
    if (cache.size > MAX_CACHED_PACKETS) cache.delete(cache.keys().next().value);
  }
  return cache.get(digest);
}

/**
 * Ask the server for the packet of what the motion brush paints, see nodes/brush_preview.py. It has no bitmap.
 * @param {string} request  JSON
 * @param {(path: string, options: object) => Promise<Response>} fetchApi  ComfyUI's fetch function
 */
export async function fetchSway(request, fetchApi) {
  const response = await fetchApi("/gid/sway", { method: "POST", body: request });
  if (!response.ok) throw new Error(await response.text());
  const packet = parsePacket(await response.arrayBuffer());
  return { ...packet, values: dequantize(packet) };
}

// The packet that nodes/live_preview.py serves (layout: gid_core/rendering/live_packet.py), fetched and taken apart. No DOM, no ComfyUI.

const VERSION = 1;
const KEPT = 4; // packets in memory, so that undo and tab changes need no second fetch

/** A packet's bytes taken apart: its header, the photo's file, the slices as they are, the frequencies in Hz. */
export function parsePacket(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  if (header.version !== VERSION) throw new Error(`live packet of version ${header.version}`);
  const [height, width] = header.grid;
  const photo = new Uint8Array(buffer, 4 + length, header.photo_bytes);
  const levels = new Int8Array(buffer, 4 + length + header.photo_bytes, header.bins * height * width * 4);
  const frequencies = Float64Array.from({ length: header.bins }, (_, k) => ((k + 1) * header.fps) / header.period);
  return { header, photo, levels, frequencies };
}

/** Slices as numbers: Float32Array [n, h, w, 4] in pixels of the volume's own grid. */
export function dequantize({ header, levels }) {
  const plane = header.grid[0] * header.grid[1] * 4;
  const values = new Float32Array(levels.length);
  header.scales.forEach((scales, k) => {
    for (let i = 0; i < plane; i++) values[k * plane + i] = (levels[k * plane + i] * scales[i & 3]) / 127;
  });
  return values;
}

const packets = new Map();

/**
 * Fetch a packet; null if the server no longer has it.
 * @param {string} digest  its name
 * @param {(path: string) => Promise<Response>} fetchApi  ComfyUI's fetch
 */
export async function fetchPacket(digest, fetchApi) {
  if (!packets.has(digest)) {
    const answer = await fetchApi(`/gid/live/${encodeURIComponent(digest)}`);
    if (!answer.ok) return null;
    const packet = parsePacket(await answer.arrayBuffer());
    // A picture that is decoded here needs no address, which ComfyUI's content security policy might refuse.
    packet.picture = await createImageBitmap(new Blob([packet.photo], { type: "image/jpeg" }));
    packet.values = dequantize(packet);
    packets.set(digest, packet);
    if (packets.size > KEPT) packets.delete(packets.keys().next().value);
  }
  return packets.get(digest);
}

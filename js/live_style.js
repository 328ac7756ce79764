// The style of the live widgets in ComfyUI's own colors: one style element for the page.

const CSS = `
.gid-live {
  --gid-text: var(--input-text, #ddd);
  --gid-muted: var(--descrip-text, #999);
  --gid-border: var(--border-color, #4e4e4e);
  --gid-background: var(--comfy-input-bg, #222);
  --gid-panel: var(--comfy-menu-bg, #353535);
  --gid-accent: var(--p-primary-color, #4a9eff);
  box-sizing: border-box; display: flex; flex-direction: column; gap: 6px;
  width: 100%; height: 100%; min-width: 0; container-type: inline-size;
  color: var(--gid-text); font: 12px/1.3 Inter, Arial, sans-serif; user-select: none; -webkit-user-select: none;
}
.gid-live *, .gid-live *::before { box-sizing: border-box; }
.gid-stage {
  box-sizing: content-box !important; position: relative; flex: 1 1 auto; min-height: 120px; aspect-ratio: 16 / 9;
  display: grid; place-items: center; overflow: hidden;
  background: var(--gid-background); border: 1px solid var(--gid-border); border-radius: 8px;
}
.gid-image { position: relative; display: none; }
.gid-image.shown { display: block; }
.gid-image canvas { display: block; width: 100%; height: 100%; border-radius: 7px; touch-action: none; cursor: grab; }
.gid-image canvas:active { cursor: grabbing; }
.gid-live :focus { outline: none; }
.gid-live :focus-visible { outline: 2px solid var(--gid-accent); outline-offset: -2px; }
.gid-overlay { position: absolute; inset: 0; width: 100%; height: 100%; overflow: visible; pointer-events: none; }
.gid-overlay .line { stroke-linecap: round; fill: none; }
.gid-overlay .dark { stroke: rgb(0 0 0 / 55%); stroke-width: 5; }
.gid-overlay .light { stroke: #fff; stroke-width: 2.5; }
.gid-overlay .tip { fill: #fff; stroke: rgb(0 0 0 / 55%); stroke-width: 1.2; paint-order: stroke; }
.gid-overlay .ring { fill: none; stroke: #fff; stroke-width: 1.5; paint-order: stroke;
  filter: drop-shadow(0 0 1.5px rgb(0 0 0 / 90%)); }
.gid-paint { position: absolute; inset: 0; width: 100%; height: 100%; pointer-events: none; border-radius: 7px;
  opacity: 0.25; transition: opacity 0.3s; }
.gid-image:hover .gid-paint { opacity: 0.6; }
.gid-image.painting .gid-paint { opacity: 1; }
.gid-overlay .faint { opacity: 0.6; }
.gid-message { max-width: 90%; padding: 10px; text-align: center; color: var(--gid-muted); pointer-events: none; }
.gid-message:empty { display: none; }
.gid-message.over {
  position: absolute; left: 50%; bottom: 8px; transform: translateX(-50%); width: max-content; padding: 4px 10px;
  color: #fff; background: rgb(0 0 0 / 60%); border-radius: 6px;
}
.gid-message.error { background: rgb(150 30 30 / 90%); }
.gid-bar { flex: none; display: flex; align-items: center; gap: 6px; min-width: 0; }
.gid-bar button {
  flex: none; display: inline-flex; align-items: center; justify-content: center; gap: 5px; height: 26px;
  min-width: 28px; padding: 0 8px; font: inherit; color: var(--gid-text); cursor: pointer;
  background: var(--gid-background); border: 1px solid var(--gid-border); border-radius: 6px;
}
.gid-bar button[aria-pressed="true"] { border-color: var(--gid-accent); background: var(--gid-panel);
  box-shadow: inset 0 0 0 1px var(--gid-accent); }
.gid-bar label { flex: 1 1 0; min-width: 0; display: flex; align-items: center; gap: 5px; color: var(--gid-muted); }
.gid-bar input { flex: 1 1 0; min-width: 0; width: 0; accent-color: var(--gid-accent); }
.gid-open { display: flex; align-items: center; justify-content: center; gap: 6px; width: 100%; height: 26px;
  font: 12px Inter, Arial, sans-serif; color: var(--input-text, #ddd); cursor: pointer;
  background: var(--comfy-input-bg, #222); border: 1px solid var(--border-color, #4e4e4e); border-radius: 6px; }
.gid-open svg { width: 14px; height: 14px; fill: none; stroke: currentColor; stroke-width: 2; }
.gid-bar button:hover:not(:disabled) { border-color: var(--gid-accent); }
.gid-bar button:disabled { opacity: 0.4; cursor: default; }
.gid-bar svg { width: 14px; height: 14px; fill: none; stroke: currentColor; stroke-width: 2; stroke-linecap: round;
  stroke-linejoin: round; flex: none; }
.gid-bar .gid-time { flex: 1 1 auto; min-width: 0; overflow: hidden; text-overflow: ellipsis; white-space: nowrap;
  font-variant-numeric: tabular-nums; color: var(--gid-muted); }
@container (max-width: 320px) { .gid-bar button span { display: none; } }
.gid-track {
  position: relative; flex: none; height: 32px; cursor: pointer; touch-action: none; overflow: hidden;
  background: var(--gid-background); border: 1px solid var(--gid-border); border-radius: 6px;
}
.gid-track .tick { position: absolute; top: 0; bottom: 0; width: 1px; background: var(--gid-border); opacity: 0.6; }
.gid-track .head { position: absolute; top: 0; bottom: 0; left: 0; width: 2px; margin-left: -1px;
  background: var(--gid-text); pointer-events: none; }
.gid-track button {
  position: absolute; height: 8px; min-width: 8px; padding: 0; border: 1px solid rgb(0 0 0 / 40%); border-radius: 4px;
  background: var(--gid-accent); cursor: pointer; opacity: 0.75;
}
.gid-track button.kick { border-radius: 50%; }
.gid-track button[aria-pressed="true"] { opacity: 1; border-color: #fff; }
.gid-track button:focus-visible { outline-offset: 0; }
`;

/** Add the style to the page, unless it is there already. */
export function addStyle() {
  if (document.getElementById("gid-live-style")) return;
  const style = document.createElement("style");
  style.id = "gid-live-style";
  style.textContent = CSS;
  document.head.append(style);
}

// Brings the texts of locales/*/main.json to translate.js. ComfyUI serves those of all packs, but its own translations
// are out of reach of scripts. Each text looks the language up: ComfyUI makes all nodes anew when it is changed.

import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { setTexts } from "./translate.js";

app.registerExtension({
  name: "gid.pageLanguage",
  /** ComfyUI waits for it before it makes nodes. */
  async init() {
    try {
      const response = await api.fetchApi("/i18n");
      if (!response.ok) throw new Error(`${response.status}`);
      const languages = await response.json();
      setTexts(() => languages[app.extensionManager.setting.get("Comfy.Locale")]?.gid);
    } catch (error) {
      console.warn("gid: texts of the scripts stay English:", error);
    }
  },
});

// The badge of this pack among those of ComfyUI, in the settings' page About.

import { app } from "../../scripts/app.js";
import { PACK_VERSION } from "./constants.js";

const REPOSITORY = "https://github.com/generative-image-dynamics/generative-image-dynamics";

app.registerExtension({
  name: "gid.about",
  aboutPageBadges: [{ label: `Generative Image Dynamics v${PACK_VERSION}`, url: REPOSITORY, icon: "pi pi-github" }],
});

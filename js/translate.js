// Texts of this pack in the language of the page they stand in. Until `setTexts` gives others, they are English, as in an
// interactive photo. It uses neither the DOM nor ComfyUI: page_language.js brings the texts of locales/*/main.json.

let texts = () => undefined;

/** Let `translate` use what a function returns: texts by key, in groups; undefined is English. */
export function setTexts(find) {
  texts = find;
}

/**
 * A text in the page's language, or the English one if there is none.
 * @param {string} key  in main.json below "gid"; a dot leads into a group
 * @param {string} english
 * @param {object} values  what stands for {name} in the text, by name
 */
export function translate(key, english, values = {}) {
  const found = key.split(".").reduce((group, name) => group?.[name], texts());
  return (found ?? english).replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

// The page's words, as the server translated them: <script type="application/json" id="strings">.
const element = document.getElementById("strings");
const words = element ? JSON.parse(element.textContent) : {};

/** The translated sentence for `key`, with {name} filled in from `values`. */
export function say(key, values = {}) {
  return (words[key] ?? key).replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

// The rich text editor and its toolbar: Squire, with every foreign piece of HTML cleaned by DOMPurify first.
import DOMPurify from "dompurify";
import Squire from "squire-rte";
import { openDialog } from "./shell.js";

const ALLOWED = {
  ALLOWED_TAGS: ["a", "b", "strong", "i", "em", "u", "s", "strike", "del", "sub", "sup", "span", "font", "div", "p", "br", "hr", "blockquote", "pre", "code", "ul", "ol", "li", "h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tfoot", "tr", "td", "th", "caption", "img", "center"],
  ALLOWED_ATTR: ["href", "src", "alt", "title", "width", "height", "align", "valign", "style", "color", "face", "size", "colspan", "rowspan", "cellpadding", "cellspacing", "border", "bgcolor", "dir", "start", "type", "data-cid"],
  ALLOWED_URI_REGEXP: /^(?:https?:|mailto:|tel:|cid:|\/mail\/message\/)/i,
  RETURN_DOM_FRAGMENT: true,
  WHOLE_DOCUMENT: false,
};

function clean(html) {
  const fragment = DOMPurify.sanitize(html, ALLOWED);
  for (const image of fragment.querySelectorAll("img")) {
    // Quoting a mail must not load the pictures that reading it did not load.
    if (!/^\/mail\//.test(image.getAttribute("src") ?? "") && !/^cid:/.test(image.getAttribute("src") ?? "")) image.replaceWith(image.alt || "");
  }
  for (const element of fragment.querySelectorAll("[style]")) {
    const style = element.style;
    for (const property of [...style]) {
      // Nothing that loads, and nothing that leaves the text's place.
      if (/url\(|image|expression/i.test(style.getPropertyValue(property)) || /^(position|z-index|float|behavior|-)/.test(property)) style.removeProperty(property);
    }
    if (!style.length) element.removeAttribute("style");
  }
  return document.importNode(fragment, true);
}

export function openEditor(root, bar, html, onInput) {
  const editor = new Squire(root, { sanitizeToDOMFragment: clean, addLinks: true });
  editor.setHTML(html);
  root.setAttribute("spellcheck", "true");
  editor.addEventListener("input", onInput);

  const toggles = {
    bold: ["B", () => editor.bold(), () => editor.removeBold()],
    italic: ["I", () => editor.italic(), () => editor.removeItalic()],
    underline: ["U", () => editor.underline(), () => editor.removeUnderline()],
    strike: ["S", () => editor.strikethrough(), () => editor.removeStrikethrough()],
    bullets: ["UL", () => editor.makeUnorderedList(), () => editor.removeList()],
    numbers: ["OL", () => editor.makeOrderedList(), () => editor.removeList()],
    quote: ["BLOCKQUOTE", () => editor.increaseQuoteLevel(), () => editor.decreaseQuoteLevel()],
  };
  const isOn = (tag) => (["UL", "OL", "BLOCKQUOTE"].includes(tag) ? new RegExp(`(^|>)${tag}\\b`).test(editor.getPath()) : editor.hasFormat(tag));

  bar.addEventListener("mousedown", (event) => {
    if (event.target.closest("button")) event.preventDefault(); // the text keeps its selection
  });
  bar.addEventListener("click", async (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.colour) {
      editor.setTextColor(button.dataset.colour === "inherit" ? null : button.dataset.colour);
    } else if (button.dataset.format === "clear") {
      editor.removeAllFormatting();
    } else if (button.dataset.format === "link") {
      await askLink(editor);
    } else if (toggles[button.dataset.format]) {
      const [tag, on, off] = toggles[button.dataset.format];
      isOn(tag) ? off() : on();
    }
    editor.focus();
    show();
  });
  bar.querySelector("[data-size]").addEventListener("change", (event) => {
    editor.setFontSize(event.target.value || null);
    editor.focus();
  });
  function show() {
    for (const [name, [tag]] of Object.entries(toggles)) {
      bar.querySelector(`[data-format="${name}"]`)?.setAttribute("aria-pressed", String(isOn(tag)));
    }
  }
  editor.addEventListener("pathChange", show);
  editor.addEventListener("select", show);
  return editor;
}

function askLink(editor) {
  const dialog = openDialog("link");
  if (!dialog) return Promise.resolve();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      const typed = dialog.querySelector("input").value.trim();
      if (dialog.returnValue !== "yes" || !typed) editor.removeLink();
      else {
        const url = /^[a-z][a-z0-9+.-]*:/i.test(typed) ? typed : typed.includes("@") && !typed.includes("/") ? `mailto:${typed}` : `https://${typed}`;
        if (/^(https?|mailto|tel):/i.test(url)) {
          if (editor.getSelection().collapsed) editor.insertPlainText(typed, false);
          editor.makeLink(url, { rel: "noopener" });
        }
      }
      resolve();
    }, { once: true });
  });
}

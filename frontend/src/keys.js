// The keyboard: one table of keys. Letters act only while nothing is being typed and no dialog is open.
import { act, chooseFolder, closeReader, currentRow, openReading, rowOf, selected, showSelection, targets, walk } from "./list.js";
import { confirmed, openDialog } from "./shell.js";
import { say } from "./text.js";

const click = (selector) => document.querySelector(selector)?.click();
const goTo = (role) => click(`.folder-link[data-role="${role}"]`);
let awaitsFolder = false;

async function remove() {
  const entries = targets();
  if (!entries.length) return;
  const forGood = Boolean(document.querySelector('#bulk [value="delete"]'));
  if (forGood && !(await confirmed(say("delete-one"), say("delete-yes")))) return;
  act(forGood ? "delete" : "trash", entries);
}

function toggleFlag() {
  const [first] = targets();
  if (first) act(rowOf(first)?.classList.contains("is-flagged") ? "unflag" : "flag", targets());
}

function pick() {
  const box = currentRow()?.querySelector(".pick input");
  if (box) {
    box.checked = !box.checked;
    showSelection();
  }
}

function leave() {
  if (selected().length) {
    for (const box of document.querySelectorAll(".pick input:checked")) box.checked = false;
    showSelection();
  } else closeReader();
}

const KEYS = {
  j: () => walk(1),
  k: () => walk(-1),
  ArrowDown: () => openReading()?.contains(document.activeElement) || walk(1),
  ArrowUp: () => openReading()?.contains(document.activeElement) || walk(-1),
  o: () => currentRow()?.querySelector(".row-link").click(),
  x: pick,
  e: () => act("archive", targets()),
  "#": remove,
  Delete: remove,
  "!": () => act("junk", targets()),
  s: toggleFlag,
  u: () => act("unseen", targets()),
  v: chooseFolder,
  c: () => click(".compose-button"),
  r: () => click('.reading [data-key="r"]'),
  a: () => click('.reading [data-key="a"], .reading [data-key="r"]'),
  f: () => click('.reading [data-key="f"]'),
  "/": () => document.getElementById("search")?.select(),
  "?": () => openDialog("keys"),
  Escape: leave,
  g: () => {
    awaitsFolder = true;
    setTimeout(() => (awaitsFolder = false), 1500);
  },
};
const FOLDERS = { i: "inbox", s: "sent", d: "drafts", t: "trash" };

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (document.querySelector("dialog[open]")) return;
  const target = event.target;
  const isTyping = target.matches?.("input:not([type=checkbox]), textarea, select, [contenteditable=true]");
  if (isTyping) {
    if (event.key === "Escape" && target.id === "search") target.blur();
    return;
  }
  if (awaitsFolder && FOLDERS[event.key]) {
    awaitsFolder = false;
    event.preventDefault();
    goTo(FOLDERS[event.key]);
    return;
  }
  const run = KEYS[event.key];
  if (!run) return;
  if (event.key.startsWith("Arrow") && !target.closest?.(".list-pane") && target !== document.body) return;
  event.preventDefault();
  run();
});

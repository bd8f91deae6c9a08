// The list of mails: selection, actions on mails, and walking through them.
import { post, Refusal } from "./ask.js";
import { say } from "./text.js";
import { toast } from "./toast.js";
import { confirmed, openDialog } from "./shell.js";
import { refreshSoon } from "./live.js";

const LEAVING = new Set(["archive", "trash", "junk", "not-junk", "delete", "move"]);
let lastPicked = null;

const all = (selector) => [...document.querySelectorAll(selector)];
export const openReading = () => document.querySelector("#reader .reading");
export const rowOf = (entry) => document.querySelector(`.row[data-entry="${CSS.escape(entry)}"]`);
export const selected = () => all(".pick input:checked").map((box) => box.value);

/** The row that keys act on: where the cursor is, or else the open mail's. */
export function currentRow() {
  const reading = openReading();
  return document.querySelector(".row.is-cursor") ?? (reading && rowOf(reading.dataset.entry));
}

/** What a key or a toolbar without rows of its own acts on. */
export function targets() {
  const picked = selected();
  if (picked.length) return picked;
  const reading = openReading();
  if (reading) return [reading.dataset.entry];
  const row = currentRow();
  return row ? [row.dataset.entry] : [];
}

/** Do `action` to `entries`, say so, and offer to undo it. */
export async function act(action, entries, extra = {}) {
  if (!entries.length) return;
  const reading = openReading();
  const leavesOpen = LEAVING.has(action) && reading && entries.includes(reading.dataset.entry);
  const next = leavesOpen ? neighbour(reading.dataset.entry, entries) : null;
  if (LEAVING.has(action)) for (const entry of entries) rowOf(entry)?.classList.add("is-leaving");
  try {
    const done = await post("/mail/actions", { action, entry: entries, ...extra });
    for (const box of all(".pick input:checked")) box.checked = false;
    const undo = done.undo && { label: say("undo"), run: () => act(done.undo.action, done.undo.entries, { target: done.undo.target }) };
    toast(done.toast, undo);
    if (leavesOpen) next ? next.querySelector(".row-link").click() : closeReader();
    else if (reading && entries.includes(reading.dataset.entry)) reflect(action, reading);
    showSelection();
    refreshSoon(0);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    for (const row of all(".row.is-leaving")) row.classList.remove("is-leaving");
    toast(error.message, null, true);
  }
}

function neighbour(entry, leaving) {
  if (matchMedia("(max-width: 800px)").matches) return null;
  const rows = all(".row");
  const here = rows.findIndex((row) => row.dataset.entry === entry);
  const stays = (row) => !leaving.includes(row.dataset.entry) && row.querySelector("[hx-get]");
  return rows.slice(here + 1).find(stays) ?? rows.slice(0, Math.max(here, 0)).reverse().find(stays) ?? null;
}

function reflect(action, reading) {
  if (action === "unseen") return closeReader();
  const flag = reading.querySelector(".flag-button");
  if (action === "flag" || action === "unflag") {
    flag.classList.toggle("is-flagged", action === "flag");
    flag.setAttribute("aria-pressed", String(action === "flag"));
    flag.dataset.act = action === "flag" ? "unflag" : "flag";
  }
}

/** Show the list again (narrow window) or the empty reading pane (wide one). */
export function closeReader() {
  const reading = openReading();
  if (!reading) return;
  const address = reading.dataset.base;
  const row = rowOf(reading.dataset.entry);
  document.getElementById("reader").replaceChildren(document.getElementById("reader-empty").content.cloneNode(true));
  for (const open of all(".row.is-open")) open.classList.remove("is-open");
  history.pushState({ htmx: true }, "", address);
  const title = document.getElementById("list-title");
  if (title) document.title = `${title.textContent} · Postroad`;
  row?.classList.add("is-cursor");
  row?.querySelector(".row-link").focus({ preventScroll: true });
}

/** Open (wide window) or point at (narrow window) the mail `step` rows further. */
export function walk(step) {
  const rows = all(".row");
  if (!rows.length) return;
  const here = rows.indexOf(currentRow());
  const row = rows[Math.min(Math.max(here === -1 ? (step > 0 ? 0 : rows.length - 1) : here + step, 0), rows.length - 1)];
  for (const other of all(".row.is-cursor")) other.classList.remove("is-cursor");
  row.classList.add("is-cursor");
  row.scrollIntoView({ block: "nearest" });
  const link = row.querySelector(".row-link");
  link.focus({ preventScroll: true });
  const isShown = openReading() || !matchMedia("(max-width: 800px)").matches;
  // While another mail is on its way, the one that is shown will not stay, and its row's class is late.
  const isThere = !opening && openReading()?.dataset.entry === row.dataset.entry;
  if (isShown && link.hasAttribute("hx-get") && !isThere) link.click();
}

/** Bring the bar of bulk actions in line with what is ticked. */
export function showSelection() {
  const bar = document.getElementById("bulk-bar");
  if (!bar) return;
  const count = selected().length;
  bar.hidden = !count;
  document.getElementById("bulk").classList.toggle("has-selection", count > 0);
  document.getElementById("bulk-count").textContent = count ? say("selected", { count }) : "";
  const every = document.getElementById("select-all");
  const total = all(".pick input").length;
  every.checked = count > 0 && count === total;
  every.indeterminate = count > 0 && count < total;
}

/** Mark the row of the open mail, and that it is no longer unread. */
export function showOpen() {
  const entry = openReading()?.dataset.entry;
  for (const row of all(".row")) {
    const isOpen = row.dataset.entry === entry;
    row.classList.toggle("is-open", isOpen);
    const link = row.querySelector(".row-link");
    if (isOpen) {
      row.classList.remove("is-unread");
      link.setAttribute("aria-current", "true");
    } else link.removeAttribute("aria-current");
    if (row.classList.contains("is-cursor") && entry && !isOpen) row.classList.remove("is-cursor");
  }
}

// The list that the server sends knows neither cursor nor ticks: a mail that arrives must not take them away.
// Nor may it touch the rows while one of them opens a mail: the request would go with its link.
let kept = null;
let opening = 0;
const opens = (event) => event.detail.ctx.target?.id === "reader";
document.addEventListener("htmx:before:request", (event) => {
  if (opens(event)) opening += 1;
});
document.addEventListener("htmx:finally:request", (event) => {
  if (opens(event)) opening = Math.max(opening - 1, 0);
});
document.addEventListener("htmx:before:swap", (event) => {
  if (opening && event.detail.ctx.target?.id === "list") {
    event.preventDefault();
    refreshSoon(100);
    return;
  }
  const entryOf = (element) => element?.closest?.(".row")?.dataset.entry;
  kept = {
    cursor: entryOf(document.querySelector(".row.is-cursor")),
    focus: entryOf(document.activeElement),
    ticked: new Set(selected()),
  };
});
document.addEventListener("htmx:after:swap", () => {
  if (!kept) return;
  const { cursor, focus, ticked } = kept;
  kept = null;
  if (cursor) rowOf(cursor)?.classList.add("is-cursor");
  for (const box of all(".pick input")) if (ticked.has(box.value)) box.checked = true;
  if (focus && document.activeElement === document.body) rowOf(focus)?.querySelector(".row-link").focus({ preventScroll: true });
});

document.addEventListener("change", (event) => {
  const box = event.target;
  if (box.id === "select-all") for (const one of all(".pick input")) one.checked = box.checked;
  if (box.id === "select-all" || box.matches?.(".pick input")) showSelection();
});

document.addEventListener("click", async (event) => {
  const box = event.target.closest(".pick input");
  if (box) {
    const boxes = all(".pick input");
    if (event.shiftKey && lastPicked && boxes.includes(lastPicked)) {
      const [from, to] = [boxes.indexOf(lastPicked), boxes.indexOf(box)].sort((a, b) => a - b);
      for (const one of boxes.slice(from, to + 1)) one.checked = box.checked;
      showSelection();
    }
    lastPicked = box;
    return;
  }
  if (event.target.closest("[data-close-reader]") && openReading() && document.getElementById("list")) {
    event.preventDefault();
    closeReader();
    return;
  }
  const mover = event.target.closest("[data-move-to]");
  if (mover) {
    const dialog = mover.closest("dialog");
    const entries = dialog.dataset.entry ? [dialog.dataset.entry] : targets();
    dialog.close();
    act("move", entries, { target: mover.dataset.moveTo });
    return;
  }
  const search = event.target.closest("[data-search]");
  if (search) {
    search.closest("dialog").close();
    const input = document.getElementById("search");
    input.value = `${input.value} ${search.dataset.search}`.trim();
    input.focus();
    return;
  }
  const button = event.target.closest("[data-act]");
  if (!button) return;
  const row = button.closest(".row");
  const entries = row ? [row.dataset.entry] : [button.closest(".reading").dataset.entry];
  if (button.dataset.confirm && !(await confirmed(button.dataset.confirm, say("delete-yes")))) return;
  let action = button.dataset.act;
  if (action === "trash" && row && document.querySelector('#bulk [value="delete"]')) {
    if (!(await confirmed(say("delete-one"), say("delete-yes")))) return;
    action = "delete";
  }
  act(action, entries);
});

document.addEventListener("submit", async (event) => {
  if (event.target.id !== "bulk") return;
  event.preventDefault();
  const button = event.submitter;
  if (!button?.value) return;
  if (button.dataset.confirm && !(await confirmed(button.dataset.confirm, say("delete-yes")))) return;
  act(button.value, selected());
});

document.addEventListener("input", (event) => {
  if (!event.target.matches?.("[data-folder-filter]")) return;
  const wanted = event.target.value.trim().toLowerCase();
  for (const item of event.target.closest("form").querySelectorAll(".move-list li")) {
    item.hidden = !item.textContent.toLowerCase().includes(wanted);
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !event.target.matches?.("[data-folder-filter]")) return;
  event.preventDefault();
  event.target.closest("form").querySelector(".move-list li:not([hidden]) button")?.click();
});

// Dragging rows onto a folder moves them: the picked ones when the dragged row is among them.
document.addEventListener("dragstart", (event) => {
  const row = event.target.closest?.(".row");
  if (!row) return;
  const picked = selected();
  const entries = picked.includes(row.dataset.entry) ? picked : [row.dataset.entry];
  event.dataTransfer.setData("application/x-postroad-entries", entries.join(" "));
  event.dataTransfer.effectAllowed = "move";
});
const dropFolder = (event) => event.dataTransfer?.types.includes("application/x-postroad-entries") && event.target.closest?.("[data-folder] > .folder-link");
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    const link = dropFolder(event);
    if (!link) return;
    event.preventDefault();
    link.classList.toggle("drop-here", kind === "dragover");
    if (kind === "drop") act("move", event.dataTransfer.getData("application/x-postroad-entries").split(" "), { target: link.parentElement.dataset.folder });
  });
}

/** Open the dialog that asks where to, for what is selected or open. */
export function chooseFolder() {
  const entries = targets();
  if (entries.length) openDialog("move", null);
}

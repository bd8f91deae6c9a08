// Writing a mail. Text is never lost: every change is kept in this browser at once and in the Drafts folder soon
// after; saves, uploads and sending run one after another, because each of them replaces the stored draft.
import "./zone.js";
import "./shell.js";
import "./live.js";
import { csrf, post, readAnswer, Refusal } from "./ask.js";
import { openEditor } from "./editor.js";
import { RecipientField } from "./recipients.js";
import { confirmed } from "./shell.js";
import { say } from "./text.js";

const form = document.getElementById("compose");
const field = (name) => form.elements[name];
const byId = (id) => document.getElementById(id);
const backupKey = `postroad-draft-${form.dataset.backup}`;
const SAVE_AFTER = 1500; // ms after the last change
const BACKUP_DAYS = 30;

let isChanged = false; // since the last save
let isLeaving = false;
let saveTimer = 0;
let queue = Promise.resolve();

const fields = Object.fromEntries(["to", "cc", "bcc"].map((name) => [
  name, new RecipientField(form.querySelector(`[data-chips="${name}"]`), form.dataset.suggest, changed),
]));
const editor = openEditor(byId("editor"), byId("editor-bar"), byId("html").value, changed);
const isRich = () => field("is_rich").value === "1";

function changed() {
  isChanged = true;
  keepHere();
  clearTimeout(saveTimer);
  // A draft with large files is written whole each time, so it waits longer.
  saveTimer = setTimeout(() => enqueue(save), attachedBytes() > 2_000_000 ? 12_000 : SAVE_AFTER);
}

function content() {
  const state = { subject: field("subject").value };
  for (const [name, chips] of Object.entries(fields)) {
    state[name] = [chips.value.value, chips.input.value.trim()].filter(Boolean).join(", ");
  }
  state.is_rich = isRich() ? "1" : "";
  state.html = isRich() ? editor.getHTML() : "";
  state.text = isRich() ? "" : byId("plain").value;
  state.is_important = field("is_important").checked ? "1" : "";
  state.wants_receipt = field("wants_receipt").checked ? "1" : "";
  return state;
}

function request() {
  const keep = [...form.querySelectorAll(".file-chip[data-section]:not([data-gone])")].map((chip) => chip.dataset.section);
  return { ...content(), draft: field("draft").value, source: field("source").value, mode: field("mode").value, keep };
}

function enqueue(task) {
  queue = queue.then(task, task);
  return queue;
}

// -- saving

function showState(text, isError = false) {
  const state = byId("save-state");
  state.textContent = text;
  state.classList.toggle("is-error", isError);
}

async function save() {
  clearTimeout(saveTimer);
  if (!isChanged || isLeaving) return true;
  isChanged = false;
  showState(say("saving"));
  try {
    const answer = await post(form.dataset.save, request());
    stored(answer);
    if (!isChanged && answer.is_whole) dropBackup();
    return true;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    isChanged = true;
    showState(say("not-saved", { reason: error.message }), true);
    if (error.status === 409) field("draft").value = ""; // gone elsewhere: the next save makes a new one
    saveTimer = setTimeout(() => enqueue(save), 10_000);
    return false;
  }
}

function stored(answer) {
  field("draft").value = answer.draft;
  history.replaceState(history.state, "", `/mail/compose?draft=${encodeURIComponent(answer.draft)}`);
  drawFiles(answer.attachments);
  showState(say("saved", { time: answer.saved_at }));
}

// -- the copy in this browser

function keepHere() {
  try {
    localStorage.setItem(backupKey, JSON.stringify({ at: Date.now(), draft: field("draft").value, source: field("source").value, ...content() }));
  } catch {
    // storage is full or forbidden: the Drafts folder still has it
  }
}

function dropBackup() {
  try {
    localStorage.removeItem(backupKey);
  } catch {
    // nothing was kept
  }
}

function offerBackup() {
  let kept;
  try {
    kept = JSON.parse(localStorage.getItem(backupKey) ?? "null");
  } catch {
    kept = null;
  }
  if (!kept || Date.now() - kept.at > BACKUP_DAYS * 86_400_000) return dropBackup();
  const now = content();
  const isSame = ["to", "cc", "bcc", "subject", "html", "text"].every((name) => (kept[name] ?? "") === now[name]);
  const isEmpty = !kept.subject && !kept.to && !kept.text && !/[^\s<>/a-z]/i.test((kept.html ?? "").replace(/<[^>]*>/g, ""));
  if (isSame || isEmpty) return undefined;
  byId("restore").hidden = false;
  byId("restore-yes").addEventListener("click", () => {
    for (const name of ["to", "cc", "bcc"]) {
      fields[name].set(kept[name] ?? "");
      if (kept[name]) byId(`row-${name}`).hidden = false;
    }
    field("subject").value = kept.subject ?? "";
    setRich(Boolean(kept.is_rich));
    if (kept.is_rich) editor.setHTML(kept.html ?? "");
    else byId("plain").value = kept.text ?? "";
    byId("restore").hidden = true;
    changed();
  });
  byId("restore-no").addEventListener("click", () => {
    byId("restore").hidden = true;
    dropBackup();
  });
  return undefined;
}

// -- files

const limit = Number(form.dataset.limit);
const attachedBytes = () => [...form.querySelectorAll(".file-chip:not(.is-bad)")].reduce((sum, chip) => sum + Number(chip.dataset.size || 0), 0);

function fileChip(name, size) {
  const chip = document.createElement("li");
  chip.className = "file-chip";
  chip.dataset.size = String(size);
  chip.innerHTML = '<svg class="icon" aria-hidden="true"><use href="#i-clip"/></svg><span class="file-name"></span><span class="file-size"></span><button type="button" class="icon-button" data-remove><svg class="icon" aria-hidden="true"><use href="#i-close"/></svg></button>';
  chip.querySelector(".file-name").textContent = name;
  chip.querySelector(".file-size").textContent = sizeText(size);
  chip.querySelector("button").setAttribute("aria-label", say("remove", { name }));
  return chip;
}

function sizeText(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  const [value, unit] = bytes < 1_000_000 ? [bytes / 1000, "KB"] : [bytes / 1_000_000, "MB"];
  return `${value.toLocaleString(document.documentElement.lang, { maximumFractionDigits: value < 10 ? 1 : 0 })} ${unit}`;
}

function drawFiles(attachments) {
  const waiting = [...form.querySelectorAll(".file-chip:not([data-section])")];
  byId("file-list").replaceChildren(...attachments.map((file) => {
    const chip = fileChip(file.name, file.size);
    chip.dataset.section = file.section;
    return chip;
  }), ...waiting);
}

function attach(files) {
  for (const file of files) {
    const chip = fileChip(file.name, file.size);
    byId("file-list").append(chip);
    if (attachedBytes() > limit) {
      chip.remove();
      complain(say("too-large", { limit: sizeText(limit), name: file.name }));
      continue;
    }
    const bar = document.createElement("progress");
    bar.max = 1;
    bar.value = 0;
    chip.append(bar);
    enqueue(() => (chip.isConnected ? upload(file, chip, bar) : null));
  }
}

function upload(file, chip, bar) {
  const body = new FormData();
  for (const [name, value] of Object.entries(request())) for (const one of [value].flat()) body.append(name, one);
  body.append("file", file, file.name);
  isChanged = false;
  return new Promise((resolve) => {
    // fetch tells no upload progress
    const sending = new XMLHttpRequest();
    sending.open("POST", form.dataset.upload);
    sending.setRequestHeader("X-CSRF-Token", csrf());
    sending.setRequestHeader("Accept", "application/json");
    sending.upload.addEventListener("progress", (event) => {
      bar.value = event.lengthComputable ? event.loaded / event.total : 0;
    });
    chip.querySelector("[data-remove]").addEventListener("click", () => sending.abort());
    sending.addEventListener("loadend", () => {
      try {
        const answer = readAnswer(sending.status, sending.responseText);
        chip.remove();
        stored(answer);
        if (!isChanged && answer.is_whole) dropBackup();
      } catch (error) {
        bar.remove();
        isChanged = true;
        if (chip.isConnected) {
          chip.classList.add("is-bad");
          complain(say("upload-failed", { name: file.name, reason: error.message }));
        }
      }
      resolve();
    });
    sending.send(body);
  });
}

byId("pick-files").addEventListener("change", (event) => {
  attach(event.target.files);
  event.target.value = "";
});
byId("file-list").addEventListener("click", (event) => {
  const chip = event.target.closest("[data-remove]")?.closest(".file-chip");
  if (!chip) return;
  chip.remove();
  if (chip.dataset.section) changed();
});
let dragDepth = 0;
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  form.addEventListener(kind, (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    event.stopPropagation();
    if (kind === "dragenter") dragDepth += 1;
    if (kind === "dragleave") dragDepth -= 1;
    if (kind === "drop") {
      dragDepth = 0;
      attach(event.dataTransfer.files);
    }
    form.classList.toggle("is-dropping", dragDepth > 0);
  }, true);
}
form.addEventListener("paste", (event) => {
  const files = [...(event.clipboardData?.files ?? [])];
  if (!files.length || event.clipboardData.types.includes("text/plain")) return;
  event.preventDefault();
  event.stopPropagation();
  attach(files);
}, true);

// -- rich or plain

function setRich(rich) {
  field("is_rich").value = rich ? "1" : "";
  byId("editor").hidden = !rich;
  byId("editor-bar").hidden = !rich;
  byId("plain").hidden = rich;
  byId("plain-toggle").checked = !rich;
}

byId("plain-toggle").addEventListener("change", (event) => {
  const toPlain = event.target.checked;
  if (toPlain) byId("plain").value = plainOf(byId("editor"));
  else {
    const lines = byId("plain").value.split("\n").map((line) => {
      const div = document.createElement("div");
      div.textContent = line;
      return line ? div.outerHTML : "<div><br></div>";
    });
    editor.setHTML(lines.join(""));
  }
  setRich(!toPlain);
  changed();
});

function plainOf(root) {
  const copy = root.cloneNode(true);
  for (const quote of [...copy.querySelectorAll("blockquote")].reverse()) {
    const lines = textLines(quote).map((line) => `> ${line}`);
    quote.replaceWith(document.createTextNode(`\n${lines.join("\n")}\n`));
  }
  return textLines(copy).join("\n");
}

function textLines(root) {
  let text = "";
  const visit = (node) => {
    if (node.nodeType === Node.TEXT_NODE) text += node.data;
    else if (node.nodeName === "BR") text += "\n";
    else {
      const isBlock = /^(DIV|P|LI|UL|OL|BLOCKQUOTE|PRE|H[1-6]|TR|TABLE)$/.test(node.nodeName);
      if (isBlock && text && !text.endsWith("\n")) text += "\n";
      if (node.nodeName === "LI") text += "- ";
      node.childNodes.forEach(visit);
      if (isBlock && !text.endsWith("\n")) text += "\n";
    }
  };
  root.childNodes.forEach(visit);
  return text.replace(/\n+$/, "").split("\n");
}

// -- sending and leaving

function complain(text) {
  const box = byId("compose-error");
  box.hidden = !text;
  box.querySelector("span").textContent = text;
  if (text) box.scrollIntoView({ block: "nearest" });
}

async function send() {
  complain("");
  for (const chips of Object.values(fields)) chips.commit();
  const bad = Object.values(fields).find((chips) => chips.hasBad);
  if (bad) {
    complain(say("bad-recipient"));
    bad.input.focus();
    return;
  }
  if (!Object.values(fields).some((chips) => chips.recipients.length)) {
    complain(say("no-recipient"));
    fields.to.input.focus();
    return;
  }
  if (!field("subject").value.trim() && !(await confirmed(say("no-subject"), say("send-yes")))) {
    byId("subject").focus();
    return;
  }
  byId("send").disabled = true;
  clearTimeout(saveTimer);
  showState(say("sending"));
  await enqueue(async () => {
    try {
      const answer = await post(form.action, request());
      isLeaving = true;
      dropBackup();
      sessionStorage.setItem("postroad-toast", answer.toast);
      location.href = answer.next;
    } catch (error) {
      byId("send").disabled = false;
      showState("");
      complain(error.message);
      if (error.field && fields[error.field]) fields[error.field].input.focus();
      if (!(error instanceof Refusal)) throw error;
    }
  });
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
form.addEventListener("input", (event) => {
  if (event.target.matches("#subject, #plain")) changed();
});
form.addEventListener("change", (event) => {
  if (event.target.matches("[type=checkbox]") && event.target.name) changed();
});
form.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    send();
  } else if (event.key === "Enter" && event.target.id === "subject") {
    event.preventDefault();
    isRich() ? editor.focus() : byId("plain").focus();
  }
}, true);
for (const button of form.querySelectorAll("[data-show]")) {
  button.addEventListener("click", () => {
    const row = byId(button.dataset.show);
    row.hidden = false;
    button.hidden = true;
    row.querySelector("input").focus();
  });
}
byId("discard").addEventListener("click", async () => {
  if ((field("draft").value || isChanged) && !(await confirmed(say("discard"), say("discard-yes")))) return;
  isLeaving = true;
  clearTimeout(saveTimer);
  await enqueue(async () => {
    try {
      if (field("draft").value) await post("/mail/compose/discard", { draft: field("draft").value });
      dropBackup();
      location.href = "/mail";
    } catch (error) {
      isLeaving = false;
      complain(error.message);
    }
  });
});
document.addEventListener("click", async (event) => {
  const link = event.target.closest("a[href]");
  if (!link || link.target === "_blank" || event.ctrlKey || event.metaKey || !link.closest("#sidebar, .compose-head")) return;
  event.preventDefault();
  event.stopPropagation();
  if (await enqueue(save)) {
    isLeaving = true;
    location.href = link.href;
  }
}, true);
addEventListener("beforeunload", (event) => {
  if (!isLeaving && isChanged) event.preventDefault();
});
addEventListener("visibilitychange", () => {
  if (document.visibilityState === "hidden") enqueue(save);
});

offerBackup();
if (field("mode").value.startsWith("reply")) {
  if (isRich()) {
    editor.focus();
    editor.moveCursorToStart();
  } else {
    byId("plain").focus();
    byId("plain").setSelectionRange(0, 0);
  }
}
document.body.dataset.ready = "1";

// What every page of the mailbox has: the drawer, menus that close, dialogs.
import { post, Refusal } from "./ask.js";
import { toast } from "./toast.js";

document.addEventListener("click", (event) => {
  const drawer = event.target.closest("[data-drawer]");
  if (drawer) setDrawer(drawer.dataset.drawer === "open");
  else if (event.target.closest("#sidebar a")) setDrawer(false);
  for (const menu of document.querySelectorAll("details[data-menu][open]")) {
    const item = event.target.closest(".menu-item");
    if (!menu.contains(event.target) || (item && menu.contains(item) && !item.querySelector("input"))) menu.open = false;
  }
  const opener = event.target.closest("[data-dialog]");
  if (opener) openDialog(opener.dataset.dialog, opener);
  const closer = event.target.closest("dialog [data-close]");
  if (closer) closer.closest("dialog").close();
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const menu = document.querySelector("details[data-menu][open]");
  if (menu) {
    menu.open = false;
    menu.querySelector("summary").focus();
    event.stopImmediatePropagation();
  } else if (document.body.classList.contains("drawer-open")) {
    setDrawer(false);
    event.stopImmediatePropagation();
  }
});

document.addEventListener("toggle", (event) => {
  const menu = event.target;
  if (!menu.matches?.("details.folder-menu[open]")) return;
  // The folder list scrolls, so its menus are fixed: put the panel under its button, inside the window.
  const panel = menu.querySelector(".menu-panel");
  const button = menu.querySelector("summary").getBoundingClientRect();
  panel.style.top = `${Math.min(button.bottom + 4, innerHeight - panel.offsetHeight - 8)}px`;
  panel.style.left = `${Math.max(8, Math.min(button.left, innerWidth - panel.offsetWidth - 8))}px`;
}, true);

function setDrawer(isOpen) {
  document.body.classList.toggle("drawer-open", isOpen);
  if (isOpen) document.querySelector("#sidebar .sidebar-close").focus();
  else if (document.activeElement?.closest?.("#sidebar") && matchMedia("(max-width: 1080px)").matches) {
    document.querySelector(".drawer-button")?.focus();
  }
}

/** Open `#dialog-name`, filled in from the data attributes of `opener`. */
export function openDialog(name, opener = null) {
  const dialog = document.getElementById(`dialog-${name}`);
  if (!dialog || dialog.open) return null;
  const form = dialog.querySelector("form");
  form.reset();
  const complaint = form.querySelector(".form-error");
  if (complaint) complaint.hidden = true;
  if (opener?.dataset.folder && form.elements.folder) form.elements.folder.value = opener.dataset.folder;
  if (opener?.dataset.name) {
    const shown = form.querySelector("[data-name]");
    if (shown) shown.textContent = opener.dataset.name;
    if (form.elements.name) form.elements.name.value = opener.dataset.name;
  }
  dialog.dataset.entry = opener?.dataset.entry ?? "";
  dialog.returnValue = "";
  dialog.showModal();
  form.elements.name?.select?.();
  return dialog;
}

/** Ask a yes-or-no question in the page's own dialog; `yes` is the button's word. */
export function confirmed(question, yes) {
  const dialog = openDialog("confirm");
  if (!dialog) return Promise.resolve(false);
  dialog.querySelector("[data-question]").textContent = question;
  dialog.querySelector('[value="yes"]').textContent = yes;
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

// Dialogs that change folders: the answer says what to tell and where to go.
document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.dataset?.post) return;
  event.preventDefault();
  const button = form.querySelector("button:not([data-close])");
  button.disabled = true;
  try {
    const answer = await post(form.dataset.post, Object.fromEntries(new FormData(form)));
    form.closest("dialog").close();
    toast(answer.toast);
    if (answer.next && answer.leave?.includes(location.pathname.split("/")[3])) location.href = answer.next;
    else document.dispatchEvent(new CustomEvent("mail:changed"));
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const complaint = form.querySelector(".form-error");
    complaint.textContent = error.message;
    complaint.hidden = false;
  } finally {
    button.disabled = false;
  }
});

// A dialog closes on a click beside it.
document.addEventListener("mousedown", (event) => {
  if (event.target.matches?.("dialog[open]")) event.target.close();
});

// Short messages at the foot of the page, with one action at most.

/** Show `message`; `action` is {label, run}. Errors stay twice as long. */
export function toast(message, action = null, isError = false) {
  const box = document.getElementById("toasts");
  if (!box || !message) return;
  const element = document.createElement("div");
  element.className = isError ? "toast toast-error" : "toast";
  const words = document.createElement("span");
  words.textContent = message;
  element.append(words);
  if (action) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = action.label;
    button.addEventListener("click", () => {
      element.remove();
      action.run();
    });
    element.append(button);
  }
  box.replaceChildren(element);
  setTimeout(() => element.remove(), action || isError ? 9000 : 4500);
}

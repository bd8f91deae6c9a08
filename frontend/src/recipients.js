// A field of recipients: text becomes chips, with suggestions from the people one writes with.
import { say } from "./text.js";

const ADDRESS = /^[^\s@<>",;]+@[^\s@<>",;]+$/;

/** Cut a header-like list at commas, semicolons and line ends that stand outside quotes and angle brackets. */
export function splitList(text) {
  const parts = [];
  let part = "";
  let inQuotes = false;
  let inAngles = false;
  for (let at = 0; at < text.length; at += 1) {
    const sign = text[at];
    if (sign === "\\" && inQuotes) {
      part += sign + (text[(at += 1)] ?? "");
      continue;
    }
    if (sign === '"') inQuotes = !inQuotes;
    else if (!inQuotes && sign === "<") inAngles = true;
    else if (!inQuotes && sign === ">") inAngles = false;
    if (!inQuotes && !inAngles && /[,;，；、\n]/.test(sign)) {
      parts.push(part);
      part = "";
    } else part += sign;
  }
  parts.push(part);
  return parts.map((one) => one.trim()).filter(Boolean);
}

/** {name, address, isGood} of one recipient as typed or pasted. */
export function parseRecipient(text) {
  const angled = /^(.*?)<([^<>]*)>\s*$/s.exec(text);
  const name = angled ? angled[1].trim().replace(/^"(.*)"$/s, "$1").replace(/\\(.)/g, "$1") : "";
  const address = (angled ? angled[2] : text).trim();
  return { name, address, isGood: ADDRESS.test(address) };
}

function write({ name, address }) {
  if (!name) return address;
  return `"${name.replace(/(["\\])/g, "\\$1")}" <${address}>`;
}

export class RecipientField {
  constructor(element, suggestUrl, onChange) {
    this.element = element;
    this.input = element.querySelector('input[type="text"]');
    this.value = element.querySelector('input[type="hidden"]');
    this.list = element.querySelector(".chip-list");
    this.box = element.querySelector(".suggestions");
    this.suggestUrl = suggestUrl;
    this.onChange = onChange;
    this.recipients = splitList(this.value.value).map(parseRecipient);
    this.picked = -1;
    this.asked = 0;
    this.draw();
    element.addEventListener("mousedown", (event) => {
      if (event.target === element || event.target === this.list) {
        event.preventDefault();
        this.input.focus();
      }
    });
    this.input.addEventListener("input", () => this.typed());
    this.input.addEventListener("keydown", (event) => this.key(event));
    this.input.addEventListener("paste", (event) => {
      const text = event.clipboardData.getData("text/plain");
      if (!/[,;，；\n@]/.test(text)) return;
      event.preventDefault();
      this.add(this.input.value + text);
    });
    this.input.addEventListener("blur", () => setTimeout(() => this.commit(), 120));
    this.box.addEventListener("mousedown", (event) => {
      const item = event.target.closest("li");
      if (!item) return;
      event.preventDefault();
      this.choose(item);
    });
  }

  get hasBad() {
    return this.recipients.some((one) => !one.isGood) || (this.input.value.trim() !== "" && !parseRecipient(this.input.value).isGood);
  }

  set(text) {
    this.recipients = splitList(text).map(parseRecipient);
    this.draw();
  }

  add(text) {
    for (const one of splitList(text).map(parseRecipient)) {
      if (!this.recipients.some((other) => other.address.toLowerCase() === one.address.toLowerCase())) this.recipients.push(one);
    }
    this.input.value = "";
    this.close();
    this.draw();
    this.onChange();
  }

  commit() {
    if (this.input.value.trim()) this.add(this.input.value);
    this.close();
  }

  remove(index) {
    this.recipients.splice(index, 1);
    this.draw();
    this.onChange();
  }

  draw() {
    this.list.replaceChildren(...this.recipients.map((one, index) => {
      const chip = document.createElement("span");
      chip.className = one.isGood ? "recipient" : "recipient is-bad";
      chip.title = one.isGood ? one.address : say("bad-address");
      const avatar = document.createElement("span");
      avatar.setAttribute("aria-hidden", "true");
      if (one.isGood) {
        avatar.className = `avatar avatar-tiny hue-${hue(one.name || one.address)}`;
        avatar.textContent = (one.name || one.address).slice(0, 1).toUpperCase();
      }
      const label = document.createElement("span");
      label.textContent = one.name || one.address;
      const cross = document.createElement("button");
      cross.type = "button";
      cross.setAttribute("aria-label", say("remove", { name: one.name || one.address }));
      cross.innerHTML = '<svg class="icon" aria-hidden="true"><use href="#i-close"/></svg>';
      cross.addEventListener("click", () => {
        this.remove(index);
        this.input.focus();
      });
      chip.append(avatar, label, cross);
      chip.addEventListener("dblclick", () => {
        this.remove(index);
        this.input.value = write(one);
        this.input.focus();
      });
      return chip;
    }));
    this.value.value = this.recipients.map(write).join(", ");
  }

  key(event) {
    if (event.isComposing) return;
    const items = [...this.box.children];
    if ((event.key === "ArrowDown" || event.key === "ArrowUp") && items.length && !this.box.hidden) {
      event.preventDefault();
      this.mark((this.picked + (event.key === "ArrowDown" ? 1 : -1) + items.length) % items.length);
    } else if ((event.key === "Enter" || event.key === "Tab") && !this.box.hidden && this.picked >= 0) {
      event.preventDefault();
      this.choose(items[this.picked]);
    } else if (["Enter", ",", ";", "，", "；"].includes(event.key)) {
      event.preventDefault();
      this.commit();
    } else if (event.key === " " && parseRecipient(this.input.value).isGood) {
      event.preventDefault();
      this.commit();
    } else if (event.key === "Backspace" && !this.input.value && this.recipients.length) {
      this.remove(this.recipients.length - 1);
    } else if (event.key === "Escape" && !this.box.hidden) {
      event.stopPropagation();
      this.close();
    }
  }

  async typed() {
    const text = this.input.value.trim();
    this.onChange();
    const mine = (this.asked += 1);
    if (text.length < 1) return this.close();
    await new Promise((resolve) => setTimeout(resolve, 90));
    if (mine !== this.asked) return undefined;
    try {
      const response = await fetch(`${this.suggestUrl}?q=${encodeURIComponent(text)}`, { headers: { Accept: "application/json" } });
      if (!response.ok || mine !== this.asked || document.activeElement !== this.input) return undefined;
      this.show((await response.json()).people);
    } catch {
      this.close();
    }
    return undefined;
  }

  show(people) {
    const known = new Set(this.recipients.map((one) => one.address.toLowerCase()));
    const shown = people.filter((one) => !known.has(one.address.toLowerCase()));
    this.box.replaceChildren(...shown.map((one, index) => {
      const item = document.createElement("li");
      item.setAttribute("role", "option");
      item.id = `${this.box.id}-${index}`;
      item.dataset.value = write(one);
      const avatar = document.createElement("span");
      avatar.setAttribute("aria-hidden", "true");
      avatar.className = `avatar avatar-small hue-${hue(one.name || one.address)}`;
      avatar.textContent = (one.name || one.address).slice(0, 1).toUpperCase();
      const words = document.createElement("span");
      for (const [kind, text] of one.name ? [["name", one.name], ["address", one.address]] : [["name", one.address]]) {
        const line = document.createElement("span");
        line.className = kind;
        line.textContent = text;
        words.append(line);
      }
      item.append(avatar, words);
      return item;
    }));
    this.box.hidden = shown.length === 0;
    this.input.setAttribute("aria-expanded", String(shown.length > 0));
    this.mark(shown.length ? 0 : -1);
  }

  mark(index) {
    this.picked = index;
    [...this.box.children].forEach((item, at) => item.setAttribute("aria-selected", String(at === index)));
    if (index >= 0) this.input.setAttribute("aria-activedescendant", `${this.box.id}-${index}`);
    else this.input.removeAttribute("aria-activedescendant");
  }

  choose(item) {
    this.input.value = "";
    this.add(item.dataset.value);
    this.input.focus();
  }

  close() {
    this.asked += 1;
    this.box.hidden = true;
    this.picked = -1;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
  }
}

// CRC-32 as the server computes it (views.py), so that a person has one colour everywhere.
function hue(label) {
  let sum = 0xffffffff;
  for (const byte of new TextEncoder().encode(label.toLowerCase())) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit += 1) sum = sum & 1 ? (sum >>> 1) ^ 0xedb88320 : sum >>> 1;
  }
  return ((sum ^ 0xffffffff) >>> 0) % 12;
}

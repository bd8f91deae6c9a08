// The mailbox pages: list and reading pane.
import htmx from "htmx.org";
import "./zone.js";
import "./shell.js";
import "./live.js";
import "./list.js";
import "./keys.js";
import { watchFrames } from "./frames.js";
import { openReading, showOpen, showSelection } from "./list.js";
import { say } from "./text.js";
import { toast } from "./toast.js";

function settle() {
  watchFrames();
  showOpen();
  showSelection();
  const reading = openReading();
  const path = location.pathname;
  for (const link of document.querySelectorAll(".folder-link[href]")) {
    const isHere = link.getAttribute("href") === (reading ? reading.dataset.folder : path) || link.getAttribute("href") === path;
    if (path.startsWith("/mail/folder/") || reading) {
      if (isHere) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    } else if (path === "/mail/search") link.removeAttribute("aria-current");
  }
}

document.addEventListener("htmx:after:swap", settle);
document.addEventListener("htmx:after:swap", (event) => {
  // A mail that was just opened takes the focus, so that the next key scrolls it and a screen reader begins there.
  if (event.detail.ctx.target?.id === "reader") document.getElementById("reader-scroll")?.focus({ preventScroll: true });
});
document.addEventListener("htmx:error", () => toast(say("offline"), null, true));
document.addEventListener("htmx:response:error", (event) => {
  const status = event.detail.ctx.response.status;
  if (status === 401) location.href = `/mail/login?next=${encodeURIComponent(location.pathname + location.search)}`;
  else toast(say(status === 404 ? "gone" : status === 503 ? "away" : "failed"), null, true);
});
settle();
window.htmx = htmx;

// What the page before wanted said here: "Sent."
const waiting = sessionStorage.getItem("postroad-toast");
if (waiting) {
  sessionStorage.removeItem("postroad-toast");
  toast(waiting);
}
document.body.dataset.ready = "1";

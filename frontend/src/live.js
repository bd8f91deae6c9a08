// New mail without reloading: one tab of the browser holds the event stream and tells the others.
// Browsers allow six connections to a server over HTTP/1.1, so a stream a tab would soon use them up.
import htmx from "htmx.org";

const address = document.body.dataset.events;
const channel = "BroadcastChannel" in window ? new BroadcastChannel("postroad") : null;
let timer = 0;

/** Fetch the folder counts and the list again, once for several calls in a row. */
export function refreshSoon(delay = 20) {
  clearTimeout(timer);
  timer = setTimeout(refresh, delay);
}

function refresh() {
  htmx.trigger("#folders", "mail:refresh");
  const list = document.getElementById("list");
  if (list) {
    const rows = list.querySelectorAll(".row");
    const url = new URL(list.dataset.refresh, location.origin);
    url.searchParams.set("count", String(rows.length));
    if (rows.length > 50) url.searchParams.set("until", rows[rows.length - 1].dataset.entry);
    const open = document.querySelector(".reading");
    if (open) url.searchParams.set("open", open.dataset.entry);
    htmx.ajax("GET", url.pathname + url.search, { source: list, target: list, swap: "innerMorph" });
  }
}

function showCount() {
  const unread = Number(document.querySelector("#folders [data-unread]")?.dataset.unread ?? document.body.dataset.unread ?? 0);
  const plain = document.title.replace(/^\(\d+\) /, "");
  document.title = unread ? `(${unread}) ${plain}` : plain;
}

function follow() {
  let wasOpen = false;
  const events = new EventSource(address);
  events.addEventListener("change", () => {
    channel?.postMessage("change");
    refreshSoon();
  });
  events.addEventListener("open", () => {
    setOffline(false);
    // What happened while the stream was away is seen by looking.
    if (wasOpen) refreshSoon();
    wasOpen = true;
  });
  events.addEventListener("error", () => {
    if (wasOpen) setOffline(true);
    // The browser tries again by itself, except after an answer that was no stream (signed out, server starting).
    if (events.readyState === EventSource.CLOSED) {
      setTimeout(async () => {
        if (await isSignedOut()) leave();
        else follow();
      }, 5000);
    }
  });
  addEventListener("pagehide", () => events.close(), { once: true });
}

async function isSignedOut() {
  try {
    return (await fetch("/mail/sidebar", { headers: { "HX-Request": "true" } })).status === 401;
  } catch {
    return false; // not known: the server is away
  }
}

/** Go to the sign-in page, but never away from text that is being written. */
function leave() {
  if (document.getElementById("compose")) return;
  location.href = `/mail/login?next=${encodeURIComponent(location.pathname + location.search)}`;
}

function setOffline(isOffline) {
  const notice = document.getElementById("offline");
  if (notice) notice.hidden = !isOffline;
}

if (address) {
  channel?.addEventListener("message", () => refreshSoon());
  document.addEventListener("mail:changed", () => refreshSoon(0));
  document.addEventListener("htmx:after:swap", showCount);
  if (navigator.locks) navigator.locks.request("postroad-events", () => new Promise(() => follow()));
  else follow();
  showCount();
}
// A page brought back by the browser's own cache shows what was true when it was left.
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});

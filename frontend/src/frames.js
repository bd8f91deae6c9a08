// Gives the frame of an HTML mail the height of its content. The frame may not run scripts; it shares the page's
// origin so that this page can measure it (docs: web/frame.py says why that is safe).

function fit(frame) {
  const inside = frame.contentDocument;
  if (!inside?.body || frame.dataset.watched === inside.URL) return;
  frame.dataset.watched = inside.URL;
  const measure = () => {
    const wide = inside.documentElement.scrollWidth > frame.clientWidth ? 16 : 0; // room for its scroll bar
    const height = Math.min(Math.ceil(inside.body.getBoundingClientRect().height) + wide, 60000);
    if (Math.abs(frame.offsetHeight - height - 2) > 1) frame.style.height = `${height + 2}px`;
  };
  measure();
  new ResizeObserver(measure).observe(inside.body);
  inside.addEventListener("click", (event) => {
    const link = event.target.closest?.('a[href^="mailto:" i]');
    if (!link) return;
    event.preventDefault();
    const [to, query] = link.getAttribute("href").slice(7).split("?");
    const asked = new URLSearchParams(query);
    const fields = new URLSearchParams({ to: decodeURIComponent(to) });
    for (const name of ["cc", "subject", "body"]) if (asked.get(name)) fields.set(name, asked.get(name));
    location.href = `/mail/compose?${fields}`;
  });
  inside.addEventListener("keydown", (event) => {
    document.dispatchEvent(new KeyboardEvent("keydown", { key: event.key, ctrlKey: event.ctrlKey, metaKey: event.metaKey, altKey: event.altKey, bubbles: true }));
  });
}

export function watchFrames() {
  for (const frame of document.querySelectorAll("iframe.body-frame")) {
    if (!frame.dataset.known) {
      frame.dataset.known = "1";
      frame.addEventListener("load", () => fit(frame));
    }
    if (frame.contentDocument?.readyState === "complete" && frame.contentDocument.URL !== "about:blank") fit(frame);
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-show-images]");
  if (!button) return;
  const notice = button.closest(".notice");
  const frame = notice.nextElementSibling;
  frame.src = button.dataset.showImages;
  notice.remove();
  frame.focus();
});

// Pages outside the mailbox: signing in, errors that try again, printing.
import "./zone.js";
import { watchFrames } from "./frames.js";

const retry = document.querySelector("[data-retry]");
if (retry) {
  const again = async () => {
    try {
      const answer = await fetch("/readyz", { cache: "no-store" });
      if (answer.ok) return location.reload();
    } catch {
      // still away
    }
    setTimeout(again, Number(retry.dataset.retry) * 1000);
    return null;
  };
  setTimeout(again, Number(retry.dataset.retry) * 1000);
}
if (document.body.dataset.print !== undefined) {
  watchFrames();
  document.getElementById("print").addEventListener("click", () => print());
}

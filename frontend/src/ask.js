// Requests that change something: one place for the CSRF token, the answers' form and a session that has ended.
import { say } from "./text.js";

/** What the server refused, in the reader's language; `field` names the form's field when one is to blame. */
export class Refusal extends Error {
  constructor(message, field = "", status = 0) {
    super(message);
    this.field = field;
    this.status = status;
  }
}

export function csrf() {
  const headers = document.body.getAttribute("hx-headers:inherited");
  return headers ? JSON.parse(headers)["X-CSRF-Token"] : "";
}

/** POST `body` (a plain object of strings and lists, or FormData) and return the JSON answer. Throws Refusal. */
export async function post(url, body) {
  let sent = body;
  if (!(body instanceof FormData)) {
    sent = new URLSearchParams();
    for (const [name, value] of Object.entries(body)) {
      for (const one of Array.isArray(value) ? value : [value]) sent.append(name, one);
    }
  }
  let response;
  try {
    response = await fetch(url, { method: "POST", body: sent, headers: { "X-CSRF-Token": csrf(), Accept: "application/json" } });
  } catch {
    throw new Refusal(say("offline"));
  }
  return readAnswer(response.status, await response.text());
}

/** Turn a status and a body into the answer, or throw the Refusal that it says. */
export function readAnswer(status, text) {
  let answer = {};
  try {
    answer = JSON.parse(text);
  } catch {
    // not ours: a proxy's page, or nothing at all
  }
  if (status === 401) {
    // Leaving the compose page would lose text: there the message is shown instead.
    if (!document.getElementById("compose")) location.href = `/mail/login?next=${encodeURIComponent(location.pathname + location.search)}`;
    throw new Refusal(say("signed-out"), "", status);
  }
  if (status >= 400 || status === 0) throw new Refusal(answer.error || say("failed"), answer.field || "", status);
  return answer;
}

import { useEffect, useRef, useState } from "preact/hooks";
import { count } from "./format.js";
import { html } from "./html.js";

const SPOKEN_EVERY_MS = 60_000;

/**
 * One figure, or its skeleton of the same size while it is pending.
 * @param {{ label: string, value: number | null, kind: string, pending: boolean }} props
 */
function Figure({ label, value, kind, pending }) {
  const text = value === null && !pending ? "–" : count(value ?? 0);
  return html`
    <div class="figure">
      <dt>${kind && html`<span class=${`swatch ${kind}`}></span>`}${label}</dt>
      <dd class=${value === null && pending ? "number skeleton" : "number"}>${text}</dd>
    </div>
  `;
}

/**
 * Gives `text` when `subject` changes, and then at most once a minute: for a live region that informs but does not
 * chatter.
 * @param {string} subject
 * @param {string} text empty while nothing is known
 */
function useSparingly(subject, text) {
  const [spoken, setSpoken] = useState("");
  const last = useRef({ subject: "", atMs: 0 });
  useEffect(() => {
    if (text === "") return;
    const nowMs = performance.now();
    if (last.current.subject === subject && nowMs - last.current.atMs < SPOKEN_EVERY_MS) return;
    last.current = { subject, atMs: nowMs };
    setSpoken(text);
  }, [subject, text]);
  return spoken;
}

/**
 * The range's totals. `lastMinute` is the clicks of the last whole minute.
 * @param {{
 *   totals: { clicks: number, unique_users: number } | null,
 *   lastMinute: number | null,
 *   pending: boolean,
 *   subject: string,
 * }} props
 */
export function Totals({ totals, lastMinute, pending, subject }) {
  const text = totals ? `${subject}: ${count(totals.clicks)} clicks, ${count(totals.unique_users)} unique users` : "";
  const spoken = useSparingly(subject, text);
  return html`
    <dl class="totals">
      <${Figure} label="Clicks" value=${totals?.clicks ?? null} kind="clicks" pending=${pending} />
      <${Figure} label="Unique users" value=${totals?.unique_users ?? null} kind="users" pending=${pending} />
      <${Figure} label="Last full minute" value=${lastMinute} kind="" pending=${pending} />
    </dl>
    <p class="unseen" aria-live="polite">${spoken}</p>
  `;
}

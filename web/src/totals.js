import { useEffect, useRef, useState } from "preact/hooks";
import { change, count } from "./format.js";
import { html } from "./html.js";

const SPOKEN_EVERY_MS = 60_000;

/**
 * One figure, or its skeleton of the same size while it is pending; `grown` is its change since the period before.
 * @param {{ label: string, value: number | null, kind: string, pending: boolean, grown?: number | null }} props
 */
function Figure({ label, value, kind, pending, grown }) {
  const text = value === null && !pending ? "–" : count(value ?? 0);
  return html`
    <div class="figure">
      <dt>${kind && html`<span class=${`swatch ${kind}`}></span>`}${label}</dt>
      <dd class=${value === null && pending ? "number skeleton" : "number"}>${text}</dd>
      ${grown !== undefined && html`<dd class=${`change number ${kindOfChange(grown)}`}>${changeText(grown)}</dd>`}
    </div>
  `;
}

const kindOfChange = (/** @type {number | null} */ grown) => (grown === null || grown === 0 ? "" : grown > 0 ? "up" : "down");

/** A line of its own height from the start, so that nothing jumps when the comparison comes. */
const changeText = (/** @type {number | null} */ grown) =>
  grown === null ? "\u00a0" : `${change(grown)} on the period before`;

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
 * The range's totals and how they changed. `last` is the clicks of the last whole bucket, a `grain` long.
 * @param {{
 *   totals: { clicks: number, unique_users: number } | null,
 *   comparison: import("./types.js").Comparison | null,
 *   last: number | null,
 *   grain: string,
 *   pending: boolean,
 *   subject: string,
 * }} props
 */
export function Totals({ totals, comparison, last, grain, pending, subject }) {
  const text = totals ? `${subject}: ${count(totals.clicks)} clicks, ${count(totals.unique_users)} unique users` : "";
  const spoken = useSparingly(subject, text);
  return html`
    <dl class="totals">
      <${Figure}
        label="Clicks" value=${totals?.clicks ?? null} kind="clicks" pending=${pending}
        grown=${comparison?.change.clicks ?? null}
      />
      <${Figure}
        label="Unique users" value=${totals?.unique_users ?? null} kind="users" pending=${pending}
        grown=${comparison?.change.unique_users ?? null}
      />
      <${Figure} label=${`Last full ${grain}`} value=${last} kind="" pending=${pending} />
    </dl>
    <p class="unseen" aria-live="polite">${spoken}</p>
  `;
}

import { useEffect, useState } from "preact/hooks";
import { isPassing } from "./api.js";
import { span } from "./format.js";
import { html } from "./html.js";

const BEHIND_MS = 15_000;

/** Renders anew each second. */
function useSecond() {
  const [, setTick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => setTick((tick) => tick + 1), 1_000);
    return () => clearInterval(timer);
  }, []);
}

/**
 * The state's class and words.
 * @param {number | null} ageMs of the numbers
 * @param {Error | null} error
 * @param {boolean} loading
 */
function stateOf(ageMs, error, loading) {
  const age = ageMs === null ? "" : `, numbers as of ${span(ageMs)} ago`;
  if (error) return { kind: "off", text: isPassing(error) ? `Retrying${age}` : "Stopped" };
  if (loading) return { kind: "", text: "Loading" };
  if (ageMs === null) return { kind: "", text: "Waiting for the first count" };
  return ageMs > BEHIND_MS ? { kind: "behind", text: `Behind${age}` } : { kind: "live", text: `Live${age}` };
}

/**
 * How old the numbers are. No live region: it changes each second, and nobody wants to hear that.
 * @param {{ asOf: string | null, error: Error | null, loading: boolean, nowMs: () => number }} props
 */
export function Freshness({ asOf, error, loading, nowMs }) {
  useSecond();
  const ageMs = asOf === null ? null : Math.max(0, nowMs() - Date.parse(asOf));
  const { kind, text } = stateOf(ageMs, error, loading);
  return html`<p class=${`freshness ${kind}`}><span class="dot"></span>${text}</p>`;
}

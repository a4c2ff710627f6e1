import { useRef } from "preact/hooks";
import { RefusedError } from "./api.js";
import { filterQuery } from "./filters.js";
import { useLive } from "./live.js";
import { usePoll } from "./poll.js";
import { TOP_ROWS } from "./toptable.js";
import { everyMs, rangeOf, usualGrain, windowOf } from "./ranges.js";

/** @typedef {import("./api.js").Api} Api */
/** @typedef {import("./types.js").Place} Place */

const QUALITY_EVERY_MS = 2_000;
const TABLES_EVERY_MS = 5_000;
/** While the server tells of changes by itself. */
const TOLD_EVERY_MS = 15_000;

/**
 * Gives what is new, and until it comes the last that was known of the same subject: another range shall not blank the
 * page.
 * @template T
 * @param {string} subject
 * @param {T | null} data
 * @returns {T | null}
 */
function useKept(subject, data) {
  const kept = useRef(/** @type {{ subject: string, data: T | null }} */ ({ subject, data: null }));
  if (kept.current.subject !== subject || data !== null) kept.current = { subject, data };
  return kept.current.data;
}

/** True where a part of the page has no server to speak of: an older one, or one that this key may not ask. */
export const isMissing = (/** @type {Error | null} */ error) =>
  error instanceof RefusedError && [400, 403, 404].includes(error.status);

/** What the address asks for, put in the API's words. */
export function questionOf(/** @type {Place} */ place, /** @type {number} */ nowMs) {
  const range = rangeOf(place.range, place.from, place.to, place.zone);
  const grain = place.grain || usualGrain(range, nowMs);
  const filters = filterQuery(place);
  const onlyAd = place.ad !== "" && Object.keys(filters).length === 1;
  const scale = { granularity: grain, timezone: place.zone };
  const query = { ...filters, ...scale, ...(onlyAd ? {} : { fill: "true" }) };
  return { range, grain, filters, scale, path: onlyAd ? "/metrics" : "/v1/series", query };
}

/**
 * Polls what the page shows of a filter and a range.
 * @param {Api} api
 * @param {Place} place
 */
export function useNumbers(api, place) {
  const nowMs = api.nowMs();
  const { range, grain, filters, scale, path, query } = questionOf(place, nowMs);
  const subject = JSON.stringify(filters);
  const inputs = [subject, range, grain];
  const usualMs = everyMs(range, nowMs);
  const shown = place.page === "clicks";
  const live = useLive(shown && usualMs < 60_000, place);
  const ask = (/** @type {string} */ address, /** @type {Record<string, string | number>} */ asked, whole = false) =>
    shown ? (/** @type {AbortSignal} */ signal) => api.getRange(address, asked, { ...range, whole }, signal) : null;
  const pace = (/** @type {number} */ ms) => Math.max(live.connected ? TOLD_EVERY_MS : ms, usualMs);
  /** @type {import("./types.js").Polled<import("./types.js").Metrics>} */
  const metrics = usePoll(ask(path, query), live.connected ? TOLD_EVERY_MS : usualMs, inputs, live.ticks);
  /** @type {import("./types.js").Polled<import("./types.js").Quality>} */
  const quality = usePoll(ask("/v1/quality", filters), pace(QUALITY_EVERY_MS), inputs, live.ticks);
  /** @type {import("./types.js").Polled<import("./types.js").Comparison>} */
  // A month that has only its end before it would be compared with as many days, not with a month.
  const comparison = usePoll(ask("/v1/compare", { ...filters, ...scale }, true), pace(TABLES_EVERY_MS), inputs);
  const known = useKept(subject, metrics.data);
  const knownQuality = useKept(subject, quality.data);
  const exports = { path: "/v1/series", query: { ...filters, ...scale, fill: "true", ...windowOf(range, nowMs) } };
  return { metrics, quality, comparison: comparison.data, known, knownQuality, range, grain, exports, live };
}

/**
 * Polls one list of what has the most clicks. Rows are null while they load; missing says that there is no such list.
 * @param {Api} api
 * @param {Place} place
 * @param {import("./types.js").Thing} thing
 * @param {boolean} wanted
 */
export function useTop(api, place, thing, wanted) {
  const { range, filters } = questionOf(place, api.nowMs());
  const query = { ...filters, of: thing, by: "clicks", limit: TOP_ROWS };
  const ask = (/** @type {AbortSignal} */ signal) => api.getRange("/v1/top", query, range, signal);
  const pace = Math.max(TABLES_EVERY_MS, everyMs(range, api.nowMs()));
  /** @type {import("./types.js").Polled<{ top: import("./types.js").TopRow[] }>} */
  const polled = usePoll(wanted && place.page === "clicks" ? ask : null, pace, [filters, range, thing]);
  const rows = useKept(JSON.stringify(filters), polled.data)?.top ?? null;
  return { thing, rows, missing: !wanted || isMissing(polled.error), error: polled.error };
}

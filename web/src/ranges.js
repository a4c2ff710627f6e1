/** The ranges that can be chosen, shortest first; `letter` chooses one from the keyboard. */
export const RANGES = [
  { id: "15m", minutes: 15, letter: "q", label: "15 min", long: "last 15 minutes", everyMs: 1_000 },
  { id: "1h", minutes: 60, letter: "h", label: "1 h", long: "last hour", everyMs: 1_000 },
  { id: "6h", minutes: 360, letter: "s", label: "6 h", long: "last 6 hours", everyMs: 2_000 },
  { id: "24h", minutes: 1_440, letter: "d", label: "24 h", long: "last 24 hours", everyMs: 2_000 },
];

/** @typedef {(typeof RANGES)[number]} Range */

export const DEFAULT_RANGE = "1h";

const MINUTE_MS = 60_000;

/**
 * Gives the range with this id, else the default one.
 * @param {string} id
 * @returns {Range}
 */
export function rangeOf(id) {
  const found = RANGES.find((range) => range.id === id) ?? RANGES.find((range) => range.id === DEFAULT_RANGE);
  if (!found) throw new Error("DEFAULT_RANGE is not in RANGES");
  return found;
}

/**
 * Gives the whole minutes of a range that ends with the running minute, as the API wants them (RFC 3339).
 * @param {Range} range
 * @param {number} nowMs
 */
export function windowOf(range, nowMs) {
  const endMs = nowMs - (nowMs % MINUTE_MS) + MINUTE_MS;
  const iso = (/** @type {number} */ ms) => new Date(ms).toISOString().replace(".000Z", "Z");
  return { start: iso(endMs - range.minutes * MINUTE_MS), end: iso(endMs) };
}

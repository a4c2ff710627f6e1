/** @typedef {import("./types.js").Minute} Minute */
/** @typedef {import("./types.js").Metrics} Metrics */

const MINUTE_MS = 60_000;

/**
 * The answer's buckets as minutes, oldest first.
 * @param {Metrics} metrics
 * @returns {Minute[]}
 */
export function minutesOf(metrics) {
  return metrics.metrics.map((bucket) => ({
    startMs: Date.parse(bucket.timestamp),
    clicks: bucket.clicks,
    users: bucket.unique_users,
    final: bucket.status === "final",
  }));
}

/** True for the minute that is not over: its numbers still grow, so its line must not look like a fall. */
export function isRunning(/** @type {Minute} */ minute, /** @type {number} */ nowMs) {
  return minute.startMs + MINUTE_MS > nowMs;
}

/**
 * Columns for uPlot: seconds, clicks, users, and the same two for the stretch to the running minute, drawn dashed.
 * @param {Minute[]} minutes
 * @param {number} nowMs
 * @returns {import("uplot").AlignedData}
 */
export function columnsOf(minutes, nowMs) {
  const last = minutes.at(-1);
  const whole = last && isRunning(last, nowMs) ? minutes.length - 1 : minutes.length;
  const dashedFrom = whole < minutes.length ? whole - 1 : minutes.length;
  const clicks = minutes.map((minute) => minute.clicks);
  const users = minutes.map((minute) => minute.users);
  const upTo = (/** @type {number[]} */ column) => column.map((value, i) => (i < whole ? value : null));
  const behind = (/** @type {number[]} */ column) => column.map((value, i) => (i >= dashedFrom ? value : null));
  return [minutes.map((minute) => minute.startMs / 1000), upTo(clicks), upTo(users), behind(clicks), behind(users)];
}

import { grainMs } from "./ranges.js";

/** @typedef {import("./types.js").Bucket} Bucket */

/**
 * The answer's buckets, oldest first, each with its clicks one period earlier where a comparison knows them.
 * @param {import("./types.js").Metrics} metrics
 * @param {import("./types.js").Comparison | null} comparison
 * @param {import("./types.js").Grain} grain
 * @returns {Bucket[]}
 */
export function bucketsOf(metrics, comparison, grain) {
  const before = new Map(comparison?.series.map((row) => [Date.parse(row.timestamp), row.previous_clicks]));
  const rows = metrics.metrics ?? metrics.series ?? [];
  const starts = rows.map((row) => Date.parse(row.timestamp));
  return rows.map((row, index) => {
    const startMs = starts[index] ?? 0;
    return {
      startMs,
      endMs: starts[index + 1] ?? startMs + grainMs(grain),
      clicks: row.clicks,
      users: row.unique_users,
      final: row.status === "final",
      before: before.get(startMs) ?? null,
    };
  });
}

/** True for the bucket that is not over: its numbers still grow, so its line must not look like a fall. */
export const isRunning = (/** @type {Bucket} */ bucket, /** @type {number} */ nowMs) => bucket.endMs > nowMs;

/**
 * Columns for uPlot: seconds, the clicks of the period before, then users and clicks of what is final, of what is
 * provisional (drawn fainter), and of the stretch to the running bucket (dotted). Stretches share their ends; what
 * matters most comes last and lies on top.
 * @param {Bucket[]} buckets
 * @param {number} nowMs
 * @returns {import("uplot").AlignedData}
 */
export function columnsOf(buckets, nowMs) {
  const last = buckets.at(-1);
  const whole = last && isRunning(last, nowMs) ? buckets.length - 1 : buckets.length;
  const firstOpen = buckets.findIndex((bucket) => !bucket.final);
  const finals = firstOpen < 0 ? buckets.length : firstOpen;
  const clicks = buckets.map((bucket) => bucket.clicks);
  const users = buckets.map((bucket) => bucket.users);
  const between = (/** @type {number[]} */ column, /** @type {number} */ from, /** @type {number} */ to) =>
    column.map((value, index) => (index >= from && index < to ? value : null));
  const stretch = (/** @type {number} */ from, /** @type {number} */ to) => [
    between(users, from, to),
    between(clicks, from, to),
  ];
  return [
    buckets.map((bucket) => bucket.startMs / 1000),
    buckets.map((bucket) => bucket.before),
    ...stretch(0, Math.min(finals, whole)),
    ...stretch(finals < whole ? Math.max(0, finals - 1) : whole, whole),
    ...stretch(whole < buckets.length ? whole - 1 : whole, buckets.length),
  ];
}

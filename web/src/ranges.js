import { addDays, dateAt, daysBetween, firstOfMonth, startOfDate } from "./zones.js";

/** @typedef {import("./types.js").Grain} Grain */
/** @typedef {import("./types.js").Range} Range */

/** The ranges that can be chosen, shortest first; `letter` chooses one from the keyboard. */
export const RANGES = [
  { id: "15m", minutes: 15, letter: "q", label: "15 min", long: "in the last 15 minutes" },
  { id: "1h", minutes: 60, letter: "h", label: "1 h", long: "in the last hour" },
  { id: "6h", minutes: 360, letter: "s", label: "6 h", long: "in the last 6 hours" },
  { id: "24h", minutes: 1_440, letter: "d", label: "24 h", long: "in the last 24 hours" },
  { id: "today", minutes: 0, letter: "n", label: "Today", long: "today" },
  { id: "yesterday", minutes: 0, letter: "y", label: "Yesterday", long: "yesterday" },
  { id: "7d", minutes: 0, letter: "w", label: "7 d", long: "in the last 7 days" },
  { id: "30d", minutes: 0, letter: "m", label: "30 d", long: "in the last 30 days" },
  { id: "month", minutes: 0, letter: "o", label: "Month", long: "this month" },
  { id: "12mo", minutes: 0, letter: "l", label: "12 mo", long: "in the last 12 months" },
];

export const DEFAULT_RANGE = "1h";
export const CUSTOM = "custom";

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
/** The API's own bound on an answer. */
const BUCKETS_MAX = 10_000;
const HISTORY_BEGINS = "2000-01-01";

/** @type {{ id: Grain, ms: number }[]} */
export const GRAINS = [
  { id: "minute", ms: MINUTE_MS },
  { id: "hour", ms: 3_600_000 },
  { id: "day", ms: DAY_MS },
  { id: "week", ms: 7 * DAY_MS },
  { id: "month", ms: 31 * DAY_MS },
];

/** A bucket's usual length. */
export const grainMs = (/** @type {Grain} */ grain) => GRAINS.find((one) => one.id === grain)?.ms ?? MINUTE_MS;

const preset = (/** @type {string} */ id) => RANGES.find((range) => range.id === id);

/** True for the two ends of a range that was chosen by dates, or moved by the arrows (then they are instants). */
export function isSpan(/** @type {string} */ from, /** @type {string} */ to) {
  const valid = (/** @type {string} */ text) =>
    /^\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\dZ)?$/.test(text) && Number.isFinite(Date.parse(text)) && text >= HISTORY_BEGINS;
  return valid(from) && valid(to) && from.length === to.length && (from < to || (from === to && !from.includes("T")));
}

/**
 * What the address says, or the default range where that is nothing.
 * @param {string} id
 * @param {string} from
 * @param {string} to
 * @param {string} zone
 * @returns {Range}
 */
export function rangeOf(id, from, to, zone) {
  if (id === CUSTOM && isSpan(from, to)) return { id, from, to, zone };
  return { id: preset(id)?.id ?? DEFAULT_RANGE, from: "", to: "", zone };
}

/** First and last date of a range of whole days; null for one of minutes. @returns {[string, string] | null} */
function datesOf(/** @type {Range} */ range, /** @type {number} */ nowMs) {
  const today = dateAt(nowMs, range.zone);
  const monthTo = range.whole ? addDays(firstOfMonth(today, 1), -1) : today;
  switch (range.id) {
    case "today":
      return [today, today];
    case "yesterday":
      return [addDays(today, -1), addDays(today, -1)];
    case "7d":
      return [addDays(today, -6), today];
    case "30d":
      return [addDays(today, -29), today];
    case "month":
      return [firstOfMonth(today, 0), monthTo];
    case "12mo":
      return [firstOfMonth(today, -11), monthTo];
    default:
      return range.from !== "" && !range.from.includes("T") ? [range.from, range.to] : null;
  }
}

/**
 * When a range begins and ends, in epoch milliseconds.
 * @param {Range} range
 * @param {number} nowMs
 */
export function spanOf(range, nowMs) {
  const dates = datesOf(range, nowMs);
  if (dates) {
    return { startMs: startOfDate(dates[0], range.zone), endMs: startOfDate(addDays(dates[1], 1), range.zone) };
  }
  if (range.from) return { startMs: Date.parse(range.from), endMs: Date.parse(range.to) };
  const endMs = nowMs - (nowMs % MINUTE_MS) + MINUTE_MS;
  return { startMs: endMs - (preset(range.id)?.minutes ?? 60) * MINUTE_MS, endMs };
}

/** A time as the API wants it (RFC 3339). */
export const iso = (/** @type {number} */ ms) => new Date(ms).toISOString().replace(".000Z", "Z");

/** A range's two ends as the API wants them. */
export function windowOf(/** @type {Range} */ range, /** @type {number} */ nowMs) {
  const { startMs, endMs } = spanOf(range, nowMs);
  return { start: iso(startMs), end: iso(endMs) };
}

/** The first and the last date of any range, for the two date fields. @returns {[string, string]} */
export function fieldsOf(/** @type {Range} */ range, /** @type {number} */ nowMs) {
  const { startMs, endMs } = spanOf(range, nowMs);
  return [dateAt(startMs, range.zone), dateAt(Math.min(endMs, nowMs + 1) - 1, range.zone)];
}

/**
 * The range next to this one, as long as it: a day beside a day, a month beside a month.
 * @param {Range} range
 * @param {number} nowMs
 * @param {-1 | 1} direction
 * @returns {{ range: string, from: string, to: string }}
 */
export function neighbour(range, nowMs, direction) {
  const dates = datesOf(range, nowMs);
  if (dates === null) {
    const { startMs, endMs } = spanOf(range, nowMs);
    const byMs = direction * (endMs - startMs);
    return { range: CUSTOM, from: iso(startMs + byMs), to: iso(endMs + byMs) };
  }
  const [from, to] = dates;
  const wholeMonths = from.endsWith("-01") && (range.id === "month" || range.id === "12mo" || isMonthEnd(to));
  if (wholeMonths) {
    const last = firstOfMonth(to, 0);
    const months = direction * (1 + monthsBetween(from, last));
    return { range: CUSTOM, from: firstOfMonth(from, months), to: addDays(firstOfMonth(last, months + 1), -1) };
  }
  const days = direction * (daysBetween(from, to) + 1);
  return { range: CUSTOM, from: addDays(from, days), to: addDays(to, days) };
}

const isMonthEnd = (/** @type {string} */ date) => addDays(date, 1).endsWith("-01");

function monthsBetween(/** @type {string} */ from, /** @type {string} */ to) {
  const [fromYear = 0, fromMonth = 0] = from.split("-").map(Number);
  const [toYear = 0, toMonth = 0] = to.split("-").map(Number);
  return (toYear - fromYear) * 12 + toMonth - fromMonth;
}

/** Whether a granularity gives no more buckets than the API has room for. */
export function fits(/** @type {Grain} */ grain, /** @type {Range} */ range, /** @type {number} */ nowMs) {
  const { startMs, endMs } = spanOf(range, nowMs);
  return (endMs - startMs) / grainMs(grain) <= BUCKETS_MAX;
}

/** The granularity that shows a range best. @returns {Grain} */
export function usualGrain(/** @type {Range} */ range, /** @type {number} */ nowMs) {
  const { startMs, endMs } = spanOf(range, nowMs);
  const days = (endMs - startMs) / DAY_MS;
  if (days <= 1 && datesOf(range, nowMs) === null) return "minute";
  if (days <= 4) return "hour";
  return days <= 100 ? "day" : "month";
}

/** How often to ask for a range, where nothing tells of changes. */
export function everyMs(/** @type {Range} */ range, /** @type {number} */ nowMs) {
  const { startMs, endMs } = spanOf(range, nowMs);
  if (endMs < nowMs) return 60_000;
  if (endMs - startMs <= 3_600_000) return 1_000;
  return endMs - startMs <= 2 * DAY_MS ? 2_000 : 5_000;
}

/** A range in words that follow "clicks". */
export function inWords(/** @type {Range} */ range, /** @type {number} */ nowMs) {
  const named = preset(range.id);
  if (named) return named.long;
  const [from, to] = fieldsOf(range, nowMs);
  if (range.from.includes("T")) return `from ${range.from} to ${range.to}`;
  return from === to ? `on ${from}` : `from ${from} to ${to}`;
}

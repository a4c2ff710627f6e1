/** Calendar arithmetic in an IANA zone. Times are epoch milliseconds, dates are "2026-11-23". */

/** The reader's own zone. */
export const OWN_ZONE = new Intl.DateTimeFormat().resolvedOptions().timeZone;

/** Every zone that can be chosen. */
export const ZONES = [...new Set(["UTC", OWN_ZONE, ...Intl.supportedValuesOf("timeZone")])].sort();

/** @type {Map<string, Intl.DateTimeFormat>} */
const formats = new Map();

function formatOf(/** @type {string} */ zone) {
  const known = formats.get(zone);
  if (known) return known;
  const made = new Intl.DateTimeFormat("en-US", {
    timeZone: zone,
    hourCycle: "h23",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
    second: "numeric",
  });
  formats.set(zone, made);
  return made;
}

/** What a clock in the zone shows, as if it were UTC. */
function wallMs(/** @type {number} */ ms, /** @type {string} */ zone) {
  /** @type {Record<string, number>} */
  const at = {};
  for (const part of formatOf(zone).formatToParts(ms)) at[part.type] = Number(part.value);
  return Date.UTC(at.year ?? 0, (at.month ?? 1) - 1, at.day, at.hour, at.minute, at.second);
}

/** How far the zone is ahead of UTC. */
export const offsetMs = (/** @type {number} */ ms, /** @type {string} */ zone) =>
  wallMs(ms, zone) - Math.floor(ms / 1000) * 1000;

/** The zone's date at a time. */
export const dateAt = (/** @type {number} */ ms, /** @type {string} */ zone) =>
  new Date(wallMs(ms, zone)).toISOString().slice(0, 10);

/** When a date begins in the zone; where a clock was put forward at midnight, the first moment that exists. */
export function startOfDate(/** @type {string} */ date, /** @type {string} */ zone) {
  const wall = Date.parse(`${date}T00:00:00Z`);
  const first = wall - offsetMs(wall, zone);
  const second = wall - offsetMs(first, zone);
  return dateAt(second, zone) === date ? second : Math.max(first, second);
}

/** The date so many days later. */
export const addDays = (/** @type {string} */ date, /** @type {number} */ days) =>
  new Date(Date.parse(`${date}T00:00:00Z`) + days * 86_400_000).toISOString().slice(0, 10);

/** The first day of the month so many months later. */
export function firstOfMonth(/** @type {string} */ date, /** @type {number} */ months) {
  const [year = 0, month = 1] = date.split("-").map(Number);
  return new Date(Date.UTC(year, month - 1 + months, 1)).toISOString().slice(0, 10);
}

/** Days from one date to another. */
export const daysBetween = (/** @type {string} */ from, /** @type {string} */ to) =>
  Math.round((Date.parse(to) - Date.parse(from)) / 86_400_000);

/** True for a name that the browser knows as a zone. */
export function isZone(/** @type {string} */ zone) {
  try {
    formatOf(zone);
    return true;
  } catch {
    return false;
  }
}

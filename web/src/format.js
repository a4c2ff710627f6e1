const LOCALE = undefined;

const whole = new Intl.NumberFormat(LOCALE);
const percent = new Intl.NumberFormat(LOCALE, { style: "percent", maximumFractionDigits: 1 });
const signed = new Intl.NumberFormat(LOCALE, { style: "percent", maximumFractionDigits: 1, signDisplay: "exceptZero" });
const compact = new Intl.NumberFormat(LOCALE, { notation: "compact", maximumFractionDigits: 1 });

/** @type {Record<string, Intl.DateTimeFormatOptions>} */
const STYLES = {
  clock: { hour: "2-digit", minute: "2-digit", hourCycle: "h23" },
  dayClock: { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" },
  day: { weekday: "short", month: "short", day: "numeric" },
  shortDay: { month: "short", day: "numeric" },
  month: { month: "short", year: "numeric" },
};

/** @type {Map<string, Intl.DateTimeFormat>} */
const formats = new Map();

function written(/** @type {number} */ ms, /** @type {string} */ style, /** @type {string} */ zone) {
  const name = `${style} ${zone}`;
  let format = formats.get(name);
  if (!format) {
    format = new Intl.DateTimeFormat(LOCALE, { ...STYLES[style], timeZone: zone });
    formats.set(name, format);
  }
  return format.format(ms);
}

/** A count with its thousands apart. */
export const count = (/** @type {number} */ value) => whole.format(value);

/** A count for an axis: 1.2K. */
export function shortCount(/** @type {number} */ value) {
  return value < 10_000 ? whole.format(value) : compact.format(value);
}

/** A share of a whole, "0%" of nothing. */
export const share = (/** @type {number} */ part, /** @type {number} */ of) => percent.format(of === 0 ? 0 : part / of);

/** A change with its sign: "+12%". */
export const change = (/** @type {number} */ value) => signed.format(value);

/** Day and time of day in a zone. */
export const dayAndTime = (/** @type {number} */ ms, /** @type {string} */ zone) => written(ms, "dayClock", zone);

/**
 * A bucket's name in a zone: its time of day, hour, day or month.
 * @param {number} ms its start
 * @param {import("./types.js").Grain} grain
 * @param {string} zone
 */
export function bucketName(ms, grain, zone) {
  if (grain === "minute") return written(ms, "clock", zone);
  if (grain === "hour") return written(ms, "dayClock", zone);
  if (grain === "month") return written(ms, "month", zone);
  return `${grain === "week" ? "week of " : ""}${written(ms, "day", zone)}`;
}

/** A mark on the time axis, as short as the distance of the marks allows. */
export function tick(/** @type {number} */ ms, /** @type {number} */ stepMs, /** @type {string} */ zone) {
  if (stepMs >= 28 * 86_400_000) return written(ms, "month", zone);
  return written(ms, stepMs >= 86_400_000 ? "shortDay" : "clock", zone);
}

/** A span of time in its largest sensible unit, seconds rounded up: "3 s", "12 min", "2 h". */
export function span(/** @type {number} */ ms) {
  const seconds = Math.max(1, Math.ceil(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3_600)} h`;
}

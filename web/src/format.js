const LOCALE = undefined;

const whole = new Intl.NumberFormat(LOCALE);
const percent = new Intl.NumberFormat(LOCALE, { style: "percent", maximumFractionDigits: 1 });
const compact = new Intl.NumberFormat(LOCALE, { notation: "compact", maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat(LOCALE, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const dayAndClock = new Intl.DateTimeFormat(LOCALE, {
  month: "short",
  day: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  hourCycle: "h23",
});

/** A count with its thousands apart. */
export const count = (/** @type {number} */ value) => whole.format(value);

/** A count for an axis: 1.2K. */
export function shortCount(/** @type {number} */ value) {
  return value < 10_000 ? whole.format(value) : compact.format(value);
}

/** A share of a whole, "0%" of nothing. */
export const share = (/** @type {number} */ part, /** @type {number} */ of) => percent.format(of === 0 ? 0 : part / of);

/** The time of day, in the reader's zone. */
export const timeOfDay = (/** @type {number} */ ms) => clock.format(ms);

/** Day and time of day, in the reader's zone. */
export const dayAndTime = (/** @type {number} */ ms) => dayAndClock.format(ms);

/** The reader's zone and its distance from UTC, as "Europe/Berlin, UTC+1". */
export function zoneName() {
  const zone = new Intl.DateTimeFormat().resolvedOptions().timeZone;
  const minutes = -new Date().getTimezoneOffset();
  if (zone === "UTC") return zone;
  const sign = minutes < 0 ? "−" : "+";
  const rest = Math.abs(minutes) % 60;
  return `${zone}, UTC${sign}${Math.floor(Math.abs(minutes) / 60)}${rest ? `:${String(rest).padStart(2, "0")}` : ""}`;
}

/** A span of time in its largest sensible unit, seconds rounded up: "3 s", "12 min", "2 h". */
export function span(/** @type {number} */ ms) {
  const seconds = Math.max(1, Math.ceil(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3_600)} h`;
}

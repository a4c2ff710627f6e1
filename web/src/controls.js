import { useMemo } from "preact/hooks";
import { html } from "./html.js";
import { CUSTOM, fieldsOf, fits, GRAINS, neighbour, RANGES, spanOf, usualGrain } from "./ranges.js";
import { dateAt, ZONES } from "./zones.js";

/** @typedef {import("./types.js").View} View */
/** @typedef {import("./types.js").Place} Place */
/** @typedef {import("./types.js").Range} Range */
/** @typedef {(change: Partial<Place>) => void} Go */

/**
 * The range presets. A letter is shown where pressing it chooses the range.
 * @param {{ range: string, letters: boolean, onRange: (id: string) => void }} props
 */
export function RangePresets({ range, letters, onRange }) {
  return html`
    <div class="segments presets" role="group" aria-label="Range">
      ${RANGES.map(
        (preset) => html`
          <button
            key=${preset.id}
            type="button"
            aria-pressed=${preset.id === range ? "true" : "false"}
            aria-keyshortcuts=${letters ? preset.letter : undefined}
            onClick=${() => onRange(preset.id)}
          >
            ${preset.label}
            <kbd class=${letters ? "" : "gone"} aria-hidden="true">${preset.letter.toUpperCase()}</kbd>
          </button>
        `,
      )}
    </div>
  `;
}

/** To the range before or after; the one after ends where the present does. */
export function step(/** @type {Range} */ range, /** @type {number} */ nowMs, /** @type {-1 | 1} */ direction) {
  return direction === 1 && spanOf(range, nowMs).endMs > nowMs ? null : neighbour(range, nowMs, direction);
}

/**
 * Arrows to the neighbouring ranges, and two dates for any range of whole days.
 * @param {{ range: Range, nowMs: number, go: Go }} props
 */
export function RangeFields({ range, nowMs, go }) {
  const [from, to] = fieldsOf(range, nowMs);
  const today = dateAt(nowMs, range.zone);
  const before = step(range, nowMs, -1);
  const after = step(range, nowMs, 1);
  function choose(/** @type {string} */ first, /** @type {string} */ last) {
    if (first && last) go({ range: CUSTOM, from: first, to: last < first ? first : last });
  }
  const arrow = (/** @type {any} */ to, /** @type {string} */ label, /** @type {string} */ path) => html`
    <button type="button" class="plain arrow" aria-label=${label} disabled=${to === null} onClick=${() => to && go(to)}>
      <svg viewBox="0 0 16 16" aria-hidden="true"><path d=${path} /></svg>
    </button>
  `;
  return html`
    <div class="range-fields">
      ${arrow(before, "Earlier range", "m10 4-4 4 4 4")}
      <input
        type="date" aria-label="From" value=${from} max=${today}
        onChange=${(/** @type {any} */ event) => choose(event.target.value, to)}
      />
      <span class="quiet" aria-hidden="true">–</span>
      <input
        type="date" aria-label="To" value=${to} min=${from} max=${today}
        onChange=${(/** @type {any} */ event) => choose(from, event.target.value)}
      />
      ${arrow(after, "Later range", "m6 4 4 4-4 4")}
    </div>
  `;
}

/**
 * The granularity: as the range wants it, or another one that the answer has room for.
 * @param {{ place: Place, range: Range, nowMs: number, go: Go }} props
 */
export function GrainSelect({ place, range, nowMs, go }) {
  const usual = usualGrain(range, nowMs);
  return html`
    <select
      aria-label="Granularity"
      value=${place.grain}
      onChange=${(/** @type {any} */ event) => go({ grain: event.target.value })}
    >
      <option value="" selected=${place.grain === ""}>By ${usual} (auto)</option>
      ${GRAINS.filter(({ id }) => fits(id, range, nowMs)).map(
        ({ id }) => html`<option key=${id} value=${id} selected=${place.grain === id}>By ${id}</option>`,
      )}
    </select>
  `;
}

/** The zone in which days begin and times are written. @param {{ zone: string, go: Go }} props */
export function ZoneSelect({ zone, go }) {
  // Four hundred options, and the page is drawn each second.
  return useMemo(
    () => html`
      <select aria-label="Time zone" value=${zone} onChange=${(/** @type {any} */ event) => go({ zone: event.target.value })}>
        ${(ZONES.includes(zone) ? ZONES : [zone, ...ZONES]).map(
          (one) => html`<option key=${one} value=${one} selected=${one === zone}>${one.replaceAll("_", " ")}</option>`,
        )}
      </select>
    `,
    [zone, go],
  );
}

/** Chart or table. @param {{ view: View, onView: (view: View) => void }} props */
export function ViewSwitch({ view, onView }) {
  const button = (/** @type {View} */ id, /** @type {string} */ label) => html`
    <button type="button" aria-pressed=${view === id ? "true" : "false"} onClick=${() => onView(id)}>${label}</button>
  `;
  return html`
    <div class="segments small" role="group" aria-label="View">
      ${button("chart", "Chart")} ${button("table", "Table")}
    </div>
  `;
}

/**
 * What the keys do, and the switch for them.
 * @param {{ letters: boolean, onLetters: (on: boolean) => void }} props
 */
export function KeyHelp({ letters, onLetters }) {
  return html`
    <div class="key-help">
      <label>
        <input
          type="checkbox"
          checked=${letters}
          onChange=${(/** @type {any} */ event) => onLetters(event.target.checked)}
        />
        Letter keys
      </label>
      <span class="quiet">
        <span>The letter beside a range chooses it</span>
        <span><kbd>J</kbd> earlier</span>
        <span><kbd>K</kbd> later</span>
        <span><kbd>T</kbd> table or chart</span>
        <span><kbd>/</kbd> find an ad</span>
      </span>
    </div>
  `;
}

import { html } from "./html.js";
import { RANGES } from "./ranges.js";

/** @typedef {import("./types.js").View} View */

/**
 * The range presets. A letter is shown where pressing it chooses the range.
 * @param {{ range: string, letters: boolean, onRange: (id: string) => void }} props
 */
export function RangePresets({ range, letters, onRange }) {
  return html`
    <div class="segments" role="group" aria-label="Range">
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
        ${RANGES.map(
          (preset) => html`<span key=${preset.id}><kbd>${preset.letter.toUpperCase()}</kbd> ${preset.label}</span>`,
        )}
        <span><kbd>T</kbd> table or chart</span>
        <span><kbd>/</kbd> find an ad</span>
      </span>
    </div>
  `;
}

import { html } from "./html.js";

/** The name with its five strokes. */
export function Wordmark() {
  return html`
    <span class="wordmark">
      <svg viewBox="0 0 24 20" width="24" height="20" aria-hidden="true">
        <path class="strokes" d="M4 3v14M9 3v14M14 3v14M19 3v14" />
        <path class="cross" d="M1 14.500 23 5.500" />
      </svg>
      adtally
    </span>
  `;
}

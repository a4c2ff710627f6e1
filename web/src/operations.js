import { html } from "./html.js";

/** The operator's view. */
export function Operations() {
  return html`<h1>Operations</h1>`;
}

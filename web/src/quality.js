import { count, share } from "./format.js";
import { html } from "./html.js";

/** @typedef {import("./types.js").Quality} Quality */

/** @type {Record<string, string>} */
const REASONS = {
  bot: "Bots and crawlers",
  prefetch: "Prefetched by a browser",
  head: "HEAD requests",
  paused_ad: "While the ad was paused",
};

/** @typedef {{ kind: string, label: string, value: number | null }} Line */

/** @returns {Line[]} */
function linesOf(/** @type {Quality | null} */ quality) {
  const invalid = Object.entries(quality?.invalid ?? {})
    .filter(([, value]) => value > 0)
    .sort((a, b) => b[1] - a[1]);
  return [
    { kind: "counted", label: "Counted as clicks", value: quality?.counted ?? null },
    { kind: "duplicate", label: "Duplicates (double clicks)", value: quality?.duplicate ?? null },
    ...invalid.map(([reason, value]) => ({ kind: "invalid", label: REASONS[reason] ?? reason, value })),
  ];
}

/** The shares as one bar; the list says the same in words. @param {{ lines: Line[], received: number }} props */
function Bar({ lines, received }) {
  return html`
    <div class="bar" aria-hidden="true">
      ${lines.map((line) => {
        const width = received > 0 && line.value !== null ? `${(100 * line.value) / received}%` : "0";
        return html`<span key=${line.label} class=${line.kind} style=${{ width }}></span>`;
      })}
    </div>
  `;
}

/**
 * What became of every request that the filter lets through: received = counted + duplicates + invalid.
 * @param {{ quality: Quality | null, missing: boolean }} props `missing`: the server could not say
 */
export function QualityPanel({ quality, missing }) {
  const lines = linesOf(quality);
  const received = quality?.received ?? null;
  const receivedText = html`
    <span class=${received === null ? "number skeleton" : "number"}>${count(received ?? 0)}</span> received
  `;
  return html`
    <section class="card quality" aria-labelledby="quality-title">
      <div class="card-head">
        <h2 id="quality-title">What became of every request</h2>
        <p class="quiet">${missing ? "Not available" : receivedText}</p>
      </div>
      <${Bar} lines=${lines} received=${received ?? 0} />
      <dl class="outcomes">
        ${lines.map(
          (line) => html`
            <div key=${line.label}>
              <dt><span class=${`swatch ${line.kind}`}></span>${line.label}</dt>
              <dd class="number">${line.value === null ? "–" : count(line.value)}</dd>
              <dd class="number quiet">${line.value === null ? "" : share(line.value, received ?? 0)}</dd>
            </div>
          `,
        )}
      </dl>
    </section>
  `;
}

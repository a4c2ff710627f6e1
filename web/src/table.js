import { useState } from "preact/hooks";
import { bucketName, count, dayAndTime } from "./format.js";
import { html } from "./html.js";
import { isRunning } from "./series.js";

/** A browser that lays out ten thousand rows answers nobody meanwhile. */
const ROWS_AT_ONCE = 500;

/**
 * The chart's numbers as a table, newest first, some hundreds at once.
 * @param {{
 *   buckets: import("./types.js").Bucket[], nowMs: number, scale: import("./chart.js").Scale, label: string,
 * }} props
 */
export function BucketTable({ buckets, nowMs, scale, label }) {
  const [rows, setRows] = useState(ROWS_AT_ONCE);
  const compared = buckets.some((bucket) => bucket.before !== null);
  const name = (/** @type {number} */ ms) =>
    scale.grain === "minute" ? dayAndTime(ms, scale.zone) : bucketName(ms, scale.grain, scale.zone);
  return html`
    <div class="table-scroll" role="region" tabindex="0" aria-label=${label}>
      <table>
        <thead>
          <tr>
            <th scope="col">${scale.grain[0]?.toUpperCase()}${scale.grain.slice(1)}</th>
            <th scope="col">Clicks</th>
            <th scope="col">Unique users</th>
            ${compared && html`<th scope="col">Clicks before</th>`}
          </tr>
        </thead>
        <tbody>
          ${buckets.slice(-rows).toReversed().map(
            (bucket) => html`
              <tr key=${bucket.startMs}>
                <th scope="row">
                  ${name(bucket.startMs)}
                  ${" "}${isRunning(bucket, nowMs) && html`<span class="badge">running</span>`}
                  ${bucket.final && html`<span class="badge">final</span>`}
                </th>
                <td>${count(bucket.clicks)}</td>
                <td>${count(bucket.users)}</td>
                ${compared && html`<td>${bucket.before === null ? "–" : count(bucket.before)}</td>`}
              </tr>
            `,
          )}
        </tbody>
      </table>
      ${buckets.length > rows && html`
        <p class="quiet none">
          The newest ${count(rows)} of ${count(buckets.length)}; the files hold all.${" "}
          <button type="button" class="plain" onClick=${() => setRows(rows + ROWS_AT_ONCE)}>Show more</button>
        </p>
      `}
    </div>
  `;
}

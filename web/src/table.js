import { count, dayAndTime } from "./format.js";
import { html } from "./html.js";
import { isRunning } from "./series.js";

/** @typedef {import("./types.js").Minute} Minute */

/**
 * The chart's numbers as a table, newest minute first.
 * @param {{ minutes: Minute[], nowMs: number, label: string }} props
 */
export function MinuteTable({ minutes, nowMs, label }) {
  return html`
    <div class="table-scroll" role="region" tabindex="0" aria-label=${label}>
      <table>
        <thead>
          <tr><th scope="col">Minute</th><th scope="col">Clicks</th><th scope="col">Unique users</th></tr>
        </thead>
        <tbody>
          ${minutes.toReversed().map(
            (minute) => html`
              <tr key=${minute.startMs}>
                <th scope="row">
                  ${dayAndTime(minute.startMs)}
                  ${" "}${isRunning(minute, nowMs) && html`<span class="badge">running</span>`}
                  ${minute.final && html`<span class="badge">final</span>`}
                </th>
                <td>${count(minute.clicks)}</td>
                <td>${count(minute.users)}</td>
              </tr>
            `,
          )}
        </tbody>
      </table>
    </div>
  `;
}

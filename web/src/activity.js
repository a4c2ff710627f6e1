import { useState } from "preact/hooks";
import { isPassing, RefusedError } from "./api.js";
import { Chart } from "./chart.js";
import { ViewSwitch } from "./controls.js";
import { NoAds, NoClicks } from "./empty.js";
import { count, dayAndTime, timeOfDay, zoneName } from "./format.js";
import { html } from "./html.js";
import { isRunning } from "./series.js";
import { MinuteTable } from "./table.js";

/** @typedef {import("./types.js").Minute} Minute */
/** @typedef {import("./types.js").View} View */

/**
 * The colours' meaning, with the numbers of the minute that is read.
 * @param {{ minute: Minute | null, running: boolean }} props
 */
function Legend({ minute, running }) {
  return html`
    <p class="legend">
      <span><span class="swatch clicks"></span>Clicks <b class="number">${minute ? count(minute.clicks) : ""}</b></span>
      <span>
        <span class="swatch users"></span>Unique users <b class="number">${minute ? count(minute.users) : ""}</b>
      </span>
      <span class="quiet number">
        ${minute ? timeOfDay(minute.startMs) : ""}${running ? ", running" : ""}${minute?.final ? ", final" : ""}
      </span>
    </p>
  `;
}

/** What to do about an error that does not pass by itself. */
function Refusal(/** @type {{ error: Error, adId: string }} */ { error, adId }) {
  const unknown = error instanceof RefusedError && error.status === 404;
  return html`
    <div class="empty" role="alert">
      <h2>${unknown ? `No ad “${adId}”` : "The server refused this question"}</h2>
      <p>${unknown ? "There is no such ad, or this key may not see it. Choose another one above." : error.message}</p>
    </div>
  `;
}

/**
 * The card with the minutes: chart or table, or what stands in their place, always of the same height.
 * @param {{
 *   api: import("./api.js").Api,
 *   adId: string,
 *   minutes: Minute[] | null,
 *   finalThrough: string | null,
 *   received: number,
 *   error: Error | null,
 *   noAds: boolean,
 *   stale: boolean,
 *   rangeText: string,
 *   view: View,
 *   onView: (view: View) => void,
 * }} props
 */
export function Activity({ api, adId, minutes, finalThrough, received, error, noAds, stale, rangeText, view, onView }) {
  const [read, setRead] = useState(/** @type {Minute | null} */ (null));
  const nowMs = api.nowMs();
  const label = `Clicks and unique users by minute, ${rangeText}`;
  const nothing = minutes !== null && received === 0 && minutes.every((one) => one.clicks === 0);
  const drawn = view === "chart" && minutes !== null && !nothing;
  const minute = (drawn && minutes?.find((one) => one.startMs === read?.startMs)) || null;

  function body() {
    if (error && !isPassing(error)) return html`<${Refusal} error=${error} adId=${adId} />`;
    if (noAds) return html`<${NoAds} />`;
    if (minutes === null) return html`<div class="chart skeleton" aria-hidden="true"></div>`;
    if (nothing) return html`<${NoClicks} key=${adId} api=${api} adId=${adId} rangeText=${rangeText} />`;
    if (view === "table") return html`<${MinuteTable} minutes=${minutes} nowMs=${nowMs} label=${label} />`;
    return html`<${Chart} minutes=${minutes} nowMs=${nowMs} label=${label} onRead=${setRead} />`;
  }

  const busy = minutes === null || stale;
  return html`
    <section class="card activity" aria-labelledby="activity-title" aria-busy=${busy ? "true" : "false"}>
      <div class="card-head">
        <h2 id="activity-title">By minute</h2>
        <${Legend} minute=${minute} running=${minute !== null && isRunning(minute, nowMs)} />
        <${ViewSwitch} view=${view} onView=${onView} />
      </div>
      <div class=${stale ? "activity-body stale" : "activity-body"}>${body()}</div>
      <p class="quiet foot">
        Times in ${zoneName()}. ${drawn && "The running minute is dotted."}
        ${finalThrough !== null && ` Numbers are final up to ${dayAndTime(Date.parse(finalThrough))}.`}
      </p>
    </section>
  `;
}

import { useState } from "preact/hooks";
import { isPassing, RefusedError } from "./api.js";
import { Chart } from "./chart.js";
import { ViewSwitch } from "./controls.js";
import { NoAds, NoClicks } from "./empty.js";
import { ExportLinks } from "./export.js";
import { bucketName, count, dayAndTime } from "./format.js";
import { html } from "./html.js";
import { isRunning } from "./series.js";
import { BucketTable } from "./table.js";

/** @typedef {import("./types.js").Bucket} Bucket */
/** @typedef {import("./types.js").View} View */

/**
 * The colours' meaning, with the numbers of the bucket that is read.
 * @param {{ bucket: Bucket | null, running: boolean, compared: boolean, scale: import("./chart.js").Scale }} props
 */
function Legend({ bucket, running, compared, scale }) {
  const number = (/** @type {number | null | undefined} */ value) => html`
    <b class="number">${value === null || value === undefined ? "" : count(value)}</b>
  `;
  return html`
    <p class="legend">
      <span><span class="swatch clicks"></span>Clicks ${number(bucket?.clicks)}</span>
      <span><span class="swatch users"></span>Unique users ${number(bucket?.users)}</span>
      ${compared && html`<span><span class="swatch before"></span>Clicks before ${number(bucket?.before)}</span>`}
      <span class="quiet number">
        ${bucket ? bucketName(bucket.startMs, scale.grain, scale.zone) : ""}
        ${running ? ", running" : ""}${bucket?.final ? ", final" : ""}
      </span>
    </p>
  `;
}

/** What to do about an error that does not pass by itself. */
function Refusal(/** @type {{ error: Error, adId: string }} */ { error, adId }) {
  const unknown = error instanceof RefusedError && error.status === 404;
  const title = adId ? `No ad “${adId}”` : "Nothing fits this filter";
  return html`
    <div class="empty" role="alert">
      <h2>${unknown ? title : "The server refused this question"}</h2>
      <p>${unknown ? "It does not exist, or this key may not see it. Choose another one above." : error.message}</p>
    </div>
  `;
}

/** Which part of the numbers is final, in words. */
function finalText(/** @type {Bucket[] | null} */ buckets, /** @type {string | null} */ through, /** @type {string} */ zone) {
  if (through === null) return "No number here is final yet.";
  const until = `Numbers are final up to ${dayAndTime(Date.parse(through), zone)}`;
  if (buckets === null || buckets.every((bucket) => bucket.final)) return `${until}.`;
  return `${until}; what is drawn fainter is provisional.`;
}

/**
 * The card with the numbers by bucket: chart or table, or what stands in their place, always of the same height.
 * @param {{
 *   api: import("./api.js").Api,
 *   place: import("./types.js").Place,
 *   scale: import("./chart.js").Scale,
 *   buckets: Bucket[] | null,
 *   exports: { path: string, query: Record<string, string> },
 *   finalThrough: string | null,
 *   received: number,
 *   error: Error | null,
 *   firstAd: string | null,
 *   stale: boolean,
 *   rangeText: string,
 *   onView: (view: View) => void,
 * }} props `firstAd` stands in the command for an empty range; "" where there are no ads at all
 */
export function Activity(props) {
  const { api, place, scale, buckets, finalThrough, received, error, firstAd, stale, rangeText, onView } = props;
  const [read, setRead] = useState(/** @type {Bucket | null} */ (null));
  const nowMs = api.nowMs();
  const label = `Clicks and unique users by ${scale.grain}, ${rangeText}`;
  const nothing = buckets !== null && received === 0 && buckets.every((one) => one.clicks === 0);
  const drawn = place.view === "chart" && buckets !== null && !nothing;
  const bucket = (drawn && buckets?.find((one) => one.startMs === read?.startMs)) || null;
  const running = bucket !== null && isRunning(bucket, nowMs);

  function body() {
    if (error && !isPassing(error)) return html`<${Refusal} error=${error} adId=${place.ad} />`;
    if (firstAd === "") return html`<${NoAds} />`;
    if (buckets === null) return html`<div class="chart skeleton" aria-hidden="true"></div>`;
    if (nothing) {
      return html`<${NoClicks} key=${place.ad} api=${api} adId=${place.ad || firstAd || ""} rangeText=${rangeText} />`;
    }
    const shown = { buckets, nowMs, scale, label };
    if (place.view === "table") return html`<${BucketTable} ...${shown} />`;
    return html`<${Chart} ...${shown} onRead=${setRead} />`;
  }

  const busy = buckets === null || stale;
  return html`
    <section class="card activity" aria-labelledby="activity-title" aria-busy=${busy ? "true" : "false"}>
      <div class="card-head">
        <h2 id="activity-title">By ${scale.grain}</h2>
        <${Legend}
          bucket=${bucket} running=${running} scale=${scale}
          compared=${buckets?.some((one) => one.before !== null) ?? false}
        />
        <${ViewSwitch} view=${place.view} onView=${onView} />
      </div>
      <div class=${stale ? "activity-body stale" : "activity-body"}>${body()}</div>
      <div class="foot">
        <p class="quiet">
          Times in ${place.zone}. ${drawn && "What is still running is dotted."}${" "}
          ${buckets !== null && finalText(buckets, finalThrough, place.zone)}
        </p>
        <${ExportLinks} exports=${props.exports} />
      </div>
    </section>
  `;
}

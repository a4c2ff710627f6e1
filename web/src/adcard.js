import { html } from "./html.js";

/** @typedef {import("./types.js").Ad} Ad */

/**
 * What is known of the ad.
 * @param {{ adId: string, ad: Ad | null }} props
 */
export function AdCard({ adId, ad }) {
  const lines = [
    ["Ad id", adId],
    ["Campaign", ad?.campaign_id],
    ["Advertiser", ad?.advertiser_id],
    ["Status", ad?.status],
    ["Leads to", ad?.landing_url],
  ];
  return html`
    <section class="card ad-card" aria-labelledby="ad-title">
      <div class="card-head"><h2 id="ad-title">This ad</h2></div>
      <dl>
        ${lines.map(([label, value]) => html`<div key=${label}><dt>${label}</dt><dd>${value || "–"}</dd></div>`)}
      </dl>
    </section>
  `;
}

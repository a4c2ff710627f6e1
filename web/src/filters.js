import { html } from "./html.js";

/** @typedef {import("./types.js").Place} Place */

/** @type {{ field: "advertiser" | "campaign" | "ad" | "device", param: string, label: string }[]} */
export const FILTERS = [
  { field: "advertiser", param: "advertiser_id", label: "Advertiser" },
  { field: "campaign", param: "campaign_id", label: "Campaign" },
  { field: "ad", param: "ad_id", label: "Ad" },
  { field: "device", param: "device", label: "Device" },
];

/** Stands for the ads without a campaign: no id has a control character, and an empty filter means all. */
export const NO_CAMPAIGN = "\u0000";

/** The filters as the API wants them. @returns {Record<string, string>} */
export function filterQuery(/** @type {Place} */ place) {
  /** @type {Record<string, string>} */
  const query = {};
  for (const { field, param } of FILTERS) {
    if (place[field]) query[param] = place[field] === NO_CAMPAIGN ? "" : place[field];
  }
  return query;
}

/**
 * What is filtered by, each with a button that ends it.
 * @param {{ place: Place, adTitle: string, go: (change: Partial<Place>) => void }} props
 */
export function Chips({ place, adTitle, go }) {
  const active = FILTERS.filter(({ field }) => place[field]);
  if (active.length === 0) return null;
  return html`
    <ul class="chips" aria-label="Filters">
      ${active.map(({ field, label }) => {
        const value = field === "ad" ? adTitle : place[field] === NO_CAMPAIGN ? "none" : place[field];
        return html`
          <li key=${field}>
            <button type="button" aria-label=${`Remove filter ${label}: ${value}`} onClick=${() => go({ [field]: "" })}>
              <span class="quiet">${label}</span> <b>${value}</b> <span aria-hidden="true">×</span>
            </button>
          </li>
        `;
      })}
    </ul>
  `;
}

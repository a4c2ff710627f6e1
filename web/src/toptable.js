import { useState } from "preact/hooks";
import { useSearch } from "./catalog.js";
import { filterQuery } from "./filters.js";
import { count } from "./format.js";
import { html } from "./html.js";

/** @typedef {import("./types.js").TopRow} TopRow */
/** @typedef {import("./types.js").Thing} Thing */

/** @type {Record<Thing, { title: string, one: string, key: keyof TopRow, without: string }>} */
export const THINGS = {
  ads: { title: "Top ads", one: "Ad", key: "ad_id", without: "" },
  campaigns: { title: "Top campaigns", one: "Campaign", key: "campaign_id", without: "No campaign" },
  devices: { title: "Devices", one: "Device", key: "device", without: "Unknown" },
  advertisers: { title: "Top advertisers", one: "Advertiser", key: "advertiser_id", without: "" },
};

export const TOP_ROWS = 100;
const SKELETON_ROWS = 5;

/** True for an ad that the filters let through, as far as an ad can tell. */
const isWithin = (/** @type {import("./types.js").Ad} */ ad, /** @type {import("./types.js").Place} */ place) =>
  (place.campaign === "" || ad.campaign_id === filterQuery(place)["campaign_id"]) &&
  (place.advertiser === "" || ad.advertiser_id === place.advertiser);

/** One row: its bar is its share of the largest; without a `row` its clicks are not known. */
function Row(/** @type {{ id: string, name: string, row: TopRow | null, most: number, onChoose: (() => void) | null }} */ props) {
  const { name, row, most, onChoose } = props;
  return html`
    <tr>
      <th scope="row">
        <span class="share" style=${{ width: `${(100 * (row?.clicks ?? 0)) / Math.max(1, most)}%` }}></span>
        ${onChoose ? html`<button type="button" onClick=${onChoose}>${name}</button>` : html`<span class="quiet">${name}</span>`}
      </th>
      <td>${row ? count(row.clicks) : "–"}</td>
      <td>${row ? count(row.unique_users) : "–"}</td>
    </tr>
  `;
}

/**
 * What has the most clicks; a click on a row filters everything by it. A search finds the other ads too, whose clicks
 * are seen after that click.
 * @param {{
 *   api: import("./api.js").Api,
 *   catalog: { ads: import("./types.js").Ad[], ready: boolean, complete: boolean },
 *   place: import("./types.js").Place,
 *   thing: Thing,
 *   rows: TopRow[] | null,
 *   nameOf: (id: string) => string,
 *   onChoose: (id: string) => void,
 * }} props `rows` is null while they load
 */
export function TopTable({ api, catalog, place, thing, rows, nameOf, onChoose }) {
  const { title, one, key, without } = THINGS[thing];
  const [typed, setTyped] = useState("");
  const text = typed.trim().toLowerCase();
  const named = (rows ?? []).map((row) => {
    const id = String(row[key] ?? "");
    return { id, name: id ? nameOf(id) || id : without, row };
  });
  const searched = useSearch(api, catalog, typed);
  const names = new Map(searched.ads.map((ad) => [ad.ad_id, ad.name]));
  const listed = new Set(named.map(({ id }) => id));
  // A list that is not full has all that was clicked.
  const full = named.length >= TOP_ROWS && text !== "";
  const others = full ? searched.ads.filter((ad) => !listed.has(ad.ad_id) && isWithin(ad, place)) : [];
  /** @type {{ id: string, name: string, row: TopRow | null }[]} */
  const found = [
    ...named.filter(({ id, name }) => names.has(id) || `${name} ${id}`.toLowerCase().includes(text)),
    ...others.map((ad) => ({ id: ad.ad_id, name: ad.name || ad.ad_id, row: null })),
  ];
  const most = Math.max(0, ...named.map(({ row }) => row.clicks));
  const message = rows?.length === 0 ? "No clicks in this range." : searched.pending ? "Searching…" : `Nothing among these matches “${typed}”.`;
  return html`
    <section class="card top-table" aria-labelledby=${`${thing}-title`}>
      <div class="card-head">
        <h2 id=${`${thing}-title`}>${title}</h2>
        <input
          type="search"
          aria-label=${`Search in ${title.toLowerCase()}`}
          placeholder="Search"
          value=${typed}
          onInput=${(/** @type {any} */ event) => setTyped(event.target.value)}
        />
      </div>
      <div class="top-scroll" tabindex="0" role="group" aria-label=${`${title}, list`}>
        <table>
          <thead>
            <tr><th scope="col">${one}</th><th scope="col">Clicks</th><th scope="col">Users</th></tr>
          </thead>
          <tbody>
            ${rows === null
              ? Array.from({ length: SKELETON_ROWS }, (_, index) => html`
                  <tr key=${index} aria-hidden="true">
                    <th scope="row"><span class="skeleton">${"x".repeat(18 - 2 * index)}</span></th>
                    <td><span class="skeleton">000</span></td><td><span class="skeleton">000</span></td>
                  </tr>
                `)
              : found.map(
                  ({ id, name, row }) => html`
                    <${Row} key=${id} id=${id} name=${name} row=${row} most=${most} onChoose=${id || thing === "campaigns" ? () => onChoose(id) : null} />
                  `,
                )}
          </tbody>
        </table>
        ${rows !== null && found.length === 0 && html`<p class="quiet none">${message}</p>`}
      </div>
    </section>
  `;
}

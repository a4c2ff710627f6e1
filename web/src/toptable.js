import { useState } from "preact/hooks";
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

const SKELETON_ROWS = 5;

/** One row: its bar is its share of the largest. */
function Row(/** @type {{ id: string, name: string, row: TopRow, most: number, onChoose: (() => void) | null }} */ props) {
  const { name, row, most, onChoose } = props;
  return html`
    <tr>
      <th scope="row">
        <span class="share" style=${{ width: `${(100 * row.clicks) / Math.max(1, most)}%` }}></span>
        ${onChoose ? html`<button type="button" onClick=${onChoose}>${name}</button>` : html`<span class="quiet">${name}</span>`}
      </th>
      <td>${count(row.clicks)}</td>
      <td>${count(row.unique_users)}</td>
    </tr>
  `;
}

/**
 * What has the most clicks; a click on a row filters everything by it. Nothing where the server cannot tell.
 * @param {{
 *   thing: Thing,
 *   rows: TopRow[] | null,
 *   nameOf: (id: string) => string,
 *   onChoose: (id: string) => void,
 * }} props `rows` is null while they load
 */
export function TopTable({ thing, rows, nameOf, onChoose }) {
  const { title, one, key, without } = THINGS[thing];
  const [typed, setTyped] = useState("");
  const text = typed.trim().toLowerCase();
  const named = (rows ?? []).map((row) => {
    const id = String(row[key] ?? "");
    return { id, name: id ? nameOf(id) || id : without, row };
  });
  const found = named.filter(({ id, name }) => `${name} ${id}`.toLowerCase().includes(text));
  const most = Math.max(0, ...named.map(({ row }) => row.clicks));
  const message = rows?.length === 0 ? "No clicks in this range." : `Nothing among these matches “${typed}”.`;
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

import { useMemo } from "preact/hooks";
import { Activity } from "./activity.js";
import { AdCard } from "./adcard.js";
import { isPassing } from "./api.js";
import { GrainSelect, RangeFields, RangePresets, ZoneSelect } from "./controls.js";
import { Chips, NO_CAMPAIGN } from "./filters.js";
import { html } from "./html.js";
import { useTop } from "./numbers.js";
import { AdPicker } from "./picker.js";
import { QualityPanel } from "./quality.js";
import { inWords } from "./ranges.js";
import { bucketsOf, isRunning } from "./series.js";
import { TopTable } from "./toptable.js";
import { Totals } from "./totals.js";

/** @typedef {import("./types.js").Place} Place */
/** @typedef {import("./types.js").Thing} Thing */

/** @type {Record<Thing, "ad" | "campaign" | "device" | "advertiser">} */
const FIELDS = { ads: "ad", campaigns: "campaign", devices: "device", advertisers: "advertiser" };

/** Of what has no names to search in. */
const NO_CATALOG = { ads: [], ready: true, complete: true };

/**
 * The lists of what has the most clicks: those that the filter leaves something to tell about.
 * @param {{ api: import("./api.js").Api, place: Place, go: any, admin: boolean, catalog: any, children: any }} props
 */
function Tables({ api, place, go, admin, catalog, children }) {
  const oneAd = place.ad !== "";
  const tables = [
    useTop(api, place, "ads", !oneAd),
    useTop(api, place, "campaigns", !oneAd),
    useTop(api, place, "devices", true),
    useTop(api, place, "advertisers", admin && !oneAd && place.advertiser === ""),
  ];
  /** @type {Map<string, string>} */
  const names = useMemo(
    () => new Map(catalog.ads.map((/** @type {import("./types.js").Ad} */ ad) => [ad.ad_id, ad.name])),
    [catalog.ads],
  );
  return html`
    <div class="grid">
      ${tables
        .filter((table) => !table.missing)
        .map(
          ({ thing, rows }) => html`
            <${TopTable}
              key=${thing} thing=${thing} rows=${rows} api=${api} place=${place} catalog=${thing === "ads" ? catalog : NO_CATALOG}
              nameOf=${(/** @type {string} */ id) => (thing === "ads" ? (names.get(id) ?? id) : id)}
              onChoose=${(/** @type {string} */ id) => go({ [FIELDS[thing]]: id || NO_CAMPAIGN })}
            />
          `,
        )}
      ${children}
    </div>
  `;
}

/**
 * The numbers of everything that the key sees, or of what the filter leaves of it, moving.
 * @param {{
 *   api: import("./api.js").Api,
 *   place: Place,
 *   go: (change: Partial<Place>) => void,
 *   identity: import("./types.js").Identity | null,
 *   catalog: ReturnType<typeof import("./catalog.js").useCatalog>,
 *   ad: import("./types.js").Ad | null,
 *   numbers: ReturnType<typeof import("./numbers.js").useNumbers>,
 *   search: { current: HTMLInputElement | null },
 *   letters: boolean,
 * }} props
 */
export function Overview({ api, place, go, identity, catalog, ad, numbers, search, letters }) {
  const { metrics, quality, comparison, known, knownQuality, range, grain } = numbers;
  const nowMs = api.nowMs();
  const buckets = useMemo(() => (known ? bucketsOf(known, comparison, grain) : null), [known, comparison]);
  const last = buckets?.findLast((bucket) => !isRunning(bucket, nowMs))?.clicks ?? null;
  const adTitle = ad?.name || place.ad;
  const pending = metrics.error === null || isPassing(metrics.error);
  const firstAd = catalog.ready ? (catalog.ads[0]?.ad_id ?? "") : null;
  const rangeText = inWords(range, nowMs);
  const scale = useMemo(() => ({ grain, zone: place.zone }), [grain, place.zone]);
  return html`
    <h1 class="unseen">Clicks of ${adTitle || "all ads"}</h1>
    <div class="toolbar">
      <${AdPicker}
        api=${api} catalog=${catalog} chosen=${{ id: place.ad, title: adTitle }} inputRef=${search}
        onChoose=${(/** @type {string} */ id) => go({ ad: id })}
      />
      <${RangeFields} range=${range} nowMs=${nowMs} go=${go} />
      <${GrainSelect} place=${place} range=${range} nowMs=${nowMs} go=${go} />
      <${ZoneSelect} zone=${place.zone} go=${go} />
    </div>
    <${RangePresets} range=${range.id} letters=${letters} onRange=${(/** @type {string} */ id) => go({ range: id })} />
    <${Chips} place=${place} adTitle=${adTitle} go=${go} />
    <${Totals}
      totals=${known?.totals ?? null} comparison=${comparison} last=${last} grain=${grain} pending=${pending}
      subject=${`${adTitle || "All ads"}, ${rangeText}`}
    />
    <${Activity}
      api=${api} place=${place} scale=${scale} buckets=${buckets} exports=${numbers.exports}
      finalThrough=${known?.final_through ?? null} received=${knownQuality?.received ?? 0} error=${metrics.error}
      firstAd=${firstAd} stale=${known !== null && metrics.data === null} rangeText=${rangeText}
      onView=${(/** @type {import("./types.js").View} */ view) => go({ view })}
    />
    <${Tables} api=${api} place=${place} go=${go} admin=${identity?.admin === true} catalog=${catalog}>
      <${QualityPanel} quality=${knownQuality} missing=${quality.error !== null && !isPassing(quality.error)} />
      ${place.ad && html`<${AdCard} adId=${place.ad} ad=${ad} />`}
    <//>
  `;
}

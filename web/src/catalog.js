import { useCallback, useEffect, useState } from "preact/hooks";
import { isPassing } from "./api.js";

/** @typedef {import("./api.js").Api} Api */
/** @typedef {import("./types.js").Ad} Ad */
/** @typedef {import("./types.js").AdsPage} AdsPage */

const PAGE_ADS = 100;
const PAGES_MAX = 20;
const RETRY_MS = 3_000;

/** @typedef {{ ads: Ad[], pages: number, next: string | null, again: boolean }} Loaded */

/**
 * The caller's ads, loaded page by page as somebody searches in them. `complete` says that there are no others;
 * above PAGES_MAX pages the rest is found by typing an ad's whole id.
 * @param {Api} api
 */
export function useCatalog(api) {
  const [loaded, setLoaded] = useState(/** @type {Loaded} */ ({ ads: [], pages: 0, next: "", again: false }));
  const [wanted, setWanted] = useState(1);
  const [tries, setTries] = useState(0);

  useEffect(() => {
    const { pages, next } = loaded;
    if (next === null || pages >= wanted) return undefined;
    const leaving = new AbortController();
    let timer = 0;
    api.get("/v1/ads", next ? { after: next, limit: PAGE_ADS } : { limit: PAGE_ADS }, leaving.signal).then(
      (/** @type {AdsPage} */ page) =>
        setLoaded({ ads: loaded.ads.concat(page.ads), pages: pages + 1, next: page.next, again: false }),
      (error) => {
        if (!leaving.signal.aborted && isPassing(error)) timer = setTimeout(() => setTries(tries + 1), RETRY_MS);
      },
    );
    return () => {
      leaving.abort();
      clearTimeout(timer);
    };
  }, [api, loaded, wanted, tries]);

  useEffect(() => {
    if (loaded.pages === 0 || loaded.ads.length > 0) return undefined;
    // Who has no ads is about to import some.
    const timer = setTimeout(() => setLoaded({ ads: [], pages: 0, next: "", again: true }), RETRY_MS);
    return () => clearTimeout(timer);
  }, [loaded]);

  const more = useCallback(() => setWanted(Math.min(PAGES_MAX, loaded.pages + 1)), [loaded]);
  return { ads: loaded.ads, ready: loaded.pages > 0 || loaded.again, complete: loaded.next === null, more };
}

/**
 * The one ad with this id: from what is loaded, else asked for; null while unknown.
 * @param {Api} api
 * @param {{ ads: Ad[], ready: boolean, complete: boolean }} catalog
 * @param {string} adId
 * @returns {Ad | null}
 */
export function useAd(api, catalog, adId) {
  const listed = catalog.ads.find((ad) => ad.ad_id === adId) ?? null;
  const [asked, setAsked] = useState(/** @type {Ad | null} */ (null));
  const mustAsk = adId !== "" && listed === null && catalog.ready && !catalog.complete;
  useEffect(() => {
    if (!mustAsk) return undefined;
    const leaving = new AbortController();
    // Without an answer the page shows the id alone, which is enough.
    api.get(`/v1/ads/${encodeURIComponent(adId)}`, {}, leaving.signal).then(setAsked, () => undefined);
    return () => leaving.abort();
  }, [api, adId, mustAsk]);
  return listed ?? (asked?.ad_id === adId ? asked : null);
}

/**
 * The ads that match what was typed, by name, id or campaign; those that begin with it first.
 * @param {Ad[]} ads
 * @param {string} typed
 */
export function search(ads, typed) {
  const text = typed.trim().toLowerCase();
  if (text === "") return ads;
  const starting = [];
  const holding = [];
  for (const ad of ads) {
    const fields = [ad.name.toLowerCase(), ad.ad_id.toLowerCase(), ad.campaign_id.toLowerCase()];
    if (fields.some((field) => field.startsWith(text))) starting.push(ad);
    else if (fields.some((field) => field.includes(text))) holding.push(ad);
  }
  return starting.concat(holding);
}

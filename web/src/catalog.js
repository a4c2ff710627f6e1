import { useEffect, useState } from "preact/hooks";
import { isPassing } from "./api.js";

/** @typedef {import("./api.js").Api} Api */
/** @typedef {import("./types.js").Ad} Ad */
/** @typedef {import("./types.js").AdsPage} AdsPage */

const PAGE_ADS = 100;
const RETRY_MS = 3_000;
/** A fast typist's pause: not every letter is a question. */
const TYPING_MS = 150;
const TYPED_MAX = 100;
const FOUND_MAX = 100;
const SEARCH_PAGES_MAX = 10;

/** @typedef {{ ads: Ad[], pages: number, next: string | null, again: boolean }} Loaded */
/** @typedef {{ ads: Ad[], complete: boolean, pending: boolean }} Found */

/**
 * The caller's first ads. `complete` says that there are no others; else the server searches in the rest.
 * @param {Api} api
 */
export function useCatalog(api) {
  const [loaded, setLoaded] = useState(/** @type {Loaded} */ ({ ads: [], pages: 0, next: "", again: false }));
  const [tries, setTries] = useState(0);

  useEffect(() => {
    if (loaded.pages > 0) return undefined;
    const leaving = new AbortController();
    let timer = 0;
    api.get("/v1/ads", { limit: PAGE_ADS }, leaving.signal).then(
      (/** @type {AdsPage} */ page) => setLoaded({ ads: page.ads, pages: 1, next: page.next, again: false }),
      (error) => {
        if (!leaving.signal.aborted && isPassing(error)) timer = setTimeout(() => setTries(tries + 1), RETRY_MS);
      },
    );
    return () => {
      leaving.abort();
      clearTimeout(timer);
    };
  }, [api, loaded, tries]);

  useEffect(() => {
    if (loaded.pages === 0 || loaded.ads.length > 0) return undefined;
    // Who has no ads is about to import some.
    const timer = setTimeout(() => setLoaded({ ads: [], pages: 0, next: "", again: true }), RETRY_MS);
    return () => clearTimeout(timer);
  }, [loaded]);

  return { ads: loaded.ads, ready: loaded.pages > 0 || loaded.again, complete: loaded.next === null };
}

/**
 * The ads that match what was typed, some at most: from what is loaded where that is all, else the server finds them.
 * Until its answer is there, those that are loaded. `complete` says that no others match.
 * @param {Api} api
 * @param {{ ads: Ad[], ready: boolean, complete: boolean }} catalog
 * @param {string} typed
 * @returns {Found}
 */
export function useSearch(api, catalog, typed) {
  const text = typed.trim().slice(0, TYPED_MAX);
  const mustAsk = text !== "" && catalog.ready && !catalog.complete;
  const [asked, setAsked] = useState({ text: "", ads: /** @type {Ad[]} */ ([]), complete: false, done: false });
  useEffect(() => {
    if (!mustAsk) return undefined;
    const leaving = new AbortController();
    /** @type {Ad[]} */
    let ads = [];
    async function ask() {
      let after = "";
      // A page may be empty although the next one is not: the server looks at a limited number of ads at once.
      for (let pages = 0; pages < SEARCH_PAGES_MAX; pages += 1) {
        const query = { search: text, limit: FOUND_MAX, ...(after ? { after } : {}) };
        /** @type {AdsPage} */
        const page = await api.get("/v1/ads", query, leaving.signal);
        ads = ads.concat(page.ads);
        const done = page.next === null || ads.length >= FOUND_MAX;
        setAsked({ text, ads, complete: page.next === null, done: done || pages === SEARCH_PAGES_MAX - 1 });
        if (done) return;
        after = page.next ?? "";
      }
    }
    // Without an answer the loaded ones are what there is.
    const timer = setTimeout(() => ask().catch(() => undefined), TYPING_MS);
    return () => {
      leaving.abort();
      clearTimeout(timer);
    };
  }, [api, text, mustAsk]);
  if (!mustAsk) return { ads: search(catalog.ads, text), complete: catalog.complete, pending: false };
  if (asked.text !== text) return { ads: search(catalog.ads, text), complete: false, pending: true };
  return { ads: search(asked.ads, text), complete: asked.complete, pending: !asked.done };
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

import { useCallback, useEffect, useMemo, useRef } from "preact/hooks";
import { Activity } from "./activity.js";
import { AdCard } from "./adcard.js";
import { useAddress } from "./address.js";
import { isPassing, RefusedError } from "./api.js";
import { useAd, useCatalog } from "./catalog.js";
import { KeyHelp, RangePresets } from "./controls.js";
import { Freshness } from "./freshness.js";
import { html } from "./html.js";
import { useLetters } from "./letters.js";
import { AdPicker } from "./picker.js";
import { usePoll } from "./poll.js";
import { QualityPanel } from "./quality.js";
import { RANGES, rangeOf } from "./ranges.js";
import { isRunning, minutesOf } from "./series.js";
import { Totals } from "./totals.js";
import { Wordmark } from "./wordmark.js";

/** @typedef {import("./api.js").Api} Api */
/** @typedef {import("./types.js").Ad} Ad */
/** @typedef {import("./types.js").Metrics} Metrics */
/** @typedef {import("./types.js").Quality} Quality */

const CHOICE_EVERY_MS = 3_000;
const QUALITY_EVERY_MS = 2_000;

/**
 * Polls for the ad to begin with: the most clicked one of the last hour, else the first one; "" where there are no ads.
 * @param {Api} api
 * @param {boolean} wanted
 */
function useFirstAd(api, wanted) {
  const ask = async (/** @type {AbortSignal} */ signal) => {
    try {
      /** @type {import("./types.js").Top} */
      const { top } = await api.getRange("/v1/top", { by: "clicks", of: "ads", limit: 1 }, rangeOf("1h"), signal);
      if (top[0]) return top[0].ad_id;
    } catch (error) {
      if (!(error instanceof RefusedError) || error.status !== 404) throw error;
    }
    /** @type {import("./types.js").AdsPage} */
    const { ads } = await api.get("/v1/ads", { limit: 1 }, signal);
    return ads[0]?.ad_id ?? "";
  };
  return usePoll(wanted ? ask : null, CHOICE_EVERY_MS, ["first ad"]);
}

/**
 * Gives what is new, and until it comes the last that was known of the same ad: another range shall not blank the page.
 * @template T
 * @param {string} adId
 * @param {T | null} data
 * @returns {T | null}
 */
function useKept(adId, data) {
  const kept = useRef(/** @type {{ adId: string, data: T | null }} */ ({ adId, data: null }));
  if (kept.current.adId !== adId || data !== null) kept.current = { adId, data };
  return kept.current.data;
}

/**
 * Signs out when the key is refused.
 * @param {(Error | null)[]} errors
 * @param {(why: string) => void} onSignOut
 */
function useSignOutWhenRefused(errors, onSignOut) {
  const refused = errors.some((error) => error instanceof RefusedError && error.status === 401);
  useEffect(() => {
    if (refused) onSignOut("The server no longer accepts this key. Sign in again.");
  }, [refused, onSignOut]);
}

/**
 * Polls what the page shows of one ad.
 * @param {Api} api
 * @param {string} adId
 * @param {import("./ranges.js").Range} range
 */
function useNumbers(api, adId, range) {
  const askMetrics = (/** @type {AbortSignal} */ signal) =>
    api.getRange("/metrics", { ad_id: adId, granularity: "minute" }, range, signal);
  const askQuality = (/** @type {AbortSignal} */ signal) =>
    api.getRange("/v1/quality", { ad_id: adId }, range, signal);
  /** @type {import("./types.js").Polled<Metrics>} */
  const metrics = usePoll(adId ? askMetrics : null, range.everyMs, [adId, range.id]);
  /** @type {import("./types.js").Polled<Quality>} */
  const quality = usePoll(adId ? askQuality : null, QUALITY_EVERY_MS, [adId, range.id]);
  const known = useKept(adId, metrics.data);
  return { metrics, quality, known, knownQuality: useKept(adId, quality.data) };
}

/** Says once, in place of nothing, that answers are missing. @param {{ error: Error | null }} props */
function Trouble({ error }) {
  const shown = error !== null && isPassing(error);
  return html`
    <div class="trouble" role="status">
      ${shown && html`<p><b>No new numbers</b>: ${error.message}. Trying again until the server answers.</p>`}
    </div>
  `;
}

/**
 * What the letter keys do: a range, table or chart, the search for an ad.
 * @param {import("./types.js").Place} place
 * @param {(change: Partial<import("./types.js").Place>) => void} go
 * @param {{ current: HTMLInputElement | null }} search
 */
function useDashboardLetters(place, go, search) {
  const onLetter = useCallback(
    (/** @type {string} */ letter) => {
      const preset = RANGES.find((one) => one.letter === letter);
      if (preset) go({ range: preset.id });
      else if (letter === "t") go({ view: place.view === "table" ? "chart" : "table" });
      else if (letter === "/") {
        search.current?.focus();
        search.current?.click();
      } else return false;
      return true;
    },
    [go, place.view],
  );
  return useLetters(onLetter);
}

/**
 * One ad's numbers, moving.
 * @param {{ api: Api, onSignOut: (why: string) => void }} props
 */
export function Dashboard({ api, onSignOut }) {
  const [place, go] = useAddress();
  const range = rangeOf(place.range);
  const catalog = useCatalog(api);
  const ad = useAd(api, catalog, place.ad);
  const first = useFirstAd(api, place.ad === "");
  const { metrics, quality, known, knownQuality } = useNumbers(api, place.ad, range);
  useSignOutWhenRefused([first.error, metrics.error, quality.error], onSignOut);
  const search = useRef(/** @type {HTMLInputElement | null} */ (null));
  const [letters, setLetters] = useDashboardLetters(place, go, search);

  useEffect(() => {
    if (place.ad === "" && first.data) go({ ad: first.data }, "replace");
  }, [place.ad, first.data, go]);
  const title = ad?.name || place.ad;
  useEffect(() => {
    document.title = title ? `${title} · adtally` : "adtally";
  }, [title]);

  const minutes = useMemo(() => (known ? minutesOf(known) : null), [known]);
  const lastMinute = minutes?.findLast((minute) => !isRunning(minute, api.nowMs()))?.clicks ?? null;
  const error = metrics.error ?? first.error;
  const noAds = place.ad === "" && first.data === "";
  const pending = !noAds && (error === null || isPassing(error));
  const goTo = (/** @type {"ad" | "range" | "view"} */ what) => (/** @type {string} */ value) => go({ [what]: value });
  return html`
    <header class="top">
      <${Wordmark} />
      <${Freshness}
        asOf=${known?.as_of ?? null} error=${error} loading=${pending && known === null} nowMs=${() => api.nowMs()}
      />
      <button type="button" class="plain" onClick=${() => onSignOut("")}>Sign out</button>
    </header>
    <main>
      <h1 class="unseen">Clicks of ${title || "an ad"}</h1>
      <div class="toolbar">
        <${AdPicker} catalog=${catalog} chosen=${{ id: place.ad, title }} inputRef=${search} onChoose=${goTo("ad")} />
        <${RangePresets} range=${range.id} letters=${letters} onRange=${goTo("range")} />
      </div>
      <${Totals}
        totals=${known?.totals ?? null} lastMinute=${lastMinute} pending=${pending} subject=${`${title}, ${range.long}`}
      />
      <${Activity}
        api=${api} adId=${place.ad} minutes=${minutes} finalThrough=${known?.final_through ?? null}
        received=${knownQuality?.received ?? 0} error=${error}
        noAds=${noAds} stale=${known !== null && metrics.data === null} rangeText=${range.long}
        view=${place.view} onView=${goTo("view")}
      />
      <div class="pair">
        <${QualityPanel} quality=${knownQuality} missing=${quality.error !== null && !isPassing(quality.error)} />
        <${AdCard} adId=${place.ad} ad=${ad} />
      </div>
    </main>
    <footer><${KeyHelp} letters=${letters} onLetters=${setLetters} /></footer>
    <${Trouble} error=${error} />
  `;
}

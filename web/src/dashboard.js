import { useCallback, useEffect, useMemo, useRef } from "preact/hooks";
import { useAddress } from "./address.js";
import { isPassing, RefusedError } from "./api.js";
import { useAd, useCatalog } from "./catalog.js";
import { KeyHelp, step } from "./controls.js";
import { Freshness } from "./freshness.js";
import { html } from "./html.js";
import { useIdentity } from "./identity.js";
import { useLetters } from "./letters.js";
import { useNumbers } from "./numbers.js";
import { Operations } from "./operations.js";
import { Overview } from "./overview.js";
import { RANGES } from "./ranges.js";
import { Wordmark } from "./wordmark.js";

/** @typedef {import("./types.js").Place} Place */

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
 * What the letter keys do: a range, its neighbours, table or chart, the search for an ad.
 * @param {Place} place
 * @param {import("./types.js").Range} range
 * @param {() => number} nowMs
 * @param {(change: Partial<Place>) => void} go
 * @param {{ current: HTMLInputElement | null }} search
 */
function useDashboardLetters(place, range, nowMs, go, search) {
  const onLetter = useCallback(
    (/** @type {string} */ letter) => {
      const preset = RANGES.find((one) => one.letter === letter);
      if (preset) go({ range: preset.id });
      else if (letter === "j" || letter === "k") go(step(range, nowMs(), letter === "j" ? -1 : 1) ?? {});
      else if (letter === "t") go({ view: place.view === "table" ? "chart" : "table" });
      else if (letter === "/") {
        search.current?.focus();
        search.current?.click();
      } else return false;
      return true;
    },
    [go, place],
  );
  return useLetters(onLetter);
}

/** Between the numbers and, for an admin, the operator's view. @param {{ place: Place, go: any }} props */
function Pages({ place, go }) {
  const link = (/** @type {Place["page"]} */ page, /** @type {string} */ label) => html`
    <button type="button" aria-current=${place.page === page ? "page" : undefined} onClick=${() => go({ page, hour: "" })}>
      ${label}
    </button>
  `;
  return html`<nav class="pages" aria-label="Pages">${link("clicks", "Clicks")} ${link("operations", "Operations")}</nav>`;
}

/**
 * The page of whoever signed in.
 * @param {{ api: import("./api.js").Api, onSignOut: (why: string) => void }} props
 */
export function Dashboard({ api, onSignOut }) {
  const [address, go] = useAddress();
  const identity = useIdentity(api);
  /** @type {Place} */
  const place = useMemo(
    // An advertiser who follows an operator's link sees the numbers.
    () => (identity?.admin === false ? { ...address, page: "clicks" } : address),
    [address, identity],
  );
  const catalog = useCatalog(api);
  const ad = useAd(api, catalog, place.ad);
  const numbers = useNumbers(api, place);
  const { metrics, known } = numbers;
  useSignOutWhenRefused([metrics.error, numbers.quality.error], onSignOut);
  const search = useRef(/** @type {HTMLInputElement | null} */ (null));
  const nowMs = useCallback(() => api.nowMs(), [api]);
  const [letters, setLetters] = useDashboardLetters(place, numbers.range, nowMs, go, search);
  const operating = place.page === "operations" && identity?.admin === true;

  const title = operating ? "Operations" : ad?.name || place.ad;
  useEffect(() => {
    document.title = title ? `${title} · adtally` : "adtally";
  }, [title]);

  const pending = metrics.error === null || isPassing(metrics.error);
  const loading = pending && known === null;
  const overview = { api, place, go, identity, catalog, ad, numbers, search, letters };
  return html`
    <header class="top">
      <${Wordmark} />
      ${identity?.admin && html`<${Pages} place=${place} go=${go} />`}
      ${operating
        ? html`<p class="freshness"></p>`
        : html`<${Freshness} asOf=${known?.as_of ?? null} error=${metrics.error} loading=${loading} nowMs=${nowMs} />`}
      <button type="button" class="plain" onClick=${() => onSignOut("")}>Sign out</button>
    </header>
    <main>
      ${operating
        ? html`<${Operations} api=${api} place=${place} go=${go} onSignOut=${onSignOut} />`
        : html`<${Overview} ...${overview} />`}
    </main>
    <footer>${useMemo(() => html`<${KeyHelp} letters=${letters} onLetters=${setLetters} />`, [letters])}</footer>
    <${Trouble} error=${metrics.error} />
  `;
}

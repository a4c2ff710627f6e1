import { useEffect, useState } from "preact/hooks";

/** @typedef {import("./types.js").Place} Place */

/**
 * Follows the server's events about the last minutes. They are taken as a sign that numbers changed, and the numbers
 * themselves are asked for: unique users of a range are no sum, and so page and API can never differ. Where there are
 * no events (an older server, too many readers) `connected` stays false, and the page polls.
 * @param {boolean} wanted
 * @param {Place} place
 * @returns {{ connected: boolean, ticks: number }} `ticks` rises with each event, and when they end
 */
export function useLive(wanted, place) {
  const [state, setState] = useState({ connected: false, ticks: 0 });
  const query = new URLSearchParams();
  if (place.ad) query.set("ad_id", place.ad);
  else if (place.advertiser) query.set("advertiser_id", place.advertiser);
  const address = `/v1/live?${query}`;
  useEffect(() => {
    if (!wanted) return undefined;
    /** @type {EventSource | null} */
    let source = null;
    const lost = () => setState((before) => (before.connected ? { connected: false, ticks: before.ticks + 1 } : before));
    function close() {
      source?.close();
      source = null;
      lost();
    }
    function open() {
      if (document.hidden) return close();
      if (source) return undefined;
      source = new EventSource(address);
      source.addEventListener("minutes", () => setState(({ ticks }) => ({ connected: true, ticks: ticks + 1 })));
      // The browser connects again by itself, unless the server refused.
      source.addEventListener("error", lost);
      return undefined;
    }
    open();
    document.addEventListener("visibilitychange", open);
    return () => {
      document.removeEventListener("visibilitychange", open);
      close();
    };
  }, [wanted, address]);
  return state;
}

import { useCallback, useEffect, useState } from "preact/hooks";
import { NO_CAMPAIGN } from "./filters.js";
import { CUSTOM, DEFAULT_RANGE, GRAINS, rangeOf } from "./ranges.js";
import { isZone, OWN_ZONE } from "./zones.js";

/** @typedef {import("./types.js").Place} Place */

/** @returns {Place} */
function read() {
  const query = new URLSearchParams(location.search);
  const text = (/** @type {string} */ name) => query.get(name) ?? "";
  const zone = text("zone") && isZone(text("zone")) ? text("zone") : OWN_ZONE;
  const range = rangeOf(text("range"), text("from"), text("to"), zone);
  return {
    page: text("page") === "operations" ? "operations" : "clicks",
    hour: text("hour"),
    advertiser: text("advertiser"),
    campaign: query.get("campaign") === "" ? NO_CAMPAIGN : text("campaign"),
    ad: text("ad"),
    device: text("device"),
    range: range.id,
    from: range.from,
    to: range.to,
    zone,
    grain: GRAINS.find((grain) => grain.id === text("grain"))?.id ?? "",
    view: text("view") === "table" ? "table" : "chart",
  };
}

/** @type {Partial<Place>} */
const LEFT_OUT = { page: "clicks", range: DEFAULT_RANGE, view: "chart", zone: OWN_ZONE };

/** @param {Place} place */
function write(place) {
  const shown = place.range === CUSTOM ? place : { ...place, from: "", to: "" };
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(shown)) {
    if (value && LEFT_OUT[/** @type {keyof Place} */ (name)] !== value) {
      query.set(name, value === NO_CAMPAIGN ? "" : value);
    }
  }
  const text = query.toString();
  return text ? `?${text}` : location.pathname;
}

/**
 * The address as state: `go` changes it by a new entry in the history, or in place where the page chose by itself.
 * @returns {[Place, (change: Partial<Place>, how?: "push" | "replace") => void]}
 */
export function useAddress() {
  const [place, setPlace] = useState(read);
  useEffect(() => {
    const onBack = () => setPlace(read());
    addEventListener("popstate", onBack);
    return () => removeEventListener("popstate", onBack);
  }, []);
  const go = useCallback((/** @type {Partial<Place>} */ change, how = "push") => {
    const before = read();
    const next = { ...before, ...change };
    if (write(next) === write(before)) return;
    if (how === "push") history.pushState(null, "", write(next));
    else history.replaceState(null, "", write(next));
    setPlace(next);
  }, []);
  return [place, go];
}

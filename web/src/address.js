import { useCallback, useEffect, useState } from "preact/hooks";
import { DEFAULT_RANGE, rangeOf } from "./ranges.js";

/** @typedef {import("./types.js").Place} Place */

/** @returns {Place} */
function read() {
  const query = new URLSearchParams(location.search);
  return {
    ad: query.get("ad") ?? "",
    range: rangeOf(query.get("range") ?? DEFAULT_RANGE).id,
    view: query.get("view") === "table" ? "table" : "chart",
  };
}

/** @param {Place} place */
function write(place) {
  const query = new URLSearchParams();
  if (place.ad) query.set("ad", place.ad);
  if (place.range !== DEFAULT_RANGE) query.set("range", place.range);
  if (place.view !== "chart") query.set("view", place.view);
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

const ITEM = "adtally.key";

/** The key of this tab, or null. */
export const storedKey = () => sessionStorage.getItem(ITEM);

/** Keeps the key until the tab is closed; null forgets it. */
export function storeKey(/** @type {string | null} */ key) {
  if (key === null) sessionStorage.removeItem(ITEM);
  else sessionStorage.setItem(ITEM, key);
}

/**
 * Takes a key from `#key=...` and removes it from the address and from the history, before anybody can copy it.
 * A fragment never leaves the browser, unlike a query string, which ends up in logs.
 * @returns {string | null}
 */
export function takeKeyFromFragment() {
  const key = new URLSearchParams(location.hash.slice(1)).get("key");
  if (key === null) return null;
  history.replaceState(history.state, "", location.pathname + location.search);
  return key.trim() || null;
}

import { useEffect, useState } from "preact/hooks";
import { isPassing, RefusedError } from "./api.js";

/** @typedef {import("./types.js").Identity} Identity */

const RETRY_MS = 3_000;

/**
 * Who has signed in: asked of the server, which answers all else by the same rule.
 * @param {import("./api.js").Api} api
 * @param {AbortSignal} signal
 * @returns {Promise<Identity>}
 */
async function ask(api, signal) {
  try {
    return await api.get("/v1/session", {}, signal);
  } catch (error) {
    if (!(error instanceof RefusedError) || error.status !== 404) throw error;
  }
  // A server without that address: only admins may list advertisers.
  try {
    await api.get("/v1/advertisers", { limit: 1 }, signal);
    return { admin: true, advertiser_id: null };
  } catch (error) {
    if (error instanceof RefusedError && error.status === 403) return { admin: false, advertiser_id: null };
    throw error;
  }
}

/**
 * Who has signed in; null until that is known.
 * @param {import("./api.js").Api} api
 * @returns {Identity | null}
 */
export function useIdentity(api) {
  const [identity, setIdentity] = useState(/** @type {Identity | null} */ (null));
  const [tries, setTries] = useState(0);
  useEffect(() => {
    const leaving = new AbortController();
    let timer = 0;
    ask(api, leaving.signal).then(setIdentity, (error) => {
      if (!leaving.signal.aborted && isPassing(error)) timer = setTimeout(() => setTries(tries + 1), RETRY_MS);
    });
    return () => {
      leaving.abort();
      clearTimeout(timer);
    };
  }, [api, tries]);
  return identity;
}

import { useEffect, useRef, useState } from "preact/hooks";
import { isPassing, RefusedError } from "./api.js";

/** @template T @typedef {import("./types.js").Polled<T>} Polled */

const BACKOFF_FIRST_MS = 1_000;
const BACKOFF_MAX_MS = 30_000;

/**
 * How long to wait after `failures` failed tries in a row: doubling, with jitter so that the tabs of a whole office do
 * not come back in step, and never less than the server asked for.
 * @param {number} failures
 * @param {Error} error
 */
function backoffMs(failures, error) {
  const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** (failures - 1));
  const asked = error instanceof RefusedError ? error.retryAfterMs : 0;
  return Math.max(asked, ceiling * (0.75 + Math.random() / 4));
}

/**
 * Repeats `ask`, each time `everyMs()` after the last answer: requests never overlap. Waits while the tab is hidden,
 * backs off while errors pass, stops at an error that does not.
 * @template T
 * @param {(signal: AbortSignal) => Promise<T>} ask
 * @param {() => number} everyMs
 * @param {(polled: Polled<T>) => void} tell
 * @returns {{ end: () => void, now: () => void }} `now` asks at once, or after the answer that is on its way
 */
export function startPolling(ask, everyMs, tell) {
  const ending = new AbortController();
  const { signal } = ending;
  /** @type {T | null} */
  let data = null;
  let failures = 0;
  let timer = 0;
  let asking = false;
  let again = false;

  async function turn() {
    if (asking || signal.aborted || document.hidden) return;
    clearTimeout(timer);
    asking = true;
    again = false;
    try {
      data = await ask(signal);
      failures = 0;
      if (!signal.aborted) after(everyMs(), null, 0);
    } catch (error) {
      if (signal.aborted || !(error instanceof Error)) return;
      failures += 1;
      const waitMs = isPassing(error) ? backoffMs(failures, error) : 0;
      after(waitMs, error, waitMs);
    } finally {
      asking = false;
    }
    if (again && failures === 0) turn();
  }

  function after(/** @type {number} */ waitMs, /** @type {Error | null} */ error, /** @type {number} */ retryMs) {
    tell({ data, error, retryMs });
    if (waitMs > 0) timer = setTimeout(turn, waitMs);
  }

  document.addEventListener("visibilitychange", turn, { signal });
  addEventListener("online", turn, { signal });
  turn();
  return {
    end() {
      ending.abort();
      clearTimeout(timer);
    },
    now() {
      again = asking;
      if (failures === 0) turn();
    },
  };
}

/**
 * Polls while the component is there; starts anew, with what was known so far forgotten, when `inputs` change.
 * @template T
 * @param {((signal: AbortSignal) => Promise<T>) | null} ask null asks nothing
 * @param {number} everyMs
 * @param {unknown[]} inputs
 * @param {number} [ticks] asks at once whenever it rises
 * @returns {Polled<T>}
 */
export function usePoll(ask, everyMs, inputs, ticks = 0) {
  const nothing = { data: null, error: null, retryMs: 0 };
  const identity = JSON.stringify(inputs);
  /** @type {{ identity: string, polled: Polled<T> }} */
  const unasked = { identity, polled: nothing };
  const [answer, setAnswer] = useState(unasked);
  const polling = useRef(/** @type {ReturnType<typeof startPolling> | null} */ (null));
  const latest = useRef({ ask, everyMs });
  latest.current = { ask, everyMs };
  useEffect(() => {
    if (ask === null) return undefined;
    const started = startPolling(
      (signal) => (latest.current.ask ?? ask)(signal),
      () => latest.current.everyMs,
      (polled) => setAnswer({ identity, polled }),
    );
    polling.current = started;
    return () => {
      started.end();
      polling.current = null;
    };
  }, [identity, ask === null]);
  useEffect(() => {
    if (ticks > 0) polling.current?.now();
  }, [ticks]);
  return answer.identity === identity ? answer.polled : nothing;
}

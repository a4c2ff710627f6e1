import { windowOf } from "./ranges.js";

const TIMEOUT_MS = 10_000;
const CLOCK_TOLERANCE_MS = 2_000;

/** The API refused: `status` is HTTP's, the message the problem's own text (RFC 9457). */
export class RefusedError extends Error {
  constructor(/** @type {number} */ status, /** @type {string} */ message, /** @type {number} */ retryAfterMs) {
    super(message);
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }
}

/** Nobody answered, or not in time. */
export class UnreachableError extends Error {}

/** True for what goes away by itself: nobody there, an overloaded or restarting server, too many requests. */
export const isPassing = (/** @type {Error} */ error) =>
  error instanceof UnreachableError || (error instanceof RefusedError && (error.status >= 500 || error.status === 429));

/** Calls the API. Who asks says the session's cookie, which no script can read and the browser sends by itself. */
export class Api {
  #clockAheadMs = 0;

  /** The server's time in epoch milliseconds: a reader's clock that is wrong by minutes must not empty the chart. */
  nowMs() {
    return Date.now() + this.#clockAheadMs;
  }

  /**
   * Gives the JSON answer to a GET. Throws RefusedError or UnreachableError; an AbortError if `signal` fires.
   * @param {string} path
   * @param {Record<string, string | number>} query
   * @param {AbortSignal} [signal]
   * @returns {Promise<any>}
   */
  async get(path, query, signal) {
    const search = new URLSearchParams(Object.entries(query).map(([name, value]) => [name, String(value)]));
    return send(`${path}?${search}`, { signal }, async (response) => {
      this.#noteTime(response.headers.get("Date"));
      if (!response.ok) throw await refusal(response);
      return response.json();
    });
  }

  /**
   * Sends a change. Throws as `get`.
   * @param {"POST" | "PATCH" | "DELETE"} method
   * @param {string} path
   * @param {object} [body]
   * @returns {Promise<any>} the JSON answer, null where there is no content
   */
  async change(method, path, body) {
    // No page of another site can send this header: to the server it says that we ask, not they.
    const headers = { "X-Adtally-Page": "1", "Content-Type": "application/json" };
    return send(path, { method, headers, body: JSON.stringify(body) }, async (response) => {
      if (!response.ok) throw await refusal(response);
      return response.status === 204 ? null : response.json();
    });
  }

  /**
   * Gives the JSON answer for a range that ends now. The reader's clock is found out to be wrong by the first answer,
   * whatever it says: then the range was wrong too, and is asked for again at once.
   * @param {string} path
   * @param {Record<string, string | number>} query
   * @param {import("./types.js").Range} range
   * @param {AbortSignal} [signal]
   * @returns {Promise<any>}
   */
  async getRange(path, query, range, signal) {
    const aheadMs = this.#clockAheadMs;
    const wasRight = () => Math.abs(this.#clockAheadMs - aheadMs) <= CLOCK_TOLERANCE_MS;
    try {
      const answer = await this.get(path, { ...query, ...windowOf(range, this.nowMs()) }, signal);
      if (wasRight()) return answer;
    } catch (error) {
      if (wasRight()) throw error;
    }
    return this.get(path, { ...query, ...windowOf(range, this.nowMs()) }, signal);
  }

  /** HTTP's Date has whole seconds, hence the tolerance: an almost right clock is better than that. */
  #noteTime(/** @type {string | null} */ date) {
    const aheadMs = Date.parse(date ?? "") + 500 - Date.now();
    if (Number.isFinite(aheadMs)) this.#clockAheadMs = Math.abs(aheadMs) > CLOCK_TOLERANCE_MS ? aheadMs : 0;
  }
}

/**
 * Fetches, and tells whoever did not answer in time from whoever refused.
 * @param {string} address
 * @param {RequestInit} options
 * @param {(response: Response) => Promise<any>} read
 */
async function send(address, options, read) {
  const { signal } = options;
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  try {
    const response = await fetch(address, {
      ...options,
      headers: { Accept: "application/json", ...options.headers },
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
    });
    return await read(response);
  } catch (error) {
    if (error instanceof RefusedError || signal?.aborted) throw error;
    throw new UnreachableError(timeout.aborted ? "no answer in 10 s" : "no connection");
  }
}

/** @param {Response} response */
async function refusal(response) {
  const problem = await response.json().catch(() => ({}));
  const message = problem.detail || problem.title || `the server answered ${response.status}`;
  const afterMs = Number(response.headers.get("Retry-After")) * 1000;
  return new RefusedError(response.status, message, Number.isFinite(afterMs) ? afterMs : 0);
}

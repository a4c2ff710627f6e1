import { useEffect, useState } from "preact/hooks";
import { isPassing, RefusedError } from "./api.js";
import { count, dayAndTime, span } from "./format.js";
import { html } from "./html.js";
import { HourPanel } from "./hour.js";
import { usePoll } from "./poll.js";
import { iso } from "./ranges.js";

/** @typedef {import("./types.js").LedgerLine} LedgerLine */
/** @typedef {import("./types.js").Place} Place */
/** @typedef {{ name: string, well: boolean | null, text: string }} Health */

const STATUS_EVERY_MS = 2_000;
const LEDGER_EVERY_MS = 10_000;
const LEDGER_DAYS = [1, 3, 7, 30];
const LEDGER_DAYS_USUAL = 3;
const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
const LETTERS_MAX = 1_000;
const BEHIND_MS = 15_000;

/**
 * Every part with its health, in words.
 * @param {import("./types.js").Status} status
 * @returns {Health[]}
 */
function healthOf(status) {
  const part = (/** @type {string} */ name, /** @type {{ healthy: boolean, reason: string | null }} */ { healthy, reason }) => ({
    name,
    well: healthy,
    text: healthy ? "answers" : (reason ?? "does not answer"),
  });
  const { lag_ms: lagMs, archiver, reconciler, hours } = status;
  const failed = reconciler?.failed ?? reconciler?.failures[0] ?? null;
  return [
    {
      name: "Stream",
      well: lagMs === null ? null : lagMs < BEHIND_MS,
      text: lagMs === null ? "has not reported yet" : `${span(lagMs)} behind the clicks`,
    },
    part("Store", status.store),
    part("Registry", status.registry),
    part("Ledger", status.ledger),
    {
      name: "Archiver",
      well: archiver === null ? null : archiver.lag_ms < 10 * 60_000,
      text: archiver === null ? "has not reported yet" : `the lake is ${span(archiver.lag_ms)} behind`,
    },
    {
      name: "Reconciler",
      well: reconciler === null ? null : failed === null,
      text: reconciler === null ? "does not run here" : (failed ?? (reconciler.waits || "has nothing to do")),
    },
    {
      name: "Edges",
      well: archiver === null ? null : status.not_ready.length === 0,
      text: status.not_ready.join(", ") || `${count(Object.keys(archiver?.positions ?? {}).length)} log partitions`,
    },
    {
      name: "Hours",
      well: hours === null ? null : hours.damaged === 0,
      text: hours === null ? "the ledger does not answer" : `${count(hours.open)} open, ${count(hours.damaged)} damaged`,
    },
  ];
}

/** @param {{ health: Health[] | null }} props */
function HealthCards({ health }) {
  const shown = health ?? Array.from({ length: 8 }, () => ({ name: "Part", well: null, text: "loading" }));
  return html`
    <ul class="health">
      ${shown.map(({ name, well, text }, index) => {
        const state = well === null ? "unknown" : well ? "well" : "ill";
        const word = { unknown: "Unknown", well: "Well", ill: "Needs attention" }[state];
        return html`
          <li key=${index} class=${`card ${state}`}>
            <h2 class=${health ? "" : "skeleton"}>${name}</h2>
            <p class=${health ? "state" : "state skeleton"}><span class="dot"></span>${word}</p>
            <p class=${health ? "quiet" : "quiet skeleton"}>${text}</p>
          </li>
        `;
      })}
    </ul>
  `;
}

const finalText = (/** @type {string | null} */ through, /** @type {string} */ zone) =>
  through ? `Numbers are final up to ${dayAndTime(Date.parse(through), zone)}.` : "No hour is final yet.";

/**
 * The newest line of each hour, newest hour first.
 * @param {{
 *   lines: LedgerLine[] | null, days: number, onDays: (days: number) => void,
 *   hour: string, zone: string, onHour: (hour: string) => void,
 * }} props
 */
function LedgerTable({ lines, days, onDays, hour, zone, onHour }) {
  const heads = ["Hour", "State", "Revision", "Live", "Final", "Difference", "Late", "Missing"];
  const skeleton = html`<p class="skeleton ledger-loading">Loading</p>`;
  const none = html`<p class="quiet none">No hour of these days was recounted yet. The first one is ten minutes after its end.</p>`;
  return html`
    <section class="card ledger" aria-labelledby="ledger-title">
      <div class="card-head">
        <h2 id="ledger-title">Recounted hours</h2>
        <select
          aria-label="Hours of" value=${days}
          onChange=${(/** @type {any} */ event) => onDays(Number(event.target.value))}
        >
          ${LEDGER_DAYS.map(
            (one) => html`
              <option key=${one} value=${one} selected=${one === days}>Last ${one === 1 ? "day" : `${one} days`}</option>
            `,
          )}
        </select>
        <p class="quiet">Times in ${zone}; choose an hour to see what was found</p>
      </div>
      ${lines === null && skeleton} ${lines?.length === 0 && none}
      ${lines !== null && lines.length > 0 && html`
        <div class="ledger-scroll" tabindex="0" role="group" aria-label="Recounted hours, list">
          <table>
            <thead><tr>${heads.map((head) => html`<th key=${head} scope="col">${head}</th>`)}</tr></thead>
            <tbody>
              ${lines.toReversed().map(
                (line) => html`
                  <tr key=${line.hour} class=${line.hour === hour ? "chosen" : ""}>
                    <th scope="row">
                      <button
                        type="button" aria-pressed=${line.hour === hour ? "true" : "false"}
                        onClick=${() => onHour(line.hour === hour ? "" : line.hour)}
                      >
                        ${dayAndTime(Date.parse(line.hour), zone)}
                      </button>
                    </th>
                    <td><span class=${`badge ${line.state}`}>${line.state}</span></td>
                    <td>${line.revision}</td>
                    <td>${count(line.live)}</td>
                    <td>${count(line.final)}</td>
                    <td>${count(line.difference)}</td>
                    <td>${count(line.late)}</td>
                    <td>${count(line.missing)}</td>
                  </tr>
                `,
              )}
            </tbody>
          </table>
        </div>
      `}
    </section>
  `;
}

/** How many dead letters there are, and what to do about them. @param {{ page: any }} props */
function DeadLetters({ page }) {
  const letters = page?.letters.length ?? 0;
  const text = page?.next ? `${count(letters)} or more` : count(letters);
  return html`
    <section class="card letters" aria-labelledby="letters-title">
      <h2 id="letters-title">Dead letters</h2>
      <p class=${page ? "number large" : "number large skeleton"}>${text}</p>
      <p class="quiet">
        ${letters > 0
          ? html`What of the log could not be read. See them with <code>adtally deadletters list</code>, then mend and replay.`
          : "Everything in the log could be read."}
      </p>
    </section>
  `;
}

/**
 * What an operator wants to know: whether all parts are well, and what recounts found.
 * @param {{
 *   api: import("./api.js").Api,
 *   place: Place,
 *   go: (change: Partial<Place>) => void,
 *   onSignOut: (why: string) => void,
 * }} props
 */
export function Operations({ api, place, go, onSignOut }) {
  const ask = (/** @type {string} */ path, /** @type {Record<string, string | number>} */ query) =>
    (/** @type {AbortSignal} */ signal) => api.get(path, query, signal);
  const [days, setDays] = useState(LEDGER_DAYS_USUAL);
  const askLedger = (/** @type {AbortSignal} */ signal) => {
    const start = iso(Math.floor((api.nowMs() - days * DAY_MS) / HOUR_MS) * HOUR_MS);
    const end = iso(Math.floor(api.nowMs() / HOUR_MS) * HOUR_MS + HOUR_MS);
    return api.get("/v1/ledger", { start, end, limit: 1_000 }, signal);
  };
  /** @type {import("./types.js").Polled<import("./types.js").Status>} */
  const status = usePoll(ask("/v1/status", {}), STATUS_EVERY_MS, ["status"]);
  /** @type {import("./types.js").Polled<{ lines: LedgerLine[] }>} */
  const ledger = usePoll(askLedger, LEDGER_EVERY_MS, ["ledger", days]);
  /** @type {import("./types.js").Polled<{ letters: unknown[], next: string | null }>} */
  const letters = usePoll(ask("/v1/deadletters", { limit: LETTERS_MAX }), LEDGER_EVERY_MS, ["letters"]);
  const refused = status.error instanceof RefusedError && status.error.status === 401;
  useEffect(() => {
    if (refused) onSignOut("The server no longer accepts this key. Sign in again.");
  }, [refused, onSignOut]);

  const through = status.data?.hours?.final_through ?? null;
  const trouble = status.error && (isPassing(status.error) ? "trying again" : "reload the page, or ask with adtally status");
  return html`
    <div class="operations">
      <h1>Operations</h1>
      <p class="quiet">
        ${status.data === null
          ? "Asking every part…"
          : `Version ${status.data.version}. ${finalText(through, place.zone)}`}
      </p>
      <p class="problem" role="status">${status.error && `No news: ${status.error.message}; ${trouble}.`}</p>
      <${HealthCards} health=${status.data ? healthOf(status.data) : null} />
      <div class="operations-grid">
        <${LedgerTable}
          lines=${ledger.data?.lines ?? null} days=${days} onDays=${setDays} hour=${place.hour} zone=${place.zone}
          onHour=${(/** @type {string} */ hour) => go({ hour })}
        />
        <div>
          ${place.hour && html`<${HourPanel} key=${place.hour} api=${api} hour=${place.hour} zone=${place.zone} go=${go} />`}
          <${DeadLetters} page=${letters.data} />
        </div>
      </div>
    </div>
  `;
}

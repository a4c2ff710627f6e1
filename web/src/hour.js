import { useState } from "preact/hooks";
import { isPassing } from "./api.js";
import { count, dayAndTime } from "./format.js";
import { html } from "./html.js";
import { usePoll } from "./poll.js";

/** @typedef {import("./types.js").HourHistory} HourHistory */

const EVERY_MS = 10_000;

/**
 * The keys that the newest correction changed, from the first on; the others a page at a time.
 * @param {{ api: import("./api.js").Api, history: HourHistory, zone: string }} props
 */
function Changed({ api, history, zone }) {
  const [more, setMore] = useState({ commit: 0, changed: history.changed, next: history.next, failed: "" });
  // Pages of another correction do not belong behind this one's first.
  const known = more.commit === history.commit ? more : { ...more, changed: [], next: history.next, failed: "" };
  const changed = history.changed.concat(known.changed);
  async function showMore() {
    try {
      const query = { commit: history.commit, after: known.next ?? 0 };
      /** @type {HourHistory} */
      const page = await api.get(`/v1/ledger/${encodeURIComponent(history.hour)}`, query);
      const all = known.changed.concat(page.changed);
      setMore({ commit: history.commit, changed: all, next: page.next, failed: "" });
    } catch (error) {
      const failed = error instanceof Error ? error.message : "no answer";
      setMore({ ...known, commit: history.commit, failed });
    }
  }
  if (history.changed.length === 0) return html`<p class="quiet">No number of any ad changed.</p>`;
  return html`
    <div class="ledger-scroll short" tabindex="0" role="group" aria-label="Changed numbers, list">
      <table>
        <thead>
          <tr><th scope="col">Ad</th><th scope="col">Minute</th><th scope="col">What</th><th scope="col">Was</th><th scope="col">Is</th></tr>
        </thead>
        <tbody>
          ${changed.map(
            (key) => html`
              <tr key=${`${key.ad_id} ${key.minute} ${key.device} ${key.outcome}`}>
                <th scope="row">${key.ad_id}</th>
                <td>${dayAndTime(Date.parse(key.minute), zone)}</td>
                <td>${key.outcome}, ${key.device}</td>
                <td>${count(key.old)}</td>
                <td>${count(key.new)}</td>
              </tr>
            `,
          )}
        </tbody>
      </table>
    </div>
    ${known.next !== null && html`
      <p class="quiet">
        The first ${count(changed.length)}.${" "}
        <button type="button" class="plain" onClick=${showMore}>Show more</button>
      </p>
    `}
    ${known.failed && html`<p class="problem" role="alert">No more numbers: ${known.failed}. Try again.</p>`}
  `;
}

/**
 * What the recounts of one hour found: live against final, differences, revision, changed keys.
 * @param {{ api: import("./api.js").Api, hour: string, zone: string, go: (change: any) => void }} props
 */
export function HourPanel({ api, hour, zone, go }) {
  const ask = (/** @type {AbortSignal} */ signal) => api.get(`/v1/ledger/${encodeURIComponent(hour)}`, {}, signal);
  /** @type {import("./types.js").Polled<HourHistory>} */
  const { data, error } = usePoll(ask, EVERY_MS, [hour]);
  const line = data?.lines.at(-1) ?? null;
  const atMs = Date.parse(hour);
  const title = Number.isFinite(atMs) ? dayAndTime(atMs, zone) : hour;
  const difference = line ? line.final - line.live : 0;
  const facts = line && [
    ["Counted live", count(line.live)],
    ["Recounted", `${count(line.final)} (${difference > 0 ? "+" : ""}${count(difference)})`],
    ["State", `${line.state}, revision ${line.revision}`],
    ["Numbers that differed", count(line.keys_differed)],
    ["Received", count(line.received)],
    ["Duplicates", count(line.duplicates)],
    ["Late, missing", `${count(line.late)}, ${count(line.missing)}`],
    ["Recounted by", `${line.engine} in ${count(line.duration_ms)} ms`],
    ...(line.note ? [["Note", line.note]] : []),
  ];
  return html`
    <section class="card hour" aria-labelledby="hour-title">
      <div class="card-head">
        <h2 id="hour-title">The hour ${title}</h2>
        <button type="button" class="plain" onClick=${() => go({ hour: "" })}>Close</button>
      </div>
      ${error && !isPassing(error) && html`<p class="problem" role="alert">${error.message}</p>`}
      ${!facts && !error && html`<p class="skeleton ledger-loading">Loading</p>`}
      ${facts && html`
        <dl>${facts.map(([label, value]) => html`<div key=${label}><dt>${label}</dt><dd class="number">${value}</dd></div>`)}</dl>
      `}
      ${data && html`<${Changed} api=${api} history=${data} zone=${zone} />`}
    </section>
  `;
}

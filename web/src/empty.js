import { useEffect, useState } from "preact/hooks";
import { html } from "./html.js";

/** @typedef {import("./api.js").Api} Api */

/** Wraps a text for a POSIX shell. */
const quoted = (/** @type {string} */ text) => `'${text.replaceAll("'", String.raw`'\''`)}'`;

/** A command with a button that copies it. @param {{ command: string }} props */
function Command({ command }) {
  const [copied, setCopied] = useState(false);
  const copy = () => navigator.clipboard?.writeText(command).then(() => setCopied(true), () => undefined);
  return html`
    <div class="command">
      <pre tabindex="0"><code>${command}</code></pre>
      <button type="button" class="plain" onClick=${copy}>${copied ? "Copied" : "Copy"}</button>
    </div>
  `;
}

/**
 * Stands where the chart would, for an ad without a click in the range: how to make one.
 * @param {{ api: Api, adId: string, rangeText: string }} props
 */
export function NoClicks({ api, adId, rangeText }) {
  const [clickUrl, setClickUrl] = useState(`http://${location.hostname}:8080`);
  useEffect(() => {
    const leaving = new AbortController();
    // The edge may be behind another address; without an answer its default one stands.
    api.get("/v1/about", {}, leaving.signal).then(
      (about) => about.click_url && setClickUrl(about.click_url),
      () => undefined,
    );
    return () => leaving.abort();
  }, [api]);
  const query = new URLSearchParams({ ad_id: adId, user_id: "alice" });
  // curl's own user agent would be classified as a bot.
  const command = `curl -i -A Mozilla/5.0 ${quoted(`${clickUrl}/click?${query}`)}`;
  return html`
    <div class="empty">
      <h2>No clicks ${rangeText}</h2>
      <p>Make one, and it shows here within seconds:</p>
      <${Command} command=${command} />
    </div>
  `;
}

/** Stands where the chart would, for a key that sees no ads yet: how to import some. */
export function NoAds() {
  return html`
    <div class="empty">
      <h2>No ads yet</h2>
      <p>
        Import them from a CSV file with the columns <code>ad_id</code>, <code>advertiser_id</code>,${" "}
        <code>landing_url</code>:
      </p>
      <${Command} command="adtally ads import ads.csv" />
    </div>
  `;
}

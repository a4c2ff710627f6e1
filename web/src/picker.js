import { useEffect, useRef, useState } from "preact/hooks";
import { useSearch } from "./catalog.js";
import { count } from "./format.js";
import { html } from "./html.js";

/** @typedef {import("./types.js").Ad} Ad */
/** @typedef {{ id: string, title: string, detail: string, badge: string }} Choice */

const SHOWN_MAX = 50;

/** @returns {Choice} */
const choiceOf = (/** @type {Ad} */ ad) => ({
  id: ad.ad_id,
  title: ad.name || ad.ad_id,
  detail: [ad.name ? ad.ad_id : "", ad.campaign_id].filter(Boolean).join(" · "),
  badge: ad.status === "active" ? "" : ad.status,
});

/**
 * What can be chosen for the typed text: matching ads, and the text itself as an id where not all matches are known.
 * @param {import("./catalog.js").Found} found
 * @param {string} typed
 */
function choicesFor(found, typed) {
  const choices = found.ads.slice(0, SHOWN_MAX).map(choiceOf);
  const id = typed.trim();
  if (!found.complete && id !== "" && !choices.some((choice) => choice.id === id)) {
    choices.push({ id, title: id, detail: "open the ad with exactly this id", badge: "" });
  }
  return choices;
}

/** How many there are, for the line below the list. */
function summary(/** @type {import("./catalog.js").Found} */ { ads, complete, pending }) {
  const found = ads.length;
  const shown = Math.min(found, SHOWN_MAX);
  if (pending && found === 0) return "Searching…";
  if (found > shown) return `${count(shown)} of ${count(found)}${complete ? "" : " and more"}. Type to narrow it.`;
  if (found === 0) return complete ? "No ad matches." : "No match so far. Type more of the name.";
  return `${count(found)} ${found === 1 ? "ad" : "ads"}${complete ? "" : ", more exist"}.`;
}

/** The lines of the list. @param {{ choices: Choice[], active: number, onChoose: (id: string) => void }} props */
function Options({ choices, active, onChoose }) {
  return choices.map(
    (choice, index) => html`
      <li
        key=${choice.id}
        id=${`ad-option-${index}`}
        role="option"
        aria-selected=${index === active}
        onMouseDown=${(/** @type {Event} */ event) => event.preventDefault()}
        onClick=${() => onChoose(choice.id)}
      >
        <span class="option-title">${choice.title}</span>
        ${choice.badge && html`<span class="badge">${choice.badge}</span>`}
        <span class="option-detail">${choice.detail}</span>
      </li>
    `,
  );
}

/**
 * Chooses an ad by name, id or campaign: the combobox of the ARIA Authoring Practices 1.2, with a list that is filtered.
 * @param {{
 *   api: import("./api.js").Api,
 *   catalog: { ads: Ad[], ready: boolean, complete: boolean },
 *   chosen: { id: string, title: string },
 *   onChoose: (adId: string) => void,
 *   inputRef: { current: HTMLInputElement | null },
 * }} props
 */
export function AdPicker({ api, catalog, chosen, onChoose, inputRef }) {
  const [typed, setTyped] = useState(/** @type {string | null} */ (null));
  const [active, setActive] = useState(0);
  const list = useRef(/** @type {HTMLElement | null} */ (null));
  const open = typed !== null;
  const found = useSearch(api, catalog, typed ?? "");
  const choices = choicesFor(found, typed ?? "");

  useEffect(() => {
    if (open) list.current?.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: "nearest" });
  }, [open, active]);

  function show(/** @type {string} */ text) {
    setTyped(text);
    setActive(text === "" ? Math.max(0, choices.findIndex((choice) => choice.id === chosen.id)) : 0);
  }
  function choose(/** @type {string} */ adId) {
    setTyped(null);
    onChoose(adId);
  }
  function onKeyDown(/** @type {KeyboardEvent} */ event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step !== undefined) {
      event.preventDefault();
      if (open) setActive((active + step + choices.length) % Math.max(1, choices.length));
      else show("");
    } else if (event.key === "Enter" && open) {
      event.preventDefault();
      const choice = choices[active];
      if (choice) choose(choice.id);
    } else if (event.key === "Escape" && open) {
      event.preventDefault();
      setTyped(null);
    }
  }

  return html`
    <div class="picker">
      <label for="ad">Ad</label>
      <div class="picker-field">
        <input
          id="ad"
          ref=${inputRef}
          role="combobox"
          autocomplete="off"
          spellcheck=${false}
          aria-autocomplete="list"
          aria-expanded=${open ? "true" : "false"}
          aria-controls="ad-list"
          aria-activedescendant=${open && choices[active] ? `ad-option-${active}` : undefined}
          placeholder=${open ? "Search by name, id or campaign" : "All ads"}
          value=${typed ?? chosen.title}
          onClick=${() => !open && show("")}
          onInput=${(/** @type {any} */ event) => show(event.target.value)}
          onKeyDown=${onKeyDown}
          onBlur=${() => setTyped(null)}
        />
        <svg class="chevron" viewBox="0 0 16 16" aria-hidden="true"><path d="m4 6 4 4 4-4" /></svg>
      </div>
      <div class="picker-popup" hidden=${!open}>
        <ul id="ad-list" ref=${list} role="listbox" aria-label="Ads">
          <${Options} choices=${choices} active=${active} onChoose=${choose} />
        </ul>
        <p class="picker-summary">
          ${catalog.ready ? summary(found) : "Loading ads…"}
        </p>
      </div>
    </div>
  `;
}

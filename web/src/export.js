import { html } from "./html.js";

const FORMATS = [
  { id: "csv", label: "CSV" },
  { id: "parquet", label: "Parquet" },
];

/**
 * Links to exactly the numbers that are shown, as files: the browser streams them to the disk by itself.
 * @param {{ exports: { path: string, query: Record<string, string> } }} props
 */
export function ExportLinks({ exports }) {
  return html`
    <p class="exports">
      <span class="quiet">Export</span>
      ${FORMATS.map(
        (format) => html`
          <a
            key=${format.id}
            class="plain"
            download=${`clicks.${format.id}`}
            href=${`${exports.path}?${new URLSearchParams({ ...exports.query, format: format.id })}`}
          >
            ${format.label}
          </a>
        `,
      )}
    </p>
  `;
}

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import { bucketName, count, shortCount, tick } from "./format.js";
import { html } from "./html.js";
import { columnsOf } from "./series.js";

/** @typedef {import("./types.js").Bucket} Bucket */
/** @typedef {import("./types.js").Grain} Grain */
/** @typedef {{ grain: Grain, zone: string }} Scale */

/** What the vertical axis may count in: 1, 2, 5, 10, 20, 50... There are no half clicks. */
const WHOLE_STEPS = Array.from({ length: 12 }, (_, power) => [1, 2, 5].map((step) => step * 10 ** power)).flat();
const FINE_ABOVE = 400;
const POINTS_UP_TO = 40;
const Y_MAX_LEAST = 4;
const PAGE_BUCKETS = 10;

/** A colour of the theme that is in force now. */
const themed = (/** @type {string} */ name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** The area below the clicks, fading towards the axis. */
function fade(/** @type {uPlot} */ plot) {
  const { top, height } = plot.bbox;
  const gradient = plot.ctx.createLinearGradient(0, top, 0, top + height);
  gradient.addColorStop(0, themed("--clicks-fill"));
  gradient.addColorStop(1, themed("--clicks-fill-end"));
  return gradient;
}

/** Moves the cursor's line onto the bucket that is read. @type {uPlot.Cursor.MousePosRefiner} */
function snap(plot, left, top) {
  const at = left < 0 ? undefined : plot.data[0][plot.posToIdx(left)];
  return [at === undefined ? left : plot.valToPos(at, "x"), top];
}

/**
 * @param {HTMLElement} box
 * @param {number} length how many buckets: many lines need a finer pen, few show each point
 * @param {Scale} scale
 * @param {(index: number | null) => void} onCursor
 * @returns {uPlot.Options}
 */
function optionsFor(box, length, scale, onCursor) {
  const font = `12px ${getComputedStyle(box).fontFamily}`;
  const axis = { stroke: themed("--text-quiet"), font, ticks: { show: false }, gap: 8 };
  const line = (/** @type {string} */ stroke, /** @type {number[]} */ dash) => ({
    stroke: themed(stroke),
    width: length > FINE_ABOVE ? 1 : 2,
    dash,
    points: { show: length <= POINTS_UP_TO, size: 5, fill: themed(stroke), width: 0 },
  });
  return {
    width: box.clientWidth,
    height: box.clientHeight,
    legend: { show: false },
    tzDate: (second) => uPlot.tzDate(new Date(second * 1000), scale.zone),
    padding: [12, 22, 0, 0],
    cursor: { y: false, move: snap, drag: { x: false, y: false }, points: { size: 8, width: 2 } },
    scales: { y: { range: (_plot, _min, max) => [0, Math.max(Y_MAX_LEAST, max * 1.08)] } },
    axes: [
      {
        ...axis,
        size: 32,
        space: 72,
        grid: { show: false },
        values: (_plot, splits, _axis, _space, stepS) =>
          splits.map((second) => tick(second * 1000, stepS * 1000, scale.zone)),
      },
      {
        ...axis,
        size: 46,
        incrs: WHOLE_STEPS,
        grid: { stroke: themed("--line"), width: 1 },
        values: (_plot, splits) => splits.map(shortCount),
      },
    ],
    series: [
      {},
      { ...line("--before", [6, 4]), width: 1.25, points: { show: false } },
      line("--users", []),
      { ...line("--clicks", []), fill: fade },
      line("--users-open", []),
      line("--clicks-open", []),
      line("--users-open", [2, 5]),
      line("--clicks-open", [2, 5]),
    ],
    hooks: { setCursor: [(plot) => onCursor(plot.cursor.idx ?? null)] },
  };
}

/** Where an arrow key moves the reader from bucket `index` of `length`; null for other keys. */
function moved(/** @type {string} */ key, /** @type {number} */ index, /** @type {number} */ length) {
  /** @type {Record<string, number>} */
  const steps = { ArrowLeft: -1, ArrowRight: 1, PageDown: -PAGE_BUCKETS, PageUp: PAGE_BUCKETS };
  const step = key === "Home" ? -length : key === "End" ? length : steps[key];
  return step === undefined ? null : Math.min(length - 1, Math.max(0, index + step));
}

/**
 * Keeps a plot in `box`, drawn anew when the theme or the pen changes, and tells which bucket the cursor is on.
 * @param {{ current: HTMLElement | null }} box
 * @param {Bucket[]} buckets
 * @param {number} nowMs
 * @param {Scale} scale
 * @param {(bucket: Bucket | null) => void} onRead
 * @returns {{ current: uPlot | null }}
 */
function usePlot(box, buckets, nowMs, scale, onRead) {
  const plot = useRef(/** @type {uPlot | null} */ (null));
  const latest = useRef({ buckets, nowMs, onRead });
  latest.current = { buckets, nowMs, onRead };
  const pen = buckets.length > FINE_ABOVE ? "fine" : buckets.length > POINTS_UP_TO ? "line" : "points";

  useLayoutEffect(() => {
    const element = box.current;
    if (element === null) return undefined;
    function onCursor(/** @type {number | null} */ index) {
      latest.current.onRead(index === null ? null : (latest.current.buckets[index] ?? null));
    }
    function draw() {
      plot.current?.destroy();
      const { buckets: drawn, nowMs: atMs } = latest.current;
      if (element === null) return;
      const options = optionsFor(element, drawn.length, scale, onCursor);
      plot.current = new uPlot(options, columnsOf(drawn, atMs), element);
    }
    draw();
    const size = new ResizeObserver(() =>
      plot.current?.setSize({ width: element.clientWidth, height: element.clientHeight }),
    );
    size.observe(element);
    const theme = matchMedia("(prefers-color-scheme: dark)");
    theme.addEventListener("change", draw);
    return () => {
      size.disconnect();
      theme.removeEventListener("change", draw);
      plot.current?.destroy();
    };
  }, [pen, scale.zone]);
  useEffect(() => plot.current?.setData(columnsOf(buckets, nowMs)), [buckets]);
  return plot;
}

/**
 * Draws clicks and unique users by bucket. Can be focused and read bucket by bucket with the arrow keys: it is a slider
 * to assistive technology, whose value is the bucket with its numbers.
 * @param {{
 *   buckets: Bucket[], nowMs: number, scale: Scale, label: string, onRead: (bucket: Bucket | null) => void,
 * }} props
 */
export function Chart({ buckets, nowMs, scale, label, onRead }) {
  const box = useRef(/** @type {HTMLDivElement | null} */ (null));
  const [readMs, setReadMs] = useState(/** @type {number | null} */ (null));
  // Beside the state, because a key may be pressed between a draw and its effects.
  const reading = useRef(/** @type {number | null} */ (null));
  const plot = usePlot(box, buckets, nowMs, scale, (bucket) => {
    reading.current = bucket?.startMs ?? null;
    setReadMs(reading.current);
    onRead(bucket);
  });
  const found = readMs === null ? -1 : buckets.findIndex((bucket) => bucket.startMs === readMs);
  const at = found < 0 ? buckets.length - 1 : found;

  function show(/** @type {number | null} */ index) {
    const bucket = index === null ? undefined : buckets[index];
    // uPlot takes a place off the canvas as "no cursor".
    const left = (bucket && plot.current?.valToPos(bucket.startMs / 1000, "x")) ?? -10;
    plot.current?.setCursor({ left, top: bucket ? 0 : -10 });
  }
  useEffect(() => {
    // A new bucket moves all others to the left; who reads one with the keys stays on it.
    const index = buckets.findIndex((one) => one.startMs === reading.current);
    if (index >= 0 && document.activeElement === box.current) show(index);
  }, [buckets]);
  function onKeyDown(/** @type {KeyboardEvent} */ event) {
    const to = moved(event.key, at, buckets.length);
    if (to === null) return;
    event.preventDefault();
    show(to);
  }

  const bucket = buckets[at];
  const numbers = bucket && `${count(bucket.clicks)} clicks, ${count(bucket.users)} unique users`;
  return html`
    <div
      class="chart"
      ref=${box}
      role="slider"
      tabindex="0"
      aria-label=${label}
      aria-valuemin="0"
      aria-valuemax=${Math.max(0, buckets.length - 1)}
      aria-valuenow=${Math.max(0, at)}
      aria-valuetext=${bucket && `${bucketName(bucket.startMs, scale.grain, scale.zone)}: ${numbers}`}
      onKeyDown=${onKeyDown}
      onBlur=${() => show(null)}
    ></div>
  `;
}

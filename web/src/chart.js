import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import { count, shortCount, timeOfDay } from "./format.js";
import { html } from "./html.js";
import { columnsOf } from "./series.js";

/** @typedef {import("./types.js").Minute} Minute */

/** What the vertical axis may count in: 1, 2, 5, 10, 20, 50... There are no half clicks. */
const WHOLE_STEPS = Array.from({ length: 12 }, (_, power) => [1, 2, 5].map((step) => step * 10 ** power)).flat();
const FINE_ABOVE_MINUTES = 400;
const Y_MAX_LEAST = 4;
const PAGE_MINUTES = 10;

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

/** Moves the cursor's line onto the minute that is read. @type {uPlot.Cursor.MousePosRefiner} */
function snap(plot, left, top) {
  const at = left < 0 ? undefined : plot.data[0][plot.posToIdx(left)];
  return [at === undefined ? left : plot.valToPos(at, "x"), top];
}

/**
 * @param {HTMLElement} box
 * @param {boolean} fine a day's lines need a finer pen
 * @param {(index: number | null) => void} onCursor
 * @returns {uPlot.Options}
 */
function optionsFor(box, fine, onCursor) {
  const font = `12px ${getComputedStyle(box).fontFamily}`;
  const axis = { stroke: themed("--text-quiet"), font, ticks: { show: false }, gap: 8 };
  const line = (/** @type {string} */ stroke, /** @type {number[]} */ dash) => ({
    stroke: themed(stroke),
    width: fine ? 1 : 2,
    dash,
    points: { show: false },
  });
  return {
    width: box.clientWidth,
    height: box.clientHeight,
    legend: { show: false },
    padding: [12, 22, 0, 0],
    cursor: { y: false, move: snap, drag: { x: false, y: false }, points: { size: 8, width: 2 } },
    scales: { y: { range: (_plot, _min, max) => [0, Math.max(Y_MAX_LEAST, max * 1.08)] } },
    axes: [
      {
        ...axis,
        size: 32,
        space: 72,
        grid: { show: false },
        values: (_plot, splits) => splits.map((second) => timeOfDay(second * 1000)),
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
      { ...line("--clicks", []), fill: fade },
      line("--users", []),
      { ...line("--clicks", [2, 5]), fill: fade },
      line("--users", [2, 5]),
    ],
    hooks: { setCursor: [(plot) => onCursor(plot.cursor.idx ?? null)] },
  };
}

/** Where an arrow key moves the reader from minute `index` of `length`; null for other keys. */
function moved(/** @type {string} */ key, /** @type {number} */ index, /** @type {number} */ length) {
  /** @type {Record<string, number>} */
  const steps = { ArrowLeft: -1, ArrowRight: 1, PageDown: -PAGE_MINUTES, PageUp: PAGE_MINUTES };
  const step = key === "Home" ? -length : key === "End" ? length : steps[key];
  return step === undefined ? null : Math.min(length - 1, Math.max(0, index + step));
}

/**
 * Keeps a plot in `box`, drawn anew when the theme or the pen changes, and tells which minute the cursor is on.
 * @param {{ current: HTMLElement | null }} box
 * @param {Minute[]} minutes
 * @param {number} nowMs
 * @param {(minute: Minute | null) => void} onRead
 * @returns {{ current: uPlot | null }}
 */
function usePlot(box, minutes, nowMs, onRead) {
  const plot = useRef(/** @type {uPlot | null} */ (null));
  const latest = useRef({ minutes, nowMs, onRead });
  latest.current = { minutes, nowMs, onRead };
  const fine = minutes.length > FINE_ABOVE_MINUTES;

  useLayoutEffect(() => {
    const element = box.current;
    if (element === null) return undefined;
    function onCursor(/** @type {number | null} */ index) {
      latest.current.onRead(index === null ? null : (latest.current.minutes[index] ?? null));
    }
    function draw() {
      plot.current?.destroy();
      const { minutes: drawn, nowMs: atMs } = latest.current;
      if (element) plot.current = new uPlot(optionsFor(element, fine, onCursor), columnsOf(drawn, atMs), element);
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
  }, [fine]);
  useEffect(() => plot.current?.setData(columnsOf(minutes, nowMs)), [minutes]);
  return plot;
}

/**
 * Draws clicks and unique users by minute. Can be focused and read minute by minute with the arrow keys: it is a slider
 * to assistive technology, whose value is the minute with its numbers.
 * @param {{ minutes: Minute[], nowMs: number, label: string, onRead: (minute: Minute | null) => void }} props
 */
export function Chart({ minutes, nowMs, label, onRead }) {
  const box = useRef(/** @type {HTMLDivElement | null} */ (null));
  const [readMs, setReadMs] = useState(/** @type {number | null} */ (null));
  const plot = usePlot(box, minutes, nowMs, (minute) => {
    setReadMs(minute?.startMs ?? null);
    onRead(minute);
  });
  const found = readMs === null ? -1 : minutes.findIndex((minute) => minute.startMs === readMs);
  const at = found < 0 ? minutes.length - 1 : found;

  function show(/** @type {number | null} */ index) {
    const minute = index === null ? undefined : minutes[index];
    // uPlot takes a place off the canvas as "no cursor".
    const left = (minute && plot.current?.valToPos(minute.startMs / 1000, "x")) ?? -10;
    plot.current?.setCursor({ left, top: minute ? 0 : -10 });
  }
  useEffect(() => {
    // A new minute moves all others to the left; who reads one with the keys stays on it.
    if (found >= 0 && document.activeElement === box.current) show(found);
  }, [minutes]);
  function onKeyDown(/** @type {KeyboardEvent} */ event) {
    const to = moved(event.key, at, minutes.length);
    if (to === null) return;
    event.preventDefault();
    show(to);
  }

  const minute = minutes[at];
  const numbers = minute && `${count(minute.clicks)} clicks, ${count(minute.users)} unique users`;
  return html`
    <div
      class="chart"
      ref=${box}
      role="slider"
      tabindex="0"
      aria-label=${label}
      aria-valuemin="0"
      aria-valuemax=${Math.max(0, minutes.length - 1)}
      aria-valuenow=${Math.max(0, at)}
      aria-valuetext=${minute && `${timeOfDay(minute.startMs)}: ${numbers}`}
      onKeyDown=${onKeyDown}
      onBlur=${() => show(null)}
    ></div>
  `;
}

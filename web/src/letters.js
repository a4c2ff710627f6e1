import { useLayoutEffect, useState } from "preact/hooks";

const ITEM = "adtally.letters";

/**
 * Calls `onLetter` for keys that are pressed outside of fields, if the reader has not switched them off: WCAG 2.1.4
 * asks for the switch, because speech input and stray keys press letters too.
 * @param {(letter: string) => boolean} onLetter true if the letter means something here
 * @returns {[boolean, (on: boolean) => void]}
 */
export function useLetters(onLetter) {
  const [on, setOn] = useState(() => localStorage.getItem(ITEM) !== "off");
  // Before the next key can be pressed.
  useLayoutEffect(() => {
    if (!on) return undefined;
    function onKeyDown(/** @type {KeyboardEvent} */ event) {
      const inField = event.target instanceof Element && event.target.closest("input, textarea, select");
      const isCheckbox = event.target instanceof HTMLInputElement && event.target.type === "checkbox";
      if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || (inField && !isCheckbox)) return;
      if (onLetter(event.key.toLowerCase())) event.preventDefault();
    }
    addEventListener("keydown", onKeyDown);
    return () => removeEventListener("keydown", onKeyDown);
  }, [on, onLetter]);
  return [
    on,
    (/** @type {boolean} */ wanted) => {
      localStorage.setItem(ITEM, wanted ? "on" : "off");
      setOn(wanted);
    },
  ];
}

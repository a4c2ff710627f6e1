import htm from "htm";
import { h } from "preact";

/** Templates as Preact's elements. */
export const html = htm.bind(h);

import { useState } from "preact/hooks";
import { RefusedError } from "./api.js";
import { html } from "./html.js";
import { signIn } from "./session.js";
import { Wordmark } from "./wordmark.js";

/** What to do about a key that did not work. */
function advice(/** @type {unknown} */ error) {
  if (error instanceof RefusedError && (error.status === 401 || error.status === 403)) {
    return "This key is not valid. Check that you copied the whole key, or ask for a new one.";
  }
  if (error instanceof RefusedError && error.status === 429) {
    return "Too many sign-ins have failed. Wait a few seconds, then try again.";
  }
  if (error instanceof RefusedError) return `The server could not check the key: ${error.message}. Try again.`;
  return "The server does not answer. Check that adtally is running, then try again.";
}

/**
 * Asks for an API key and signs in with it.
 * @param {{ notice: string, onSignedIn: () => void }} props
 */
export function SignIn({ notice, onSignedIn }) {
  const [key, setKey] = useState("");
  const [problem, setProblem] = useState(notice);
  const [busy, setBusy] = useState(false);

  async function submit(/** @type {Event} */ event) {
    event.preventDefault();
    const given = key.trim();
    if (busy) return undefined;
    if (given === "") return setProblem("Enter an API key.");
    setBusy(true);
    try {
      await signIn(given);
      return onSignedIn();
    } catch (error) {
      setBusy(false);
      return setProblem(advice(error));
    }
  }

  return html`
    <main class="signin">
      <form class="card signin-card" onSubmit=${submit} novalidate>
        <${Wordmark} />
        <h1>Sign in</h1>
        <label for="key">API key</label>
        <input type="text" autocomplete="username" value="adtally" hidden />
        <input
          id="key"
          type="password"
          autocomplete="current-password"
          spellcheck=${false}
          autofocus
          value=${key}
          aria-invalid=${problem ? "true" : "false"}
          aria-describedby="key-problem key-help"
          onInput=${(/** @type {any} */ event) => setKey(event.target.value)}
        />
        <p id="key-problem" class="problem" role="alert">${problem}</p>
        <button class="primary" type="submit">${busy ? "Checking…" : "Sign in"}</button>
        <p id="key-help" class="quiet">
          An advertiser’s key comes from <code>adtally keys create --advertiser ID</code>. The operator’s key
          is${" "}<code>admin.key</code> in the data folder. You stay signed in for 12 hours.
        </p>
      </form>
    </main>
  `;
}

import { useCallback, useEffect, useMemo, useState } from "preact/hooks";
import { Api } from "./api.js";
import { Dashboard } from "./dashboard.js";
import { html } from "./html.js";
import { isSignedIn, signOut } from "./session.js";
import { SignIn } from "./signin.js";

/** The page: the sign-in form, or the dashboard of whoever signed in. */
export function App() {
  // null until the server has said.
  const [signedIn, setSignedIn] = useState(/** @type {boolean | null} */ (null));
  const [notice, setNotice] = useState("");

  useEffect(() => {
    isSignedIn().then(setSignedIn);
  }, []);

  const onSignedIn = useCallback(() => {
    setNotice("");
    setSignedIn(true);
  }, []);
  const onSignOut = useCallback(async (/** @type {string} */ why) => {
    let told = why;
    if (why === "") {
      told = await signOut().then(
        () => "",
        () => "The server did not answer, so you may still be signed in. Sign in and out again.",
      );
    }
    setNotice(told);
    setSignedIn(false);
  }, []);

  const api = useMemo(() => (signedIn ? new Api() : null), [signedIn]);
  if (signedIn === null) return null;
  if (api === null) return html`<${SignIn} notice=${notice} onSignedIn=${onSignedIn} />`;
  return html`<${Dashboard} api=${api} onSignOut=${onSignOut} />`;
}

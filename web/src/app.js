import { useCallback, useEffect, useMemo, useState } from "preact/hooks";
import { Api } from "./api.js";
import { Dashboard } from "./dashboard.js";
import { html } from "./html.js";
import { storedKey, storeKey, takeKeyFromFragment } from "./session.js";
import { SignIn } from "./signin.js";

/** The page: the sign-in form, or the dashboard of whoever signed in. */
export function App() {
  const [key, setKey] = useState(() => {
    const given = takeKeyFromFragment();
    if (given !== null) storeKey(given);
    return given ?? storedKey();
  });
  const [notice, setNotice] = useState("");

  const signIn = useCallback((/** @type {string} */ newKey) => {
    storeKey(newKey);
    setNotice("");
    setKey(newKey);
  }, []);
  const signOut = useCallback((/** @type {string} */ why) => {
    storeKey(null);
    setNotice(why);
    setKey(null);
  }, []);

  useEffect(() => {
    // A link with a key, pasted into a tab that shows the page already, loads nothing anew.
    const onFragment = () => {
      const given = takeKeyFromFragment();
      if (given !== null) signIn(given);
    };
    addEventListener("hashchange", onFragment);
    return () => removeEventListener("hashchange", onFragment);
  }, [signIn]);

  const api = useMemo(() => (key === null ? null : new Api(key)), [key]);
  if (api === null) return html`<${SignIn} notice=${notice} onKey=${signIn} />`;
  return html`<${Dashboard} key=${key} api=${api} onSignOut=${signOut} />`;
}

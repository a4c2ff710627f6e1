import { Api, RefusedError } from "./api.js";

const PATH = "/v1/session";

/** Signs in: the server sets a cookie, and the page forgets the key. Throws as `Api.change`. */
export const signIn = (/** @type {string} */ key) => new Api().change("POST", PATH, { key });

/** Ends the session, here and on the server. Throws as `Api.change`. */
export const signOut = () => new Api().change("DELETE", PATH);

/**
 * Tells whether the browser is signed in. A server that does not answer now has not said no: whatever the page asks
 * next will tell.
 * @returns {Promise<boolean>}
 */
export async function isSignedIn() {
  try {
    await new Api().get(PATH, {});
  } catch (error) {
    return !(error instanceof RefusedError && error.status === 401);
  }
  return true;
}

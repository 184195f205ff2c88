// Where the gateway is, and as whom it is asked.

/** What stands in front of every path: a proxy may have put the gateway below one of its own. */
export const base = new URL(".", document.baseURI);

export const at = path => new URL(path, base);
export const channelUrl = name => at(`channels/${encodeURIComponent(name)}`);

/** A token that was typed in. It is nowhere but here: a reload forgets it. Cookies go along by themselves. */
let token = "";

export const hasToken = () => token !== "";
export const setToken = given => { token = given.trim().replace(/^Bearer +/i, ""); };

/** A request with the token, if there is one. */
export function request(url, { headers = {}, ...rest } = {}) {
  if (token) headers.authorization = `Bearer ${token}`;
  return fetch(url, { cache: "no-store", headers, ...rest });
}

// The topics that a channel's source names, so that the hashes in an id can be told by name.

let now = "";

/** The source of the channel that is shown, as the gateway tells it. */
export const setSource = source => { now = source ?? ""; };

/** Kind and name of each topic that it names: `kafka://broker/orders,returns`, `memory:demo`, `jetstream://host/ORDERS/filter`. */
export function sources() {
  return now.split(" + ").flatMap(source => {
    const [, kind, rest] = /^([a-z]+)(?:\+[a-z]+)?:(.*)$/.exec(source.trim()) ?? [];
    if (!kind) return [];
    const path = rest.replace(/^\/\/[^/]*\//, "");
    const names = kind === "jetstream" ? [path.split("/")[0]] : path.split(",");
    return names.filter(name => name !== "").map(name => [kind, name]);
  });
}

/** What this engine's build has, from `GET /v1/meta`: pages show nothing else. */

import { get } from "/ui/api.js";
import { Money } from "/ui/money.js";

/** {name, switches, assets, money, has…}. Throws Problem. */
export async function readBuild() {
  const [meta, { assets }] = await Promise.all([get("/meta"), get("/assets")]);
  const on = meta.defences;
  const identity = on.authentication !== "none";
  const money = new Money({ minorUnits: on.money === "minor_units", assets });
  return {
    name: meta.build,
    switches: meta.switches,
    assets,
    money,
    /** An asset that is new. */
    add(asset) {
      assets.push(asset);
      money.learn(asset);
    },
    identity,
    /** Whether movements take a PIN. */
    pin: identity && on.pin !== "off",
    /** Whether some things take the operator's role. */
    roles: identity && on.authorization === "owner",
    keyed: on.idempotency !== "off",
  };
}

/** Whether this user may do what operators do. */
export function operates(build, user) {
  return !build.roles || user?.role === "operator";
}

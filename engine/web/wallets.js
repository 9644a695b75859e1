/** The user's wallets. */

import { call, get } from "/ui/api.js";
import { h } from "/ui/dom.js";
import { field, form } from "/ui/forms.js";
import { say } from "/ui/notices.js";
import { pendingBox } from "/ui/paying.js";
import { card, statusBadge } from "/ui/tables.js";

const LARGEST_PAGE = 1000;

/** Wallets of this user; where nobody is asked for a name the engine lists everybody's. */
export async function walletsOf(user) {
  const { wallets } = await get(`/wallets?limit=${LARGEST_PAGE}`);
  return wallets.filter((wallet) => wallet.user_id === user.id);
}

export async function walletsPage(context) {
  const wallets = await walletsOf(context.user);
  const tiles = wallets.map((wallet) => tile(context.build, wallet));
  return [
    h("h1", {}, "Wallets"),
    pendingBox(context),
    tiles.length
      ? h("ul", { className: "tiles" }, tiles.map((each) => h("li", {}, each)))
      : h("p", { className: "empty" }, "You have no wallet yet."),
    card("Open another wallet", opening(context)),
  ];
}

function tile(build, wallet) {
  return h(
    "a",
    { className: "tile", href: `#/wallets/${wallet.id}` },
    h("span", { className: "tile-head" }, `Wallet ${wallet.id}`, wallet.label && ` · ${wallet.label}`),
    h("strong", { className: "amount" }, build.money.show(wallet.balance, wallet.asset)),
    statusBadge(wallet.status),
  );
}

function opening({ build, user, refresh }) {
  const asset = field("Asset", {
    name: "asset",
    options: build.assets.map((each) => [each.code, each.name === each.code ? each.code : `${each.name} (${each.code})`]),
  });
  const label = field("Label (optional)", {
    name: "label", maxLength: 40, pattern: "[\\p{L}\\p{N}_.\\-]*",
    hint: "Tells several wallets of one asset apart.", title: "Letters, digits and . _ -",
  });
  return form([asset, label], {
    button: "Open wallet",
    className: "row",
    quiet: true,
    submit: async () => {
      const json = { asset: asset.text, label: label.text, ...(build.identity ? {} : { user_id: user.id }) };
      const { body } = await call("POST", "/wallets", { json });
      say(`Wallet ${body.id} is open.`);
      await refresh();
    },
  });
}

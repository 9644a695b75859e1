/** What operators do: pay in, freeze and activate wallets, list users, add assets. */

import { call, get } from "/ui/api.js";
import { fill, h } from "/ui/dom.js";
import { amountField, field, form, pinField, readAmount, readWallet, walletField } from "/ui/forms.js";
import { complain, say } from "/ui/notices.js";
import { move } from "/ui/paying.js";
import { facts, statusBadge, table } from "/ui/tables.js";

const LARGEST_PAGE = 1000;
const KINDS = [["deposits", "Deposit"], ["top-ups", "Top-up"], ["bonuses", "Bonus"], ["withdrawals", "Withdrawal"]];

export function depositForm(context) {
  const { build } = context;
  // Operators pay in; what goes out is for the wallet's owner.
  const kind = field("Kind", { name: "kind", options: build.roles ? KINDS.slice(0, 3) : KINDS });
  const to = walletField("Wallet");
  const amount = amountField();
  const pin = pinField();
  return form([kind, to, amount, ...(build.pin ? [pin] : [])], {
    button: "Book it",
    submit: async (place) => {
      const wallet = await get(`/wallets/${readWallet(to)}`);
      const wire = readAmount(amount, build.money, wallet.asset);
      const words = KINDS.find(([value]) => value === kind.text)[1].toLowerCase();
      const answer = await move(context, place, {
        path: `/wallets/${wallet.id}/${kind.text}`,
        json: { amount: wire },
        pin: build.pin ? pin.text : undefined,
        words: `${words} of ${build.money.show(wire, wallet.asset)}, wallet ${wallet.id}`,
      });
      pin.input.value = "";
      if (answer) amount.input.value = "";
    },
  });
}

/** First look, then change what was seen: the ETag sees to that. */
export function statusForm({ build }) {
  const which = walletField("Wallet");
  const found = h("div", { attributes: { "aria-live": "polite" } });
  const look = form([which], {
    button: "Look it up",
    quiet: true,
    submit: async () => show(await call("GET", `/wallets/${readWallet(which)}`)),
  });

  function show({ body: wallet, headers }) {
    const change = async (event) => {
      const json = { status: event.target.value };
      try {
        show(await call("PATCH", `/wallets/${wallet.id}`, { json, etag: headers.get("ETag") }));
        say(`Wallet ${wallet.id} is ${json.status}.`);
      } catch (problem) {
        complain(found, problem);
      }
    };
    const offers = [["frozen", "Freeze"], ["active", "Activate"], ["closed", "Close"]].filter(([status]) => status !== wallet.status);
    fill(
      found,
      facts([
        ["Wallet", wallet.id],
        ["Of user", wallet.user_id],
        ["Balance", build.money.show(wallet.balance, wallet.asset)],
        ["Status", statusBadge(wallet.status)],
      ]),
      h("div", { className: "actions" }, offers.map(([value, words]) => h("button", { type: "button", className: "quiet", value, onclick: change }, words))),
    );
  }

  return [look, found];
}

export function assetForm({ build }) {
  const code = field("Code", { name: "code", pattern: "[A-Za-z0-9_]{1,16}", required: true, title: "Letters, digits and _" });
  const name = field("Name", { name: "name", maxLength: 200, required: true });
  const decimals = field("Digits after the point", { name: "decimals", type: "number", min: 0, max: 8, step: 1, value: 2, required: true });
  return form([code, name, decimals], {
    button: "Add",
    quiet: true,
    submit: async () => {
      const json = { code: code.text, name: name.text, decimals: Number(decimals.text) };
      await call("POST", "/assets", { json });
      build.add(json);
      say(`There is an asset ${json.code} now.`);
    },
  });
}

export function usersList() {
  const place = h("div", { attributes: { "aria-live": "polite" } });
  const show = h("button", { className: "quiet", onclick: list }, "List users");

  async function list() {
    try {
      const { users } = await get(`/users?limit=${LARGEST_PAGE}`);
      fill(place, table("Users", [
        { head: "User", number: true, cell: (user) => user.id },
        { head: "Name", cell: (user) => user.username },
        { head: "E-mail", cell: (user) => user.email },
        { head: "Role", cell: (user) => user.role },
      ], users));
    } catch (problem) {
      complain(place, problem);
    }
  }

  return [show, place];
}

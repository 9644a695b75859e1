/** Idempotency and concurrency, tried on this engine with the user's own wallets. */

import { call } from "/ui/api.js";
import { payeesOf } from "/ui/demo_fields.js";
import { h } from "/ui/dom.js";
import { form } from "/ui/forms.js";
import { say } from "/ui/notices.js";
import { raceForm } from "/ui/racing.js";
import { replayForm } from "/ui/replaying.js";
import { card } from "/ui/tables.js";
import { walletsOf } from "/ui/wallets.js";

export async function demosPage(context) {
  const wallets = await walletsOf(context.user);
  const payers = wallets.filter((payer) => payeesOf(payer, wallets).length > 0);
  const lead = h("p", { className: "lead" }, "What a client can rely on, and what it looks like when it cannot. The money moves between two of your own wallets.");
  if (payers.length === 0) return [h("h1", {}, "Demos"), lead, card("Two wallets are needed", second(context, wallets))];
  return [
    h("h1", {}, "Demos"),
    lead,
    card(
      "The same key twice",
      h("p", { className: "hint" }, "A client that hears nothing sends its request again. With the same Idempotency-Key it has to be one payment, and the second answer the first one over again."),
      replayForm(context, payers, wallets),
    ),
    card(
      "Payments at once",
      h("p", { className: "hint" }, "Many payments from one wallet, sent together. Whoever loses is refused and loses nothing; together they never pay out more than there was. A browser holds six connections at a time."),
      raceForm(context, payers, wallets),
    ),
  ];
}

function second({ build, user, refresh }, wallets) {
  const asset = wallets[0]?.asset ?? build.assets[0].code;
  return form([h("p", {}, `You have ${wallets.length === 0 ? "none" : "no two of one asset"}.`)], {
    button: `Open a second ${asset} wallet`,
    submit: async () => {
      const labels = wallets.length === 0 ? ["", "demo"] : ["demo"];
      for (const label of labels) {
        await call("POST", "/wallets", { json: { asset, label, ...(build.identity ? {} : { user_id: user.id }) } });
      }
      say("The wallet is open.");
      await refresh();
    },
  });
}

"""The wallets of the service itself are nobody's to use: its treasuries, and where holds wait.

What waits in escrow is what active holds add up to, and what the treasury owes is what was paid in:
a client that could name one of these wallets, or have it opened, limited or frozen, could make
either untrue or stop everybody's payments at once.
"""

from collections.abc import Iterable, Mapping

from engine.assets import Asset
from engine.identity import PAID_OUT_BY_KIND
from engine.refusals import FORBIDDEN, Refused
from engine.wallets import Movement, WalletState

NAMED_BY_CLIENTS = frozenset(PAID_OUT_BY_KIND)
"""Kinds whose wallets come with the request; the others follow from something recorded before."""


def refuse_service_user(asset: Asset, user_id: int) -> None:
    """Raises Refused where the user is the service itself."""
    if user_id in asset.service_user_ids:
        raise Refused(FORBIDDEN, "the service's own wallets are not for that", field="user_id")


def refuse_service_wallets(
    movements: Iterable[Movement],
    wallets: Mapping[int, WalletState],
    assets: Mapping[int, Asset],
) -> None:
    """Raises Refused where a request names a wallet of the service's.

    `movements` as they were ordered, not yet completed by `funding`; `assets` by wallet.
    """
    for movement in movements:
        for wallet_id in movement.wallet_ids if movement.kind in NAMED_BY_CLIENTS else ():
            wallet = wallets.get(wallet_id)
            if wallet is not None and wallet.user_id in assets[wallet_id].service_user_ids:
                raise service_wallet(wallet_id)


def service_wallet(wallet_id: int) -> Refused:
    return Refused(FORBIDDEN, f"wallet {wallet_id} is the service's own", field="wallet_id")

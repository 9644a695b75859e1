"""A person who uses the pages."""

import secrets
from dataclasses import dataclass

from tests.browser.chromium import Page
from tests.browser.served_engine import PASSWORD, PIN, Site

SIGN_UP = ".card:has([autocomplete=new-password])"
LOG_IN = ".card:has([autocomplete=current-password])"


@dataclass(kw_only=True)
class Visitor:
    """Signed up with one wallet, once they have arrived."""

    page: Page
    site: Site
    wallet: int = 0

    def sign_up(self, name: str) -> None:
        if not self.site.identity:
            self.page.type("Username", name)
            self.page.click("Create user and wallet")
            return
        self.page.type("Username", name, SIGN_UP)
        self.page.type("Password", PASSWORD, SIGN_UP)
        self.page.type("PIN", PIN, SIGN_UP)
        self.page.click("Sign up")

    def log_in(self, name: str, password: str) -> None:
        self.page.type("Username", name, LOG_IN)
        self.page.type("Password", password, LOG_IN)
        self.page.click("Log in", "main")

    def pay(self, payee: int, amount: str, *, pin: str = PIN) -> None:
        """From the wallet whose page is open."""
        self.page.type("To wallet", str(payee))
        self.page.type("Amount in USD", amount)
        if self.site.identity:
            self.page.type("PIN", pin)
        self.page.click("Pay", "main")


def arrive(page: Page, site: Site) -> Visitor:
    """Somebody new, who has signed up and sees their wallets."""
    visitor = Visitor(page=page, site=site)
    page.open(site.pages)
    visitor.sign_up(f"v{secrets.token_hex(5)}")
    page.sees("Wallets", "h1")
    address = page.until("document.querySelector('.tile')?.href")
    visitor.wallet = int(address.rpartition("/")[2])
    return visitor

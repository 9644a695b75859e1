"""What a load came to, in plain words that its reports share."""

from reports.load import CLOSED_LOOP, FaultStruck, LoadDocument, LoadRun, Losses, SoFar
from reports.quiet import AGAIN
from reports.words import count

NOTHING_CHECKED = "nothing checked yet"
NEVER_CHECKED = "nothing was checked before the load was over"


def money(minor: float) -> str:
    """Minor units as people read them."""
    return f"{minor / 100:,.2f}"


def missing_money(losses: Losses) -> str:
    """What is wrong in figures; empty when nothing is, or nothing is known."""
    parts = []
    # Less than half a cent is what fractions do not add up to.
    if losses.invented_minor is not None and abs(losses.invented_minor) >= 0.5:
        more = "more" if losses.invented_minor > 0 else "less"
        parts.append(f"{money(abs(losses.invented_minor))} {more} in wallets than was ever paid in")
    if losses.payments_without_record:
        parts.append(
            f"{count(losses.payments_without_record, 'acknowledged payment')} without a record"
        )
    if losses.records_without_payment:
        parts.append(
            f"{count(losses.records_without_payment, 'payment')} recorded more often than asked for"
        )
    if losses.wallets_overdrawn:
        parts.append(f"{count(losses.wallets_overdrawn, 'wallet')} overdrawn")
    return "; ".join(parts)


def payments_in_words(run: LoadRun) -> str:
    """All that the audit is about, and how fast they came once the clock ran."""
    payments = count(run.payments, "acknowledged payment")
    return f"{payments} with the warm-up, {run.payments_per_s:.0f} a second after it"


def felt_in_words(fault: FaultStruck) -> str:
    """How deep it went, and how long it was felt."""
    if fault.problem:
        return fault.problem.removeprefix(fault.text).lstrip(": ")
    if fault.before_per_s is None or fault.lowest_per_s is None:
        return "struck; there was too little before it to compare with"
    share = fault.lowest_share
    fell = f"{fault.before_per_s:.0f} to {fault.lowest_per_s:.0f} a second"
    if share is not None:
        fell = f"{fell} ({share:.0%})"
    if fault.silent_s is not None:
        fell = f"{fell}, silent for {fault.silent_s:.1f} s"
    if fault.recovered_in_s is None:
        return f"{fell}, not back before the end of the load"
    back = f"{fault.recovered_in_s:.1f} s after" if fault.recovered_in_s else "as soon as"
    return f"{fell}, back {back} it was mended"


def so_far_in_words(judged: SoFar) -> str:
    if judged.violations:
        return "; ".join(judged.violations)
    return f"held, {judged.checked:,} operations checked" if judged.checked else NOTHING_CHECKED


def machine_in_words(document: LoadDocument) -> str:
    machine = document.environment
    stores = f"PostgreSQL {machine.postgres.version}, Redis {machine.redis.version}"
    words = f"{count(machine.cpus, 'core')}, Python {machine.python}, {stores}"
    if document.load_before is None:
        return words
    busy = f"; {AGAIN}" if document.busy else ""
    return f"{words}, load before {document.load_before:.1f}{busy}"


def plan_in_words(document: LoadDocument) -> str:
    """What was asked for, in one sentence."""
    plan = document.plan
    if plan.tps == CLOSED_LOOP:
        pace = f"{count(plan.users, 'user')} as fast as answers came"
    else:
        pace = f"{plan.tps:g} turns due a second, {plan.profile}, from {count(plan.users, 'user')}"
    mix = plan.mix.replace(",", ", ")
    return (
        f"{pace}, {mix} between {count(plan.wallets, 'wallet')}, {plan.duration_s:g} s after "
        f"{plan.warm_up_s:g} s to warm up; processes: {plan.engine_workers} of the engine, "
        f"{plan.locust_processes} of Locust; seed {document.seed}."
    )

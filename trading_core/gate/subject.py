"""The subject: exactly what a gate promotes, the digest that all else is bound to, and the bot that climbs."""

from __future__ import annotations

from trading_core.canonical import digest_of
from trading_core.plan import PlanModel


class Subject(PlanModel):
    """What is promoted. Change any part, and it is another subject that starts with no evidence."""

    git_commit: str
    is_dirty: bool
    lock_digest: str
    plan_digest: str
    strategy: str
    strategy_params: dict[str, str | int | bool] = {}
    venue: str
    # Faults of a rehearsal are part of its venue: what a bot shows at a broken exchange is another question.
    faults: str = ""
    account_fingerprint: str
    products: tuple[str, ...]

    @property
    def digest(self) -> str:
        """Return the sha256 of the canonical JSON; the order of the products does not matter."""
        return digest_of(self.model_copy(update={"products": tuple(sorted(self.products))}))


class Bot(PlanModel):
    """What must be equal from rung to rung: the subject without what each rung changes, its plan and products."""

    git_commit: str
    is_dirty: bool
    lock_digest: str
    strategy: str
    strategy_params: dict[str, str | int | bool]
    account_fingerprint: str
    faults: str


def bot_of(subject: Subject) -> Bot:
    """Return the part of a subject that climbs."""
    return Bot(**{name: getattr(subject, name) for name in Bot.model_fields})

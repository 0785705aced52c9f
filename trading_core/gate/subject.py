"""The subject: exactly what a gate promotes, and the digest that everything else is bound to."""

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

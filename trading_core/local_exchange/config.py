"""What a local exchange is built from: one frozen document, so that a run can be repeated."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from trading_core.local_exchange.faults import FaultPlan
from trading_core.money import decimal_of

Exact = Annotated[Decimal, BeforeValidator(decimal_of)]
DAYS = ("calm", "typical", "volatile")  # that the project ships

SPOT_PRODUCTS = ("BTC-USD", "ETH-USD", "SOL-USD", "XRP-USD")
FUTURES_PRODUCTS = ("BIP-20DEC30-CDE", "ETP-20DEC30-CDE", "SLP-20DEC30-CDE", "XPP-20DEC30-CDE")


class Frozen(BaseModel):
    """The base of every part: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FeeTierConfig(Frozen):
    """One row of the fee table; rates are fractions, volumes trailing 30-day USD."""

    name: str
    volume_from: Exact
    maker_rate: Exact
    taker_rate: Exact


def _tier(name: str, volume_from: str, maker_rate: str, taker_rate: str) -> FeeTierConfig:
    return FeeTierConfig(
        name=name,
        volume_from=Decimal(volume_from),
        maker_rate=Decimal(maker_rate),
        taker_rate=Decimal(taker_rate),
    )


# Contract section 9: Intro 1 is captured, the rest is from secondary public tables.
FEE_TIERS = (
    _tier("Intro 1", "0", "0.006", "0.012"),
    _tier("Intro 2", "1000", "0.0035", "0.0075"),
    _tier("Advanced 1", "10000", "0.0025", "0.004"),
    _tier("Advanced 2", "50000", "0.0015", "0.0025"),
    _tier("Advanced 3", "100000", "0.001", "0.002"),
    _tier("Advanced 4", "1000000", "0.0008", "0.0015"),
    _tier("Advanced 5", "25000000", "0.0005", "0.001"),
    _tier("Advanced 6", "100000000", "0.0002", "0.0008"),
    _tier("Advanced 7", "250000000", "0", "0.0005"),
)

OPENING_BALANCES = {
    "USD": Decimal("100000"),
    "BTC": Decimal("1"),
    "ETH": Decimal("10"),
    "SOL": Decimal("200"),
    "XRP": Decimal("10000"),
}


class AccountConfig(Frozen):
    """One account with one portfolio, and what it owns when the exchange opens."""

    account_id: str = "default"
    balances: dict[str, Exact] = OPENING_BALANCES
    can_view: bool = True
    can_trade: bool = True
    can_transfer: bool = False
    # Trailing 30-day USD volume before the exchange opened: chooses the first fee tier.
    volume_30d: Exact = Decimal(0)


class CompatSwitches(Frozen):
    """The switches of contract section 15, each with its default."""

    client_id_on_market_host: bool = False
    legacy_error_response: bool = False
    duplicate_client_order_id_is_rejected: bool = False
    cfm_money_as_amount: bool = False
    ticker_batch_has_best: bool = False
    accepts_eddsa: bool = True
    gtd_ends_as_cancelled: bool = False
    new_reason_only: bool = False  # error_response carries new_order_failure_reason alone
    heartbeat_counter_is_string: bool = False
    user_channel_has_positions: bool = False
    market_data_is_cached: bool = True  # public REST market data, for a second, unless cache-control: no-cache
    intx_legacy: bool = False
    converts_allowed: bool = False


class Maintenance(Frozen):
    """A scheduled halt of the futures exchange."""

    start_ns: int = Field(ge=0)
    end_ns: int = Field(ge=0)

    @model_validator(mode="after")
    def _end_follows_start(self) -> Self:
        if self.end_ns <= self.start_ns:
            raise ValueError(f"maintenance ends at {self.end_ns}, not after its start {self.start_ns}")
        return self


class ExchangeConfig(Frozen):
    """Everything that determines an exchange: same config, same calls, same answers."""

    day: str = "typical"  # one of DAYS, or a file of the same shape
    seed: int = Field(default=1, ge=0)
    start_ns: int = Field(ge=0)
    start_minute: int = Field(default=0, ge=0, lt=1440)  # of the recorded day
    products: tuple[str, ...] = SPOT_PRODUCTS + FUTURES_PRODUCTS
    updates_per_s: Literal[1, 2, 4, 5, 10, 20] = 10
    accounts: tuple[AccountConfig, ...] = (AccountConfig(),)
    fee_tiers: tuple[FeeTierConfig, ...] = FEE_TIERS
    futures_fee_rate: Exact = Decimal("0.001")
    price_band: Exact = Decimal("0.5")  # limit prices further than this share from the last trade are refused
    gtd_days_max: int = Field(default=30, gt=0)
    open_orders_max: int = Field(default=500, gt=0)
    maintenance: tuple[Maintenance, ...] = ()  # of the futures exchange
    regular_hours_products: tuple[str, ...] = ()  # futures that keep regular hours instead of trading 24x7
    # Funding accrues each hour and is paid in cash at these hours (UTC); the venue's own times are not published.
    funding_cash_hours_utc: tuple[int, ...] = (9, 21)
    faults: FaultPlan = FaultPlan()
    compat: CompatSwitches = CompatSwitches()

    @field_validator("day")
    @classmethod
    def _day_exists(cls, day: str) -> str:
        if day not in DAYS and not Path(day).is_file():
            raise ValueError(f"day {day!r} does not exist: choose one of {', '.join(DAYS)}, or name a file")
        return day

"""The kinds of order that the wire knows, and what responses call them."""

from __future__ import annotations

from enum import StrEnum


class OrderConfig(StrEnum):
    """The keys of order_configuration, spelt as on the wire."""

    MARKET_IOC = "market_market_ioc"
    MARKET_FOK = "market_market_fok"
    LIMIT_IOC = "sor_limit_ioc"
    LIMIT_GTC = "limit_limit_gtc"
    LIMIT_GTD = "limit_limit_gtd"
    LIMIT_FOK = "limit_limit_fok"
    STOP_LIMIT_GTC = "stop_limit_stop_limit_gtc"
    STOP_LIMIT_GTD = "stop_limit_stop_limit_gtd"
    TRIGGER_BRACKET_GTC = "trigger_bracket_gtc"
    TRIGGER_BRACKET_GTD = "trigger_bracket_gtd"
    TWAP = "twap_limit_gtd"
    SCALED = "scaled_limit_gtc"

    @property
    def wire_time_in_force(self) -> str:
        """Return the time_in_force that order responses carry."""
        return _TIME_IN_FORCE[self]

    @property
    def wire_order_type(self) -> str:
        """Return the order_type that order responses carry."""
        return _ORDER_TYPE[self]

    @property
    def is_stop(self) -> bool:
        """Tell whether the order waits for a trigger."""
        return self in (OrderConfig.STOP_LIMIT_GTC, OrderConfig.STOP_LIMIT_GTD)

    @property
    def is_market(self) -> bool:
        """Tell whether the order has no limit price."""
        return self in (OrderConfig.MARKET_IOC, OrderConfig.MARKET_FOK)

    @property
    def is_bracket(self) -> bool:
        """Tell whether the order is a trigger bracket."""
        return self in (OrderConfig.TRIGGER_BRACKET_GTC, OrderConfig.TRIGGER_BRACKET_GTD)

    @property
    def has_end_time(self) -> bool:
        """Tell whether the order must name when it ends."""
        return self.wire_time_in_force == "GOOD_UNTIL_DATE_TIME"


_GTC, _GTD = "GOOD_UNTIL_CANCELLED", "GOOD_UNTIL_DATE_TIME"
_IOC, _FOK = "IMMEDIATE_OR_CANCEL", "FILL_OR_KILL"
_TIME_IN_FORCE = {
    OrderConfig.MARKET_IOC: _IOC,
    OrderConfig.MARKET_FOK: _FOK,
    OrderConfig.LIMIT_IOC: _IOC,
    OrderConfig.LIMIT_GTC: _GTC,
    OrderConfig.LIMIT_GTD: _GTD,
    OrderConfig.LIMIT_FOK: _FOK,
    OrderConfig.STOP_LIMIT_GTC: _GTC,
    OrderConfig.STOP_LIMIT_GTD: _GTD,
    OrderConfig.TRIGGER_BRACKET_GTC: _GTC,
    OrderConfig.TRIGGER_BRACKET_GTD: _GTD,
    OrderConfig.TWAP: _GTD,
    OrderConfig.SCALED: _GTC,
}
_ORDER_TYPE = {
    OrderConfig.MARKET_IOC: "MARKET",
    OrderConfig.MARKET_FOK: "MARKET",
    OrderConfig.LIMIT_IOC: "LIMIT",
    OrderConfig.LIMIT_GTC: "LIMIT",
    OrderConfig.LIMIT_GTD: "LIMIT",
    OrderConfig.LIMIT_FOK: "LIMIT",
    OrderConfig.STOP_LIMIT_GTC: "STOP_LIMIT",
    OrderConfig.STOP_LIMIT_GTD: "STOP_LIMIT",
    OrderConfig.TRIGGER_BRACKET_GTC: "BRACKET",
    OrderConfig.TRIGGER_BRACKET_GTD: "BRACKET",
    OrderConfig.TWAP: "TWAP",
    OrderConfig.SCALED: "SCALED",
}

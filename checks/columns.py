"""The columns of each artifact that the data checks look at."""

from __future__ import annotations

from trading_core.artifacts import ArtifactName

NUMBERS: dict[ArtifactName, tuple[str, ...]] = {
    ArtifactName.RECONCILIATION_HISTORY: (
        "equity", "opening_equity", "realized", "unrealized", "fees", "funding", "transfers", "drift", "open_orders",
    ),
    ArtifactName.SIZED_DOWN_EVENTS: (
        "original_size", "adjusted_size", "original_notional", "adjusted_notional", "impact_limit_bps",
        "model_impact_bps", "depth_l1", "depth_l10", "spread_bps",
    ),
    ArtifactName.MARGIN_SNAPSHOTS: ("margin_used", "margin_available", "margin_utilization"),
    ArtifactName.EXECUTION_LOGS: ("size", "retries", "filled"),
    ArtifactName.REJECTION_BREAKDOWN: (),
    ArtifactName.LIQUIDITY: ("updates",),
    ArtifactName.TIMELINE: (),
    ArtifactName.LATENCY: (),
    ArtifactName.FUNDING: ("position", "mark", "rate", "booked", "expected", "gap"),
    ArtifactName.CORRELATION: ("n",),
    ArtifactName.CHECKPOINTS: ("at_h",),
    ArtifactName.SUMMARY: (
        "signals", "sent", "accepted", "rejected", "denied", "fills", "bought", "sold", "pnl", "fees", "funding",
        "unfilled", "position",
    ),
}
OPTIONAL_NUMBERS: dict[ArtifactName, tuple[str, ...]] = {
    ArtifactName.SIZED_DOWN_EVENTS: ("realized_impact_bps",),
    ArtifactName.EXECUTION_LOGS: ("latency_ms", "submit_seq", "answer_seq", "left"),
    ArtifactName.LIQUIDITY: ("mark", "spread_bps", "staleness_s", "bid_depth_l10", "ask_depth_l10"),
    ArtifactName.LATENCY: ("decision_to_submit_ms", "submit_to_answer_ms", "submit_to_first_fill_ms"),
    ArtifactName.CORRELATION: ("correlation",),
    ArtifactName.CHECKPOINTS: ("equity", "pnl", "accepted", "rejected"),
    ArtifactName.SUMMARY: ("slippage_bps", "shortfall"),
}
TEXTS: dict[ArtifactName, tuple[str, ...]] = {
    ArtifactName.RECONCILIATION_HISTORY: (),
    ArtifactName.SIZED_DOWN_EVENTS: ("signal_id", "product_id", "side", "limit_name"),
    ArtifactName.MARGIN_SNAPSHOTS: ("cause",),
    ArtifactName.EXECUTION_LOGS: ("product_id", "side", "purpose", "order_type", "time_in_force", "status"),
    ArtifactName.REJECTION_BREAKDOWN: ("by", "product_id", "purpose", "reason"),
    ArtifactName.LIQUIDITY: ("product_id",),
    ArtifactName.TIMELINE: ("kind", "name", "severity"),
    ArtifactName.LATENCY: ("client_order_id", "product_id", "purpose"),
    ArtifactName.FUNDING: ("product_id",),
    ArtifactName.CORRELATION: ("first", "second"),
    ArtifactName.CHECKPOINTS: ("state",),
    ArtifactName.SUMMARY: ("product_id",),
}

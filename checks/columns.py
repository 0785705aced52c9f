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
}
OPTIONAL_NUMBERS: dict[ArtifactName, tuple[str, ...]] = {
    ArtifactName.SIZED_DOWN_EVENTS: ("realized_impact_bps",),
    ArtifactName.EXECUTION_LOGS: ("latency_ms", "submit_seq", "answer_seq", "left"),
    ArtifactName.LIQUIDITY: ("mark", "spread_bps", "staleness_s", "bid_depth_l10", "ask_depth_l10"),
}
TEXTS: dict[ArtifactName, tuple[str, ...]] = {
    ArtifactName.RECONCILIATION_HISTORY: (),
    ArtifactName.SIZED_DOWN_EVENTS: ("signal_id", "product_id", "side", "limit_name"),
    ArtifactName.MARGIN_SNAPSHOTS: ("cause",),
    ArtifactName.EXECUTION_LOGS: ("product_id", "side", "purpose", "order_type", "time_in_force", "status"),
    ArtifactName.REJECTION_BREAKDOWN: ("by", "product_id", "purpose", "reason"),
    ArtifactName.LIQUIDITY: ("product_id",),
    ArtifactName.TIMELINE: ("kind", "name", "severity"),
}

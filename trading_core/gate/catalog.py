"""What a plan may name: the metrics with the stages that produce them, and the steps that provoke an effect."""

from __future__ import annotations

from trading_core.plan import Stage

_PRE, _CAP, _DRY = Stage.PREFLIGHT, Stage.CAPABILITY_PROBE, Stage.DRY_RUN_PULSE
_LIVE, _ANA = Stage.LIVE_MICRO_TEST, Stage.ARTIFACT_ANALYSIS

_BY_STAGE: dict[Stage, tuple[str, ...]] = {
    _PRE: (
        "credentials", "key_scope_view_trade", "key_no_transfer", "clock_offset_s", "connectivity", "disk_free",
        "limits_consistent", "gtd_gated",
    ),
    _CAP: ("alias_resolved", "increments_known", "order_types_previewed", "schema_drift"),
    _DRY: ("feed_live", "dry_run_cycle", "stale_blocks"),
    _LIVE: (
        "order_acceptance", "order_rejected_share", "signal_acceptance", "place_order_latency_ms",
        "websocket_staleness_s", "websocket_reconnect", "retries_per_order", "rate_limit_errors",
        "unexpected_exceptions", "post_only_placed", "crossing_rejected", "sized_down", "auto_cancel",
        "stop_limit_placed", "bracket_placed", "order_types_placed", "size_reached", "reduce_only_transition",
        "strategy_selected", "entry_exit_pnl", "kill_switch_drill", "flat_at_end",
    ),
    _ANA: (
        "reconciliation", "equity_identity", "fee_equals_tier", "gtd_never_sent", "daily_loss", "margin_events",
        "margin_utilization", "margin_window_transitions", "funding_accrued", "cross_asset_correlation",
        "spread_rejections_share", "artifacts_complete", "snapshots_complete", "saves_complete",
        "artifact_checks", "event_chain", "feed_moves", "slippage_vs_baseline", "latency_vs_baseline",
    ),
}
# The analysis reads all that the live test recorded, so it can produce its figures as well.
PRODUCED_BY: dict[str, tuple[Stage, ...]] = {
    metric: (stage, _ANA) if stage is _LIVE else (stage,)
    for stage, metrics in _BY_STAGE.items()
    for metric in metrics
}

# Which step of the protocol provokes the effect.
EXERCISED_BY: dict[str, str] = {
    "post_only_placed": "post_only_entry",
    "crossing_rejected": "crossing_rejected",
    "sized_down": "oversize_sized_down",
    "auto_cancel": "auto_cancel",
    "stop_limit_placed": "stop_limit",
    "bracket_placed": "bracket",
    "order_types_placed": "order_types",
    "size_reached": "size_step",
    "reduce_only_transition": "reduce_only_transition",
    "entry_exit_pnl": "entry_and_exit",
    "kill_switch_drill": "kill_switch_drill",
}
STEPS = frozenset(EXERCISED_BY.values())
# Which strategy provokes the effect while it trades.
CHOSEN_BY: dict[str, str] = {"strategy_selected": "trading_core.strategies.automatic:make"}

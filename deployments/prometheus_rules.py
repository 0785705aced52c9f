"""The alert rules of Prometheus, made from the plans: `python -m deployments.prometheus_rules` writes them anew.

The session acts on its thresholds by itself; these rules only tell people, and may be absent.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from trading_core.alerts import AlertRule, rules_of
from trading_core.control.metrics import RULE_METRICS
from trading_core.money import plain
from trading_core.plan import Plan
from trading_core.plan_files import find_plan, plan_names

PATH = Path(__file__).parent / "prometheus" / "alerts.yml"
HEAD = """\
# Made by python -m deployments.prometheus_rules from the thresholds and guardrails of the plans: change those.
# Times are compared with Prometheus's clock: in a rehearsal that runs faster than the clock, mark times run ahead.
groups:
"""
# What no plan says: that there is a server to scrape, a session that beats, and people who answer.
ALWAYS = (
    ("GreenlightDown", 'up{job="greenlight"} == 0', "CRITICAL", "nothing answers at the control server's address"),
    (
        "GreenlightSessionSilent", "time() - greenlight_beat_timestamp_seconds > greenlight_beat_lost_after_seconds",
        "CRITICAL", "a session has stopped beating: the watchdog should have taken over",
    ),
    (
        "GreenlightAlertUnacknowledged", 'greenlight_alerts_unacknowledged{severity="CRITICAL"} > 0', "CRITICAL",
        "a CRITICAL alert waits for a person: greenlight alerts list",
    ),
)


def expression(rule: AlertRule, plan: Plan) -> str:
    """Return the rule as PromQL, true only while a run of this plan is watched."""
    return (
        f"max({RULE_METRICS[rule.metric]}) > {plain(rule.limit)} "
        f'and on() max(greenlight_run_info{{plan="{plan.name}"}}) == 1'
    )


def render() -> str:
    """Return the rule file: one group for what always holds, one for each plan."""
    text = HEAD + "  - name: greenlight\n    rules:\n"
    text += "".join(_rule(name, expr, severity, words, "") for name, expr, severity, words in ALWAYS)
    for name in plan_names():
        plan = find_plan(name)
        text += f"  - name: greenlight_{plan.name}\n    rules:\n" + "".join(_of_plan(plan))
    return text


def _of_plan(plan: Plan) -> Iterator[str]:
    for rule in rules_of(plan):
        words = f"{rule.metric} above {plain(rule.limit)}"
        yield _rule(rule.name, expression(rule, plan), rule.severity, words, plan.name)


def _rule(name: str, expr: str, severity: str, words: str, plan: str) -> str:
    # JSON strings are YAML strings.
    labels = f"severity: {json.dumps(severity)}" + (f", plan: {json.dumps(plan)}" if plan else "")
    return (
        f"      - alert: {json.dumps(name)}\n        expr: {json.dumps(expr)}\n"
        f"        labels: {{{labels}}}\n        annotations: {{summary: {json.dumps(words)}}}\n"
    )


if __name__ == "__main__":
    PATH.write_text(render(), "utf-8")

"""Each compatibility switch and option of the served venue: what it is by default, and what it changes."""

from __future__ import annotations

import json
import ssl
from pathlib import Path
from typing import Any

import pytest
import requests
from websockets.sync.client import connect

from tests.contract.conformance import body_problems
from tests.contract.test_server_kinds import START_NS, create, post
from tests.contract.test_server_streams import until_closed
from tests.contract.venue import BASE, Venue, running_venue
from trading_core.advanced_trade.channels_hub import StreamLimits
from trading_core.advanced_trade.keys import Scope
from trading_core.clock import NS
from trading_core.errors import ConfigurationError
from trading_core.local_exchange.bars import FILES, load_day
from trading_core.local_exchange.config import AccountConfig, CompatSwitches, ExchangeConfig
from trading_core.local_exchange.exchange import LocalExchange

FUTURE = "BIP-20DEC30-CDE"
TICKER = f"{BASE}/market/products/BTC-USD/ticker"
RESTING = {"limit_limit_gtc": {"base_size": "0.001", "limit_price": "60000"}}


def venue_with(**switches: Any) -> Any:
    return running_venue(is_manual=True, start_ns=START_NS, exchange={"compat": CompatSwitches(**switches)})


def newest_trade(venue: Venue, **headers: str) -> str:
    answer = venue.get(TICKER, params={"limit": 1}, headers=headers)
    return str(answer.json()["trades"][0]["trade_id"])


def test_public_market_data_is_a_second_old_unless_the_client_says_no_cache() -> None:
    with venue_with() as venue:
        first = newest_trade(venue)
        venue.advance(0.9)
        assert newest_trade(venue) == first
        fresh = newest_trade(venue, **{"Cache-Control": "no-cache"})
        assert fresh != first
        venue.advance(10)
        assert newest_trade(venue) not in (first, fresh)


def test_market_data_cache_can_be_switched_off() -> None:
    with venue_with(market_data_is_cached=False) as venue:
        first = newest_trade(venue)
        venue.advance(0.9)
        assert newest_trade(venue) != first


@pytest.mark.parametrize(("is_on", "count"), [(False, 0), (True, 1)])
def test_user_channel_has_positions_only_where_coinbase_enabled_them(is_on: bool, count: int) -> None:
    with venue_with(user_channel_has_positions=is_on) as venue, venue.socket() as socket:
        assert create(venue, "p-1", {"market_market_ioc": {"base_size": "2"}}, product_id=FUTURE)["success"]
        socket.subscribe("user", signed=True)
        positions = socket.until("user", "snapshot")["events"][0]["positions"]["expiring_futures_positions"]
    assert len(positions) == count
    if is_on:
        assert (positions[0]["side"], positions[0]["number_of_contracts"]) == ("Long", "2")


@pytest.mark.parametrize(("is_on", "counter"), [(False, 1), (True, "1")])
def test_heartbeat_counter_is_an_integer_unless_switched(is_on: bool, counter: int | str) -> None:
    with venue_with(heartbeat_counter_is_string=is_on) as venue:
        url = venue.ready.ws_url
        with connect(url) as connection:
            connection.send('{"type":"subscribe","channel":"heartbeats"}')
            json.loads(connection.recv(timeout=30))
            venue.advance(1)
            frame = json.loads(connection.recv(timeout=30))
    assert frame["events"][0]["heartbeat_counter"] == counter


def test_error_response_can_carry_the_new_reason_alone() -> None:
    with venue_with(new_reason_only=True) as venue:
        venue.is_conformant = False
        answer = create(venue, "e-1", {"limit_limit_gtc": {"base_size": "1000", "limit_price": "60000"}})
    assert answer["error_response"] == {"new_order_failure_reason": "INSUFFICIENT_FUND"}


def test_second_user_connection_ends_the_first_if_one_is_the_limit() -> None:
    limits = StreamLimits(user_connections_max=1)
    with running_venue(is_manual=True, streams=limits) as venue, venue.socket() as old, venue.socket() as new:
        old.subscribe("user", signed=True)
        old.until("user", "snapshot")
        new.subscribe("user", signed=True)
        new.until("user", "snapshot")
        until_closed(old)
        assert old.connection.close_code == 1008
        new.subscribe("heartbeats")
        assert set(new.until("subscriptions")["events"][0]["subscriptions"]) == {"user"}
        assert set(new.until("subscriptions")["events"][0]["subscriptions"]) == {"user", "heartbeats"}


def test_messages_can_be_counted_by_address() -> None:
    limits = StreamLimits(messages_per_s=2, messages_are_counted_by_address=True, connections_per_s=0)
    with running_venue(is_manual=True, streams=limits) as venue, venue.socket() as one, venue.socket() as other:
        for _ in range(2):
            one.subscribe("heartbeats")
            one.receive()
        other.subscribe("heartbeats")
        assert other.receive() == {"type": "error", "message": "rate limit exceeded"}


def test_served_venue_speaks_tls_with_an_authority_of_its_own(tmp_path: Path) -> None:
    with running_venue(is_manual=True, tls_folder=tmp_path) as venue:
        url = f"https://{venue.ready.rest_host}{BASE}/time"
        with requests.Session() as session:
            session.trust_env = False  # REQUESTS_CA_BUNDLE of the environment would win
            session.verify = str(tmp_path / "ca.pem")
            answer = session.get(url, timeout=30)
        with requests.Session() as stranger, pytest.raises(requests.exceptions.SSLError):
            stranger.get(url, timeout=30)
        context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        with connect(venue.ready.ws_url, ssl=context, open_timeout=30) as socket:
            socket.send('{"type":"subscribe","channel":"heartbeats"}')
            assert json.loads(socket.recv(timeout=30))["channel"] == "subscriptions"
    assert body_problems("GET", f"{BASE}/time", answer.status_code, answer.json()) == []
    assert (tmp_path / "server-key.pem").stat().st_mode & 0o077 == 0


def test_day_of_ones_own_is_replayed_from_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    rows = [f"{60 * m},BTC,{100 + m % 7},{107 + m % 7},{99},{101 + m % 7},50" for m in range(1_440)]
    path.write_text("\n".join(["ts,symbol,open,high,low,close,volume", *rows]) + "\n")
    config = ExchangeConfig(day=str(path), start_ns=START_NS, products=("BTC-USD",))
    exchange = LocalExchange(config)
    exchange.advance(START_NS + 120 * NS)
    assert 98 <= exchange.last_price("BTC-USD") <= 115
    moved = tmp_path / "moved.csv"
    path.rename(moved)
    again = LocalExchange(config.model_copy(update={"day": str(moved)}))
    again.advance(START_NS + 120 * NS)
    assert again.book("BTC-USD", 5) == exchange.book("BTC-USD", 5)


def test_shipped_day_under_another_name_has_the_same_bars(tmp_path: Path) -> None:
    source = Path(load_day.__wrapped__.__code__.co_filename).parent / "data" / FILES["calm"]
    copy = tmp_path / "copy.csv.gz"
    copy.write_bytes(source.read_bytes())
    ours, theirs = load_day(str(copy)), load_day("calm")
    assert all((ours[symbol] == theirs[symbol]).all() for symbol in theirs)


@pytest.mark.parametrize("content", [b"ts,symbol\n1,BTC\n", b"\x1f\x8b broken", b"\xff\xfe", b""])
def test_file_that_is_no_recorded_day_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    config = ExchangeConfig(day=str(path), start_ns=START_NS, products=("BTC-USD",))
    with pytest.raises(ConfigurationError, match="recorded day"):
        LocalExchange(config)


def test_funds_move_to_a_portfolio_and_back_and_nothing_is_lost() -> None:
    from_own = {"value": "250.5", "currency": "USD"}
    with running_venue(is_manual=True, scopes=frozenset(Scope), accounts=(AccountConfig(can_transfer=True),)) as venue:
        own = venue.send("GET", f"{BASE}/portfolios").json()["portfolios"][0]["uuid"]
        other = post(venue, "/portfolios", name="savings")["portfolio"]["uuid"]
        ends = {"source_portfolio_uuid": own, "target_portfolio_uuid": other}
        assert post(venue, "/portfolios/move_funds", funds=from_own, **ends) == ends
        kept = venue.send("GET", f"{BASE}/portfolios/{other}").json()["breakdown"]["portfolio_balances"]
        assert kept["total_balance"]["value"] == "250.5"
        too_much = json.dumps({"funds": {"value": "251", "currency": "USD"}, "source_portfolio_uuid": other,
                               "target_portfolio_uuid": own}).encode()
        refused = venue.send("POST", f"{BASE}/portfolios/move_funds", too_much)
        assert refused.status_code == 400
        assert refused.json()["message"].startswith("[PORTFOLIO_ERROR_CODE_INSUFFICIENT_FUNDS]")
        back = {"source_portfolio_uuid": other, "target_portfolio_uuid": own}
        post(venue, "/portfolios/move_funds", funds=from_own, **back)
        summary = venue.send("GET", f"{BASE}/cfm/balance_summary").json()["balance_summary"]
    assert summary["total_usd_balance"]["value"] == "100000"

"""How an outside process reaches what a session traded: its run, its venue, its products, what it had at the start."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from trading_core.bootstrap import PRODUCTION, Connection, connect
from trading_core.clock import NS, Clock
from trading_core.control.accounts import Account
from trading_core.errors import ConfigurationError, GreenlightError, StorageError, VenueError
from trading_core.events import AccountRead
from trading_core.heartbeat import Beat
from trading_core.money import ZERO, Size
from trading_core.orders import VenueOrder
from trading_core.plan import Plan, Rung
from trading_core.plan_files import find_plan
from trading_core.products import Product, ProductType
from trading_core.run import Endpoint, RunContext, VenueName
from trading_core.run_files import RUN
from trading_core.settings import load_settings
from trading_core.snapshots import holdings_of
from trading_core.storage.artifact_store import ArtifactStore
from trading_core.storage.event_reader import EventReader

T = TypeVar("T")
ASK_AGAIN_S = 1  # machine seconds after the first failure; doubled up to the next line
ASK_AGAIN_S_MAX = 10
# Their orders never leave the process of the session: what is open there ends with it.
INSIDE_THE_SESSION = frozenset({VenueName.SIMULATED, VenueName.PAPER})


class Target(Account, frozen=True, kw_only=True):
    """An account with the run that traded it last, as far as it can be known."""

    context: RunContext
    endpoint: Endpoint
    is_ours_known: bool  # False: no session is known, so spot coins are their owner's and only futures are closed


def target_of(root: Path, account: Account) -> Target:
    """Return what to reach for the account; raises ConfigurationError if nothing says where it trades."""
    if account.beat is not None:
        try:
            endpoint = Endpoint.model_validate_json(account.beat.endpoint)
        except ValidationError as e:
            raise ConfigurationError(f"the beat of account {account.name} names no venue: {e}") from e
        context = _context_of(root, account.beat)
        return Target(name=account.name, beat=account.beat, context=context, endpoint=endpoint, is_ours_known=True)
    if account.name.startswith(f"{VenueName.LIVE}-"):
        endpoint = PRODUCTION.model_copy(update={"key_file": load_settings(os.environ).key_file})
        context = _made_up(root, find_plan(Rung.PHASE2), VenueName.LIVE, f"emergency-{account.name}", Path())
        return Target(name=account.name, context=context, endpoint=endpoint, is_ours_known=False)
    why = account.beat_problem or f"account {account.name} never had a session"
    raise ConfigurationError(f"{why}: nothing says where it trades; look at the venue by hand")


@contextmanager
def reach(target: Target) -> Iterator[Connection]:
    """Yield a connection to the venue of the account; raises ConfigurationError for a venue in another process."""
    if target.context.venue in INSIDE_THE_SESSION:
        raise ConfigurationError(f"venue {target.context.venue} lives inside the process of its run and ends with it")
    with connect(target.context, target.endpoint) as connection:
        yield connection


def has_venue_ended(target: Target) -> bool:
    """Tell whether a rehearsal's own venue is gone, and with it all that was open there."""
    pid = target.endpoint.pid if target.context.venue is VenueName.LOCAL else None
    if target.context.venue in INSIDE_THE_SESSION:
        pid = target.beat.pid if target.beat is not None else None
    return pid is not None and not is_running(pid)


def is_running(pid: int) -> bool:
    """Tell whether a process runs; a dead one that nobody has reaped counts as ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text("ascii", errors="replace").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    except (OSError, IndexError):
        return True
    return state not in ("Z", "X")


def insist(
    ask: Callable[[], T], clock: Clock, within_s: int, say: Callable[[str], None], is_venue_gone: Callable[[], bool]
) -> T:
    """Return the venue's answer, asking again while it fails; raises the last VenueError once it is late, or gone."""
    deadline_ns = clock.stopwatch_ns() + within_s * NS
    pause_s = ASK_AGAIN_S
    while True:
        try:
            return ask()
        except VenueError as e:
            if clock.stopwatch_ns() >= deadline_ns or is_venue_gone():
                raise
            say(f"{type(e).__name__}: {e}"[:300])
        clock.wait_until(clock.now_ns() + int(pause_s * NS * Decimal(str(clock.speed))))
        pause_s = min(2 * pause_s, ASK_AGAIN_S_MAX)


def products_of(target: Target, connection: Connection) -> dict[str, Product]:
    """Return the products to close: those of the plan, or every future that is open if no session is known."""
    if target.is_ours_known:
        ids = [p.product_id for p in target.context.plan.products]
    else:
        ids = sorted(p for p, size in connection.venue.account().positions.items() if size)
    return {product_id: connection.venue.product(product_id) for product_id in ids}


def opening_positions(
    target: Target, connection: Connection, products: dict[str, Product], say: Callable[[str], None]
) -> dict[str, Size]:
    """Return what the account held before the run: by the event store, else by the venue's list of our orders."""
    if not target.is_ours_known:
        return {}
    try:
        with EventReader(target.context.store, target.context.run_id) as reader:
            for stored in reader.events(types=(AccountRead.__name__,)):
                if isinstance(stored.event, AccountRead):
                    return holdings_of(products, stored.event)
    except StorageError as e:
        say(f"the event store cannot be read, so the venue is asked what this run bought: {e}"[:300])
    return _opening_by_orders(target, connection, products)


def _opening_by_orders(
    target: Target, connection: Connection, products: dict[str, Product]
) -> dict[str, Size]:
    since_ns = target.beat.started_ns if target.beat is not None else 0
    if target.endpoint.clock_anchor_ns:
        since_ns = min(since_ns, target.endpoint.clock_anchor_ns)
    orders = connection.venue.orders_since(since_ns)
    ours = [o for o in orders if o.client_order_id.startswith(f"{target.context.order_prefix}-")]
    legs = {o.attached_order_id for o in ours if o.attached_order_id}
    ours += [o for o in orders if o.order_id in legs]
    now = holdings_of(products, connection.venue.account())
    return {p.product_id: now[p.product_id] - _ours(p, ours, now[p.product_id]) for p in products.values()}


def _ours(product: Product, orders: list[VenueOrder], held: Size) -> Size:
    """Return what our orders left of what is held: never more than that, for the venue may have closed some itself."""
    net = sum((o.filled_size * o.side.sign for o in orders if o.product_id == product.product_id), ZERO)
    if product.product_type is ProductType.SPOT:
        return min(net, held)  # coins that our sales took from the owner are bought back
    return ZERO if net * held <= 0 else max(-abs(held), min(abs(held), net))


def _context_of(root: Path, beat: Beat) -> RunContext:
    """Return the run's own document, or one with the plan of that name if it cannot be read."""
    try:
        return RunContext.model_validate_json(ArtifactStore(Path(beat.run_dir)).read(RUN))
    except (GreenlightError, ValidationError, OSError):
        return _made_up(root, find_plan(beat.plan), VenueName(beat.venue), beat.run_id, Path(beat.run_dir))


def _made_up(root: Path, plan: Plan, venue: VenueName, run_id: str, run_dir: Path) -> RunContext:
    return RunContext(
        run_id=run_id, order_prefix="gl" + hashlib.sha256(run_id.encode()).hexdigest()[:16], plan=plan, venue=venue,
        run_dir=run_dir, event_store_root=root.absolute(), subject_digest="",
    )

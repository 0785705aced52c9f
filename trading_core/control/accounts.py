"""Which accounts there are, who trades them, and which of them a call without a name means."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from trading_core.clock import wall_now_ns
from trading_core.errors import ConfigurationError, StorageError
from trading_core.heartbeat import FILE_NAME, Beat
from trading_core.trading_state import TradingGuard

STATE_FILE = "trading_state.jsonl"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,199}")  # one folder's name, and never a path
REHEARSAL = "rehearsal-"  # the account of a rehearsal is its run's own


class UnknownAccount(ConfigurationError):
    """Nothing is known of an account or a run of that name."""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """One account that has a trading state or ever had a session. `beat_problem` says why the beat is not known."""

    name: str
    beat: Beat | None = None
    beat_problem: str = ""

    @property
    def has_open_session(self) -> bool:
        """Tell whether a session trades it, or may: one that has not said that it ended, however long ago."""
        return bool(self.beat_problem) or (self.beat is not None and not self.beat.has_ended)

    def is_silent(self, now_ns: int) -> bool:
        """Tell whether the session that should be alive has not said so for the plan's time.

        A beat that lies so far ahead proves no life either: the clock was set back since it was written.
        """
        beat = self.beat
        return beat is not None and not beat.has_ended and abs(beat.silent_s(now_ns)) > beat.lost_after_s


def list_accounts(event_store_root: Path) -> list[Account]:
    """Return every account by name; one with a beat that cannot be read is there, too, and says so."""
    folders = (path for path in sorted(event_store_root.glob("accounts/*")) if path.is_dir())
    return [read_account(event_store_root, path.name) for path in folders if NAME.fullmatch(path.name)]


def read_account(event_store_root: Path, name: str) -> Account:
    """Return one account, whether or not it ever traded."""
    path = event_store_root / "accounts" / name / FILE_NAME
    try:
        return Account(name=name, beat=msgspec.json.decode(path.read_bytes(), type=Beat))
    except FileNotFoundError:
        return Account(name=name)
    except (OSError, msgspec.DecodeError) as e:
        return Account(name=name, beat_problem=f"heartbeat {path} cannot be read: {e}")


def account_guard(event_store_root: Path, name: str) -> TradingGuard:
    """Return the guard of an account. Its lines carry the machine's time."""
    return TradingGuard(event_store_root / "accounts" / name / STATE_FILE, wall_now_ns)


def accounts_meant(
    event_store_root: Path, *, account: str = "", run: str = "", live_account: str = ""
) -> list[Account]:
    """Return the accounts that a call means: the one that is named, or every one with a session and the live one.

    Raises ConfigurationError for a name that cannot be one or that nothing is known of; StorageError if the folder
    cannot be read: a call that found nothing must not look like one that had nothing to do.
    """
    if account and run:
        raise ConfigurationError("account and run are both given: name one of them")
    for word in (account, run):
        if word and not NAME.fullmatch(word):
            raise ConfigurationError(f"{word[:80]!r} cannot be the name of an account or a run: letters, digits, -, _")
    try:
        known = list_accounts(event_store_root)
    except OSError as e:
        raise StorageError(f"{event_store_root} cannot be read: {e.strerror}") from e
    if account:
        return [_only(known, account, live_account)]
    if run:
        return [_of_run(known, run)]
    meant = {found.name: found for found in known if found.has_open_session}
    if live_account:
        meant.setdefault(live_account, read_account(event_store_root, live_account))
    return list(meant.values())


def _only(known: list[Account], name: str, live_account: str) -> Account:
    found = next((account for account in known if account.name == name), None)
    if found is None and name == live_account:
        return Account(name=name)
    if found is None:
        raise UnknownAccount(f"account {name!r} is not known: greenlight state list names those that are")
    return found


def _of_run(known: list[Account], run: str) -> Account:
    for account in known:
        if account.name == REHEARSAL + run or (account.beat is not None and account.beat.run_id == run):
            return account
    raise UnknownAccount(f"no account is known for run {run!r}: greenlight state list names the accounts")

"""The account's file of announced transfers: an append-only hash chain, written by `greenlight state transfer`."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from trading_core.errors import ConfigurationError
from trading_core.events import TransferFiled
from trading_core.gate.chained_log import ChainedLog

FILE = "transfers.jsonl"


class FiledTransfer(BaseModel):
    """One line of the account's file. Amounts that leave the account are negative."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ts_ns: int
    currency: Literal["USD", "USDC"]
    amount: Decimal = Field(allow_inf_nan=False)
    why: str = Field(min_length=1)
    operator: str = Field(min_length=1)


class TransferFile:
    """The account's announced transfers: an append-only hash chain, read by the session and by auditors."""

    def __init__(self, folder: Path) -> None:
        self._log = ChainedLog(folder / FILE, "transfers")
        self._size = -1

    def file(self, transfer: FiledTransfer) -> str:
        """Announce a transfer; return its id once it is durable."""
        if transfer.amount == 0:
            raise ConfigurationError("a transfer of 0 moves nothing: write the amount, negative for money that leaves")
        return f"t{self._log.append(transfer.model_dump(mode='json')).seq}"

    def news(self, now_ns: int, known: set[str]) -> list[TransferFiled]:
        """Return what was announced and is not known yet; looks into the file only when it has grown."""
        size = self._log.path.stat().st_size if self._log.path.exists() else 0
        if size == self._size:
            return []
        self._size = size
        rows = {f"t{entry.head.seq}": FiledTransfer.model_validate(entry.payload) for entry in self._log.read()}
        return [
            TransferFiled(
                ts_ns=now_ns, transfer_id=name, filed_ns=row.ts_ns, currency=row.currency, amount=row.amount,
                why=row.why, operator=row.operator,
            )
            for name, row in rows.items() if name not in known
        ]

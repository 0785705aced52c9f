"""Everything that knows the wire format of Coinbase Advanced Trade."""

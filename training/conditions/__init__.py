"""The conditions that pictures may be in: fitting what finds them, and measuring the rates of pairs that share them."""

package trace

import "github.com/ltp-node/ltp"

// amount is what the order is worth.
func amount(o ltp.Order) string { return ltp.Amount(o.AmountMinor(), o.Currency) }

const clock = "15:04:05.000"

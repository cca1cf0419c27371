"""Many large photos at once, and another user's small one behind them."""

//! A whole call over a wire that loses a third of everything, with a phone that repeats itself as RFC 3261 asks.

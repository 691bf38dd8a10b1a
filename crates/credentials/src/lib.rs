//! Role credentials: where they come from, and the store that keeps them fresh.

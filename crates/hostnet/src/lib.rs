//! What leads 169.254.169.254 to the daemon on this host: plan, apply, undo.

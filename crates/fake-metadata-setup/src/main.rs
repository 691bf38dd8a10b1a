//! Leads 169.254.169.254 on this host to fake-metadata, and undoes it.

fn main() {}

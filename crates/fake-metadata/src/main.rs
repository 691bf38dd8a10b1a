//! A local EC2 instance metadata service.

fn main() {}

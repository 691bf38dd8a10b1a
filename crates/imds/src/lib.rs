//! What the EC2 instance metadata service answers: request, state and time to reply, without I/O.

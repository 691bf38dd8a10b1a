"""What the end-to-end tests share: the daemon as a process, a client that shows the bytes, namespaces, a stand-in S3."""

-- Token requests: PUT with a TTL and no body, on kept connections.
wrk.method = "PUT"
wrk.headers["X-aws-ec2-metadata-token-ttl-seconds"] = "21600"
wrk.headers["Connection"] = "keep-alive"

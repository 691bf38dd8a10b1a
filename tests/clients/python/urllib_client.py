"""What people write by hand: a token, then a read, with nothing but Python's standard library."""

import urllib.request

URL = "http://169.254.169.254/latest/"
put = urllib.request.Request(
    URL + "api/token", method="PUT", headers={"X-aws-ec2-metadata-token-ttl-seconds": "21600"}
)
token = urllib.request.urlopen(put, timeout=5).read().decode()
get = urllib.request.Request(URL + "meta-data/instance-id", headers={"X-aws-ec2-metadata-token": token})
print(urllib.request.urlopen(get, timeout=5).read().decode())

"""MinIO's client, nothing configured but the stand-in's address: its provider of instance credentials."""

import io
import json
import sys

from minio import Minio
from minio.credentials import IamAwsProvider

provider = IamAwsProvider()
client = Minio(sys.argv[1].removeprefix("http://"), credentials=provider, secure=False, region="us-east-1")
buckets = [bucket.name for bucket in client.list_buckets()]
data = b"written by minio"
client.put_object("bucket", "minio", io.BytesIO(data), len(data))
back = client.get_object("bucket", "minio").read().decode()
print(json.dumps({"access_key": provider.retrieve().access_key, "buckets": buckets, "object": back}))

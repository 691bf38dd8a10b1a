"""boto3's default session, nothing configured: finds the role by itself and lists buckets with it."""

import json
import sys

import boto3
from botocore.config import Config
from botocore.utils import IMDSRegionProvider

session = boto3.Session()
credentials = session.get_credentials()
region = IMDSRegionProvider(session._session).provide()
s3 = session.client("s3", region_name=region, endpoint_url=sys.argv[1], config=Config(s3={"addressing_style": "path"}))
s3.put_object(Bucket="bucket", Key="a key/with+signs", Body=b"written by boto3")
print(
    json.dumps(
        {
            "method": credentials.method,
            "access_key": credentials.access_key,
            "region": region,
            "buckets": [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]],
            "object": s3.get_object(Bucket="bucket", Key="a key/with+signs")["Body"].read().decode(),
        }
    )
)

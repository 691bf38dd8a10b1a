"""What boto3 sees of itself on the instance: `caller_identity.py STS_URL`. Credentials come from where it finds them."""

import json
import sys

import boto3

session = boto3.Session(region_name="us-east-1")
print(json.dumps({
    "method": session.get_credentials().method,
    "arn": session.client("sts", endpoint_url=sys.argv[1]).get_caller_identity()["Arn"],
}))

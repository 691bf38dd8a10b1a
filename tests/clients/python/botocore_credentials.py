"""botocore: the credentials of the instance's role and nothing else, as one line of JSON."""

import json

import botocore.session

credentials = botocore.session.Session().get_credentials()
frozen = credentials.get_frozen_credentials() if credentials else None
print(json.dumps({"key": frozen.access_key, "method": credentials.method} if frozen else {"key": None}))

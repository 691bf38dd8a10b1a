"""The Common Runtime that the SDKs of C++ and others are built on: its default chain, and a request signed with it.

It asks 169.254.169.254:80 and nothing else, and has no setting for another place (reference 6.7).
"""

import http.client
import json
import sys
from xml.etree import ElementTree

from awscrt import auth, http as crt_http, io

host = sys.argv[1].removeprefix("http://")
group = io.EventLoopGroup(1)
bootstrap = io.ClientBootstrap(group, io.DefaultHostResolver(group))
provider = auth.AwsCredentialsProvider.new_default_chain(bootstrap)
credentials = provider.get_credentials().result(20)

request = crt_http.HttpRequest("GET", "/", crt_http.HttpHeaders([("Host", host)]))
config = auth.AwsSigningConfig(
    algorithm=auth.AwsSigningAlgorithm.V4,
    signature_type=auth.AwsSignatureType.HTTP_REQUEST_HEADERS,
    credentials_provider=provider,
    region="us-east-1",
    service="s3",
    signed_body_value=auth.AwsSignedBodyValue.EMPTY_SHA256,
    signed_body_header_type=auth.AwsSignedBodyHeaderType.X_AMZ_CONTENT_SHA_256,
)
signed = auth.aws_sign_request(request, config).result(20)
connection = http.client.HTTPConnection(host, timeout=10)
connection.request("GET", "/", headers=dict(signed.headers))
answer = connection.getresponse()
text = answer.read().decode()
assert answer.status == 200, text
names = [element.text for element in ElementTree.fromstring(text).iter() if element.tag.endswith("}Name")]
print(json.dumps({"access_key": credentials.access_key_id, "buckets": names}))

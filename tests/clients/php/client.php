<?php
// AsyncAws for PHP, nothing configured but the stand-in's address: its default chain of credentials, and a request to S3
// signed with them (its S3 client is not in Debian).
require "/usr/share/php/AsyncAws/Core/autoload.php";

use AsyncAws\Core\Configuration;
use AsyncAws\Core\Credentials\ChainProvider;
use AsyncAws\Core\Request;
use AsyncAws\Core\RequestContext;
use AsyncAws\Core\Signer\SignerV4;
use AsyncAws\Core\Stream\StringStream;
use Symfony\Component\HttpClient\HttpClient;

$configuration = Configuration::create(["region" => "us-east-1"]);
$credentials = ChainProvider::createDefaultChain()->getCredentials($configuration);
$request = new Request("GET", "/", [], ["x-amz-content-sha256" => hash("sha256", "")], StringStream::create(""));
$request->setEndpoint($argv[1] . "/");
(new SignerV4("s3", "us-east-1"))->sign($request, $credentials, new RequestContext());
$answer = HttpClient::create()->request("GET", $request->getEndpoint(), ["headers" => $request->getHeaders()]);
preg_match_all("|<Name>([^<]*)</Name>|", $answer->getContent(), $names);
echo json_encode(["access_key" => $credentials->getAccessKeyId(), "buckets" => $names[1]]), "\n";

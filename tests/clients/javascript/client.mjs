// AWS SDK for JavaScript v3, nothing configured but the stand-in's address: the default credential chain of S3,
// fromInstanceMetadata by name, and the metadata service client.
import { ListBucketsCommand, S3Client } from "@aws-sdk/client-s3";
import { fromInstanceMetadata } from "@aws-sdk/credential-providers";
import { MetadataService } from "@aws-sdk/ec2-metadata-service";

const endpoint = process.argv[2];
const options = { region: "us-east-1", endpoint, forcePathStyle: true };
const names = async (client) => (await client.send(new ListBucketsCommand({}))).Buckets.map((bucket) => bucket.Name);

const metadata = new MetadataService({});
const credentials = await fromInstanceMetadata()();
console.log(
  JSON.stringify({
    accessKeyId: credentials.accessKeyId,
    expires: credentials.expiration.toISOString(),
    chain: await names(new S3Client(options)),
    named: await names(new S3Client({ ...options, credentials: fromInstanceMetadata() })),
    instanceId: await metadata.request("/latest/meta-data/instance-id", {}),
    document: JSON.parse(await metadata.request("/latest/dynamic/instance-identity/document", {})),
  }),
);

// AWS SDK for JavaScript v2, nothing configured but the stand-in's address: the default credential chain of S3 and the
// metadata service client.
process.env.AWS_SDK_JS_SUPPRESS_MAINTENANCE_MODE_MESSAGE = "1";
const { promisify } = require("node:util");
const AWS = require("aws-sdk");

const s3 = new AWS.S3({ region: "us-east-1", endpoint: process.argv[2], s3ForcePathStyle: true, signatureVersion: "v4" });
const metadata = new AWS.MetadataService();
const read = async (path) => {
  const token = await promisify(metadata.fetchMetadataToken.bind(metadata))();
  return promisify(metadata.request.bind(metadata))(path, { headers: { "x-aws-ec2-metadata-token": token } });
};

(async () => {
  const { Buckets } = await s3.listBuckets().promise();
  await s3.putObject({ Bucket: "bucket", Key: "v2", Body: "written by v2" }).promise();
  const { Body } = await s3.getObject({ Bucket: "bucket", Key: "v2" }).promise();
  console.log(
    JSON.stringify({
      provider: s3.config.credentials.constructor.name,
      accessKeyId: s3.config.credentials.accessKeyId,
      buckets: Buckets.map((bucket) => bucket.Name),
      object: Body.toString(),
      instanceId: await read("/latest/meta-data/instance-id"),
    }),
  );
})();

# AWS SDK for Ruby, nothing configured but the stand-in's address: the default credential chain of S3, and a listing and
# an object with what it found.
require "aws-sdk-s3"
require "json"

s3 = Aws::S3::Client.new(endpoint: ARGV.fetch(0), region: "us-east-1", force_path_style: true)
s3.put_object(bucket: "bucket", key: "ruby", body: "written by ruby")
puts JSON.generate(
  provider: s3.config.credentials.class.name,
  access_key: s3.config.credentials.credentials.access_key_id,
  buckets: s3.list_buckets.buckets.map(&:name),
  object: s3.get_object(bucket: "bucket", key: "ruby").body.read,
  instance_id: Aws::EC2Metadata.new.get("/latest/meta-data/instance-id"),
)

// AWS SDK for Go v1 (Debian's package): its metadata client, its default credential chain, and a signed S3 request.
package main

import (
	"encoding/json"
	"log"
	"os"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/ec2metadata"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/s3"
)

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	sess := session.Must(session.NewSession())
	metadata := ec2metadata.New(sess)
	region, err := metadata.Region()
	must(err)
	document, err := metadata.GetInstanceIdentityDocument()
	must(err)
	info, err := metadata.IAMInfo()
	must(err)
	id, err := metadata.GetMetadata("instance-id")
	must(err)

	client := s3.New(sess, aws.NewConfig().WithRegion(region).WithEndpoint(os.Args[1]).WithS3ForcePathStyle(true))
	value, err := client.Config.Credentials.Get()
	must(err)
	list, err := client.ListBuckets(&s3.ListBucketsInput{})
	must(err)

	json.NewEncoder(os.Stdout).Encode(map[string]interface{}{
		"available": metadata.Available(), "region": region, "instanceId": id, "document": document, "info": info,
		"provider": value.ProviderName, "accessKeyId": value.AccessKeyID, "bucket": *list.Buckets[0].Name,
	})
}

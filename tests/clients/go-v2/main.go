// AWS SDK for Go v2 (Debian's package): its metadata client, its default credential chain, and a signed S3 request.
package main

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	ctx := context.Background()
	cfg, err := config.LoadDefaultConfig(ctx, config.WithEC2IMDSRegion())
	must(err)
	metadata := imds.NewFromConfig(cfg)
	region, err := metadata.GetRegion(ctx, &imds.GetRegionInput{})
	must(err)
	document, err := metadata.GetInstanceIdentityDocument(ctx, &imds.GetInstanceIdentityDocumentInput{})
	must(err)
	info, err := metadata.GetIAMInfo(ctx, &imds.GetIAMInfoInput{})
	must(err)
	reply, err := metadata.GetMetadata(ctx, &imds.GetMetadataInput{Path: "instance-id"})
	must(err)
	id, err := io.ReadAll(reply.Content)
	must(err)

	client := s3.NewFromConfig(cfg, func(options *s3.Options) {
		options.UsePathStyle = true
		options.EndpointResolver = s3.EndpointResolverFromURL(os.Args[1])
	})
	value, err := cfg.Credentials.Retrieve(ctx)
	must(err)
	list, err := client.ListBuckets(ctx, &s3.ListBucketsInput{})
	must(err)

	json.NewEncoder(os.Stdout).Encode(map[string]interface{}{
		"configRegion": cfg.Region, "region": region.Region, "instanceId": string(id),
		"document": document.InstanceIdentityDocument, "info": info.IAMInfo,
		"source": value.Source, "accessKeyId": value.AccessKeyID, "bucket": aws.ToString(list.Buckets[0].Name),
	})
}
